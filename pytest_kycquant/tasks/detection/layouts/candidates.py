"""What the values of raw candidates tell, before any suppression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .base import Floats, Told

SHARES = 2.0  # larger coordinates are pixels
MANY = 20
"""So many candidates are never all wider and higher than their centres are far."""
_NEARLY = 0.99  # the share of candidates with corners in order


def finite_rows(tables: Sequence[Floats]) -> Floats:
    """The rows without NaN or Inf of tables (A, K)."""
    rows = np.concatenate(tables)
    finite: Floats = rows[np.isfinite(rows).all(axis=1)]
    return finite


def misfit_of_candidates(rows: Floats, scores: Floats, told: Told) -> str:
    """Why rows are no candidates with boxes in pixels; "" if they can be.

    Args:
        rows: finite rows, boxes in the first four columns; shape (A, K), float64.
        scores: their columns with scores, shape (A, C), float64.
        told: what the gate file says.
    """
    if (~rows.any(axis=1) | (rows == -1).all(axis=1)).any():
        return "rows of zeros or -1 are padding"
    if told.scores == "probabilities" and ((scores < 0) | (scores > 1)).any():
        return "the columns of the scores are not probabilities"
    if told.boxes != "corners" and (rows[:, 2:4] < 0).any():
        return "sizes are negative"
    if len(rows) and ((scores == np.round(scores)).all(axis=0) & (scores == 1).any(axis=0)).any():
        return "a column of scores holds whole numbers only"
    if len(rows) and np.abs(rows[:, :4]).max() <= SHARES:
        return "the boxes are shares of the input"
    if cornered(rows, told):
        return "the first four columns are corners"
    return ""


def cornered(rows: Floats, told: Told) -> bool:
    """Whether finite rows that should start with centre and size start with corners."""
    ordered = (rows[:, 2:4] >= rows[:, :2]).all(axis=1)
    return told.boxes is None and len(rows) >= MANY and bool(ordered.mean() >= _NEARLY)


def misfit_of_shares(boxes: Floats, told: Told) -> str:
    """Why boxes (A, 4) are not centre and size as shares of the input; "" if they can be."""
    boxes = boxes[np.isfinite(boxes).all(axis=1)]
    if len(boxes) and np.abs(boxes).max() > SHARES:
        return "the boxes are not shares of the input"
    if (~boxes.any(axis=1)).any():
        return "boxes of zeros are padding"
    if cornered(boxes, told):
        return (
            'the boxes look like corners; set boxes="corners" as well, or boxes="centres" if the '
            "objects are large"
        )
    if told.boxes != "corners" and (boxes[:, 2:] < 0).any():
        return "sizes are negative"
    return ""
