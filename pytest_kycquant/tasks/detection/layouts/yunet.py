"""YuNet of libfacedetection: two scores, a box and landmarks for each cell of three strides.

Wu et al., YuNet: A Tiny Millisecond-level Face Detector (2023), as OpenCV reads its exports.
"""

from __future__ import annotations

import numpy as np

from .base import Candidates, Given, Layout, Shapes, Told
from .levels import Level, find_levels, origins, values

_WIDTHS = {1: 2, 4: 1, 10: 1}


class YuNet(Layout):
    """For each stride: cls and obj (1, A, 1), bbox (1, A, 4) and kps (1, A, 10)."""

    name = "yunet"
    title = "YuNet: for each stride two scores, centre and log size, landmarks"

    def fits(self, shapes: Shapes, told: Told) -> bool:
        """Whether each stride has its four outputs."""
        return _levels(shapes, told) is not None

    def read(self, outputs: Given, told: Told) -> Candidates:
        """Read one stride after the other; a score is the geometric mean of the two."""
        levels = _levels([np.shape(output) for output in outputs], told)
        assert levels is not None
        boxes, scores, points = [], [], []
        for level in levels:
            start, stride, places = origins(level), level.stride, level.places
            first, second = (told.activated(values(outputs, level, i, 1)) for i in places[1])
            with np.errstate(over="ignore", invalid="ignore"):
                scores.append(np.sqrt(np.clip(first, 0.0, 1.0) * np.clip(second, 0.0, 1.0)))
                raw = values(outputs, level, places[4][0], 4)
                centre, half = start + raw[:, :2] * stride, np.exp(raw[:, 2:]) * stride / 2
                boxes.append(np.concatenate([centre - half, centre + half], axis=1))
            shifts = values(outputs, level, places[10][0], 10).reshape(-1, 5, 2) * stride
            points.append(start[:, None, :] + shifts)
        return Candidates(np.concatenate(boxes), np.concatenate(scores), np.concatenate(points))


def _levels(shapes: Shapes, told: Told) -> list[Level] | None:
    if told.classes != 1 or told.keypoints not in (0, 5):
        return None
    return find_levels(shapes, told.size, _WIDTHS, (1,))
