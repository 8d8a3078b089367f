"""The results of a metric for FP32 and for a variant, and their comparison with limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...curves import Curves
from ...errors import SpecError
from ...results import GateResult, Offender
from ...spec.limits import CustomLimits
from ...statistics import MIN_SUBJECTS
from ...verdicts import Check, Estimate, Limit, Unit, Verdict
from ..checks import Counted, broken_images, finite_gate, many, rate_check, subjects_wanted, variety
from ..comparison import Comparison
from ..outputs import relative_distance
from ..score_plots import paired_plot
from .metric import Measurement, bounds
from .offenders import of_metric

# Outputs that spread less than half as far hardly depend on the image.
_COLLAPSE = variety(0.5)
METRIC_REMEDY = (
    "Leave the most harmful operators in FP32 (fallback = 'mixed'), or try per-channel weights or "
    "another calibration method."
)


@dataclass(frozen=True, eq=False)
class MetricComparison(Comparison):
    """The results of a metric for a variant and for FP32, on the same images.

    Args:
        fp32: the results for FP32.
        variant: the results for the variant.
        limits: the limits of the gates.
        broken_edges: names of the edge inputs for which the variant gave NaN or Inf.
        edges: whether there are edge inputs; a model that takes no images has none.
    """

    fp32: Measurement
    variant: Measurement
    limits: CustomLimits
    broken_edges: tuple[str, ...] = ()
    edges: bool = True

    @property
    def apart(self) -> float:
        """Relative L2 distance of the outputs from those of FP32, mean over outputs."""
        return distance(self.fp32.outputs, self.variant.outputs)

    def finite(self) -> GateResult:
        """Check for NaN or Inf in any output, and that outputs still depend on the image."""
        mine, theirs = self.variant, self.fp32
        names = mine.truth.images.names
        kept = []
        for one, other in zip(theirs.outputs, mine.outputs, strict=True):
            if (
                spread := _spread(one)
            ) > 0:  # a constant output, such as anchors, may stay constant
                kept.append(_spread(other) / spread)
        return finite_gate(
            [name for name, ok in zip(names, mine.finite, strict=True) if not ok],
            self.broken_edges if self.edges else None,
            min(kept, default=0.0),
            _COLLAPSE,
            what="spread of outputs",
            detail="",
            collapsed="outputs hardly depend on the image any more",
        )

    def offenders(self, gate: GateResult) -> list[Offender]:
        """The images that the metric finds worst."""
        if gate.gate == "finite":
            names = self.variant.truth.images.names
            pairs = zip(names, self.variant.finite, strict=True)
            return broken_images([name for name, ok in pairs if not ok])
        return of_metric(self.fp32, self.variant, change=gate.gate == "degradation")

    def figures(self) -> dict[str, float]:
        """How far outputs are from those of FP32."""
        return {"output_drift": self.apart}

    def columns(self) -> dict[str, str]:
        """Relative L2 distance of outputs to FP32's."""
        return {"output drift": f"{self.apart:.4f}"}

    def curves(self) -> Curves:
        """The value of every image, if the metric returns one for each."""
        if self.fp32.form != "values":
            return Curves()
        both, name = (self.fp32.values, self.variant.values), self.variant.metric.name
        everything = {"images": np.ones(len(both[0]), np.bool_)}
        return Curves(paired_plot(name, *both, everything, None))

    def decided_otherwise(self, other: MetricComparison) -> tuple[int, int, str] | None:
        """Images whose decision differs and all images, if the metric returns errors."""
        if self.variant.form != "errors":
            return None
        differ = self.variant.errors != other.variant.errors
        return int(differ.sum()), len(differ), "images"


def judge_metric(mine: Measurement, limits: CustomLimits, attribute: str) -> Check:
    """Compare the metric of a variant with the limit of the given name."""
    limit = limits[attribute]
    if mine.form == "errors":
        found = mine.rate()
        detail = (
            f"{many(found.errors, 'errors')} in {of_whom(mine)}, design effect {found.deff:.1f}"
        )
        return rate_check(of_rate(limit), mine.metric.name, found, detail, counted(mine))
    share = mine.may_be_share
    lower, upper = bounds(mine.value, mine.without, share=share)
    # A share at its best value cannot get better.
    if mine.metric.higher and mine.value == 1:
        upper = 1.0
    elif not mine.metric.higher and mine.value == 0:
        lower = 0.0
    if mine.metric.higher:  # a metric that is not a share has no known best value
        limit = replace(limit.reversed, best=1.0 if share else None)
    name = f"{'mean ' if mine.form == 'values' else ''}{mine.metric.name}"
    return judge_figure(limit, name, mine, Estimate(mine.value, lower, upper))


def judge_figure(limit: Limit, name: str, mine: Measurement, found: Estimate) -> Check:
    """Compare a figure in the unit of the metric with its limit; it fails unless it is finite."""
    if not np.isfinite(found.value):
        broken = mine.broken()
        shown = ", ".join(broken[:5]) + (" ..." if len(broken) > 5 else "")
        detail = f"not finite: {shown}" if broken else "the metric is not finite"
        return Check(name, Verdict.FAIL, limit, detail=detail)
    subjects = len(np.unique(mine.truth.subjects))
    what = "subjects" if mine.truth.knows_subjects else "images"
    check = limit.check(
        name,
        replace(found, supported=subjects >= MIN_SUBJECTS),
        of_whom(mine),
        lacking=lambda: subjects_wanted(subjects, found, limit, what),
    )
    if not np.isfinite([found.lower, found.upper]).all():
        check = replace(check, lower=None, upper=None)
    return check


def of_rate(limit: Limit) -> Limit:
    """The limit of an error rate: 2, where 2 % is meant, would pass anything.

    Raises:
        SpecError: the limit is not a rate.
    """
    if not 0 < limit.value < 1:
        raise SpecError(
            f"CustomLimits.{limit.name}",
            f"{limit.value!r} is not a rate, but the metric returns errors",
            "give a fraction between 0 and 1: 2 % is 0.02",
        )
    return replace(limit, unit=Unit.RATE)


def counted(mine: Measurement) -> Counted:
    """The words for what an error rate counts."""
    subjects = "subjects" if mine.truth.knows_subjects else "images"
    return Counted("images", subjects, "there are no images")


def of_whom(mine: Measurement) -> str:
    """The number of images and of subjects, in words."""
    count = f"{len(mine.finite):,} images"
    if mine.truth.knows_subjects:
        return f"{count} of {len(mine.truth.subject_names):,} subjects"
    return f"{count}, each counted as a subject"


def distance(fp32: Sequence[NDArray[np.float32]], variant: Sequence[NDArray[np.float32]]) -> float:
    """Mean relative L2 distance of outputs, each (N, ...)."""
    pairs = zip(fp32, variant, strict=True)
    apart = [relative_distance(_rows(one), _rows(other)) for one, other in pairs]
    return float(np.mean(apart))


def _rows(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values.reshape(len(values), -1)


def _spread(values: NDArray[np.float32]) -> float:
    """Standard deviation over the finite images, root mean square over all numbers; 0 if none."""
    rows = _rows(values).astype(np.float64)
    usable = rows[np.isfinite(rows).all(axis=1)]
    return float(np.sqrt(usable.var(axis=0).mean())) if len(usable) else 0.0
