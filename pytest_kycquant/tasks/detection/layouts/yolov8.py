"""One table with centre, size, scores of the classes and keypoints: YOLOv8 and YOLO11."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .base import Candidates, Floats, Given, Layout, Shapes, Told

KEYPOINT_CHANNELS = 3  # x, y, visibility
_MANY = 20  # so many candidates are never all wider and higher than their centres are far
_NEARLY = 0.99  # the share of candidates with corners in order


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
        rows = _finite(samples, told)
        scores = rows[:, 4 : 4 + told.classes]
        if (~rows.any(axis=1) | (rows == -1).all(axis=1)).any():
            return "rows of zeros or -1 are padding"
        if told.scores == "probabilities" and ((scores < 0) | (scores > 1)).any():
            return "the columns of the scores are not probabilities"
        if told.boxes != "corners" and (rows[:, 2:4] < 0).any():
            return "sizes are negative"
        if (
            len(rows)
            and ((scores == np.round(scores)).all(axis=0) & (scores == 1).any(axis=0)).any()
        ):
            return "a column of scores holds whole numbers only"
        if self.cornered(samples, told):
            return "the first four columns are corners"
        return ""

    def cornered(self, samples: Sequence[Given], told: Told) -> bool:
        """Whether sizes would nearly always exceed the coordinates of the centre."""
        rows = _finite(samples, told)
        ordered = (rows[:, 2:4] >= rows[:, :2]).all(axis=1)
        return told.boxes is None and len(rows) >= _MANY and bool(ordered.mean() >= _NEARLY)


def _finite(samples: Sequence[Given], told: Told) -> Floats:
    rows = np.concatenate([_rows(outputs, told) for outputs in samples])
    finite: Floats = rows[np.isfinite(rows).all(axis=1)]
    return finite


def _rows(outputs: Given, told: Told) -> Floats:
    table = np.asarray(outputs[0][0], np.float64)
    return table.T if len(table) == channels_of(told) else table
