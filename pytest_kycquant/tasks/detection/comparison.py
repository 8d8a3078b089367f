"""The detection gates: from detections of FP32 and of a variant to checks against limits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...data.groups import Group
from ...data.images import ImageSet
from ...spec.limits import DetectionLimits
from ...statistics import (
    MIN_SUBJECTS,
    Difference,
    Rate,
    jackknife_bounds,
    judge_bounds,
)
from ...verdicts import (
    Check,
    GateResult,
    GroupIncrease,
    Verdict,
)
from ..checks import (
    at_least,
    finite_gate,
    group_checks,
    group_wanting,
    increase_check,
    low_quantile,
    subjects_wanted,
    wanting,
)
from .likeness import Agreement, agreement
from .matching import Matching, Objects, Predictions

# Sound INT8 detectors keep a quarter of the distinct scores of FP32, broken ones 1 to 5 %.
_COLLAPSE = 0.1
_LEVELS = 255  # distinct scores are counted on the grid of 8 bits, which INT8 may have at best
_QUANTILE = 0.05  # of the overlap of boxes with those of FP32
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
class DetectionComparison:
    """A variant held against FP32 on the same images, at the same frozen confidence.

    Args:
        images: the images.
        class_names: names of the classes.
        fp32: what FP32 found.
        variant: what the variant found.
        groups: of the images.
    """

    images: ImageSet
    class_names: tuple[str, ...]
    fp32: Detector
    variant: Detector
    groups: tuple[Group, ...] = ()

    @cached_property
    def agreement(self) -> Agreement:
        """Without labels: what both found."""
        return agreement(self.fp32.shown, self.variant.shown, self.fp32.truth)


def judge_finite(comparison: DetectionComparison) -> GateResult:
    """No NaN or Inf in any output, and scores that still tell candidates apart.

    Quantization of a concatenation gives scores the step of box coordinates, and two distinct
    values are left of them, which no error of the whole output shows.
    """
    mine, theirs = comparison.variant, comparison.fp32
    return finite_gate(
        mine.broken,
        mine.broken_edges,
        mine.levels / theirs.levels if theirs.levels else 0.0,
        _COLLAPSE,
        what="distinct scores",
        detail=f"{mine.levels:,} distinct scores (in 8 bits), FP32 has {theirs.levels:,}",
        collapsed="keep what follows the head in FP32",
    )


def judge_recall(comparison: DetectionComparison, limits: DetectionLimits) -> GateResult:
    """Lower bound of recall at the frozen confidence, for every class, the worst one first."""
    detector = comparison.variant
    checks = []
    for which, name in enumerate(comparison.class_names):
        found = detector.matching.miss_rate(detector.confidence, which)
        lower, upper = 1 - found.upper, 1 - found.lower
        verdict = at_least(lower, upper, limits.recall)
        if not found.supported:
            verdict = Verdict.INCONCLUSIVE
        if not len(detector.shown.scores):
            verdict = Verdict.FAIL  # however few images: nothing at all is no matter of chance
        checks.append(
            Check(
                f"recall, {name}",
                verdict,
                1 - found.value,
                lower,
                upper,
                limits.recall,
                DetectionLimits.direction("recall"),
                "share",
                _describe_misses(detector, found, 1 - limits.recall, verdict),
            )
        )
    checks.sort(key=lambda check: check.lower or 0.0)
    return GateResult("recall", tuple(checks), REMEDY)


def judge_map(comparison: DetectionComparison, limits: DetectionLimits) -> GateResult:
    """Lower bound of mAP50; mAP50-95 is told beside it."""
    detector = comparison.variant
    values, without = detector.matching.average_precisions, detector.matching.leave_out
    value = float(values[0])
    lower, upper = jackknife_bounds(value, without[:, 0], share=True)
    lower, upper = max(lower, 0.0), min(upper, 1.0)
    verdict = at_least(lower, upper, limits.map50)
    images = detector.truth.images
    if images < MIN_SUBJECTS:
        verdict = Verdict.INCONCLUSIVE
    detail = f"{images:,} images, mAP50-95 {values.mean():.4f}"
    if not len(detector.predictions.scores):
        verdict, detail = Verdict.FAIL, "not a single detection"
    elif verdict is Verdict.INCONCLUSIVE:
        detail = (
            f"{detail}; {subjects_wanted(images, lower, upper, value - limits.map50, 'images')}"
        )
    check = Check(
        "mAP50",
        verdict,
        value,
        lower,
        upper,
        limits.map50,
        DetectionLimits.direction("map50"),
        "share",
        detail,
    )
    return GateResult("map", (check,), REMEDY)


def judge_degradation(
    comparison: DetectionComparison, limits: DetectionLimits, *, fp16: bool = False
) -> GateResult:
    """Paired increase of misses and drop of mAP, and agreement with FP32, inside their budgets."""
    checks = [
        *(_more_misses(comparison, which, limits) for which in range(len(comparison.class_names))),
        *group_checks(group_increases(comparison, limits)),
        _drop(comparison, "mAP50", slice(0, 1), "map50_degradation", limits),
        _drop(comparison, "mAP50-95", slice(None), "map_degradation", limits),
        *judge_agreement(comparison, limits, fp16=fp16),
    ]
    return GateResult("degradation", tuple(checks), REMEDY)


def group_increases(
    comparison: DetectionComparison, limits: DetectionLimits
) -> list[GroupIncrease]:
    """Misses of each class in each group, and their paired increase over FP32.

    A group whose images show nothing of a class (backs of cards have no portrait) says nothing
    about it. One that has no image at all is not left out: what it loses is unknown.
    """
    truth, confidence = comparison.fp32.truth, comparison.fp32.confidence
    found = []
    for which, name in enumerate(comparison.class_names):
        showing = np.zeros(truth.images, np.bool_)
        showing[truth.image_index[~truth.crowd & (truth.classes == which)]] = True
        for group in comparison.groups:
            if group.members.any() and not (group.members & showing).any():
                continue
            fp32, variant = (
                detector.matching.miss_rate(confidence, which, among=group.members).as_dict()
                for detector in (comparison.fp32, comparison.variant)
            )
            check = _more_misses(comparison, which, limits, among=group)
            found.append(GroupIncrease(group.name, f"misses of {name}", fp32, variant, check))
    return found


def judge_agreement(
    comparison: DetectionComparison, limits: DetectionLimits, *, fp16: bool = False
) -> list[Check]:
    """What needs no labels: the same objects, in the same places, as FP32 finds."""
    found = comparison.agreement
    checks = []
    for name, lacking, empty in (
        ("detections of FP32 that the variant has", found.recall, "FP32 has none"),
        ("detections of the variant that FP32 has", found.precision, "the variant has none"),
    ):
        lower, upper = 1 - lacking.upper, 1 - lacking.lower
        verdict = at_least(lower, upper, limits.agreement)
        detail = f"{lacking.trials - lacking.errors:,} of {lacking.trials:,}"
        if not lacking.trials:
            verdict, detail = Verdict.FAIL, f"{empty}, at a confidence of {_confidence(comparison)}"
        elif not lacking.supported:
            verdict = Verdict.INCONCLUSIVE
        if verdict is Verdict.INCONCLUSIVE:
            detail = f"{detail}; {_wanting(lacking, 1 - limits.agreement)}"
        checks.append(
            Check(
                name,
                verdict,
                1 - lacking.value if lacking.trials else 0.0,
                lower,
                upper,
                limits.agreement,
                DetectionLimits.direction("agreement"),
                "share",
                detail,
            )
        )
    name = "5th percentile of the IoU with FP32"
    limit_name = "fp16_overlap" if fp16 else "overlap"
    limit = getattr(limits, limit_name)
    direction = DetectionLimits.direction(limit_name)
    if len(found.overlap):
        checks.append(
            low_quantile(
                name,
                found.overlap,
                _QUANTILE,
                limit,
                direction=direction,
                unit="share",
                what="pairs of boxes",
            )
        )
    else:
        fail, nothing = Verdict.FAIL, "no detection in common"
        checks.append(Check(name, fail, 0.0, 0.0, 0.0, limit, direction, "share", nothing))
    return checks


def figures(comparison: DetectionComparison) -> dict[str, float]:
    """Figures for the report: mAP, false positives and how far detections are from FP32's."""
    mine, theirs = comparison.variant, comparison.fp32
    return {
        "map50": float(mine.matching.average_precisions[0]),
        "map50_95": float(mine.matching.average_precisions.mean()),
        "false_positives_per_image": mine.false_positives,
        "false_positives_per_image_fp32": theirs.false_positives,
        **agreement_figures(comparison),
    }


