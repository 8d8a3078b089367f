"""Checks that the gates of several tasks share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..results import MOST_OFFENDERS, GateResult, GroupIncrease, Offender, worst_of
from ..statistics import (
    CONFIDENCE,
    MIN_SUBJECTS,
    Difference,
    MovesBound,
    Rate,
    decided_by,
    lower_rank,
    mean_lower_bound,
    noninferiority,
    people_needed,
    upper_rank,
)
from ..verdicts import Check, Direction, Estimate, Kind, Limit, Unit, Verdict

DRIFT_REMEDY = "Try per-channel weights, another calibration method or fallback = 'mixed'."
# In the detail of an increase whose bound comes from moves.
_NEAR = "{} expected by how far scores move and how many are near the threshold"
_AT_LIMIT = "the estimate lies exactly at the limit: more data will move it to one side"
_TOO_NEAR = "the estimate is so near the limit that no amount of data would decide"
NO_OFFENDER = Limit("offenders", 1.0, Direction.BELOW, Unit.COUNT, Kind.SANITY)


def known(score: float) -> float | None:
    """A score for a record: None if it is not finite."""
    return float(score) if math.isfinite(score) else None


def broken_images(names: Sequence[str]) -> list[Offender]:
    """The images for which a model gave NaN or Inf."""
    return [Offender((name,), finding="NaN or Inf in an output") for name in names[:MOST_OFFENDERS]]


def named_first(text: str, names: Sequence[str]) -> str:
    """The name with which a text begins, followed by a colon: the longest that fits.

    Raises:
        LookupError: it begins with none of them.
    """
    fitting = [name for name in names if text.startswith(f"{name}: ")]
    if not fitting:
        raise LookupError(f"{text!r} names none of {', '.join(names)}")
    return max(fitting, key=len)


def variety(least: float) -> Limit:
    """Declare how much of the variety of FP32's outputs must remain; less is a collapse."""
    return Limit("variety", least, Direction.AT_LEAST, Unit.RATIO, Kind.SANITY)


def count(name: str, offenders: Sequence[str]) -> Check:
    """Check that there are no offenders; the first five are named."""
    shown = ", ".join(offenders[:5]) + (" ..." if len(offenders) > 5 else "")
    return NO_OFFENDER.point(name, float(len(offenders)), shown)


