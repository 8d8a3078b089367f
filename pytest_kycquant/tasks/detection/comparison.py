"""The detection gates: from detections of FP32 and of a variant to checks against limits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from ...curves import Curves, TradeOff
from ...data.groups import Group
from ...plain import plain
from ...results import GateResult, GroupIncrease, Offender
from ...statistics import MIN_SUBJECTS, Rate, jackknife_bounds
from ...verdicts import Check, Estimate, Limit
from ..checks import group_checks, increase_check, many, subjects_wanted
from ..score_plots import points, thresholds_among
from .found import COUNTED, DETECTION_REMEDY, Detector, FoundComparison
from .keypoints import OF, judge_errors
from .offenders import missed


@dataclass(frozen=True, eq=False)
class DetectionComparison(FoundComparison):
    """A variant compared with FP32 on the same labelled images, at the same frozen confidence."""

    def accuracy(self) -> list[GateResult]:
        """Recall of every class, and mAP50."""
        return [self._judge_recall(), self._judge_map()]

    def against_fp32(self, *, float_variant: bool = False) -> GateResult:
        """Paired increase of misses, drop of mAP, and agreement with FP32."""
        classes = range(len(self.class_names))
        checks = [
            *(self._more_misses("recall_degradation", which) for which in classes),
            *group_checks(self.groups()),
            self._drop("map50_degradation", "mAP50", slice(0, 1)),
            self._drop("map_degradation", "mAP50-95", slice(None)),
            *self._farther_from_labels(),
            *self.drift(float_variant=float_variant),
        ]
        return GateResult("degradation", tuple(checks), DETECTION_REMEDY)

    def offenders(self, gate: GateResult) -> list[Offender]:
        """Objects that are missed, or images whose detections differ most from those of FP32."""
        worst = gate.worst_check().name
        by_length = sorted(enumerate(self.class_names), key=lambda entry: -len(entry[1]))
        for which, name in by_length:  # one name may begin with another
            if gate.gate == "recall" and worst == f"recall, {name}":
                return self._missed(which)
            if worst.startswith(f"increase of misses of {name} "):
                return self._missed(which, newly=True) or self._missed(which)
        if gate.gate == "map":
            return self._missed()
        return super().offenders(gate)

    def _missed(self, which: int | None = None, *, newly: bool = False) -> list[Offender]:
        mine, theirs = self.variant, self.fp32
        names, both = self.images.names, (theirs.matching, mine.matching)
        return missed(names, self.class_names, *both, mine.confidence, which, newly=newly)

    def rates(self) -> dict[str, Rate]:
        """Miss rate of every class."""
        detector = self.fp32
        return {
            f"miss rate of {name}": detector.matching.miss_rate(detector.confidence, which)
            for which, name in enumerate(self.class_names)
        }

    def golden_figures(self) -> dict[str, float]:
        """Mean average precisions, which depend on false positives as well."""
        values = self.fp32.matching.average_precisions
        return {"mAP50": float(values[0]), "mAP50-95": float(values.mean())}

    def curves(self) -> Curves:
        """Confidence of every object, and false positives against misses of every class."""
        traded = (self._trade_off(which, name) for which, name in enumerate(self.class_names))
        return Curves(self.score_plot(), tuple(traded))

    def _trade_off(self, which: int, name: str) -> TradeOff:
        detector = self.fp32
        found = detector.matching.acquired[
            (detector.truth.classes == which) & (detector.matching.acquired >= 0)
        ]
        thresholds, frozen = thresholds_among([found], detector.confidence)

        def rates(side: Detector, confidence: float) -> tuple[float, Rate]:
            wrong = side.matching.false_positives(confidence) / side.truth.images
            return wrong, side.matching.miss_rate(confidence, which)

        curves = (points(thresholds, partial(rates, side)) for side in (detector, self.variant))
        return TradeOff(name, "false positives per image", "misses", frozen, *curves)

    def groups(self) -> list[GroupIncrease]:
        """Misses of each class in each group, and their paired increase over FP32.

        A group is left out for a class that none of its images show, such as portraits for the
        backs of cards. A group without images is not left out, because its misses are unknown.
        """
        truth, confidence = self.fp32.truth, self.fp32.confidence
        found = []
        for which, name in enumerate(self.class_names):
            showing = np.zeros(truth.images, np.bool_)
            showing[truth.image_index[~truth.crowd & (truth.classes == which)]] = True
            for group in self.group_table:
                if group.members.any() and not (group.members & showing).any():
                    continue
                fp32, variant = (
                    plain(detector.matching.miss_rate(confidence, which, among=group.members))
                    for detector in (self.fp32, self.variant)
                )
                check = self._more_misses("group_recall_degradation", which, among=group)
                found.append(GroupIncrease(group.name, f"misses of {name}", fp32, variant, check))
        return found

    def figures(self) -> dict[str, float]:
        """mAP, false positives and the distance of detections from FP32's."""
        mine, theirs = self.variant, self.fp32
        return {
            "map50": float(mine.matching.average_precisions[0]),
            "map50_95": float(mine.matching.average_precisions.mean()),
            "false_positives_per_image": mine.false_positives,
            "false_positives_per_image_fp32": theirs.false_positives,
            **self.agreement_figures(),
        }

    def columns(self) -> dict[str, str]:
        """mAP50-95, and the share of detections in common with FP32."""
        found = self.figures()
        common = f"{found['agreement_recall']:.3f} / {found['agreement_precision']:.3f}"
        return {
            "mAP50-95": f"{found['map50_95']:.4f}",
            "agreement": common,
            **self._keypoint_column(),
        }

    def _judge_recall(self) -> GateResult:
        """Compare every class with the limit; the worst class comes first."""
        detector, limit = self.variant, self.limits["recall"]
        checks = [
            self._recall(limit, name, detector.matching.miss_rate(detector.confidence, which))
            for which, name in enumerate(self.class_names)
        ]
        checks.sort(key=lambda check: check.lower or 0.0)
        return GateResult("recall", tuple(checks), DETECTION_REMEDY)

    def _recall(self, limit: Limit, name: str, misses: Rate) -> Check:
        detector = self.variant
        confidence = f"{detector.confidence:.4g}"
        check = limit.check(
            f"recall, {name}",
            Estimate.complement(misses),
            f"{misses.errors:,} of {many(misses.trials, 'objects')} in "
            f"{many(misses.subjects, 'images')} missed "
            f"at a confidence of {confidence}, design effect {misses.deff:.1f}, "
            f"{detector.false_positives:.3g} false positives per image",
            lacking=lambda: COUNTED.wanting(misses, limit.complement),
        )
        if not len(detector.shown.scores):
            return check.failed(f"not a single detection at a confidence of {confidence}")
        return check

    def _judge_map(self) -> GateResult:
        """Compare the lower bound of mAP50 with its limit, and report mAP50-95 in the detail."""
        detector, limit = self.variant, self.limits["map50"]
        values, without = detector.matching.average_precisions, detector.matching.leave_out
        value, images = float(values[0]), detector.truth.images
        lower, upper = jackknife_bounds(value, without[:, 0], share=True)
        figure = Estimate(value, max(lower, 0.0), min(upper, 1.0), images >= MIN_SUBJECTS)
        detail = f"{images:,} images, mAP50-95 {values.mean():.4f}"
        check = limit.check(
            "mAP50",
            figure,
            detail,
            lacking=lambda: subjects_wanted(images, figure, limit, "images"),
        )
        if not len(detector.predictions.scores):
            check = check.failed("not a single detection")
        return GateResult("map", (check,), DETECTION_REMEDY)

    def _more_misses(self, limit: str, which: int, among: Group | None = None) -> Check:
        """Paired increase of the miss rate of a class, over all images or over those of a group."""
        mine, theirs = self.variant.matching, self.fp32.matching
        confidence = self.variant.confidence
        missed, missed_fp32 = mine.missed(confidence, which), theirs.missed(confidence, which)
        images = None if among is None else among.members
        worse = mine.miss_rate(confidence, which, only=missed & ~missed_fp32, among=images)
        better = theirs.miss_rate(confidence, which, only=missed_fp32 & ~missed, among=images)
        return increase_check(
            self.limits[limit],
            f"misses of {self.class_names[which]}{f' of {among.name}' if among else ''}",
            worse,
            better,
            f"{many(worse.errors, 'objects')} newly missed, {better.errors:,} newly found",
            COUNTED.wanting if among is None else COUNTED.wanting_in_group,
        )

    def _farther_from_labels(self) -> list[Check]:
        """Paired increase of the distance of keypoints from their labels; empty without any.

        Objects that only one of the two finds are misses, which other checks count.
        """
        truth = self.fp32.truth
        if truth.keypoints is None or self.fp32.predictions.keypoints is None:
            return []
        mine, theirs = (
            detector.matching.keypoint_errors(detector.confidence, self.keypoint_scale)
            for detector in (self.variant, self.fp32)
        )
        both = ~np.isnan(mine) & ~np.isnan(theirs)
        return judge_errors(
            self.limits["keypoint_degradation"],
            self.limits["keypoint_degradation_p95"],
            mine[both] - theirs[both],
            truth.image_index[both],
            f"increase of the keypoint error from labels, {OF[self.keypoint_scale]}",
        )

    def _drop(self, limit_name: str, name: str, ious: slice) -> Check:
        """Paired drop of mean average precision over some of the IoUs, as area under the curves.

        COCO's 101 recalls only resolve one percent of the objects, which is the whole budget.
        """
        mine, theirs = self.variant.matching, self.fp32.matching
        limit, images = self.limits[limit_name], self.variant.truth.images
        value = float((theirs.areas - mine.areas)[ious].mean())
        without = (theirs.leave_out - mine.leave_out)[:, ious].mean(axis=1)
        lower, upper = jackknife_bounds(value, without)
        figure = Estimate(value, max(lower, -1.0), min(upper, 1.0), images >= MIN_SUBJECTS)
        return limit.check(
            f"drop of {name} from FP32",
            figure,
            f"{images:,} images",
            lacking=lambda: subjects_wanted(images, figure, limit, "images"),
        )
