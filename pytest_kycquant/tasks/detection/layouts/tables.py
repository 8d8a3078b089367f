"""Several tables with a row for each candidate, told apart by their widths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .base import Floats, Given, Shapes, Told

_ROUNDING = 0.01


def tables_of(shapes: Shapes, widths: Sequence[int]) -> int | None:
    """The number of rows of all tables; None unless there is just one of each width."""
    rows = {shape[-2] for shape in shapes if len(shape) in (2, 3)}
    fitting = all(len(shape) in (2, 3) and shape[:-2] in ((), (1,)) for shape in shapes)
    if not fitting or sorted(shape[-1] for shape in shapes) != sorted(widths) or len(rows) != 1:
        return None
    return rows.pop()


def table_of(outputs: Given, width: int) -> Floats:
    """The table of a width; (A, width), float64."""
    (found,) = (output for output in outputs if np.shape(output)[-1] == width)
    return np.asarray(found, np.float64).reshape(-1, width)


def softmax(scores: Floats) -> Floats:
    """Probabilities of each row (A, C) of logits."""
    with np.errstate(invalid="ignore", over="ignore"):
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def no_shares(scores: Floats, told: Told) -> str:
    """Why scores (A, C) are not those of classes that exclude each other; "" if they are."""
    whole = np.nanmax(np.abs(scores.sum(axis=1) - 1), initial=0.0) <= _ROUNDING
    if told.scores == "logits" and whole and np.nanmin(scores, initial=0.0) >= 0:
        return 'the scores of each candidate add up to 1 already; leave out scores="logits"'
    if told.scores == "probabilities" and not whole:
        return (
            'the scores of a candidate do not add up to 1; set scores="logits" if they are logits'
        )
    return ""
