"""One table with a row for each box: exports that end in their own suppression."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from .base import Floats, Given, Shapes, Told
from .suppressed import Chosen, Suppressed
from .yolov8 import KEYPOINT_CHANNELS


class _Rows(Suppressed):
    """(1, N, columns) or (N, columns)."""

    @abstractmethod
    def columns(self, told: Told) -> int:
        """Number of values of a box; 0 if the layout has no place for what the gate file says."""

    def fits(self, shapes: Shapes, told: Told) -> bool:
        """Whether there is one table with that many columns."""
        if len(shapes) != 1 or len(shapes[0]) not in (2, 3):
            return False
        columns = self.columns(told)
        return bool(columns) and shapes[0][-1] == columns and shapes[0][:-2] in ((), (1,))

    def table(self, outputs: Given) -> Floats:
        """The rows."""
        table = np.asarray(outputs[0], np.float64)
        return table.reshape(-1, table.shape[-1])


class Rows(_Rows):
    """x1, y1, x2, y2, score, class and 3 K values: ultralytics with nms=True, YOLOv10, YOLO26."""

    name = "rows"
    title = "suppressed rows: x1, y1, x2, y2, score, class"

    def columns(self, told: Told) -> int:
        """Corners, score and class, and x, y and visibility of each keypoint."""
        return 6 + KEYPOINT_CHANNELS * told.keypoints

    def chosen(self, outputs: Given, told: Told) -> Chosen:
        """Take the columns apart."""
        rows = self.table(outputs)
        points = rows[:, 6:].reshape(len(rows), told.keypoints, KEYPOINT_CHANNELS)[..., :2]
        return Chosen(rows[:, :4], rows[:, 4], rows[:, 5], points if told.keypoints else None)


class RowsOfOneClass(_Rows):
    """x1, y1, x2, y2, score, for a single class."""

    name = "rows-of-one-class"
    title = "suppressed rows: x1, y1, x2, y2, score"

    def columns(self, told: Told) -> int:
        """Corners and score."""
        return 5 if told.classes == 1 and not told.keypoints else 0

    def chosen(self, outputs: Given, told: Told) -> Chosen:
        """Take the columns apart."""
        rows = self.table(outputs)
        return Chosen(rows[:, :4], rows[:, 4], np.zeros(len(rows)))


class RowsOfBatch(_Rows):
    """image, x1, y1, x2, y2, class, score: YOLOv7 with its operator for suppression."""

    name = "rows-of-batch"
    title = "suppressed rows: image, x1, y1, x2, y2, class, score"

    def columns(self, told: Told) -> int:
        """The index of the image, corners, class and score."""
        return 0 if told.keypoints else 7

    def chosen(self, outputs: Given, told: Told) -> Chosen:
        """Take the columns apart."""
        rows = self.table(outputs)
        return Chosen(rows[:, 1:5], rows[:, 6], rows[:, 5])
