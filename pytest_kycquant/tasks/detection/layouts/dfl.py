"""One map for each stride, with distributions of distances: raw heads of YOLOv8.

The boxes follow Li et al., Generalized Focal Loss (arXiv 2006.04388).
"""

from __future__ import annotations

import numpy as np

from .base import Candidates, Floats, Given, Layout, Shapes, Told
from .yolov8 import KEYPOINT_CHANNELS

BINS = 16  # bins of the distribution of each side


def channels_of(told: Told) -> int:
    """Number of channels of a head."""
    return 4 * BINS + told.classes + KEYPOINT_CHANNELS * told.keypoints


class RawHeads(Layout):
    """(1, 64 + C + 3 K, height / stride, width / stride) for each stride, in any order.

    The first 64 channels hold the distributions (16 bins) of the distances to the left, top, right
    and bottom.
    """

    name = "dfl"
    title = "raw heads of YOLOv8: distributions of distances and a score for each class"

    def fits(self, shapes: Shapes, told: Told) -> bool:
        """Whether each output is the head of another stride."""
        strides = [_stride(shape, told) for shape in shapes]
        return bool(strides) and None not in strides and len(set(strides)) == len(strides)

    def read(self, outputs: Given, told: Told) -> Candidates:
        """Read one head after the other."""
        levels = []
        for output in outputs:
            stride = _stride(np.shape(output), told)
            assert stride is not None
            levels.append(_level(np.asarray(output[0], np.float64), stride, told))
        boxes, scores, points = (np.concatenate(parts) for parts in zip(*levels, strict=True))
        return Candidates(boxes, told.activated(scores), points if told.keypoints else None)


def _stride(shape: tuple[int, ...], told: Told) -> int | None:
    """Stride of a head; None if the shape is not that of a head."""
    if len(shape) != 4 or shape[:2] != (1, channels_of(told)) or 0 in shape:
        return None
    strides = {divmod(side, cells) for side, cells in zip(told.size, shape[2:], strict=True)}
    stride, rest = strides.pop()
    return stride if not strides and not rest else None


def _level(output: Floats, stride: int, told: Told) -> tuple[Floats, Floats, Floats]:
    """Boxes, raw scores and keypoints of one stride, anchors row by row."""
    _, height, width = output.shape
    flat = output.reshape(len(output), -1)
    bins = flat[: 4 * BINS].reshape(4, BINS, -1)
    with np.errstate(invalid="ignore", over="ignore"):
        weights = np.exp(bins - bins.max(axis=1, keepdims=True))
        expected = np.einsum("sba,b->sa", weights, np.arange(BINS, dtype=np.float64))
        left, top, right, bottom = expected / weights.sum(axis=1)
    cells = np.indices((height, width), dtype=np.float64).reshape(2, -1)
    y, x = cells + 0.5
    boxes = np.stack([x - left, y - top, x + right, y + bottom], axis=1) * stride
    end = 4 * BINS + told.classes
    points = flat[end:].reshape(told.keypoints, KEYPOINT_CHANNELS, height * width)
    points = points[:, :2].transpose(2, 0, 1)
    with np.errstate(invalid="ignore", over="ignore"):
        points = (points * 2.0 + cells[::-1].T[:, None, :]) * stride
    return boxes, flat[4 * BINS : end].T, points