def agreement_figures(comparison: DetectionComparison) -> dict[str, float]:
    """Figures that need no labels: how far detections are from those of FP32."""
    found = comparison.agreement
    return {
        "agreement_recall": 1 - found.recall.value if found.recall.trials else 0.0,
        "agreement_precision": 1 - found.precision.value if found.precision.trials else 0.0,
        "overlap_p5": float(np.quantile(found.overlap, _QUANTILE)) if len(found.overlap) else 0.0,
        "confidence_drift": float(found.drift.mean()) if len(found.drift) else 1.0,
        "distinct_scores": float(comparison.variant.levels),
    }


def _more_misses(
    comparison: DetectionComparison,
    which: int,
    limits: DetectionLimits,
    *,
    among: Group | None = None,
) -> Check:
    """Paired increase of the miss rate of a class, in all images or in those of a group."""
    mine, theirs = comparison.variant.matching, comparison.fp32.matching
    confidence = comparison.variant.confidence
    missed, missed_fp32 = mine.missed(confidence, which), theirs.missed(confidence, which)
    images = None if among is None else among.members
    worse = mine.miss_rate(confidence, which, only=missed & ~missed_fp32, among=images)
    better = theirs.miss_rate(confidence, which, only=missed_fp32 & ~missed, among=images)
    limit_name = "recall_degradation" if among is None else "group_recall_degradation"
    return increase_check(
        f"misses of {comparison.class_names[which]}{f' of {among.name}' if among else ''}",
        worse,
        better,
        getattr(limits, limit_name),
        direction=DetectionLimits.direction(limit_name),
        detail=f"{worse.errors:,} objects newly missed, {better.errors:,} newly found",
        lacking=_wanting if among is None else _group_wanting,
    )


