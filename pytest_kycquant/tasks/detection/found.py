"""Detections of FP32 and of a variant side by side: what can be said of them without labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...data.groups import Group
from ...data.images import ImageSet
from ...results import GateResult
from ...spec.limits import DetectionLimits
from ...statistics import Rate
from ...verdicts import Check, Estimate
from ..checks import Counted, finite_gate, low_quantile, variety
from ..comparison import Comparison
from .likeness import Agreement, agreement
from .matching import Matching, Objects, Predictions

# Sound INT8 detectors keep a quarter of the distinct scores of FP32, broken ones 1 to 5 %.
_COLLAPSE = variety(0.1)
_LEVELS = 255  # distinct scores are counted on the grid of 8 bits, which INT8 may have at best
_QUANTILE = 0.05  # of the overlap of boxes with those of FP32
COUNTED = Counted("objects", "images", "there is no such object")
REMEDY = (
    "Keep what follows the head (Sigmoid, Mul, Concat) in FP32, try per-channel weights, another "
    "calibration method or fallback = 'mixed'."
)


@dataclass(frozen=True, eq=False)
class Detector:
    """What one model found in the images of one part of the data.

    Args:
        predictions: detections in pixels of the images.
        broken: names of the images with NaN or Inf in an output.
        broken_edges: names of the edge inputs that gave NaN or Inf.
        truth: what is there.
        confidence: a detection counts if score >= confidence.
    """

    predictions: Predictions
    broken: tuple[str, ...]
    broken_edges: tuple[str, ...]
    truth: Objects
    confidence: float

    @cached_property
    def matching(self) -> Matching:
        """Detections held against what is there."""
        return Matching(self.predictions, self.truth)

    @cached_property
    def shown(self) -> Predictions:
        """The detections that count."""
        return self.predictions.above(self.confidence)

    @cached_property
    def levels(self) -> int:
        """Number of distinct scores of all detections, on the grid of 8 bits."""
        return len(np.unique(np.round(self.predictions.scores * _LEVELS)))

    @property
    def false_positives(self) -> float:
        """Detections per image that are no object."""
        return self.matching.false_positives(self.confidence) / self.truth.images


@dataclass(frozen=True, eq=False)
class FoundComparison(Comparison):
    """What a variant found beside what FP32 found, at the same frozen confidence.

    Args:
        images: the images.
        class_names: names of the classes.
        fp32: what FP32 found.
        variant: what the variant found.
        limits: of the gates.
        group_table: groups of the images.
    """

    images: ImageSet
    class_names: tuple[str, ...]
    fp32: Detector
    variant: Detector
    limits: DetectionLimits
    group_table: tuple[Group, ...] = ()

    @cached_property
    def agreement(self) -> Agreement:
        """Without labels: what both found."""
        return agreement(self.fp32.shown, self.variant.shown, self.fp32.truth)

    def finite(self) -> GateResult:
        """No NaN or Inf in any output, and scores that still tell candidates apart.

        Quantization of a concatenation gives scores the step of box coordinates, and two distinct
        values are left of them, which no error of the whole output shows.
        """
        mine, theirs = self.variant, self.fp32
        return finite_gate(
            mine.broken,
            mine.broken_edges,
            mine.levels / theirs.levels if theirs.levels else 0.0,
            _COLLAPSE,
            what="distinct scores",
            detail=f"{mine.levels:,} distinct scores (in 8 bits), FP32 has {theirs.levels:,}",
            collapsed="keep what follows the head in FP32",
        )

    def drift(self, *, float_variant: bool = False) -> list[Check]:
        """The same objects as FP32 finds, in the same places; of all classes together."""
        found = self.agreement
        return [
            self._in_common(
                "detections of FP32 that the variant has", found.recall, "FP32 has none"
            ),
            self._in_common(
                "detections of the variant that FP32 has", found.precision, "the variant has none"
            ),
            self._overlap("fp16_overlap" if float_variant else "overlap"),
        ]

    def agreement_figures(self) -> dict[str, float]:
        """Figures that need no labels: how far detections are from those of FP32."""
        found = self.agreement
        overlap, drift = found.overlap, found.drift
        return {
            "agreement_recall": 1 - found.recall.value if found.recall.trials else 0.0,
            "agreement_precision": 1 - found.precision.value if found.precision.trials else 0.0,
            "overlap_p5": float(np.quantile(overlap, _QUANTILE)) if len(overlap) else 0.0,
            "confidence_drift": float(drift.mean()) if len(drift) else 1.0,
            "distinct_scores": float(self.variant.levels),
        }

    def decided_otherwise(self, other: FoundComparison) -> tuple[int, int, str]:
        """Detections that the other has not (same class, IoU of at least .5)."""
        found = agreement(self.variant.shown, other.variant.shown, self.fp32.truth)
        sides = (found.recall, found.precision)
        return sum(s.errors for s in sides), sum(s.trials for s in sides), "detections"

    def _in_common(self, name: str, lacking: Rate, empty: str) -> Check:
        limit = self.limits["agreement"]
        detail = f"{lacking.trials - lacking.errors:,} of {lacking.trials:,}"
        figure = Estimate.complement(lacking)
        check = limit.check(
            name, figure, detail, lacking=lambda: COUNTED.wanting(lacking, limit.complement)
        )
        if lacking.trials:
            return check
        confidence = f"{self.variant.confidence:.4g}"
        return replace(check.failed(f"{empty}, at a confidence of {confidence}"), value=0.0)

    def _overlap(self, limit_name: str) -> Check:
        limit, overlap = self.limits[limit_name], self.agreement.overlap
        name = "5th percentile of the IoU with FP32"
        if len(overlap):
            return low_quantile(limit, name, overlap, _QUANTILE, "pairs of boxes")
        nothing = limit.check(name, Estimate(0.0, 0.0, 0.0))
        return nothing.failed("no detection in common")
