"""UltraFace and other SSDs that decode in the model: corners as shares, and a background score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .base import Candidates, Given, Layout, Shapes, Told, corners
from .tables import no_shares, softmax, table_of, tables_of

_NEARLY = 0.99  # the share of candidates with corners in order
_EMPTY = 0.5  # most candidates find nothing
_BEYOND = 4.0  # shares of the input: no sound box reaches so far


class UltraFace(Layout):
    """Boxes (1, A, 4) in 0..1 and scores (1, A, 1 + C), the background first."""

    name = "ultraface"
    title = "UltraFace: corners as shares of the input, scores after that of the background"
    told_boxes = True
    strict = True

    def fits(self, shapes: Shapes, told: Told) -> bool:
        """Whether there are boxes and scores with a row for each candidate."""
        widths = (4, told.classes + 1)
        return told.classes != 3 and not told.keypoints and bool(tables_of(shapes, widths))

    def read(self, outputs: Given, told: Told) -> Candidates:
        """Read all candidates."""
        boxes, scores = (table_of(outputs, width) for width in (4, told.classes + 1))
        scores = softmax(scores) if told.scores == "logits" else scores
        boxes = corners(boxes) if told.boxes == "centres" else boxes
        height, width = told.size
        return Candidates(
            boxes * np.array([width, height, width, height], np.float64),
            scores[:, 1:],
        )

    def misfit(self, samples: Sequence[Given], told: Told) -> str:
        """Whether boxes are no shares, or the scores of a row do not add up to 1."""
        boxes = np.concatenate([table_of(outputs, 4) for outputs in samples])
        scores = np.concatenate([table_of(outputs, told.classes + 1) for outputs in samples])
        if np.nanmedian(np.abs(boxes)) > _BEYOND:
            return "the boxes are not shares of the input"
        ordered = boxes[:, 2:] >= (0 if told.boxes == "centres" else boxes[:, :2])
        if len(boxes) and ordered.all(axis=1).mean() < _NEARLY:
            return "the boxes are not corners x1, y1, x2, y2"
        known = scores[np.isfinite(scores).all(axis=1)]
        if len(known) and (known.argmax(axis=1) == 0).mean() < _EMPTY:
            return "few candidates are background, which must be the first of the scores"
        return no_shares(scores, told)
