"""Verdicts, the limits that give them, and the checks in which they are recorded."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from .errors import printable


class Verdict(enum.StrEnum):
    """Outcome of a gate. INCONCLUSIVE means that the data cannot decide, not that it passed.

    WAIVED is a FAIL or INCONCLUSIVE that a waiver accepts for a time. Only gates have it, not their
    checks.
    """

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    WAIVED = "WAIVED"

    @classmethod
    def worst(cls, verdicts: Sequence[Verdict]) -> Verdict:
        """Combine verdicts that must all hold. Without any, the result is INCONCLUSIVE."""
        if not verdicts:
            return cls.INCONCLUSIVE
        for outcome in (cls.FAIL, cls.INCONCLUSIVE, cls.WAIVED):
            if outcome in verdicts:
                return outcome
        return cls.PASS


class Direction(enum.StrEnum):
    """The side of a limit on which a figure must lie."""

    BELOW = "below"
    AT_LEAST = "at least"

    @property
    def opposite(self) -> Direction:
        """The other side."""
        return Direction.AT_LEAST if self is Direction.BELOW else Direction.BELOW

    def stricter(self, one: float, other: float) -> float:
        """The one of two limits that is harder to meet."""
        return min(one, other) if self is Direction.BELOW else max(one, other)


class Unit(enum.StrEnum):
    """The unit of a figure. It decides how the figure is shown and what its best value is."""

    RATE = "rate"
    """A fraction that should be low, such as FAR; shown in percent."""
    SHARE = "share"
    """A fraction that should be high, such as recall; shown in percent."""
    COSINE = "cosine"
    PROBABILITY = "probability"
    RATIO = "ratio"
    MS = "ms"
    MB = "MB"
    COUNT = "count"
    METRIC = "metric"
    """The unit of a user-defined metric, whatever it is."""

    def show(self, value: float) -> str:
        """Format a figure for readers: rates and shares in percent, everything else as it is."""
        if self in (Unit.RATE, Unit.SHARE):
            # Less than one in a billion is no figure, but what rounding left of zero.
            return f"{100 * value if abs(value) >= 1e-9 else 0.0:.4g} %"
        if self in (Unit.MS, Unit.MB):
            return f"{value:.4g} {self.value}"
        if self is Unit.COUNT:
            return f"{value:,.0f}"
        return f"{value:.4g}" if self in (Unit.RATIO, Unit.METRIC) else f"{value:.4f}"


class Kind(enum.StrEnum):
    """What a limit guards against."""

    ERROR = "error"
    """Wrong decisions, according to labels."""
    DRIFT = "drift"
    """Outputs that differ from those of FP32; no labels are needed."""
    SANITY = "sanity"
    """Damage: NaN, outputs that no longer depend on the image, nothing quantized."""
    COST = "cost"
    """Time, memory and size."""


class Figure(Protocol):
    """An estimate with one-sided confidence bounds, such as `statistics.Rate`."""

    @property
    def value(self) -> float:
        """The point estimate."""

    @property
    def lower(self) -> float:
        """The lower bound."""

    @property
    def upper(self) -> float:
        """The upper bound."""

    @property
    def supported(self) -> bool:
        """Whether there is enough data for any claim."""


@dataclass(frozen=True)
class Estimate:
    """A figure of any kind with its bounds; see `Figure`."""

    value: float
    lower: float
    upper: float
    supported: bool = True

    @classmethod
    def complement(cls, rate: Figure) -> Estimate:
        """Return the share of trials that do not go wrong, such as recall from a miss rate."""
        return cls(1 - rate.value, 1 - rate.upper, 1 - rate.lower, rate.supported)


@dataclass(frozen=True)
class Limit:
    """One limit. All comparisons of figures are made here.

    Gates get limits from their declaration (`spec.limits`) and cannot choose a direction.

    Args:
        name: the attribute of the limits that declares it, such as "far".
        value: the value of the limit.
        direction: the side of the limit on which figures must lie.
        unit: the unit of the limit and of the figures.
        kind: what the limit guards against.
        best: the figure of a perfect model; the distance from it to the limit is the budget. None
            if it is unknown.
    """

    name: str
    value: float
    direction: Direction = Direction.BELOW
    unit: Unit = Unit.RATE
    kind: Kind = Kind.ERROR
    best: float | None = None

    @property
    def reversed(self) -> Limit:
        """The same limit with the other direction, for a metric where higher is better.

        The best figure in that direction is unknown.
        """
        return replace(self, direction=self.direction.opposite, best=None)

    @property
    def complement(self) -> Limit:
        """The equivalent limit of 1 minus the figure, such as of a miss rate for recall."""
        best = None if self.best is None else 1 - self.best
        return replace(self, value=1 - self.value, direction=self.direction.opposite, best=best)

    def judge(self, lower: float, upper: float) -> Verdict:
        """Decide from the bounds of a figure.

        Args:
            lower: one-sided lower confidence bound.
            upper: one-sided upper confidence bound; equal to `lower` for a figure known exactly.

        Returns:
            PASS if the whole interval is inside the limit, FAIL if the whole interval is outside,
            INCONCLUSIVE otherwise, also if a bound or the limit is NaN.

        Raises:
            ValueError: `lower` is above `upper`; swapped bounds could turn a failure into a pass.
        """
        if any(map(math.isnan, (lower, upper, self.value))):
            return Verdict.INCONCLUSIVE
        if lower > upper:
            raise ValueError(f"lower bound {lower} is above upper bound {upper}")
        inside = [self._holds(bound) for bound in (lower, upper)]
        if all(inside):
            return Verdict.PASS
        return Verdict.INCONCLUSIVE if any(inside) else Verdict.FAIL

    def judge_bound(self, lower: float, upper: float) -> Verdict:
        """Decide from the bound that is nearer to the limit or beyond it, without INCONCLUSIVE.

        This suits a figure whose other bound says nothing, such as a percentile of latency: whether
        a budget is kept is a question about its upper bound alone.
        """
        bound = upper if self.direction is Direction.BELOW else lower
        return self.judge(bound, bound)

    def excess(self, value: float) -> float:
        """How far a figure is beyond the limit, relative to it; negative inside the limit."""
        beyond = value - self.value
        return (beyond if self.direction is Direction.BELOW else -beyond) / (abs(self.value) or 1.0)

    def check(
        self,
        name: str,
        figure: Figure,
        detail: str = "",
        *,
        lacking: Callable[[], str] | None = None,
    ) -> Check:
        """Compare a figure that has bounds with this limit.

        Args:
            name: the name of the check, such as "FAR, FP32 gallery".
            figure: the measured figure. Without enough data for a claim it is INCONCLUSIVE.
            detail: the counts behind the figure.
            lacking: returns a text that says what an undecided figure lacks.
        """
        verdict = Verdict.INCONCLUSIVE
        if figure.supported:
            verdict = self.judge(figure.lower, figure.upper)
        lacks = lacking() if verdict is Verdict.INCONCLUSIVE and lacking is not None else ""
        if lacks:
            detail = f"{detail}; {lacks}" if detail else lacks
        return Check(name, verdict, self, figure.value, figure.lower, figure.upper, detail, lacks)

    def point(self, name: str, value: float, detail: str = "") -> Check:
        """Compare a figure that is known exactly with this limit; NaN fails."""
        verdict = Verdict.FAIL if math.isnan(value) else self.judge(value, value)
        return Check(name, verdict, self, value, detail=detail)

    def half_left(self, value: float) -> bool:
        """Whether a figure uses less than half of the budget from the best figure to this limit.

        Budgets are known only for rates and shares, and for metrics that are one of them. There is
        none if the best figure is itself beyond the limit.
        """
        if self.best is None or self.unit not in (Unit.RATE, Unit.SHARE, Unit.METRIC):
            return False
        if not self._holds(self.best):
            return False
        half = (self.best + self.value) / 2
        return value < half if self.direction is Direction.BELOW else value > half

    def _holds(self, value: float) -> bool:
        return value < self.value if self.direction is Direction.BELOW else value >= self.value


@dataclass(frozen=True)
class Check:
    """One figure compared with one limit.

    Args:
        name: what was measured, such as "FAR" or "FAR, FP32 gallery".
        verdict: the outcome.
        limit: the limit that the figure was compared with; None if nothing could be measured.
        value: the point estimate; None if there is nothing to estimate.
        lower: one-sided lower confidence bound, in the unit of the limit.
        upper: one-sided upper confidence bound, in the unit of the limit.
        detail: the counts behind the figure, and what to do about it.
        lacking: the part of `detail` that says what would decide an undecided figure, or "".
    """

    name: str
    verdict: Verdict
    limit: Limit | None = None
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    detail: str = ""
    lacking: str = ""

    @property
    def unit(self) -> Unit:
        """The unit of the figures; that of a rate if there is no limit."""
        return self.limit.unit if self.limit else Unit.RATE

    @property
    def excess(self) -> float:
        """How far the bound that matters is beyond the limit, relative to it.

        It is -inf if nothing is known, and inf for NaN, which no limit allows.
        """
        if self.limit is None or self.value is None:
            return -math.inf
        bound = self.upper if self.limit.direction is Direction.BELOW else self.lower
        found = self.limit.excess(self.value if bound is None else bound)
        return math.inf if math.isnan(found) else found

    @property
    def promising(self) -> bool:
        """Whether it passes, or is undecided but its estimate uses less than half its budget."""
        if self.verdict is not Verdict.INCONCLUSIVE:
            return self.verdict is Verdict.PASS
        if self.limit is None or self.value is None:
            return False
        return self.limit.half_left(self.value)

    def as_point(self) -> Check:
        """Compare the estimate itself with the limit, as if there were no other images.

        This is meant for a check for damage: it claims nothing about other images, so it needs no
        bounds, and the same images always give the same answer.
        """
        if self.value is None or self.limit is None:
            return self
        return self.limit.point(self.name, self.value, "on these images alone")

    def failed(self, detail: str) -> Check:
        """Return this check as failed: there is nothing to judge, with few images or many."""
        return replace(self, verdict=Verdict.FAIL, detail=detail, lacking="")

    def describe(self) -> str:
        """Describe the check in one line: verdict, figure with bounds, limit, detail."""
        found = self.finding()
        return printable(f"{found}: {self.detail}" if self.detail else found)

    def finding(self) -> str:
        """Describe the check in one line without its detail: verdict, figure, bounds, limit."""
        parts = [f"{self.verdict.value} {self.name}"]
        if self.value is not None:
            parts.append(f"= {self.unit.show(self.value)}")
        if self.lower is not None and self.upper is not None:
            parts.append(f"[{self.unit.show(self.lower)}, {self.unit.show(self.upper)}]")
        if self.limit is not None:
            limit = self.limit
            parts.append(f"must be {limit.direction.value} {limit.unit.show(limit.value)}")
        return printable(" ".join(parts))