def _drop(
    comparison: DetectionComparison,
    name: str,
    ious: slice,
    limit_name: str,
    limits: DetectionLimits,
) -> Check:
    """Paired drop of mean average precision, over some of the IoUs, as area under the curves.

    COCO's 101 recalls resolve one percent of the objects, which is the whole budget.
    """
    mine, theirs = comparison.variant.matching, comparison.fp32.matching
    value = float((theirs.areas - mine.areas)[ious].mean())
    without = (theirs.leave_out - mine.leave_out)[:, ious].mean(axis=1)
    lower, upper = jackknife_bounds(value, without)
    lower, upper = max(lower, -1.0), min(upper, 1.0)
    limit = getattr(limits, limit_name)
    verdict = judge_bounds(lower, upper, limit)
    images = comparison.variant.truth.images
    detail = f"{images:,} images"
    if images < MIN_SUBJECTS:
        verdict = Verdict.INCONCLUSIVE
    if verdict is Verdict.INCONCLUSIVE:
        detail = f"{detail}; {subjects_wanted(images, lower, upper, value - limit, 'images')}"
    return Check(
        f"drop of {name} from FP32",
        verdict,
        value,
        lower,
        upper,
        limit,
        DetectionLimits.direction(limit_name),
        detail=detail,
    )


def _describe_misses(detector: Detector, found: Rate, limit: float, verdict: Verdict) -> str:
    if not len(detector.shown.scores):
        return f"not a single detection at a confidence of {detector.confidence:.4g}"
    text = (
        f"{found.errors:,} of {found.trials:,} objects in {found.subjects} images missed at a "
        f"confidence of {detector.confidence:.4g}, design effect {found.deff:.1f}, "
        f"{detector.false_positives:.3g} false positives per image"
    )
    return text if verdict is not Verdict.INCONCLUSIVE else f"{text}; {_wanting(found, limit)}"


def _wanting(found: Rate | Difference, limit: float) -> str:
    return wanting(found, limit, "objects", "images", "there is no such object")


def _group_wanting(found: Rate | Difference, limit: float) -> str:
    return group_wanting(found, limit, "objects", "images")


def _confidence(comparison: DetectionComparison) -> str:
    return f"{comparison.variant.confidence:.4g}"
