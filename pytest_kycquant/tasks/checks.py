"""Checks that the gates of several tasks have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..statistics import (
    CONFIDENCE,
    MIN_SUBJECTS,
    Difference,
    Rate,
    judge,
    judge_bounds,
    lower_rank,
    noninferiority,
    trials_to_decide,
    upper_rank,
)
from ..verdicts import (
    Check,
    GateResult,
    GroupIncrease,
    Verdict,
    worst_of,
)


def at_least(lower: float, upper: float, limit: float) -> Verdict:
    """Decide from bounds whether a figure reaches `limit`; NaN never passes."""
    if lower >= limit:
        return Verdict.PASS
    return Verdict.FAIL if not upper >= limit else Verdict.INCONCLUSIVE


def as_point(check: Check) -> Check:
    """Hold the figure of a check itself against its limit, as if these images were all there are.

    That is what a look for damage asks: it claims nothing about other images, so it needs no
    bounds, and the same images always give the same answer.
    """
    if check.value is None or check.limit is None:
        return check
    held = at_least if check.direction == "at least" else judge_bounds
    verdict = held(check.value, check.value, check.limit)
    detail = "on these images alone"
    return replace(check, verdict=verdict, lower=None, upper=None, detail=detail)


def count(name: str, offenders: Sequence[str]) -> Check:
    """No offender may exist; the first five are named."""
    shown = ", ".join(offenders[:5]) + (" ..." if len(offenders) > 5 else "")
    return Check(
        name,
        Verdict.FAIL if offenders else Verdict.PASS,
        float(len(offenders)),
        limit=1.0,
        unit="count",
        detail=shown,
    )


def finite_gate(
    broken: Sequence[str],
    broken_edges: Sequence[str],
    kept: float,
    least: float,
    *,
    what: str,
    detail: str,
    collapsed: str,
) -> GateResult:
    """The gate "finite": no NaN or Inf in any output, and outputs that still vary.

    Args:
        broken: names of the images with NaN or Inf in an output.
        broken_edges: names of the edge inputs with such.
        kept: how much of FP32's variety is left; less than `least` is a collapse.
        least: what must be left.
        what: this variety, such as "spread of scores".
        detail: the figures behind it, or "".
        collapsed: what a collapse means.
    """
    verdict = at_least(kept, kept, least)
    if verdict is not Verdict.PASS:
        detail = f"{detail}; {collapsed}" if detail else collapsed
    variety = Check(
        f"{what}, relative to FP32",
        verdict,
        kept,
        limit=least,
        direction="at least",
        unit="ratio",
        detail=detail,
    )
    return GateResult(
        "finite",
        (
            count("images with NaN or Inf", broken),
            count("edge inputs with NaN or Inf", broken_edges),
            variety,
        ),
        "Look at the listed inputs; keep the operators that overflow in FP32.",
    )


def rate_check(
    name: str,
    found: Rate,
    limit: float,
    *,
    direction: str,
    detail: str,
    lacking: Callable[[Rate, float], str],
) -> Check:
    """A rate of errors, held against its limit by its upper bound.

    Args:
        name: of the check, such as "FAR".
        found: the rate.
        limit: of it.
        direction: of the limit, as declared.
        detail: the counts, in words.
        lacking: says what an undecided rate lacks; see `wanting`.
    """
    verdict = judge(found, limit)
    if verdict is Verdict.INCONCLUSIVE:
        detail = f"{detail}; {lacking(found, limit)}"
    return Check(
        name, verdict, found.value, found.lower, found.upper, limit, direction, detail=detail
    )


def increase_check(
    what: str,
    worse: Rate,
    better: Rate,
    limit: float,
    *,
    direction: str,
    detail: str,
    lacking: Callable[[Difference, float], str],
) -> Check:
    """A paired increase of errors over FP32, held against its budget.

    Args:
        what: rises, such as "FAR".
        worse: rate of the trials that are wrong with the variant only.
        better: rate of those that are wrong with FP32 only.
        limit: of the increase.
        direction: of the limit, as declared.
        detail: both counts, in words.
        lacking: says what an undecided difference lacks; see `wanting`.
    """
    found = noninferiority(worse, better)
    verdict = judge_bounds(found.lower, found.upper, limit)
    if not found.supported:  # too few subjects, or nobody knows which
        verdict = Verdict.INCONCLUSIVE
    if verdict is Verdict.INCONCLUSIVE:
        detail = f"{detail}; {lacking(found, limit)}"
    return Check(
        f"increase of {what} over FP32",
        verdict,
        found.value,
        found.lower,
        found.upper,
        limit,
        direction,
        detail=detail,
    )


def wanting(
    found: Rate | Difference, limit: float, trials: str, subjects: str, unknown: str
) -> str:
    """What an undecided verdict lacks.

    Args:
        found: the figure.
        limit: that it could not be held against.
        trials: what is counted, such as "comparisons".
        subjects: on what, such as "identities".
        unknown: what to say if no subject is known.
    """
    rate = found.worse if isinstance(found, Difference) else found
    if not rate.subjects:
        return unknown
    if not found.supported:
        return f"a claim needs at least {MIN_SUBJECTS} {subjects}"
    needed = trials_to_decide(found, limit)
    if needed is None:
        return "no amount of data separates this figure from its limit"
    people = -(-rate.subjects * needed // rate.trials)
    return f"about {needed:,} such {trials} on {people:,} {subjects} would decide"


def group_wanting(found: Rate | Difference, limit: float, trials: str, subjects: str) -> str:
    """What an undecided verdict about one group lacks; see `wanting`."""
    rate = found.worse if isinstance(found, Difference) else found
    if not found.supported:
        return (
            f"a claim needs such {trials} of at least {MIN_SUBJECTS} {subjects} of the group, "
            f"not of {rate.subjects}"
        )
    return wanting(found, limit, trials, subjects, "")


def group_checks(found: Sequence[GroupIncrease]) -> list[Check]:
    """For each measure, the group that it rises most in: the others are no worse.

    The bounds are those of one group at a time. For a PASS every group must be shown to be inside
    its budget, which needs no correction for their number (an intersection-union test: Berger
    1982). A FAIL of any of many is more likely by chance than of one; what that amounts to:
    docs/verdicts.md.
    """
    checks = []
    for measure in dict.fromkeys(one.measure for one in found):
        groups = [one for one in found if one.measure == measure]
        worst = worst_of(groups)
        failing = [one for one in groups if one.check.verdict is not Verdict.PASS]
        others = [f"{one.check.verdict.value} {one.group}" for one in failing if one is not worst]
        detail = "; ".join([f"{worst.group}: {worst.check.detail}", *others])
        name = f"increase of {measure} over FP32, worst of {len(groups)} groups"
        checks.append(replace(worst.check, name=name, detail=detail))
    return checks


def subjects_wanted(count: int, lower: float, upper: float, gap: float, what: str) -> str:
    """What an undecided figure with jackknife bounds lacks.

    Bounds close in with the square root of the number of subjects.

    Args:
        count: subjects that there are.
        lower: bound of the figure.
        upper: bound of the figure.
        gap: between the figure and its limit.
        what: the subjects are, such as "images".
    """
    if count < MIN_SUBJECTS:
        return f"a claim needs at least {MIN_SUBJECTS} {what}"
    if not math.isfinite(upper - lower):
        return f"it has no finite value without some of the {what}"
    if gap == 0:
        return "no amount of data separates this figure from its limit"
    needed = math.ceil(count * ((upper - lower) / 2 / gap) ** 2)
    return f"about {needed:,} such {what} would decide"


def low_quantile(
    name: str,
    values: NDArray[np.floating],
    q: float,
    limit: float,
    *,
    direction: str,
    unit: str,
    what: str,
) -> Check:
    """Hold a low quantile of similarities, of which 1.0 is the best, against what it must reach.

    Args:
        name: of the check.
        values: (N,) floating, at least one.
        q: which quantile, such as 0.01.
        limit: that its lower confidence bound must reach.
        direction: of the limit, as declared.
        unit: of the values.
        what: is counted, such as "images".
    """
    ordered = np.sort(values)
    low = lower_rank(len(ordered), q, CONFIDENCE)
    high = upper_rank(len(ordered), q, CONFIDENCE)
    detail = f"{len(ordered):,} {what}"
    if low is None:
        # The smallest value is stricter than any bound that so few values could give.
        low, detail = 0, f"{detail}, too few for a bound: the smallest value stands in for it"
    lower = float(ordered[low])
    upper = float(ordered[high]) if high is not None else 1.0
    return Check(
        name,
        at_least(lower, upper, limit),
        float(np.quantile(ordered, q)),
        lower,
        upper,
        limit,
        direction,
        unit,
        detail,
    )
