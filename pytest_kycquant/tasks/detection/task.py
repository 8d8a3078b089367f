"""Object detection: its data, its detections and how they are judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ...context.function_digest import function_digest
from ...data.detections import DetectionSet, load_detections, split_scenes
from ...data.groups import GroupTable, load_groups
from ...data.images import ImageSet
from ...data.leakage import check_disjoint
from ...data.placement import place
from ...data.split import SEARCH_SHARE
from ...data.unlabelled import selected_images
from ...errors import ModelError, SpecError
from ...spec import coerce
from ...spec.limits import DetectionLimits, Limits
from ...spec.model import KycModel
from ...spec.tasks import ObjectDetection
from ..base import (
    Part,
    Resolve,
    Task,
    TaskData,
)
from ..outputs import Outputs, Tensor
from ..prospects import Trials
from ..quality import Quality
from ..rates import counts_of
from .comparison import DetectionComparison
from .decode import (
    FLOOR,
    MOST,
    Decoder,
    check_scores,
)
from .found import Detector, FoundComparison
from .keypoints import OF, usual_scale
from .layouts import LAYOUTS
from .likeness import distance
from .matching import (
    Matching,
    Objects,
    Predictions,
    select_confidence,
)
from .own_decoding import NAME, OwnDecoding
from .plausible import check_boxes, check_number, corners_it_seems, crowded
from .quality import precision

_CLEAR = 0.25  # the confidence of a first look where the gate file gives none
_COLUMNS = 6  # and x, y of each keypoint: x1, y1, x2, y2 in pixels of the input, score, class


Held = TypeVar("Held", bound=FoundComparison)


class BoxTask(Task[DetectionSet, Held]):
    """Detections compared with those of FP32, with labels or without."""

    drifts_at_threshold = True
    looks = True

    def __init__(self, model: KycModel, limits: Limits, resolve: Resolve) -> None:
        super().__init__(model, limits, resolve)
        self.spec = cast("ObjectDetection", model.task)
        self.limits = cast("DetectionLimits", limits)
        self.judged = self.spec.judged or self.spec.classes
        self._layout = self.spec.layout
        self._crowded, self._keypoints = False, self.spec.keypoints or 0
        if self._layout is not None and self._layout not in LAYOUTS:
            raise SpecError(
                "ObjectDetection.layout",
                f"{coerce.shown(self._layout)} is unknown",
                coerce.did_you_mean(self._layout, LAYOUTS) or f"choose from {', '.join(LAYOUTS)}",
            )

    @property
    def decoder(self) -> Decoder:
        """The decoder of the outputs."""
        spec = self.spec
        return Decoder(
            len(spec.classes),
            spec.keypoints or 0,
            spec.scores,
            spec.nms_iou,
            self.preprocess.size,
            str(self.model.path),
            self._layout,
            spec.boxes,
            spec.decode,
            self._crowded,
        )

    def look(self, samples: Sequence[list[NDArray[Any]]]) -> Mapping[str, Any]:
        """Find the layout of the outputs, and whether it gives boxes in the picture."""
        layout = self.decoder.choose(samples)
        decoder = replace(self.decoder, layout=layout.name)
        if isinstance(layout, OwnDecoding):
            layout.check_repeats(samples[0], decoder.told)
        if layout.cornered(samples, decoder.told):
            raise corners_it_seems(decoder.origin)
        if self.spec.boxes is not None and not layout.told_boxes:
            raise ModelError(
                decoder.origin,
                f"returns {layout.title}, where boxes= has no effect",
                "leave it out of ObjectDetection",
            )
        clear = self.spec.confidence or _CLEAR
        found = [decoder(outputs) for outputs in samples]
        boxes = np.concatenate([one.boxes[one.scores >= clear] for one in found])
        check_boxes(boxes, layout, decoder.told, decoder.origin)
        dense = layout.suppressed and crowded(found, clear)
        if not dense:
            check_number(found, clear, decoder.origin)
        told: dict[str, Any] = {"layout": layout.name, **({"crowded": True} if dense else {})}
        numbers = {
            0 if one.keypoints is None else one.keypoints.shape[1] for one in found if len(one)
        }
        if len(numbers) > 1 and self.spec.keypoints != 0:
            raise ModelError(
                decoder.origin,
                f"{sorted(numbers)} keypoints were read for different images",
                "return the same number for every image",
            )
        if self.spec.keypoints is None and any(numbers):
            told["keypoints"] = numbers.pop()
        return told

    def adopt(self, learned: Mapping[str, Any]) -> None:
        """Take the layout that FP32 has for all variants, and whether it must be suppressed."""
        self._layout = learned.get("layout", self.spec.layout)
        self._crowded = learned.get("crowded", False)
        self._keypoints = learned.get("keypoints", self.spec.keypoints or 0)

    @property
    def reading_note(self) -> str:
        """The layout in words."""
        if self._layout is None:
            return ""
        if self.spec.decode is not None:
            function = self.spec.decode
            name = getattr(function, "__qualname__", type(function).__qualname__)
            return f"outputs are read by the function {name}"
        said = f"outputs are read as {LAYOUTS[self._layout].title} ({self._layout})"
        if self._crowded:
            said += "; boxes lie on top of each other, so they are suppressed by nms_iou, too"
        if self._keypoints:
            scale = OF[self.spec.keypoint_scale or usual_scale(self._keypoints)]
            said += f"; distances of the {self._keypoints} keypoints are shares {scale}"
        return said

    def choose_outputs(
        self, names: tuple[str, ...], where: Path, member: int = 0
    ) -> tuple[str, ...]:
        """The outputs that the gate file names, or all."""
        for asked in self.spec.outputs or ():
            if asked not in names:
                raise ModelError(
                    where, f"has no output {asked!r}", f"its outputs are {', '.join(names)}"
                )
        return self.spec.outputs or names

    def read(self, outputs: list[NDArray[Any]]) -> Tensor:
        """A row for each detection of a judged class: box in pixels of the input, score, class.

        Class numbers are indices into `judged`. x and y of each keypoint follow, if there are any.

        Raises:
            ModelError: the shapes do not fit, or there are other keypoints than for other images.
        """
        found = self.decoder(outputs)
        place = {name: number for number, name in enumerate(self.judged)}
        numbers = np.array([place.get(name, -1) for name in self.spec.classes])[found.classes]
        rows = np.empty((len(found.scores), _COLUMNS + 2 * self._keypoints), np.float32)
        rows[:, :4], rows[:, 4], rows[:, 5] = found.boxes, found.scores, numbers
        if self._layout == NAME and found.keypoints is not None and not self._keypoints:
            raise ModelError(
                self.model.path,
                "decode= returned landmarks for an image, and none for the first ones",
                "return them for every image with a box, and boxes for the first images",
            )
        if self._keypoints and len(rows):
            if found.keypoints is None or found.keypoints.shape[1] != self._keypoints:
                there = 0 if found.keypoints is None else found.keypoints.shape[1]
                raise ModelError(
                    self.model.path,
                    f"{there} keypoints were read for an image, and {self._keypoints} for others",
                    "return the same number for every image",
                )
            rows[:, _COLUMNS:] = found.keypoints.reshape(len(rows), -1)
        return rows[numbers >= 0]

    def reading(self) -> dict[str, Any]:
        """Everything that the decoder depends on."""
        spec = self.spec
        optional: dict[str, Any] = {"layout": spec.layout, "boxes": spec.boxes}
        given = {name: value for name, value in optional.items() if value is not None}
        if spec.decode is not None:
            given["decode"] = function_digest(spec.decode, "ObjectDetection.decode")
        return {
            **given,
            "classes": list(spec.classes),
            "judged": list(self.judged),
            "scores": spec.scores,
            "keypoints": spec.keypoints or 0,
            "nms_iou": spec.nms_iou,
            "floor": FLOOR,
            "most": MOST,
        }

    @property
    def given_threshold(self) -> float | None:
        """The production confidence."""
        return self.spec.confidence

    def held(
        self, kind: type[Held], part: Part[DetectionSet], fp32: Outputs, threshold: float
    ) -> Held:
        """FP32 on both sides, as a comparison of class `kind`."""
        self._check_scores(fp32)
        truth = Objects.labelled(part.truth)
        detector = self._detector(part.images, fp32, truth, threshold)
        scale = self.spec.keypoint_scale or usual_scale(self._keypoints)
        return kind(part.images, self.judged, detector, detector, self.limits, part.groups, scale)

    def compare(self, baseline: Held, variant: Outputs) -> Held:
        """The variant's detections next to those of FP32."""
        fp32 = baseline.fp32
        detector = self._detector(baseline.images, variant, fp32.truth, fp32.confidence)
        return replace(baseline, variant=detector)

    def spread(self, truth: DetectionSet) -> NDArray[np.int64]:
        """The images: their subjects are unknown."""
        return np.arange(len(truth.images))

    def restricted(self, truth: DetectionSet, indices: NDArray[np.int64]) -> DetectionSet:
        """The boxes of some images; a rare class may have none."""
        return truth.of_images(np.isin(np.arange(len(truth.images)), indices))

    def harm(self, fp32: Outputs, variant: Outputs) -> float:
        """How far detections are from those of FP32, at no particular confidence."""
        one, other = (rows_of(outputs) for outputs in (fp32, variant))
        return distance(one, other, len(fp32.rows), len(self.judged))

    def _check_scores(self, fp32: Outputs) -> None:
        check_scores(fp32.values[:, 4].astype(np.float64), self.spec.scores, self.model.path)

    def _predictions(self, images: ImageSet, outputs: Outputs) -> Predictions:
        """Detections in pixels of the images."""
        found = rows_of(outputs)
        boxes = found.boxes.copy()
        points = None if found.keypoints is None else found.keypoints.copy()
        ends = np.cumsum(outputs.rows)
        for size, start, end in zip(images.sizes, ends - outputs.rows, ends, strict=True):
            placement = place(size, self.preprocess)
            boxes[start:end] = placement.to_image(boxes[start:end])
            if points is not None:
                points[start:end] = placement.points_to_image(points[start:end])
        return replace(found, boxes=boxes, keypoints=points)

    def _detector(
        self, images: ImageSet, outputs: Outputs, truth: Objects, confidence: float
    ) -> Detector:
        broken = [name for name, ok in zip(images.names, outputs.finite, strict=True) if not ok]
        predictions = self._predictions(images, outputs)
        return Detector(predictions, tuple(broken), outputs.broken_edges, truth, confidence)


