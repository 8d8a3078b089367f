"""RetinaFace: boxes and landmarks relative to priors, with variances of .1 and .2.

Deng et al., RetinaFace (arXiv 1905.00641), in the widespread implementation for PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .base import Candidates, Floats, Given, Layout, Shapes, Told
from .levels import grid
from .tables import no_shares, softmax, table_of, tables_of

_PRIORS = {8: (16, 32), 16: (64, 128), 32: (256, 512)}  # stride -> sides in pixels
_CENTRE, _SIZE = 0.1, 0.2  # variances


class RetinaFace(Layout):
    """Boxes (1, A, 4), scores (1, A, 2) with the background first, landmarks (1, A, 10).

    Two priors for each cell of the strides 8, 16 and 32.
    """

    name = "retinaface"
    title = "RetinaFace: boxes and landmarks relative to priors"
    strict = True

    def fits(self, shapes: Shapes, told: Told) -> bool:
        """Whether there are three tables, with a row for each prior."""
        count = sum(rows * columns * 2 for rows, columns in (grid(told.size, s) for s in _PRIORS))
        known = told.classes == 1 and told.keypoints in (0, 5)
        return known and tables_of(shapes, (4, 2, 10)) == count

    def read(self, outputs: Given, told: Told) -> Candidates:
        """Read all priors. Scores that are not yet probabilities go through softmax."""
        boxes, scores, points = (table_of(outputs, width) for width in (4, 2, 10))
        priors = _priors(told.size)
        centre, size = priors[:, :2], priors[:, 2:]
        with np.errstate(over="ignore", invalid="ignore"):
            middle = centre + boxes[:, :2] * _CENTRE * size
            half = size * np.exp(boxes[:, 2:] * _SIZE) / 2
            shifts = points.reshape(-1, 5, 2) * _CENTRE * size[:, None, :]
        scores = softmax(scores) if told.scores == "logits" else scores
        return Candidates(
            np.concatenate([middle - half, middle + half], axis=1),
            scores[:, 1:],
            centre[:, None, :] + shifts,
        )

    def misfit(self, samples: Sequence[Given], told: Told) -> str:
        """Whether the scores of a prior do not add up to 1."""
        scores = np.concatenate([table_of(outputs, 2) for outputs in samples])
        return no_shares(scores, told)


def _priors(size: tuple[int, int]) -> Floats:
    """Centre, width and height of each prior in pixels of the input; (A, 4)."""
    found = []
    for stride, sides in _PRIORS.items():
        rows, columns = grid(size, stride)
        y, x = (np.indices((rows, columns), dtype=np.float64).reshape(2, -1) + 0.5) * stride
        for_cell = [np.stack([x, y, 0 * x + side, 0 * x + side], axis=1) for side in sides]
        found.append(np.stack(for_cell, axis=1).reshape(-1, 4))
    return np.concatenate(found)
