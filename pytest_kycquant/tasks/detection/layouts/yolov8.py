"""One table with centre, size, scores of the classes and keypoints: YOLOv8 and YOLO11."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .base import Candidates, Floats, Given, Layout, Shapes, Told
from .candidates import cornered, finite_rows, misfit_of_candidates

KEYPOINT_CHANNELS = 3  # x, y, visibility


def channels_of(told: Told) -> int:
    """Number of values of a candidate."""
    return 4 + told.classes + KEYPOINT_CHANNELS * told.keypoints


class YoloV8(Layout):
    """(1, 4 + C + 3 K, A) or (1, A, 4 + C + 3 K), in pixels of the input."""

    name = "yolov8"
    title = "YOLOv8 candidates: centre, size and a score for each class"
    told_boxes = True

    def fits(self, shapes: Shapes, told: Told) -> bool:
        """Whether there is one table whose rows or columns have that many values."""
        return (
            len(shapes) == 1
            and len(shapes[0]) == 3
            and shapes[0][0] == 1
            and channels_of(told) in shapes[0][1:]
        )

    def read(self, outputs: Given, told: Told) -> Candidates:
        """Read the rows, or the columns where they fit: YOLOv8 itself returns columns."""
        rows = _rows(outputs, told)
        end = 4 + told.classes
        points = rows[:, end:].reshape(len(rows), told.keypoints, KEYPOINT_CHANNELS)[..., :2]
        return Candidates(
            told.cornered(rows[:, :4]),
            told.activated(rows[:, 4:end]),
            points if told.keypoints else None,
        )

    def misfit(self, samples: Sequence[Given], told: Told) -> str:
        """Whether the values are rather those of boxes that the model has suppressed itself."""
        rows = finite_rows([_rows(outputs, told) for outputs in samples])
        return misfit_of_candidates(rows, rows[:, 4 : 4 + told.classes], told)

    def cornered(self, samples: Sequence[Given], told: Told) -> bool:
        """Whether sizes would nearly always exceed the coordinates of the centre."""
        return cornered(finite_rows([_rows(outputs, told) for outputs in samples]), told)


def _rows(outputs: Given, told: Told) -> Floats:
    table = np.asarray(outputs[0][0], np.float64)
    return table.T if len(table) == channels_of(told) else table
