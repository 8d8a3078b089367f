"""Sets of queries: DETR and its descendants, whose boxes are shares of the input.

Carion et al., End-to-End Object Detection with Transformers (arXiv 2005.12872).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .base import Candidates, Floats, Given, Layout, Shapes, Told, sigmoid
from .candidates import finite_rows, misfit_of_shares
from .tables import softmax, table_of, tables_of

_ROUNDING = 0.01
_EMPTY = 0.5  # most queries find nothing


class _Queries(Layout):
    """One box for each query, which competes with no other: nothing is left to suppress."""

    suppressed = True
    told_boxes = True
    strict = True

    def boxes(self, table: Floats, told: Told) -> Floats:
        """Corners in pixels of boxes (A, 4) that are shares."""
        height, width = told.size
        return told.cornered(table) * np.array([width, height, width, height], np.float64)


class Detr(_Queries):
    """Logits (1, N, C + 1), "no object" last, and boxes (1, N, 4)."""

    name = "detr"
    title = "DETR: logits with 'no object' last, boxes as centre and size in shares of the input"

    def fits(self, shapes: Shapes, told: Told) -> bool:
        """Whether there are logits and boxes for each query."""
        return (
            told.classes != 3
            and not told.keypoints
            and bool(tables_of(shapes, (4, told.classes + 1)))
        )

    def read(self, outputs: Given, told: Told) -> Candidates:
        """Read all queries; softmax over the classes and "no object"."""
        scores = softmax(table_of(outputs, told.classes + 1))[:, :-1]
        return Candidates(self.boxes(table_of(outputs, 4), told), scores)

    def misfit(self, samples: Sequence[Given], told: Told) -> str:
        """Whether scores are probabilities already, or boxes are no shares."""
        scores = finite_rows([table_of(outputs, told.classes + 1) for outputs in samples])
        if (scores >= 0).all() and (np.abs(scores.sum(axis=1) - 1) <= _ROUNDING).all():
            return "the scores are no logits, but add up to 1"
        if len(scores) and (scores.argmax(axis=1) == told.classes).mean() < _EMPTY:
            return "few candidates are 'no object', which must be the last of the scores"
        return misfit_of_shares(np.concatenate([table_of(one, 4) for one in samples]), told)


class DetrOfSigmoids(_Queries):
    """Logits (1, N, C), each for itself, and boxes (1, N, 4): Deformable DETR, RT-DETR, D-FINE."""

    name = "detr-sigmoid"
    title = "descendants of DETR: a logit for each class, boxes in shares of the input"

    def fits(self, shapes: Shapes, told: Told) -> bool:
        """Whether there are logits and boxes for each query."""
        return (
            told.classes != 4 and not told.keypoints and bool(tables_of(shapes, (4, told.classes)))
        )

    def read(self, outputs: Given, told: Told) -> Candidates:
        """Read all queries."""
        scores = sigmoid(table_of(outputs, told.classes))
        return Candidates(self.boxes(table_of(outputs, 4), told), scores)

    def misfit(self, samples: Sequence[Given], told: Told) -> str:
        """Whether scores are probabilities already, or boxes are no shares."""
        scores = finite_rows([table_of(outputs, told.classes) for outputs in samples])
        if len(scores) and ((scores >= 0) & (scores <= 1)).all():
            return "the scores are no logits, but probabilities"
        return misfit_of_shares(np.concatenate([table_of(one, 4) for one in samples]), told)


class RtDetr(_Queries):
    """One table (1, N, 4 + C) of boxes and probabilities: RT-DETR as ultralytics exports it."""

    name = "rtdetr"
    title = "RT-DETR: centre and size in shares of the input and a score for each class"
    strict = False

    def fits(self, shapes: Shapes, told: Told) -> bool:
        """Whether there is one table whose rows have that many values."""
        return (
            len(shapes) == 1
            and len(shapes[0]) == 3
            and shapes[0][::2] == (1, 4 + told.classes)
            and not told.keypoints
        )

    def read(self, outputs: Given, told: Told) -> Candidates:
        """Read all queries."""
        rows = np.asarray(outputs[0][0], np.float64)
        return Candidates(self.boxes(rows[:, :4], told), told.activated(rows[:, 4:]))

    def misfit(self, samples: Sequence[Given], told: Told) -> str:
        """Whether boxes are no shares, or scores not between 0 and 1."""
        rows = finite_rows([np.asarray(outputs[0][0], np.float64) for outputs in samples])
        scores = rows[:, 4:]
        if told.scores == "probabilities" and ((scores < 0) | (scores > 1)).any():
            return "the columns of the scores are not probabilities"
        return misfit_of_shares(rows[:, :4], told)