def finite_gate(
    broken: Sequence[str],
    broken_edges: Sequence[str] | None,
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
        broken_edges: names of the edge inputs with NaN or Inf in an output; None if there are none,
            as for a model that takes no images.
        kept: the share of FP32's variety that remains.
        least: the limit of `kept`; see `variety`.
        what: the name of this variety, such as "spread of scores".
        detail: the figures behind `kept`, or "".
        collapsed: the explanation of a collapse.
    """
    check = least.point(f"{what}, relative to FP32", kept, detail)
    if check.verdict is not Verdict.PASS:
        check = replace(check, detail=f"{detail}; {collapsed}" if detail else collapsed)
    edges = () if broken_edges is None else (count("edge inputs with NaN or Inf", broken_edges),)
    return GateResult(
        "finite",
        (count("images with NaN or Inf", broken), *edges, check),
        "Look at the listed inputs, and leave the operators that overflow unquantized.",
    )


_ONE = {"people": "person", "identities": "identity"}


def many(number: int, plural: str) -> str:
    """A number with its noun, such as "1 comparison" or "2,400 people".

    Args:
        number: the number.
        plural: the noun; what follows its first word stays as it is.
    """
    noun, space, rest = plural.partition(" ")
    if number == 1:
        noun = _ONE.get(noun) or noun.removesuffix("s")
    return f"{number:,} {noun}{space}{rest}"


@dataclass(frozen=True)
class Counted:
    """What a rate counts, in words, to explain what an undecided figure lacks.

    Args:
        trials: the plural noun for the trials, such as "comparisons".
        subjects: the plural noun for the subjects of the trials, such as "identities".
        unknown: the explanation if no subject is known.
    """

    trials: str
    subjects: str
    unknown: str = ""

    def wanting(
        self,
        found: Rate | Difference,
        limit: Limit,
        *,
        crossed: bool = False,
        listed: bool = False,
        moves: MovesBound | None = None,
    ) -> str:
        """Say what an undecided verdict lacks.

        Args:
            found: the figure.
            limit: the limit that leaves it undecided.
            crossed: whether the trials are pairs of different subjects.
            listed: whether these are only some of the pairs.
            moves: for an increase, its bound by moves, also if it is not believed yet.
        """
        rate = found.worse if isinstance(found, Difference) else found
        if not rate.subjects:
            return self.unknown
        if not found.supported:
            return f"a claim needs at least {MIN_SUBJECTS} {self.subjects}"
        needed, verdict = decided_by(found, limit, crossed=crossed, listed=listed, moves=moves)
        if needed is None:
            return _AT_LIMIT if found.value == limit.value else _TOO_NEAR
        return self.would_decide(needed, verdict)

    def would_decide(
        self, needed: int, verdict: Verdict, supposed: str = "if the rates stay the same"
    ) -> str:
        """Say how many subjects would decide, and whether they would fail the gate.

        Args:
            needed: the number of subjects.
            verdict: the verdict that they would give.
            supposed: what that supposes.
        """
        fails = ", and it would fail" if verdict is Verdict.FAIL else ""
        return f"about {needed:,} {self.subjects} would decide, {supposed}{fails}"

    def wanting_in_group(
        self,
        found: Rate | Difference,
        limit: Limit,
        *,
        crossed: bool = False,
        listed: bool = False,
        moves: MovesBound | None = None,
    ) -> str:
        """Say what an undecided verdict about one group lacks; see `wanting`."""
        rate = found.worse if isinstance(found, Difference) else found
        if not found.supported:
            return (
                f"a claim about the group needs such {self.trials} from at least {MIN_SUBJECTS} "
                f"{self.subjects}; it has {rate.subjects}"
            )
        return self.wanting(found, limit, crossed=crossed, listed=listed, moves=moves)


def rate_check(
    limit: Limit,
    name: str,
    found: Rate,
    detail: str,
    counted: Counted,
    *,
    crossed: bool = False,
    listed: bool = False,
) -> Check:
    """Compare an error rate with its limit.

    Args:
        limit: the limit of the rate.
        name: the name of the check, such as "FAR".
        found: the rate.
        detail: the counts, in words.
        counted: the words for what the rate counts.
        crossed: whether the trials are pairs of different subjects.
        listed: whether these are only some of the pairs.
    """
    lacking = lambda: counted.wanting(found, limit, crossed=crossed, listed=listed)  # noqa: E731
    return limit.check(name, found, detail, lacking=lacking)


def increase_check(
    limit: Limit,
    what: str,
    worse: Rate,
    better: Rate,
    detail: str,
    wanting: Callable[..., str],
    *,
    crossed: bool = False,
    listed: bool = False,
    moves: MovesBound | None = None,
) -> Check:
    """Compare the paired increase of errors over FP32 with its budget.

    Args:
        limit: the limit of the increase.
        what: the name of the rate, such as "FAR".
        worse: the rate of the trials that only the variant gets wrong.
        better: the rate of the trials that only FP32 gets wrong.
        detail: both counts, in words.
        wanting: the method `wanting` or `wanting_in_group` of a `Counted`.
        crossed: whether the trials are pairs of different subjects.
        listed: whether these are only some of the pairs.
        moves: a bound of `worse` by how far scores move; it is used if it is sharper than counting
            and there are enough people to believe it.
    """
    enough = people_needed(limit.value, crossed=crossed)
    believed = moves if moves is not None and moves.people >= enough else None
    found = noninferiority(worse, better, believed)
    if found.moves is not None:
        detail += f", {_NEAR.format(limit.unit.show(found.moves.estimate))}"
    name = f"increase of {what} over FP32"
    lacking = lambda: wanting(  # noqa: E731
        found, limit, crossed=crossed, listed=listed, moves=moves
    )
    return limit.check(name, found, detail, lacking=lacking)


def group_checks(found: Sequence[GroupIncrease]) -> list[Check]:
    """For each measure, check the group in which it rises most: the others are no worse.

    Each group has bounds of its own. For a PASS every group must be shown to be inside its budget,
    which needs no correction for the number of groups (an intersection-union test: Berger 1982). A
    FAIL by chance is more likely for any of many groups than for a single one;
    docs/results/coverage.md says by how much.
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

    The width of the bounds falls with the square root of the number of subjects.

    Args:
        count: the number of subjects in the data.
        figure: the figure with its bounds.
        limit: the limit that leaves it undecided.
        what: the plural noun for the subjects, such as "images".
    """
    if count < MIN_SUBJECTS:
        return f"a claim needs at least {MIN_SUBJECTS} {what}"
    if not math.isfinite(figure.upper - figure.lower):
        return f"the figure is not finite when some of the {what} are left out"
    gap = figure.value - limit.value
    if gap == 0:
        return _AT_LIMIT
    needed = math.ceil(count * ((figure.upper - figure.lower) / 2 / gap) ** 2)
    return f"about {needed:,} such {what} would decide"


def mean_check(
    limit: Limit,
    name: str,
    values: NDArray[np.floating],
    subjects: NDArray[np.int64],
    ends: tuple[float, float],
) -> Check:
    """Compare the mean of a figure of each image with its limit, by its confidence bounds.

    Args:
        limit: the limit of the mean.
        name: the name of the check.
        values: the figure of each image; shape (N,), floating.
        subjects: the subject of each image; shape (N,), int64. Images of a subject are not
            independent.
        ends: the smallest and the largest value that a mean can have.
    """
    lower = mean_lower_bound(values, subjects)
    upper = -mean_lower_bound(-values, subjects)
    found = Estimate(float(values.mean()), lower, upper)
    check = limit.check(name, found, f"{len(values):,} images")
    return replace(check, lower=max(lower, ends[0]), upper=min(upper, ends[1]))


def low_quantile(
    limit: Limit, name: str, values: NDArray[np.floating], q: float, what: str
) -> Check:
    """Compare a low quantile of similarities (1.0 is the best) with its limit.

    Args:
        limit: the limit of the quantile.
        name: the name of the check.
        values: the similarities, at least one; shape (N,), floating.
        q: the quantile, such as 0.01.
        what: the plural noun for what has a similarity, such as "images".
    """
    ordered = np.sort(values)
    low = lower_rank(len(ordered), q, CONFIDENCE)
    high = upper_rank(len(ordered), q, CONFIDENCE)
    detail = f"{len(ordered):,} {what}"
    if low is None:
        # The smallest value is stricter than any bound from this few values.
        low, detail = 0, f"{detail}, too few for a confidence bound, so the smallest value is used"
    lower = float(ordered[low])
    upper = float(ordered[high]) if high is not None else max(lower, 1.0)
    figure = Estimate(float(np.quantile(ordered, q)), lower, upper)
    return limit.check(name, figure, detail)
