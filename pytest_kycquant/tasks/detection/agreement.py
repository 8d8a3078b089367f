"""Scenes without labels: are the detections those of FP32?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...data.detections import DetectionSet
from ...data.images import ImageSet
from ...results import GateResult
from ...statistics import Rate
from ...verdicts import Check
from ..base import Part, TaskData
from ..outputs import Outputs
from ..rates import rate_of
from ..unlabelled import load_unlabelled, unsound
from .found import DETECTION_REMEDY, Detector, FoundComparison
from .task import BoxTask

_NOTE = (
    "without labels nothing is claimed about recall or mAP: detections are only compared with "
    "those of FP32"
)


@dataclass(frozen=True, eq=False)
class DetectionAgreement(FoundComparison):
    """A variant compared with FP32 on scenes without labels."""

    def against_fp32(self, *, float_variant: bool = False) -> GateResult:
        """Agreement with FP32 for every class, since a common class would hide a rare one.

        For each figure, the class with the lowest bound comes first.
        """
        of_class: list[list[Check]] = []
        for which, name in enumerate(self.class_names):
            found = self._only(which).drift(float_variant=float_variant)
            if len(self.class_names) > 1:
                found = [replace(check, name=f"{check.name}, {name}") for check in found]
            of_class.append(found)
        checks = [
            check
            for same in zip(*of_class, strict=True)
            for check in sorted(same, key=lambda check: check.lower or 0.0)
        ]
        return GateResult("agreement", tuple(checks), DETECTION_REMEDY)

    def rates(self) -> dict[str, Rate]:
        """Share of the images in which FP32 finds each class."""
        shown, images = self.fp32.shown, len(self.images)
        return {
            f"images with {name}": rate_of(
                np.isin(np.arange(images), shown.image_index[shown.classes == which]),
                np.arange(images),
            )
            for which, name in enumerate(self.class_names)
        }

    def golden_figures(self) -> dict[str, float]:
        """Mean sum of scores of an image, which depends on detections of every confidence."""
        total = float(self.fp32.predictions.scores.sum())
        return {"score per image": total / len(self.images)}

    def figures(self) -> dict[str, float]:
        """Agreement with FP32, and the number of detections per image."""
        images = len(self.images)
        return self.agreement_figures() | {
            "detections_per_image": len(self.variant.shown.scores) / images,
            "detections_per_image_fp32": len(self.fp32.shown.scores) / images,
        }

    def columns(self) -> dict[str, str]:
        """Share of the variant's detections that FP32 has, their overlap and their score drift."""
        found = self.agreement_figures()
        return {
            "precision": f"{found['agreement_precision']:.2%}",
            "IoU p5": f"{found['overlap_p5']:.3f}",
            "score drift": f"{found['confidence_drift']:.4f}",
            **self._keypoint_column(),
        }

    def _only(self, which: int) -> DetectionAgreement:
        """The detections of one class."""

        def of(detector: Detector) -> Detector:
            found = detector.predictions
            return replace(detector, predictions=found.only(found.classes == which))

        return replace(self, fp32=of(self.fp32), variant=of(self.variant))


class UnlabelledDetectionTask(BoxTask[DetectionAgreement]):
    """Detection by agreement with FP32."""

    def load(self) -> TaskData[DetectionSet]:
        """Read scenes."""
        spec = self.spec
        return load_unlabelled(self, spec.data, spec.selection, self._blank, _NOTE)

    def policy(self) -> dict[str, Any]:
        """The confidence, which is always given."""
        return {"given threshold": self.given_threshold}

    def baseline(
        self, part: Part[DetectionSet], fp32: Outputs, threshold: float
    ) -> DetectionAgreement:
        """FP32 on both sides.

        Raises:
            BaselineError: FP32 does not detect one of the classes at all.
        """
        found = self.held(DetectionAgreement, part, fp32, threshold)
        for which, name in enumerate(self.judged if part.whole else ()):
            if not (found.fp32.shown.classes == which).any():
                raise unsound(
                    self.model,
                    f"finds no {name} in {part.size} at a confidence of {threshold:.4g}",
                    f"give images that show one, or leave {name} out of "
                    "ObjectDetection(judged=...)",
                )
        return found

    def _blank(self, images: ImageSet) -> DetectionSet:
        numbers = np.empty(0, np.int64)
        return DetectionSet(
            images, np.empty((0, 4)), numbers, numbers, np.empty(0, np.bool_), self.judged
        )
