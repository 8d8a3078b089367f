"""The gates of a custom task: from a metric of FP32 and of a variant to checks against limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import SpecError
from ...spec.limits import CustomLimits
from ...statistics import (
    MIN_SUBJECTS,
    Difference,
    Rate,
    judge_bounds,
)
from ...verdicts import Check, GateResult, Verdict
from ..checks import (
    at_least,
    finite_gate,
    increase_check,
    rate_check,
    subjects_wanted,
    wanting,
)
from ..outputs import relative_distance
from .metric import Measurement, bounds

_COLLAPSE = 0.5  # outputs that spread less than half as far hardly depend on the image
_REMEDY = (
    "Keep the operators that harm most in FP32 (fallback = 'mixed'), try per-channel weights or "
    "another calibration method."
)


@dataclass(frozen=True, eq=False)
class CustomComparison:
    """A variant held against FP32 on the same images.

    Args:
        fp32: what the metric makes of FP32.
        variant: what it makes of the variant.
        broken_edges: names of the edge inputs for which the variant gave NaN or Inf.
    """

    fp32: Measurement
    variant: Measurement
    broken_edges: tuple[str, ...] = ()

    @property
    def drift(self) -> float:
        """Relative L2 distance of the outputs from those of FP32, mean over outputs."""
        return drift(self.fp32.outputs, self.variant.outputs)

    @property
    def same(self) -> bool:
        """Whether the variant gives exactly what FP32 gives, as FP32 itself does."""
        pairs = zip(self.fp32.outputs, self.variant.outputs, strict=True)
        return all(np.array_equal(one, other) for one, other in pairs)


def judge_finite(comparison: CustomComparison) -> GateResult:
    """No NaN or Inf in any output, and outputs that still depend on the image."""
    mine, theirs = comparison.variant, comparison.fp32
    names = mine.truth.images.names
    kept = []
    for one, other in zip(theirs.outputs, mine.outputs, strict=True):
        if (spread := _spread(one)) > 0:  # a constant output, such as anchors, may stay one
            kept.append(_spread(other) / spread)
    return finite_gate(
        [name for name, ok in zip(names, mine.finite, strict=True) if not ok],
        comparison.broken_edges,
        min(kept, default=0.0),
        _COLLAPSE,
        what="spread of outputs",
        detail="",
        collapsed="outputs hardly depend on the image any more",
    )


def judge_metric(comparison: CustomComparison, limits: CustomLimits) -> GateResult:
    """Bound of the metric inside its limit."""
    return GateResult("metric", (_metric_check(comparison.variant, limits, "metric"),), _REMEDY)


def judge_agreement(comparison: CustomComparison, limits: CustomLimits) -> GateResult:
    """Bound of a metric that holds outputs against those of FP32 inside its limit."""
    check = _metric_check(comparison.variant, limits, "agreement")
    return GateResult("agreement", (check,), _REMEDY)


def _metric_check(mine: Measurement, limits: CustomLimits, attribute: str) -> Check:
    if mine.form == "errors":
        check = _rate_check(mine, limits, attribute)
    else:
        lower, upper = bounds(mine.value, mine.without, share=mine.may_be_share)
        # A share at its better end: nothing lies beyond.
        if mine.metric.higher and mine.value == 1:
            upper = 1.0
        elif not mine.metric.higher and mine.value == 0:
            lower = 0.0
        prefix = "mean " if mine.form == "values" else ""
        check = _figure_check(
            f"{prefix}{mine.metric.name}",
            mine,
            mine.value,
            (lower, upper),
            limits.budget(attribute),
            direction="at least" if mine.metric.higher else "below",
        )
    return check


def judge_degradation(comparison: CustomComparison, limits: CustomLimits) -> GateResult:
    """How much worse than FP32 the metric is on the same images."""
    mine, theirs = comparison.variant, comparison.fp32
    name, limit = mine.metric.name, limits.budget("degradation")
    if mine.form == "errors":
        _require_rate(limits, "degradation")
        worse = mine.rate(mine.errors & ~theirs.errors)
        better = theirs.rate(theirs.errors & ~mine.errors)
        check = increase_check(
            name,
            worse,
            better,
            limit,
            direction=CustomLimits.direction("degradation"),
            detail=f"{worse.errors:,} images newly wrong, {better.errors:,} newly right",
            lacking=lambda found, limit: _wanting(found, limit, mine),
        )
        return GateResult("degradation", (check,), _REMEDY)
    more, less = (theirs, mine) if mine.metric.higher else (mine, theirs)
    value = more.value - less.value
    found = value, value
    if np.isfinite(value) and not comparison.same:
        found = bounds(value, more.without - less.without, share=False)
    check = _figure_check(
        f"drop of {name} from FP32" if mine.metric.higher else f"increase of {name} over FP32",
        mine,
        value,
        found,
        limit,
        direction=CustomLimits.direction("degradation"),
    )
    return GateResult("degradation", (check,), _REMEDY)


def drift(fp32: Sequence[NDArray[np.float32]], variant: Sequence[NDArray[np.float32]]) -> float:
    """Relative L2 distance of outputs, each (N, ...), mean over the outputs."""
    pairs = zip(fp32, variant, strict=True)
    apart = [relative_distance(_rows(one), _rows(other)) for one, other in pairs]
    return float(np.mean(apart))


def _rate_check(mine: Measurement, limits: CustomLimits, attribute: str) -> Check:
    limit = _require_rate(limits, attribute)
    found = mine.rate()
    return rate_check(
        mine.metric.name,
        found,
        limit,
        direction=CustomLimits.direction(attribute),
        detail=f"{found.errors:,} errors in {_of_whom(mine)}, design effect {found.deff:.1f}",
        lacking=lambda found, limit: _wanting(found, limit, mine),
    )


def _figure_check(
    name: str,
    mine: Measurement,
    value: float,
    found: tuple[float, float],
    limit: float,
    *,
    direction: str,
) -> Check:
    """A figure in the unit of the metric; one that is not finite is no figure and fails."""
    if not np.isfinite(value):
        broken = mine.broken()
        shown = ", ".join(broken[:5]) + (" ..." if len(broken) > 5 else "")
        detail = f"not finite: {shown}" if broken else "the metric is not finite"
        return Check(
            name, Verdict.FAIL, limit=limit, direction=direction, unit="metric", detail=detail
        )
    lower, upper = found
    held = at_least if direction == "at least" else judge_bounds
    verdict = held(lower, upper, limit)
    subjects = len(np.unique(mine.truth.subjects))
    if subjects < MIN_SUBJECTS:
        verdict = Verdict.INCONCLUSIVE
    detail = _of_whom(mine)
    if verdict is Verdict.INCONCLUSIVE:
        what = "subjects" if mine.truth.knows_subjects else "images"
        detail = f"{detail}; {subjects_wanted(subjects, lower, upper, value - limit, what)}"
    bounded = bool(np.isfinite([lower, upper]).all())
    return Check(
        name,
        verdict,
        value,
        lower if bounded else None,
        upper if bounded else None,
        limit,
        direction,
        "metric",
        detail,
    )


def _require_rate(limits: CustomLimits, attribute: str) -> float:
    """The limit of a rate of errors: 2, where 2 % is meant, would pass anything.

    Raises:
        SpecError: it is none.
    """
    limit = limits.budget(attribute)
    if not 0 < limit < 1:
        raise SpecError(
            f"CustomLimits.{attribute}",
            f"{limit!r} is no rate, and the metric tells errors",
            "give a share between 0 and 1: 2 % is 0.02",
        )
    return limit


def _of_whom(mine: Measurement) -> str:
    count = f"{len(mine.finite):,} images"
    if mine.truth.knows_subjects:
        return f"{count} of {len(mine.truth.subject_names):,} subjects"
    return f"{count}, each counted as a subject"


def _wanting(found: Rate | Difference, limit: float, mine: Measurement) -> str:
    subjects = "subjects" if mine.truth.knows_subjects else "images"
    return wanting(found, limit, "images", subjects, "a claim needs images")


def _rows(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values.reshape(len(values), -1)


def _spread(values: NDArray[np.float32]) -> float:
    """Standard deviation over the finite images, root mean square over the numbers; or 0."""
    rows = _rows(values).astype(np.float64)
    usable = rows[np.isfinite(rows).all(axis=1)]
    return float(np.sqrt(usable.var(axis=0).mean())) if len(usable) else 0.0
