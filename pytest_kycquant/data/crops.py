"""Crops around a face, like those that MiniFASNet (Silent-Face-Anti-Spoofing) was trained on.

The network looks for what surrounds a face, such as the border of a print or the bezel of a
screen, so its input is the face box enlarged by `scale`. At the border of the image the crop is
shifted inwards, not cut off. If it is larger than the image, the scale is reduced.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import DataError
from .files import is_file, listed
from .images import ImageSet
from .pixel_facts import PixelFacts
from .tables import (
    image_name,
    malformed,
    read_table,
    read_text,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COLUMNS = ("file", "x1", "y1", "x2", "y2")
_ROW_REMEDY = "fill in file,x1,y1,x2,y2 with coordinates in pixels"


class Box(NamedTuple):
    """A face in an image, in pixels from the image's upper left corner, after EXIF orientation."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def width(self) -> float:
        """Width in pixels."""
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        """Height in pixels."""
        return self.y2 - self.y1


def crop_box(width: int, height: int, box: Box, scale: float) -> tuple[int, int, int, int]:
    """Find the region that MiniFASNet looks at.

    The scale is reduced to the largest with which the region still fits into the image. The
    region is centred on the face and then shifted inside the image.

    Args:
        width: width of the image in pixels.
        height: height of the image in pixels.
        box: the face, with positive width and height.
        scale: side of the region divided by the side of the face, such as 2.7 or 4.0.

    Returns:
        (left, top, right, bottom) in whole pixels, right and bottom exclusive: rows top to
        bottom - 1 of an array. The region lies inside the image and is not empty.
    """
    scale = min((height - 1) / box.height, (width - 1) / box.width, scale)
    left, right = _span(box.x1, box.width, scale, width - 1)
    top, bottom = _span(box.y1, box.height, scale, height - 1)
    return left, top, right, bottom


def _span(start: float, size: float, scale: float, last: int) -> tuple[int, int]:
    """Find the first pixel and the one after the last on an axis; `last` is the image's last."""
    centre, half = start + size / 2, size * scale / 2
    low, high = centre - half, centre + half
    if low < 0:
        low, high = 0.0, high - low
    if high > last:
        low, high = low - (high - last), float(last)
    # Rounding may leave low a hair below zero; both ends are inside and truncated to pixels.
    return max(int(low), 0), int(high) + 1


def load_boxes(path: Path) -> dict[Path, Box]:
    """Read the face boxes of photographs.

    Args:
        path: a CSV file with the columns ``file`` (relative to the folder of the CSV), ``x1``,
            ``y1``, ``x2``, ``y2`` in pixels.

    Returns:
        The box of each file, by its resolved path.

    Raises:
        DataError: a line is malformed, a box has no area, or a file does not exist or is listed
            twice.
    """
    text = read_text(path, "list a face box for each image")
    rows = read_table(
        text, path, _COLUMNS, empty_remedy="list a face box for each image", row_remedy=_ROW_REMEDY
    )
    folder = path.parent.resolve()
    boxes: dict[Path, Box] = {}
    flat, twice, missing = [], [], []
    for line, values in rows:
        name = image_name(values["file"], path)
        try:
            box = Box(*(float(values[column]) for column in _COLUMNS[1:]))
        except ValueError as error:
            raise malformed(path, line, _ROW_REMEDY) from error
        if not values["file"] or not all(map(math.isfinite, box)):
            raise malformed(path, line, _ROW_REMEDY)
        file = Path(os.path.realpath(folder / name))
        if box.width <= 0 or box.height <= 0:
            flat.append(f"{name} (line {line})")
        if file in boxes:
            twice.append(f"{name} (line {line})")
        elif not is_file(file):
            missing.append(f"{name} (line {line})")
        boxes[file] = box
    for names, problem, remedy in (
        (flat, "has boxes without area", "write x1 < x2 and y1 < y2, the upper left corner first"),
        (twice, "lists images twice", "keep the box of the person who is captured"),
        (missing, "lists images that do not exist", "paths are relative to the folder of the CSV"),
    ):
        if names:
            raise DataError(path, f"{problem}: {listed(names)}", remedy)
    return boxes


class FaceCrops(ImageSet):
    """Images cropped to the surroundings of the face; build it with `crop_faces`.

    `digests` and `facts` are those of the whole images: a photograph used for two purposes is a
    leak, whichever part of it is used. `digest` also covers the regions.
    """

    def __init__(self, images: ImageSet, boxes: Sequence[Box], scale: float) -> None:
        super().__init__(images.origin, images.names, images._source)
        self._images = images
        self._boxes = tuple(boxes)
        self._scale = scale

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Decode one image and cut out the region around its face.

        Returns:
            RGB pixels, shape (height, width, 3), uint8.

        Raises:
            DataError: see `ImageSet.pixels`, or less than half of the face lies in the image.
        """
        pixels = self._images.pixels(index)
        height, width = pixels.shape[:2]
        box = self._boxes[index]
        inside_x = min(box.x2, width) - max(box.x1, 0)
        inside_y = min(box.y2, height) - max(box.y1, 0)
        # Detectors draw boxes slightly over the border; beyond that, the box is another image's.
        if max(inside_x, 0) * max(inside_y, 0) < 0.5 * box.width * box.height:
            raise DataError(
                self.where(index),
                f"its face box ({', '.join(f'{side:g}' for side in box)}) lies outside the image, "
                f"which is {width} x {height} pixels",
                "give boxes in pixels of this image, after its EXIF orientation is applied",
            )
        left, top, right, bottom = crop_box(width, height, box, self._scale)
        return np.ascontiguousarray(pixels[top:bottom, left:right])

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of the content of each whole image."""
        return self._images.digests

    @cached_property
    def facts(self) -> PixelFacts:
        """Facts about the pixels of each whole image."""
        return self._images.facts

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names, contents and regions; it does not depend on the order."""
        regions = sorted(
            f"{name}\n{box!r}\n" for name, box in zip(self.names, self._boxes, strict=True)
        )
        text = f"{self._images.digest}\n{self._scale!r}\n{''.join(regions)}"
        return hashlib.sha256(text.encode()).hexdigest()

    def subset(self, indices: NDArray[Any] | Sequence[int]) -> FaceCrops:
        """Select images by index or by boolean mask, in the order given.

        Raises:
            DataError: no image is chosen.
        """
        chosen = np.arange(len(self))[indices]
        boxes = [self._boxes[index] for index in chosen]
        return FaceCrops(self._images.subset(indices), boxes, self._scale)


def crop_faces(images: ImageSet, boxes: Mapping[Path, Box], scale: float) -> FaceCrops:
    """Crop each image to the surroundings of its face.

    Args:
        images: whole photographs, as files.
        boxes: the boxes that `load_boxes` returns; those of other images are ignored.
        scale: side of the region divided by the side of the face.

    Raises:
        DataError: the images are an array, to which boxes cannot refer, or an image has no box.
    """
    if images.is_array:
        raise DataError(
            images.origin, "is an array, but boxes need image files", "save the crops themselves"
        )
    files = [Path(images.where(index)).resolve() for index in range(len(images))]
    missing = [name for name, file in zip(images.names, files, strict=True) if file not in boxes]
    if missing:
        raise DataError(
            images.origin,
            f"contains images without a face box: {listed(missing)}",
            "add a line for each to the CSV of boxes",
        )
    return FaceCrops(images, [boxes[file] for file in files], scale)
