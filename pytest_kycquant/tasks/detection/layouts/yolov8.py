"""One table with centre, size, scores of the classes and keypoints: YOLOv8 and YOLO11."""

from __future__ import annotations

import numpy as np

from .base import Candidates, Given, Layout, Shapes, Told, corners

KEYPOINT_CHANNELS = 3  # x, y, visibility


def channels_of(told: Told) -> int:
    """Number of values of a candidate."""
    return 4 + told.classes + KEYPOINT_CHANNELS * told.keypoints


class YoloV8(Layout):
    """(1, 4 + C + 3 K, A) or (1, A, 4 + C + 3 K), in pixels of the input."""

    name = "yolov8"
    title = "YOLOv8 candidates: centre, size and a score for each class"

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
        table = np.asarray(outputs[0][0], np.float64)
        rows = table.T if len(table) == channels_of(told) else table
        end = 4 + told.classes
        points = rows[:, end:].reshape(len(rows), told.keypoints, KEYPOINT_CHANNELS)[..., :2]
        return Candidates(
            corners(rows[:, :4]),
            told.activated(rows[:, 4:end]),
            points if told.keypoints else None,
        )
