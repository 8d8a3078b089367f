"""Checks that the gates of several tasks have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..results import GateResult, GroupIncrease, worst_of
from ..statistics import (
    CONFIDENCE,
    MIN_SUBJECTS,
    Difference,
    Rate,
    lower_rank,
    mean_lower_bound,
    noninferiority,
    trials_to_decide,
    upper_rank,
)
from ..verdicts import Check, Direction, Estimate, Kind, Limit, Unit, Verdict

NO_OFFENDER = Limit("offenders", 1.0, Direction.BELOW, Unit.COUNT, Kind.SANITY)


def variety(least: float) -> Limit:
    """Declare how much of FP32's variety of outputs must be left; less is a collapse."""
    return Limit("variety", least, Direction.AT_LEAST, Unit.RATIO, Kind.SANITY)


def count(name: str, offenders: Sequence[str]) -> Check:
    """No offender may exist; the first five are named."""
    shown = ", ".join(offenders[:5]) + (" ..." if len(offenders) > 5 else "")
    return NO_OFFENDER.point(name, float(len(offenders)), shown)


def finite_gate(
    broken: Sequence[str],
    broken_edges: Sequence[str],
    kept: float,
    least: Limit,
    *,
    what: str,
    detail: str,
    collapsed: str,
) -> GateResult:
    """The gate "finite": no NaN or Inf in any output, and outputs that still vary.

    Args:
        broken: names of the images with NaN or Inf in an output.
        broken_edges: names of the edge inputs with such.
        kept: how much of FP32's variety is left.
        least: what must be left; see `variety`.
        what: this variety, such as "spread of scores".
        detail: the figures behind it, or "".
        collapsed: what a collapse means.
    """
    check = least.point(f"{what}, relative to FP32", kept, detail)
    if check.verdict is not Verdict.PASS:
        check = replace(check, detail=f"{detail}; {collapsed}" if detail else collapsed)
    return GateResult(
        "finite",
        (
            count("images with NaN or Inf", broken),
            count("edge inputs with NaN or Inf", broken_edges),
            check,
        ),
        "Look at the listed inputs; keep the operators that overflow in FP32.",
    )


@dataclass(frozen=True)
class Counted:
    """What a rate counts, in words: it says what an undecided figure lacks.

    Args:
        trials: plural of what is counted, such as "comparisons".
        subjects: plural of whom trials touch, such as "identities".
        unknown: the answer if no subject is known.
    """

    trials: str
    subjects: str
    unknown: str = ""

    def wanting(self, found: Rate | Difference, limit: Limit) -> str:
        """Say what an undecided verdict lacks.

        Args:
            found: the figure.
            limit: what it could not be held against.
        """
        rate = found.worse if isinstance(found, Difference) else found
        if not rate.subjects:
            return self.unknown
        if not found.supported:
            return f"a claim needs at least {MIN_SUBJECTS} {self.subjects}"
        needed = trials_to_decide(found, limit)
        if needed is None:
            return "no amount of data separates this figure from its limit"
        people = -(-rate.subjects * needed // rate.trials)
        return f"about {needed:,} such {self.trials} on {people:,} {self.subjects} would decide"

    def wanting_in_group(self, found: Rate | Difference, limit: Limit) -> str:
        """Say what an undecided verdict about one group lacks; see `wanting`."""
        rate = found.worse if isinstance(found, Difference) else found
        if not found.supported:
            return (
                f"a claim needs such {self.trials} of at least {MIN_SUBJECTS} {self.subjects} of "
                f"the group, not of {rate.subjects}"
            )
        return self.wanting(found, limit)


def rate_check(limit: Limit, name: str, found: Rate, detail: str, counted: Counted) -> Check:
    """A rate of errors held against its limit.

    Args:
        limit: of the rate.
        name: of the check, such as "FAR".
        found: the rate.
        detail: the counts, in words.
        counted: what the rate counts.
    """
    return limit.check(name, found, detail, lacking=lambda: counted.wanting(found, limit))


def increase_check(
    limit: Limit,
    what: str,
    worse: Rate,
    better: Rate,
    detail: str,
    wanting: Callable[[Difference, Limit], str],
) -> Check:
    """A paired increase of errors over FP32 held against its budget.

    Args:
        limit: of the increase.
        what: rises, such as "FAR".
        worse: rate of the trials that are wrong with the variant only.
        better: rate of those that are wrong with FP32 only.
        detail: both counts, in words.
        wanting: `Counted.wanting` or `Counted.wanting_in_group` of what is counted.
    """
    found = noninferiority(worse, better)
    name = f"increase of {what} over FP32"
    return limit.check(name, found, detail, lacking=lambda: wanting(found, limit))


def group_checks(found: Sequence[GroupIncrease]) -> list[Check]:
    """For each measure, the group that it rises most in: the others are no worse.

    The bounds are those of one group at a time. For a PASS every group must be shown to be inside
    its budget, which needs no correction for their number (an intersection-union test: Berger
    1982). A FAIL of any of many is more likely by chance than of one; what that amounts to:
    docs/results/coverage.md.
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


def subjects_wanted(count: int, figure: Estimate, limit: Limit, what: str) -> str:
    """Say what an undecided figure with jackknife bounds lacks.

    Bounds close in with the square root of the number of subjects.

    Args:
        count: number of subjects that there are.
        figure: the figure with its bounds.
        limit: what it could not be held against.
        what: the subjects are, such as "images".
    """
    if count < MIN_SUBJECTS:
        return f"a claim needs at least {MIN_SUBJECTS} {what}"
    if not math.isfinite(figure.upper - figure.lower):
        return f"it has no finite value without some of the {what}"
    gap = figure.value - limit.value
    if gap == 0:
        return "no amount of data separates this figure from its limit"
    needed = math.ceil(count * ((figure.upper - figure.lower) / 2 / gap) ** 2)
    return f"about {needed:,} such {what} would decide"


def mean_check(
    limit: Limit,
    name: str,
    values: NDArray[np.floating],
    subjects: NDArray[np.int64],
    ends: tuple[float, float],
) -> Check:
    """The mean of a figure of each image held against its limit, by its confidence bounds.

    Args:
        limit: of the mean.
        name: of the check.
        values: figure of each image; shape (N,), floating.
        subjects: subject of each image, whose images are not independent; shape (N,), int64.
        ends: smallest and largest value that a mean can have.
    """
    lower = mean_lower_bound(values, subjects)
    upper = -mean_lower_bound(-values, subjects)
    found = Estimate(float(values.mean()), lower, upper)
    check = limit.check(name, found, f"{len(values):,} images")
    return replace(check, lower=max(lower, ends[0]), upper=min(upper, ends[1]))


def low_quantile(
    limit: Limit, name: str, values: NDArray[np.floating], q: float, what: str
) -> Check:
    """A low quantile of similarities, of which 1.0 is the best, held against its limit.

    Args:
        limit: of the quantile.
        name: of the check.
        values: similarities, at least one; shape (N,), floating.
        q: which quantile, such as 0.01.
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
    upper = float(ordered[high]) if high is not None else max(lower, 1.0)
    figure = Estimate(float(np.quantile(ordered, q)), lower, upper)
    return limit.check(name, figure, detail)
