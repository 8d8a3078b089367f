"""Labelled scenes: images and the boxes of the objects in them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from .box_labels import (
    BoxLabels,
    LabelledBox,
    read_coco,
    read_csv,
    read_yolo,
)
from .facts_store import Prepare, directly
from .files import listed
from .formats import read_as
from .images import ImageSet
from .unlabelled import check_copies, load_images, selected_images

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Labelling tools round, and some count the last pixel as a coordinate: neither is an error.
_ROUNDING = 1.0


@dataclass(frozen=True, eq=False)
class DetectionSet:
    """Images with the boxes that a detector must find in them.

    Attributes:
        images: the images, N of them, each with any number of boxes.
        boxes: corners x1, y1, x2, y2 in pixels of the image; shape (B, 4), float64.
        classes: class of each box, an index into `class_names`; shape (B,), int64.
        image_index: image of each box, ascending; shape (B,), int64.
        crowd: whether a box marks a region to ignore, like COCO's ``iscrowd``; shape (B,), bool.
        class_names: names of the classes that matter.
        keypoints: x and y of the keypoints of each box in pixels of the image, NaN for one that is
            not labelled; shape (B, K, 2), float64. None if none at all is labelled.
    """

    images: ImageSet
    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    image_index: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    class_names: tuple[str, ...]
    keypoints: NDArray[np.float64] | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the images, their names and their boxes; independent of their order."""
        rows = zip(self.image_index, self.classes, self.crowd, self.boxes, strict=True)
        lines = sorted(
            f"{self.images.names[image]}\0{self.class_names[which]}\0{int(crowd)}\0{box.tolist()}"
            for image, which, crowd, box in rows
        )
        if self.keypoints is not None:
            points = zip(self.image_index, self.boxes, self.keypoints, strict=True)
            lines += sorted(
                f"{self.images.names[image]}\0{box.tolist()}\0{each.tolist()}"
                for image, box, each in points
            )
        text = "\n".join([self.images.digest, "\0".join(self.class_names), *lines])
        return hashlib.sha256(text.encode()).hexdigest()

    def subset(self, chosen: NDArray[np.bool_]) -> DetectionSet:
        """Select the images where `chosen`, shape (N,), bool, is true.

        Raises:
            DataError: no image is chosen, or a class is left without a box.
        """
        part = self.of_images(chosen)
        _check_classes(part, self.images.origin, "add images or change the share for selection")
        return part

    def of_images(self, chosen: NDArray[np.bool_]) -> DetectionSet:
        """Select images as `subset` does, but allow classes without a box."""
        images = self.images.subset(chosen)
        kept = chosen[self.image_index]
        numbers = np.cumsum(chosen) - 1
        return DetectionSet(
            images,
            self.boxes[kept],
            self.classes[kept],
            numbers[self.image_index[kept]].astype(np.int64),
            self.crowd[kept],
            self.class_names,
            None if self.keypoints is None else self.keypoints[kept],
        )


def load_detections(
    data: Path,
    labels: Path,
    classes: Sequence[str],
    judged: Sequence[str] | None = None,
    prepare: Prepare = directly,
    keypoints: int = 0,
) -> DetectionSet:
    """Load labelled scenes.

    Args:
        data: folder of images, at any depth, or an ``.npz`` file with ``images`` (see
            `ImageSet.from_array`), which are then named ``file.npz[17]``.
        labels: COCO detection JSON (``.json``), a CSV of boxes (``.csv``) or a folder with a YOLO
            text file for each image; see `box_labels`.
        classes: names of the classes in the order of the model's outputs.
        judged: the classes that matter, whose boxes are kept; None keeps all classes.
        prepare: a function that provides the images with their `facts`.
        keypoints: number of keypoints that boxes may have; a CSV has none.

    Returns:
        The scenes. Crowd annotations of COCO are regions to ignore, as in COCO's own evaluation.

    Raises:
        DataError: images or labels are unreadable; an image has no entry in the labels or the
            reverse; a box is not finite, has no area or lies outside its image; a class is
            unknown; an annotation or an image appears twice; a class has no boxes.
    """
    images = load_images(data)
    found = read_as(
        labels,
        lambda folder: read_yolo(folder, images, classes, keypoints),
        {".json": lambda path: read_coco(path, keypoints), ".csv": read_csv},
        "give COCO detection JSON (.json), a CSV of boxes (.csv) or a folder of YOLO labels",
    )
    _check_entries(found, images, labels)
    prepare(images)
    check_copies(images)
    _check_boxes(found, images, labels, classes)
    number = {name: index for index, name in enumerate(images.names)}
    kinds = tuple(judged or classes)
    kept = (box for box in found.boxes if box.label in kinds)
    boxes = sorted(kept, key=lambda box: number[box.image])
    scenes = DetectionSet(
        images,
        np.array([box.corners for box in boxes], np.float64).reshape(-1, 4),
        np.array([kinds.index(box.label) for box in boxes], np.int64),
        np.array([number[box.image] for box in boxes], np.int64),
        np.array([box.crowd for box in boxes], np.bool_),
        kinds,
        _keypoints(boxes, labels, keypoints),
    )
    remedy = "label some, or list only the classes that matter in ObjectDetection(judged=...)"
    _check_classes(scenes, labels, remedy)
    return scenes


