"""One table with centre, size, objectness and a score for each class: YOLOv5, YOLOv7, YOLOX.

YOLOX: Ge et al., YOLOX (arXiv 2107.08430); YOLOv5-face: Qi et al. (arXiv 2105.12931).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .base import Candidates, Floats, Given, Layout, Shapes, Told
from .candidates import MANY, cornered, finite_rows, misfit_of_candidates
from .levels import grid

_STRIDES = ((8, 16, 32), (8, 16, 32, 64))
_LARGEST = 12.0  # the log of a size in strides; e ** 12 strides are a million pixels


class YoloV5(Layout):
    """(1, A, 5 + C), in pixels of the input; with K landmarks (1, A, 5 + 2 K + C), as YOLOv5-face.

    Landmarks stand between objectness and classes. A score is objectness times that of the class.
    """

    name = "yolov5"
    title = "YOLOv5 candidates: centre, size, objectness, landmarks, a score for each class"
    told_boxes = True

    def fits(self, shapes: Shapes, told: Told) -> bool:
        """Whether there is one table whose rows have that many values."""
        # With one landmark, rows of YOLOv8 are as long, and its outputs are no way different.
        return told.keypoints != 1 and _one_table(shapes, 5 + 2 * told.keypoints + told.classes)

    def read(self, outputs: Given, told: Told) -> Candidates:
        """Read all rows."""
        rows = np.asarray(outputs[0][0], np.float64)
        points = rows[:, 5 : 5 + 2 * told.keypoints].reshape(len(rows), told.keypoints, 2)
        scores = _scores(rows, told)
        return Candidates(
            told.cornered(rows[:, :4]), scores[0] * scores[1], points if told.keypoints else None
        )

    def misfit(self, samples: Sequence[Given], told: Told) -> str:
        """Whether the values are those of suppressed boxes, or raw ones of YOLOX."""
        rows = finite_rows([np.asarray(outputs[0][0], np.float64) for outputs in samples])
        scores = rows[:, 5 + 2 * told.keypoints :]
        if (rows[:, 4] != 1).any():  # YOLOv6 fills objectness with ones
            scores = np.concatenate([rows[:, 4:5], scores], axis=1)
        if len(rows) and not rows[:, 5 + 2 * told.keypoints :].any():
            return "all scores of classes are 0"
        return misfit_of_candidates(rows, scores, told)

    def cornered(self, samples: Sequence[Given], told: Told) -> bool:
        """Whether sizes would nearly always exceed the coordinates of the centre."""
        rows = finite_rows([np.asarray(outputs[0][0], np.float64) for outputs in samples])
        return cornered(rows, told)


class YoloX(Layout):
    """(1, A, 5 + C) with one candidate for each cell; offsets in strides and log sizes.

    Exports that decode in the model are read as `YoloV5`.
    """

    name = "yolox"
    title = "raw candidates of YOLOX: offset, log size, objectness, a score for each class"
    strict = True

    def fits(self, shapes: Shapes, told: Told) -> bool:
        """Whether there is one row for each cell of three or four strides."""
        return (
            not told.keypoints
            and _one_table(shapes, 5 + told.classes)
            and shapes[0][1] in [len(_cells(told, strides)) for strides in _STRIDES]
        )

    def read(self, outputs: Given, told: Told) -> Candidates:
        """Read all rows."""
        rows = np.asarray(outputs[0][0], np.float64)
        known = (_cells(told, strides) for strides in _STRIDES)
        cells = next(cells for cells in known if len(cells) == len(rows))
        stride = cells[:, 2:]
        with np.errstate(over="ignore", invalid="ignore"):
            centre = (rows[:, :2] + cells[:, :2]) * stride
            half = np.exp(rows[:, 2:4]) * stride / 2
        objectness, scores = _scores(rows, told)
        boxes = np.concatenate([centre - half, centre + half], axis=1)
        return Candidates(boxes, objectness * scores)

    def misfit(self, samples: Sequence[Given], told: Told) -> str:
        """Whether sizes are no logarithms, or scores not between 0 and 1."""
        rows = finite_rows([np.asarray(outputs[0][0], np.float64) for outputs in samples])
        if len(rows) and rows[:, 2:4].max() > _LARGEST:
            return "the sizes are no logarithms"
        boxes = rows[:, :4]
        if len(rows) >= MANY and ((boxes >= 0) & (boxes <= 1)).all():
            return "the boxes are shares of the input"
        scores = rows[:, 4:]
        if told.scores == "probabilities" and ((scores < 0) | (scores > 1)).any():
            return "the columns of the scores are not probabilities"
        return ""


def _one_table(shapes: Shapes, columns: int) -> bool:
    return len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][::2] == (1, columns)


def _scores(rows: Floats, told: Told) -> tuple[Floats, Floats]:
    """Objectness (A, 1) and scores of the classes (A, C) as probabilities."""
    scores = rows[:, 5 + 2 * told.keypoints :]
    return told.activated(rows[:, 4:5]), told.activated(scores)


def _cells(told: Told, strides: Sequence[int]) -> Floats:
    """Column, row and stride of each cell; (A, 3)."""
    found = []
    for stride in strides:
        y, x = np.indices(grid(told.size, stride), dtype=np.float64).reshape(2, -1)
        found.append(np.stack([x, y, np.full_like(x, stride)], axis=1))
    return np.concatenate(found)
