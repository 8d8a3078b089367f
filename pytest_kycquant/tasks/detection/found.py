"""Detections of FP32 and of a variant side by side: the checks that need no labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...curves import Curves, ScorePlot
from ...data.groups import Group
from ...data.images import ImageSet
from ...results import GateResult, Offender
from ...spec.limits import DetectionLimits
from ...statistics import Rate
from ...verdicts import Check, Estimate
from ..checks import Counted, broken_images, finite_gate, low_quantile, variety
from ..comparison import Comparison
from ..score_plots import paired_plot
from .keypoints import OF, QUANTILE, Scale, judge_errors
from .likeness import Agreement, agreement
from .matching import Matching, Objects, Predictions
from .offenders import apart, misplaced

# Sound INT8 detectors keep a quarter of FP32's distinct scores, broken ones 1 to 5 %.
_COLLAPSE = variety(0.1)
_LEVELS = 255  # scores are counted on the 8-bit grid, the finest that INT8 can have
_QUANTILE = 0.05  # the quantile of the overlap of boxes with FP32's that is judged
COUNTED = Counted("objects", "images", "there is no such object")
DETECTION_REMEDY = (
    "Leave the operators after the head (Sigmoid, Mul, Concat) in FP32, or try per-channel "
    "weights, another calibration method or fallback = 'mixed'."
)


@dataclass(frozen=True, eq=False)
class Detector:
    """The detections of one model in the images of one part of the data.

    Args:
        predictions: the detections, in pixels of the images.
        broken: names of the images with NaN or Inf in an output.
        broken_edges: names of the edge inputs that gave NaN or Inf.
        truth: the objects in the images.
        confidence: the frozen confidence; a detection counts if score >= confidence.
    """

    predictions: Predictions
    broken: tuple[str, ...]
    broken_edges: tuple[str, ...]
    truth: Objects
    confidence: float

    @cached_property
    def matching(self) -> Matching:
        """The detections matched with the objects in the images."""
        return Matching(self.predictions, self.truth)

    @cached_property
    def shown(self) -> Predictions:
        """The detections that count."""
        return self.predictions.above(self.confidence)

    @cached_property
    def levels(self) -> int:
        """Number of distinct scores of all detections, on the 8-bit grid."""
        return len(np.unique(np.round(self.predictions.scores * _LEVELS)))

    @property
    def false_positives(self) -> float:
        """Number of false positives per image."""
        return self.matching.false_positives(self.confidence) / self.truth.images


@dataclass(frozen=True, eq=False)
class FoundComparison(Comparison):
    """The detections of a variant and of FP32, at the same frozen confidence.

    Args:
        images: the images.
        class_names: the names of the classes.
        fp32: the detections of FP32.
        variant: the detections of the variant.
        limits: the limits of the gates.
        group_table: the groups of images, each of which is also judged on its own.
        keypoint_scale: what distances of keypoints are relative to.
    """

    images: ImageSet
    class_names: tuple[str, ...]
    fp32: Detector
    variant: Detector
    limits: DetectionLimits
    group_table: tuple[Group, ...] = ()
    keypoint_scale: Scale = "box"

    @cached_property
    def agreement(self) -> Agreement:
        """The detections that both found, without labels."""
        fp32, variant = self.fp32.shown, self.variant.shown
        return agreement(fp32, variant, self.fp32.truth, self.keypoint_scale)

    def offenders(self, gate: GateResult) -> list[Offender]:
        """Images whose detections differ most from those of FP32."""
        if gate.gate == "finite":
            return broken_images(self.variant.broken)
        if "keypoint" in gate.worst_check().name:
            return misplaced(self.images.names, self.agreement)
        return apart(self.images.names, self.agreement)

    def finite(self) -> GateResult:
        """Check for NaN or Inf in any output, and that scores still tell candidates apart.

        If a concatenation is quantized, scores get the step of box coordinates and are left with
        two distinct values. No error measured over the whole output shows that.
        """
        mine, theirs = self.variant, self.fp32
        return finite_gate(
            mine.broken,
            mine.broken_edges,
            mine.levels / theirs.levels if theirs.levels else 0.0,
            _COLLAPSE,
            what="distinct scores",
            detail=f"{mine.levels:,} distinct scores (in 8 bits), FP32 has {theirs.levels:,}",
            collapsed="scores overflowed or got too coarse a step: leave the operators after the "
            "head in FP32, and for FP16 also those whose values exceed 65504",
        )

    def drift(self, *, float_variant: bool = False) -> list[Check]:
        """Whether both find the same objects in the same places, over all classes together."""
        found = self.agreement
        return [
            self._in_common(
                "detections of FP32 that the variant has", found.recall, "FP32 has none"
            ),
            self._in_common(
                "detections of the variant that FP32 has", found.precision, "the variant has none"
            ),
            self._overlap("fp16_overlap" if float_variant else "overlap"),
            *self._keypoints("fp16_keypoint_error" if float_variant else "keypoint_error"),
        ]

    def agreement_figures(self) -> dict[str, float]:
        """Figures of the distance between detections and those of FP32, without labels."""
        found = self.agreement
        overlap, drift = found.overlap, found.drift
        return {
            "agreement_recall": 1 - found.recall.value if found.recall.trials else 0.0,
            "agreement_precision": 1 - found.precision.value if found.precision.trials else 0.0,
            "overlap_p5": float(np.quantile(overlap, _QUANTILE)) if len(overlap) else 0.0,
            "confidence_drift": float(drift.mean()) if len(drift) else 1.0,
            "distinct_scores": float(self.variant.levels),
            **self._keypoint_figures(),
        }

    def _keypoints(self, limit_name: str) -> list[Check]:
        found = self.agreement
        if found.keypoint_errors is None:
            return []
        return judge_errors(
            self.limits[limit_name],
            self.limits["keypoint_error_p95"],
            found.keypoint_errors,
            found.images,
            f"keypoint error to FP32, {OF[self.keypoint_scale]}",
        )

    def curves(self) -> Curves:
        """Confidence at which each object is found, by class."""
        return Curves(self.score_plot())

    def score_plot(self) -> ScorePlot:
        """The confidence at which each object is found, by class; none for what is missed."""
        truth = self.fp32.truth
        kinds = {
            name: ~truth.crowd & (truth.classes == which)
            for which, name in enumerate(self.class_names)
        }
        both = (side.matching.acquired for side in (self.fp32, self.variant))
        fp32, variant = (np.where(scores < 0, np.nan, scores) for scores in both)
        frozen = self.fp32.confidence
        return paired_plot("confidence of objects", fp32, variant, kinds, frozen, (0.0, 1.0))

    def decided_otherwise(self, other: FoundComparison) -> tuple[int, int, str]:
        """Detections that only one of the two has (same class, IoU of at least .5), and all."""
        found = agreement(self.variant.shown, other.variant.shown, self.fp32.truth)
        sides = (found.recall, found.precision)
        return sum(s.errors for s in sides), sum(s.trials for s in sides), "detections"

    def _keypoint_figures(self) -> dict[str, float]:
        apart = self.agreement.keypoint_errors
        if apart is None or not len(apart) or not np.isfinite(apart).all():
            return {}
        return {
            "keypoint_error": float(apart.mean()),
            "keypoint_error_p95": float(np.quantile(apart, QUANTILE)),
        }

    def _keypoint_column(self) -> dict[str, str]:
        found = self._keypoint_figures()
        if not found:
            return {}
        text = f"{found['keypoint_error']:.1%} / {found['keypoint_error_p95']:.1%}"
        return {"keypoints": text}

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
