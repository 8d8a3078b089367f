"""The placement of an image in the input of a model, and the mapping of boxes back to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..spec.model import Preprocess


@dataclass(frozen=True)
class Placement:
    """An image of `source` pixels, resized to `size` and placed at (`top`, `left`) of the input.

    The offsets are negative if it is larger than the input and parts of it are cut off.

    All pairs are (height, width) in pixels.
    """

    source: tuple[int, int]
    size: tuple[int, int]
    top: int
    left: int

    def to_image(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map boxes of the input to the image and clip them to it.

        Args:
            boxes: corners x1, y1, x2, y2 in pixels of the input, shape (N, 4), float64.

        Returns:
            The boxes in pixels of the image, with the same shape and dtype.
        """
        most = np.array(self.source[::-1] * 2, np.float64)
        placed: NDArray[np.float64] = np.clip(self._mapped(boxes, 2), 0.0, most)
        return placed

    def points_to_image(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map points of the input to the image; they may lie outside.

        Args:
            points: x and y in pixels of the input, shape (..., 2), float64.
        """
        return self._mapped(points, 1)

    def _mapped(self, places: NDArray[np.float64], corners: int) -> NDArray[np.float64]:
        (height, width), (new_height, new_width) = self.source, self.size
        offset = np.array([self.left, self.top] * corners, np.float64)
        ratio = np.array([width / new_width, height / new_height] * corners, np.float64)
        placed: NDArray[np.float64] = (places - offset) * ratio
        return placed


def place(source: tuple[int, int], spec: Preprocess) -> Placement:
    """Find where an image of `source` (height, width) pixels lies in the input.

    "letterbox" keeps the aspect ratio and centres the image, with an odd pixel of padding at the
    bottom or right, as YOLOv5 and its successors do. "top-left" rounds down, as InsightFace does.
    "crop" resizes the shorter side to that of the input, so that parts of the longer one lie
    outside. Otherwise, the image fills the input.
    """
    fit, most = spec.placement, spec.size
    if fit == "stretch":
        return Placement(source, most, 0, 0)
    ratios = most[0] / source[0], most[1] / source[1]
    if fit == "crop":
        height, width = (
            max(least, round(side * max(ratios))) for side, least in zip(source, most, strict=True)
        )
    elif fit == "top-left":
        # The order of operations is InsightFace's. The side that limits the size fills the input: a
        # product with the ratio could be a last bit too small, and a whole pixel when rounded down.
        shape = source[0] / source[1]
        if shape > most[0] / most[1]:
            height, width = most[0], int(most[0] / shape)
        else:
            height, width = int(most[1] * shape), most[1]
        return Placement(source, (max(1, height), max(1, width)), 0, 0)
    else:
        # At least one pixel: an image one pixel high and a thousand wide would vanish.
        height, width = (max(1, round(side * min(ratios))) for side in source)
    return Placement(source, (height, width), (most[0] - height) // 2, (most[1] - width) // 2)
