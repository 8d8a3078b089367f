"""Crops around a face, like those that MiniFASNet (Silent-Face-Anti-Spoofing) was trained on.

The network looks for what surrounds a face, such as the border of a print or the bezel of a
screen, so its input is the face box enlarged by `scale`. At the border of the image the crop is
shifted inwards, not cut off. If it is larger than the image, the scale is reduced.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError
from ..spec.box import Box
from .files import listed
from .places import ImageParts, PlaceTable, load_places, places_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .images import ImageSet

_TABLE = PlaceTable(
    "face boxes",
    ("x1", "y1", "x2", "y2"),
)


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
    return load_places(path, _TABLE, lambda sides: Box(*sides), _refuse_empty)


def _refuse_empty(path: Path, boxes: Mapping[str, Box]) -> None:
    empty = [name for name, box in boxes.items() if not (box.width > 0 and box.height > 0)]
    if empty:
        raise DataError(
            path,
            f"has boxes without area: {listed(empty)}",
            "write x1 < x2 and y1 < y2, the upper left corner first",
        )


class FaceCrops(ImageParts):
    """Images cropped to the surroundings of the face; build it with `crop_faces`."""

    def _part(self, pixels: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
        """Cut out the region around the face.

        Raises:
            DataError: less than half of the face lies in the image.
        """
        height, width = pixels.shape[:2]
        box: Box = self._places[index]
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
        left, top, right, bottom = crop_box(width, height, box, self._way)
        return np.ascontiguousarray(pixels[top:bottom, left:right])


def crop_faces(images: ImageSet, boxes: Mapping[Path, Box], scale: float) -> FaceCrops:
    """Crop each image to the surroundings of its face.

    Args:
        images: whole photographs, as files.
        boxes: the boxes that `load_boxes` returns; those of other images are ignored.
        scale: side of the region divided by the side of the face.

    Raises:
        DataError: the images are an array, to which boxes cannot refer, or an image has no box.
    """
    return FaceCrops(images, places_in(images, boxes, _TABLE.what), scale)