def split_scenes(scenes: DetectionSet, share: float) -> tuple[DetectionSet, DetectionSet]:
    """Split scenes in two by the names of their images (`names_for_selection`).

    Args:
        scenes: the scenes to split.
        share: share of the images that go to selection.

    Returns:
        (evaluation, selection).

    Raises:
        DataError: one side would be empty or lack a class.
    """
    selected = selected_images(scenes.images, share)
    return scenes.subset(~selected), scenes.subset(selected)


def _check_entries(labels: BoxLabels, images: ImageSet, path: Path) -> None:
    """Check that every image has labels and the reverse: no labels is not an empty scene."""
    known = set(images.names)
    gone = [f"{name} ({place})" for name, place in labels.entries.items() if name not in known]
    if gone:
        raise DataError(
            path,
            f"labels images that {images.origin} does not have: {listed(gone)}",
            "add them or remove their labels; names are relative to the folder of images",
        )
    unlabelled = [name for name in images.names if name not in labels.entries]
    if unlabelled:
        raise DataError(
            path,
            f"has no entry for {len(unlabelled)} images in {images.origin}: {listed(unlabelled)}",
            "label them; an image with nothing to find needs an entry without boxes",
        )
    for index, name in enumerate(images.names):
        if name in labels.sizes and labels.sizes[name] != images.sizes[index]:
            height, width = images.sizes[index]
            claimed = labels.sizes[name]
            raise DataError(
                path,
                f"{labels.entries[name]}: {name} is {width} x {height} pixels, but the labels say "
                f"{claimed[1]} x {claimed[0]}",
                "label the images as they are, upright and not resized",
            )


def _check_boxes(labels: BoxLabels, images: ImageSet, path: Path, classes: Sequence[str]) -> None:
    sizes = dict(zip(images.names, images.sizes, strict=True))
    unknown = [f"{b.place} ({b.label})" for b in labels.boxes if b.label not in classes]
    if unknown:
        raise DataError(
            path,
            f"has boxes of unknown classes: {listed(unknown)}",
            f"the classes are {listed(list(classes))}; correct the labels or "
            "ObjectDetection(classes=...)",
        )
    pixels = "label the images as they are, in pixels"
    if path.is_dir():
        pixels = "write class cx cy w h as shares of the image, from 0 to 1, not in pixels"
    elif labels.boxes and all(max(box.corners) <= 1 for box in labels.boxes):
        raise DataError(path, "has only boxes within one pixel, like shares of the image", pixels)
    for problem, wrong, remedy in (
        ("coordinates that are not finite numbers", _not_finite, "correct the labels"),
        ("boxes without area", _no_area, "write x1 < x2 and y1 < y2, or a positive w and h"),
        ("boxes outside their image", _outside, pixels),
    ):
        places = [
            f"{box.place} ({box.image})"
            for box in labels.boxes
            if wrong(box.corners, *sizes[box.image])
        ]
        if places:
            raise DataError(path, f"has {problem}: {listed(places)}", remedy)
    seen: dict[tuple[Any, ...], LabelledBox] = {}
    for box in labels.boxes:
        first = seen.setdefault((box.image, box.label, box.corners), box)
        if first is not box:
            raise DataError(
                path,
                f"has the same annotation twice: {first.place} and {box.place} ({box.image})",
                "remove one: a detector can find it only once",
            )


def _keypoints(boxes: Sequence[LabelledBox], path: Path, number: int) -> NDArray[np.float64] | None:
    """Keypoints of all boxes; None if none is labelled."""
    if not number or not any(box.points for box in boxes):
        return None
    unknown = ((math.nan, math.nan),) * number
    found = np.array([box.points or unknown for box in boxes], np.float64)
    wrong = np.isinf(found) | (np.isnan(found) != np.isnan(found).all(axis=2, keepdims=True))
    if wrong.any():
        places = [box.place for box, bad in zip(boxes, wrong.any(axis=(1, 2)), strict=True) if bad]
        raise DataError(
            path, f"has keypoints that are not finite numbers: {listed(places)}", "correct them"
        )
    return None if np.isnan(found).all() else found


def _not_finite(corners: tuple[float, ...], height: int, width: int) -> bool:
    return not all(map(math.isfinite, corners))


def _no_area(corners: tuple[float, ...], height: int, width: int) -> bool:
    x1, y1, x2, y2 = corners
    return not (x1 < x2 and y1 < y2)


def _outside(corners: tuple[float, ...], height: int, width: int) -> bool:
    x1, y1, x2, y2 = corners
    inside = (
        min(x1, y1) >= -_ROUNDING
        and x2 <= width + _ROUNDING
        and y2 <= height + _ROUNDING
        and x1 < width
        and y1 < height
        and x2 > 0
        and y2 > 0
    )
    return not inside


def _check_classes(scenes: DetectionSet, where: object, remedy: str) -> None:
    counts = np.bincount(scenes.classes[~scenes.crowd], minlength=len(scenes.class_names))
    if not counts.any():
        raise DataError(where, "has no boxes at all", remedy)
    if not counts.all():
        empty = [name for name, count in zip(scenes.class_names, counts, strict=True) if not count]
        raise DataError(where, f"has no boxes of the classes {listed(empty)}", remedy)