class DetectionTask(BoxTask[DetectionComparison]):
    """YOLO detections compared with labelled boxes and with those of FP32."""

    @property
    def selection_miss_rate(self) -> float:
        """Miss rate for which the confidence is chosen; by default with room for quantization."""
        return self.spec.selection_miss_rate or (1 - self.limits.recall) / 2

    def load(self) -> TaskData[DetectionSet]:
        """Read scenes and their boxes."""
        spec = self.spec
        evaluation = self._scenes(spec.data, "data", spec.labels, "labels")
        selection: DetectionSet | None = None
        if isinstance(spec.selection, float):
            evaluation, selection = split_scenes(evaluation, spec.selection)
        elif spec.selection is not None and spec.selection_labels is not None:
            selection = self._scenes(
                spec.selection, "selection", spec.selection_labels, "selection_labels"
            )
        others = [(evaluation.images, "evaluation")]
        if selection is not None:
            check_disjoint(evaluation.images, "evaluation", selection.images, "selection")
            others.append((selection.images, "selection"))
        table = None
        if self.groups_path is not None:
            table = load_groups(self.groups_path, "file")
            table.check_images(*(images for images, _ in others))
        judged = _part(evaluation, table)
        other = _part(selection, table) if selection is not None else None

        def searched() -> NDArray[np.bool_]:
            mask = selected_images(evaluation.images, SEARCH_SHARE)
            for side in (mask, ~mask):
                evaluation.subset(side)  # refuses a side that lacks a class
            return mask

        return TaskData(
            judged,
            other,
            self.load_calibration(*others),
            {
                "evaluation": evaluation.digest,
                "selection": selection.digest if selection else None,
            },
            groups=table.digest if table else None,
            choosing=(other or judged) if self.given_threshold is None else None,
            searched=searched if other is None else None,
        )

    def policy(self) -> dict[str, Any]:
        """The given confidence, or the miss rate for which it is chosen."""
        chosen = self.selection_miss_rate if self.given_threshold is None else None
        return {"given threshold": self.given_threshold, "selection miss rate": chosen}

    def choose_threshold(self, fp32: Outputs, choosing: Part[DetectionSet]) -> tuple[float, str]:
        """The highest confidence at which no class is missed too often."""
        self._check_scores(fp32)
        predictions = self._predictions(choosing.images, fp32)
        matching = Matching(predictions, Objects.labelled(choosing.truth))
        source = (
            f"highest at which the 95 % upper bound of the miss rate is below "
            f"{self.selection_miss_rate:.4%} on {choosing.size}{self.whose}"
        )
        return select_confidence(matching, self.selection_miss_rate), source

    def prospects(self, data: TaskData[DetectionSet]) -> Iterator[Trials]:
        """Misses of every class, and their increase; mAP depends on more than numbers."""
        objects = Objects.labelled(data.evaluation.truth)
        for which, name in enumerate(self.judged):
            mine = objects.image_index[~objects.crowd & (objects.classes == which)]
            counts = counts_of(np.zeros(len(mine), np.bool_), mine)
            limit, rise = self.limits["recall"].complement, self.limits["recall_degradation"]
            yield Trials(limit, f"misses of {name}", counts, "images", share=True)
            yield Trials(rise, f"the increase of misses of {name}", counts, "images", increase=True)

    def quality(self, part: Part[DetectionSet], outputs: Outputs) -> Quality | None:
        """The mean of average precisions."""
        found = self._predictions(part.images, outputs)
        return precision(Matching(found, Objects.labelled(part.truth)), self.limits.map50)

    def baseline(
        self, part: Part[DetectionSet], fp32: Outputs, threshold: float
    ) -> DetectionComparison:
        """FP32 on both sides."""
        return self.held(DetectionComparison, part, fp32, threshold)

    def _scenes(self, data: Any, data_name: str, labels: Any, labels_name: str) -> DetectionSet:
        return load_detections(
            self.resolve(data, f"ObjectDetection.{data_name}"),
            self.resolve(labels, f"ObjectDetection.{labels_name}"),
            self.spec.classes,
            self.judged,
            self.prepare,
            self.spec.keypoints or 0,
        )


def rows_of(outputs: Outputs) -> Predictions:
    """Detections in pixels of the input, from what `BoxTask.read` gives."""
    values = outputs.values.astype(np.float64)
    number = (values.shape[1] - _COLUMNS) // 2  # also if there is no detection at all
    points = values[:, _COLUMNS:].reshape(len(values), number, 2) if number else None
    return Predictions(
        values[:, :4],
        values[:, 4],
        values[:, 5].astype(np.int64),
        np.repeat(np.arange(len(outputs.rows)), outputs.rows),
        points,
    )


def _part(scenes: DetectionSet, table: GroupTable | None) -> Part[DetectionSet]:
    size = f"{int((~scenes.crowd).sum()):,} objects in {len(scenes.images):,} images"
    groups = table.of_images(scenes.images) if table else ()
    return Part(scenes.images, scenes, scenes.digest, size, groups)
