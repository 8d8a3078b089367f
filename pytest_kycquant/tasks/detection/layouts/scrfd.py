"""SCRFD: distances in strides from the anchors of three or more strides.

Guo et al., Sample and Computation Redistribution for Efficient Face Detection (arXiv 2105.04714),
as InsightFace reads its ONNX exports.
"""

from __future__ import annotations

import numpy as np

from .base import Candidates, Given, Layout, Shapes, Told
from .levels import Level, find_levels, origins, values

_ANCHORS = (2, 1)  # in a cell: two for three strides, one for five


class Scrfd(Layout):
    """For each stride: scores, distances to left, top, right and bottom, perhaps 5 landmarks.

    (A, 1), (A, 4) and (A, 10), with an axis of the batch or without, or maps with the channels
    first or last. Outputs may come in any order.
    """

    name = "scrfd"
    title = "SCRFD: for each stride scores, distances in strides, landmarks"

    def fits(self, shapes: Shapes, told: Told) -> bool:
        """Whether each stride has its two or three outputs."""
        return _levels(shapes, told) is not None

    def read(self, outputs: Given, told: Told) -> Candidates:
        """Read one stride after the other."""
        levels = _levels([np.shape(output) for output in outputs], told)
        assert levels is not None
        boxes, scores, points = [], [], []
        for level in levels:
            centre, places = origins(level), level.places
            distances = values(outputs, level, places[4][0], 4) * level.stride
            boxes.append(
                np.concatenate([centre - distances[:, :2], centre + distances[:, 2:]], axis=1)
            )
            scores.append(values(outputs, level, places[told.classes][0], told.classes))
            if 10 in places:
                shifts = values(outputs, level, places[10][0], 10).reshape(-1, 5, 2) * level.stride
                points.append(centre[:, None, :] + shifts)
        return Candidates(
            np.concatenate(boxes),
            told.activated(np.concatenate(scores)),
            np.concatenate(points) if points else None,
        )


def _levels(shapes: Shapes, told: Told) -> list[Level] | None:
    if told.classes in (4, 10) or told.keypoints not in (0, 5):
        return None
    for widths in ({told.classes: 1, 4: 1}, {told.classes: 1, 4: 1, 10: 1}):
        if told.keypoints and 10 not in widths:
            continue
        levels = find_levels(shapes, told.size, widths, _ANCHORS)
        if levels is not None and len(levels) > 1:
            return levels
    return None
