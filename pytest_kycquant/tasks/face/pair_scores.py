"""Scores of all pairs in blocks: memory is O(block x images), never the whole matrix.

The last bits of a matrix product depend on the number of threads, so it only selects the scores
that matter: scores within rounding of a threshold or among the extremes are computed again in
float64 (see `PairScores`). Hence the result depends neither on threads nor on blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .measures import COSINE, Floats, Measure

if TYPE_CHECKING:
    from ...data.pairs import Comparisons

_ROWS = 256  # rows of the score matrix at a time
_LISTED = 65_536  # listed pairs at a time
_EXACT = 1024  # pairs computed in float64 at a time

NO_PAIR = np.float32(-np.inf)
"""Placeholder for a missing score; below every threshold."""
_LOWEST = np.finfo(np.float32).min

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class PairScores:
    """Scores of some pairs, both rounded by a matrix product in float32 and exact.

    Args:
        values: the rounded scores, of any shape; `NO_PAIR` where there is no pair.
        ids: a function from indices of the flattened values to pair ids, both ascending.
        exact: a function from pair ids to scores computed in float64 and rounded once.
        slack: a bound on the difference between a value and its exact score.
    """

    values: Floats
    ids: Callable[[Ids], Ids]
    exact: Callable[[Ids], Floats]
    slack: np.float32

    def settle(self, threshold: np.float32) -> None:
        """Replace the scores that rounding may have moved across a threshold by exact ones."""
        flat = self.values.reshape(-1)
        with np.errstate(over="ignore"):  # distances between broken embeddings may be huge
            low, high = threshold - self.slack, threshold + self.slack
        near = not_below(flat, low)
        near = near[flat[near] <= high]
        flat[near] = self.exact(self.ids(near))

    def negated(self) -> PairScores:
        """The negated scores, so that the lowest become the largest."""
        return PairScores(-self.values, self.ids, lambda ids: -self.exact(ids), self.slack)


def blocks(
    gallery: Floats, probe: Floats, comparisons: Comparisons, measure: Measure = COSINE
) -> Iterator[tuple[PairScores, PairScores]]:
    """Yield impostor and genuine scores in blocks, in the order of their ids.

    Few pairs are genuine, so they are kept separately. The rest needs only one comparison with a
    threshold, and no second matrix that marks genuine pairs.

    Args:
        gallery: (N, D) embeddings of the enrolled side, as `measure` prepares them.
        probe: (N, D) embeddings of the presented side, of the same images.
        comparisons: the pairs.
        measure: how alike two embeddings are.
    """
    slack = measure.slack(gallery, probe)

    def exact(ids: Ids) -> Floats:
        left, right = pair_images(comparisons, ids)
        found = np.empty(len(ids), np.float32)
        for start in range(0, len(ids), _EXACT):
            part = slice(start, start + _EXACT)
            found[part] = measure.exact(gallery[left[part]], probe[right[part]])
        return found

    for impostors, ids, genuine, genuine_ids in _raw_blocks(gallery, probe, comparisons, measure):
        yield (
            PairScores(impostors, ids, exact, slack),
            PairScores(genuine, genuine_ids.__getitem__, exact, slack),
        )


def _raw_blocks(
    gallery: Floats, probe: Floats, comparisons: Comparisons, measure: Measure
) -> Iterator[tuple[Floats, Callable[[Ids], Ids], Floats, Ids]]:
    if comparisons.left is None or comparisons.right is None or comparisons.same is None:
        yield from _all_pairs(gallery, probe, comparisons.subjects, measure)
        return
    for start in range(0, len(comparisons.left), _LISTED):
        part = slice(start, start + _LISTED)
        left, right, same = comparisons.left[part], comparisons.right[part], comparisons.same[part]
        scores = measure.listed(gallery[left], probe[right])
        impostors = np.where(same, NO_PAIR, scores)
        yield impostors, partial(np.add, start), scores[same], start + np.flatnonzero(same)


def _all_pairs(
    gallery: Floats, probe: Floats, subjects: Ids, measure: Measure
) -> Iterator[tuple[Floats, Callable[[Ids], Ids], Floats, Ids]]:
    """Each pair once: every image with the images after it."""
    count = len(subjects)
    # Images are grouped by subject and keep their order within a group. So the genuine partners
    # of an image that come after it in the data are the rest of its group.
    order = np.argsort(subjects, kind="stable")
    place = np.argsort(order, kind="stable")
    partners = np.searchsorted(subjects[order], subjects, side="right") - place - 1
    for start in range(0, count, _ROWS):
        stop = min(start + _ROWS, count)
        scores = measure.table(gallery[start:stop], probe[start:])

        def ids(flat: Ids, start: int = start) -> Ids:
            row, column = np.divmod(flat, count - start)
            return (start + row) * count + start + column

        number = partners[start:stop]
        row = np.repeat(np.arange(len(number)), number)
        nth = np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number)
        column = order[place[start + row] + 1 + nth] - start
        genuine = scores[row, column]
        scores[row, column] = NO_PAIR
        scores[np.tril_indices(len(number))] = NO_PAIR
        yield scores, ids, genuine, ids(row * (count - start) + column)


def pair_images(comparisons: Comparisons, ids: Ids) -> tuple[Ids, Ids]:
    """Indices of the two images of each pair id."""
    if comparisons.left is None or comparisons.right is None:
        return ids // len(comparisons.subjects), ids % len(comparisons.subjects)
    return comparisons.left[ids], comparisons.right[ids]


class Largest:
    """The largest scores so far, descending; ties are sorted by id, for a reproducible order.

    NaN counts as infinite. Later blocks must have larger ids.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._scores = np.empty(0, np.float32)
        self._ids = np.empty(0, np.int64)
        self._cut = _LOWEST  # smallest score that can still be among the largest

    def add(self, scores: PairScores) -> None:
        """Add the scores that may be among the largest, as exact scores."""
        with np.errstate(over="ignore"):
            lowest = self._cut - scores.slack
        chosen = not_below(scores.values, lowest)
        found = scores.values.reshape(-1)[chosen]
        if len(found) > self._keep:
            smallest = _nth_largest(found, self._keep)
            chosen = chosen[not_below(found, smallest - 2 * scores.slack)]
        ids = scores.ids(chosen)
        exact = np.nan_to_num(scores.exact(ids), nan=np.inf, posinf=np.inf)
        self._scores = np.concatenate([self._scores, exact])
        self._ids = np.concatenate([self._ids, ids])
        if len(self._scores) > self._keep:
            self._trim()

    def sorted(self) -> tuple[Floats, Ids]:
        """The largest scores, descending, and their ids."""
        order = np.argsort(-self._scores, kind="stable")[: self._keep]
        return self._scores[order], self._ids[order]

    def _trim(self) -> None:
        """Drop scores that can no longer be among the largest; the rest stays in order of id."""
        smallest = _nth_largest(self._scores, self._keep)
        kept = self._scores > smallest
        ties = np.flatnonzero(self._scores == smallest)
        kept[ties[: self._keep - np.count_nonzero(kept)]] = True
        self._scores, self._ids = self._scores[kept], self._ids[kept]
        self._cut = smallest


def not_below(scores: Floats, threshold: np.float32) -> Ids:
    """Flat indices, ascending, of the scores that are not below a threshold, NaN included.

    An element without a pair is never selected.
    """
    return np.flatnonzero(~(scores < max(threshold, _LOWEST)))


def _nth_largest(scores: Floats, number: int) -> np.float32:
    place = len(scores) - number
    found: np.float32 = np.partition(scores, place)[place]
    return found
