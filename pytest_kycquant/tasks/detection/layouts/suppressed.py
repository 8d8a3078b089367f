"""What all layouts of boxes share that the model itself has suppressed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .base import Candidates, Floats, Given, Layout, Told

_SLACK = 1e-3  # what FP16 may round
_CLEAR = 0.1  # boxes with lower scores may be anything
_ORDERED = 0.99  # the share of boxes whose corners must be in order


@dataclass(frozen=True, eq=False)
class Chosen:
    """The boxes that a model has chosen in one image.

    Args:
        boxes: corners x1, y1, x2, y2 in pixels of the input; shape (N, 4), float64.
        scores: confidence; shape (N,), float64.
        classes: the index of the class, as a number that should be whole; shape (N,), float64.
        keypoints: x and y in pixels of the input; shape (N, K, 2), float64. None if there are none.
    """

    boxes: Floats
    scores: Floats
    classes: Floats
    keypoints: Floats | None = None


class Suppressed(Layout):
    """Boxes with one score and one class each; unused places hold scores of 0 or -1."""

    suppressed = True
    strict = True

    @abstractmethod
    def chosen(self, outputs: Given, told: Told) -> Chosen:
        """The boxes that the model has chosen, with its padding."""

    def read(self, outputs: Given, told: Told) -> Candidates:
        """Read the boxes. One of an unknown class is none: only a variant can have it."""
        found = self.chosen(outputs, told)
        with np.errstate(invalid="ignore"):
            which = np.round(found.classes)
        known = np.isfinite(which) & (which >= 0) & (which < told.classes)
        scores = np.zeros((len(which), told.classes))
        (rows,) = np.nonzero(known)
        scores[rows, which[rows].astype(np.int64)] = found.scores[rows]
        return Candidates(found.boxes, scores, found.keypoints)

    def misfit(self, samples: Sequence[Given], told: Told) -> str:
        """Whether classes are not whole, scores not between 0 and 1, or corners in disorder."""
        each = [self.chosen(outputs, told) for outputs in samples]
        boxes = np.concatenate([found.boxes for found in each])
        scores = np.concatenate([found.scores for found in each])
        classes = np.concatenate([found.classes for found in each])
        padding = (scores <= 0) & (boxes == boxes[:, :1]).all(axis=1)
        used = ~padding & np.isfinite(boxes).all(axis=1) & np.isfinite(scores + classes)
        boxes, scores, classes = boxes[used], scores[used], classes[used]
        if (np.abs(classes - np.round(classes)) > _SLACK).any():
            return "the classes are not whole numbers"
        if told.scores == "logits":
            return 'its scores are probabilities; leave out scores="logits"'
        if ((scores < -_SLACK) | (scores > 1 + _SLACK)).any():
            return "the scores are not between 0 and 1"
        clear = boxes[scores >= _CLEAR] if (scores >= _CLEAR).any() else boxes
        if len(clear) and (clear[:, 2:] >= clear[:, :2]).all(axis=1).mean() < _ORDERED:
            return "the corners of boxes are not in the order x1, y1, x2, y2"
        wrong = classes[(np.round(classes) < 0) | (np.round(classes) >= told.classes)]
        if len(wrong):
            return (
                f"class {wrong[0]:.0f} occurs, but classes= names {told.classes}, counted from 0; "
                "name a background, too, and leave it out of judged="
            )
        return ""
