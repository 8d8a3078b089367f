"""Average precision of ranked detections, as in COCO's detection evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IOUS = np.linspace(0.5, 0.95, 10)  # IoUs of COCO's mAP; misses are counted at the first
_RECALLS = np.linspace(0.0, 1.0, 101)
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranking:
    """Detections of one class by descending score, up to the last correct one.

    Args:
        hits: (10, R) bool, whether each detection is right at each of `IOUS`.
        wrong: (10, R) bool, whether it is wrong; an ignored detection is neither.
        groups: (R,) group of the image of each detection.
        object_groups: group of the image of each object of the class.
    """

    hits: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    groups: NDArray[np.int64]
    object_groups: NDArray[np.int64]

    def without(self, group: int) -> Ranking:
        """The same ranking without a group of images."""
        kept = self.groups != group
        return Ranking(
            self.hits[:, kept],
            self.wrong[:, kept],
            self.groups[kept],
            self.object_groups[self.object_groups != group],
        )

    def interpolated(self) -> Floats | None:
        """Average precision over 101 recalls at each of `IOUS`, (10,); None without objects."""
        if not len(self.object_groups):
            return None
        recall = np.cumsum(self.hits, axis=1) / len(self.object_groups)
        # Precision is 0 at recalls that are not reached.
        best = np.concatenate([self._best(), np.zeros((len(IOUS), 1))], axis=1)
        curves = zip(best, recall, strict=True)
        return np.array([values[np.searchsorted(r, _RECALLS)].mean() for values, r in curves])

    def area(self) -> Floats | None:
        """Area under the curve at each of `IOUS`, (10,); None without objects."""
        if not len(self.object_groups):
            return None
        total: Floats = (self._best() * self.hits).sum(axis=1) / len(self.object_groups)
        return total

    def _best(self) -> Floats:
        """The best precision at the recall of each detection or any higher one, (10, R)."""
        right = np.cumsum(self.hits, axis=1)
        precision = right / np.maximum(right + np.cumsum(self.wrong, axis=1), 1)
        best: Floats = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        return best


def over_classes(values: Iterable[Floats | None]) -> Floats:
    """Mean over the classes that have objects, (10,)."""
    known = [value for value in values if value is not None]
    mean: Floats = np.mean(known, axis=0) if known else np.zeros(len(IOUS))
    return mean
