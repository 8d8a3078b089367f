"""Scores of face comparisons: errors at a threshold, extremes, and the choice of a threshold.

One convention everywhere: accept iff score >= threshold. The score is the cosine between two
embeddings. A pair with a non-finite embedding is its own worst case: an impostor pair is
accepted, a genuine pair rejected (``nan >= t`` is False and would *lower* FAR).
Memory is O(block x images): the score matrix is never held whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .errors import DataError
from .statistics import RULE_OF_30, Counts, Rate, rate, small_sample_floor

if TYPE_CHECKING:
    from .data.pairs import Comparisons

_ROWS = 256  # of the score matrix at a time
_LISTED = 65_536  # listed pairs at a time
_SPARE = 65_536  # scores that are held before the smallest are dropped

NO_PAIR = np.float32(-np.inf)
"""Stands where there is no score; below every threshold."""
_LOWEST = np.finfo(np.float32).min

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class PairErrors:
    """Which comparisons were decided wrongly, as sorted pair ids (int64)."""

    false_accepts: Ids
    false_rejects: Ids


@dataclass(frozen=True)
class Extremes:
    """The most dangerous comparisons: highest impostor and lowest genuine scores, with ids."""

    impostor_scores: Floats
    impostor_ids: Ids
    genuine_scores: Floats
    genuine_ids: Ids


def normalise(embeddings: Floats) -> Floats:
    """Scale rows to unit length; rows that are not finite or are zero become NaN."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        norms = np.linalg.norm(embeddings.astype(np.float64), axis=1, keepdims=True)
        unit: Floats = (embeddings / norms).astype(np.float32)
    unit[~np.isfinite(unit).all(axis=1)] = np.nan
    return unit


def errors_at(
    gallery: Floats, probe: Floats, comparisons: Comparisons, threshold: float
) -> PairErrors:
    """Find the false accepts and false rejects at a threshold.

    Args:
        gallery: (N, D) unit embeddings of the enrolled side (see `normalise`).
        probe: (N, D) unit embeddings of the presented side, of the same images.
        comparisons: which pairs to compare and which of them are genuine.
        threshold: accept iff score >= threshold.
    """
    accepts: list[Ids] = []
    rejects: list[Ids] = []
    limit = np.float32(threshold)
    for block in blocks(gallery, probe, comparisons):
        accepts.append(block.ids(not_below(block.impostors, limit)))
        rejects.append(block.genuine_ids[~(block.genuine >= limit)])
    return PairErrors(np.concatenate(accepts), np.concatenate(rejects))


def extremes(gallery: Floats, probe: Floats, comparisons: Comparisons, keep: int) -> Extremes:
    """Keep the `keep` highest impostor scores (descending) and the 30 lowest genuine scores."""
    top, low = Largest(keep), Largest(RULE_OF_30)
    for block in blocks(gallery, probe, comparisons):
        top.add(block.impostors, block.ids)
        low.add(-block.genuine, block.genuine_ids.__getitem__)
    impostor_scores, impostor_ids = top.sorted()
    genuine_scores, genuine_ids = low.sorted()
    return Extremes(impostor_scores, impostor_ids, -genuine_scores, genuine_ids)


def counts_of(comparisons: Comparisons, ids: Ids, *, genuine: bool) -> Counts:
    """Count errors per subject: an impostor pair touches two subjects, a genuine pair one."""
    total = comparisons.n_genuine if genuine else comparisons.n_impostor
    if not comparisons.has_subjects:
        nobody = np.empty(0, np.int64)
        return Counts(len(ids), total, nobody, nobody)
    left, right = pair_images(comparisons, ids)
    subjects = comparisons.subjects
    trials = comparisons.subject_trials(genuine)
    errors = np.bincount(subjects[left], minlength=len(trials))
    if not genuine:
        errors = errors + np.bincount(subjects[right], minlength=len(trials))
    return Counts(len(ids), total, errors.astype(np.int64), trials)


def pair_images(comparisons: Comparisons, ids: Ids) -> tuple[Ids, Ids]:
    """Indices of the two images of each pair id."""
    if comparisons.left is None or comparisons.right is None:
        return ids // len(comparisons.subjects), ids % len(comparisons.subjects)
    return comparisons.left[ids], comparisons.right[ids]


def error_rate(comparisons: Comparisons, ids: Ids, reference: Ids | None, *, genuine: bool) -> Rate:
    """Error rate with the design-effect interval.

    Args:
        comparisons: all pairs that were compared.
        ids: the pairs that were decided wrongly.
        reference: the 30 worst pairs of the same scores, which stand in for the design effect
            when there are fewer than 10 errors; None if unknown.
        genuine: whether these are genuine pairs (FRR) or impostor pairs (FAR).
    """
    counts = counts_of(comparisons, ids, genuine=genuine)
    known = counts_of(comparisons, reference, genuine=genuine) if reference is not None else None
    floor = small_sample_floor(counts, known, per_subject=genuine)
    return rate(counts, deff_floor=floor)


def select_threshold(embeddings: Floats, comparisons: Comparisons, limit: float) -> float:
    """Smallest threshold whose upper bound of FAR stays below `limit` on these subjects.

    Args:
        embeddings: (N, D) unit embeddings by the FP32 model.
        comparisons: pairs of the selection split.
        limit: of the false accept rate.

    Raises:
        DataError: the split is too small for any threshold to show the limit.
    """
    keep = max(RULE_OF_30, int(limit * comparisons.n_impostor) + 1)
    found = extremes(embeddings, embeddings, comparisons, keep)
    scores, ids = found.impostor_scores, found.impostor_ids
    reference = ids[:RULE_OF_30]

    def holds(k: int) -> bool:
        """Whether the k-th score, excluded, leaves a bound below the limit."""
        accepted = int(np.searchsorted(-scores, -scores[k], side="left"))  # ties go together
        far = error_rate(comparisons, ids[:accepted], reference, genuine=False)
        return far.supported and far.upper < limit

    if not holds(0):
        far = error_rate(comparisons, ids[:0], reference, genuine=False)
        raise DataError(
            "threshold selection",
            f"even zero errors in {comparisons.n_impostor:,} impostor comparisons of "
            f"{far.subjects} identities leave FAR below {far.upper:.3%} only, not {limit:.3%}",
            "give `selection` more identities, raise `selection_far`, or set `threshold`",
        )
    low, high = 0, len(scores)  # holds(low); the first failure is at or before high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return float(np.nextafter(scores[low], np.float32(np.inf)))


@dataclass(frozen=True)
class Block:
    """Some comparisons, in the order of their ids.

    Few pairs are genuine, so they are set apart: what is left needs one comparison with a
    threshold and no matrix beside it that says what each score is.

    Args:
        impostors: scores; `NO_PAIR` where there is no impostor pair. (rows, columns) of the score
            matrix, or (P,) of listed pairs.
        first_id: of the first score.
        stride: from one row to the next.
        genuine: scores of the genuine pairs.
        genuine_ids: their ids.
    """

    impostors: Floats
    first_id: int
    stride: int
    genuine: Floats
    genuine_ids: Ids

    def ids(self, flat: Ids) -> Ids:
        """Ids of impostor pairs, by their indices in the flattened scores."""
        row, column = np.divmod(flat, self.impostors.shape[-1])
        return self.first_id + row * self.stride + column


def not_below(scores: Floats, threshold: np.float32) -> Ids:
    """Flat indices, ascending, of the scores that are not below a threshold: NaN is one.

    A place without a pair is never among them.
    """
    return np.flatnonzero(~(scores < max(threshold, _LOWEST)))


def blocks(gallery: Floats, probe: Floats, comparisons: Comparisons) -> Iterator[Block]:
    """Yield the comparisons in blocks, in the order of their ids."""
    if comparisons.left is None or comparisons.right is None or comparisons.same is None:
        yield from _all_pairs(gallery, probe, comparisons.subjects)
        return
    for start in range(0, len(comparisons.left), _LISTED):
        part = slice(start, start + _LISTED)
        left, right, same = comparisons.left[part], comparisons.right[part], comparisons.same[part]
        scores = np.einsum("ij,ij->i", gallery[left], probe[right])
        impostors = np.where(same, NO_PAIR, scores)
        yield Block(impostors, start, 0, scores[same], start + np.flatnonzero(same))


def _all_pairs(gallery: Floats, probe: Floats, subjects: Ids) -> Iterator[Block]:
    """Each pair once: every image with the images after it."""
    count = len(subjects)
    # With images grouped by subject, in order, the genuine partners of an image that come after
    # it in the data are those from it up to the end of its group.
    order = np.argsort(subjects, kind="stable")
    place = np.argsort(order, kind="stable")
    partners = np.searchsorted(subjects[order], subjects, side="right") - place - 1
    for start in range(0, count, _ROWS):
        stop = min(start + _ROWS, count)
        scores = gallery[start:stop] @ probe[start:].T
        number = partners[start:stop]
        row = np.repeat(np.arange(len(number)), number)
        nth = np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number)
        column = order[place[start + row] + 1 + nth] - start
        genuine = scores[row, column]
        scores[row, column] = NO_PAIR
        scores[np.tril_indices(len(number))] = NO_PAIR
        first = start * count + start
        yield Block(scores, first, count, genuine, first + row * count + column)


class Largest:
    """The largest scores seen, descending; ties by id, so that the order is reproducible.

    NaN counts as infinite. What is added later must have larger ids.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._scores = np.empty(0, np.float32)
        self._ids = np.empty(0, np.int64)
        self._cut = _LOWEST  # smallest score that may still get in

    def add(self, scores: Floats, ids: Callable[[Ids], Ids]) -> None:
        """Take in scores of any shape, with a function from flat indices to ids."""
        chosen = not_below(scores, self._cut)
        found = scores.ravel()[chosen]
        found[np.isnan(found)] = np.inf
        self._scores = np.concatenate([self._scores, found])
        self._ids = np.concatenate([self._ids, ids(chosen)])
        if len(self._scores) >= self._keep + max(self._keep, _SPARE):
            self._trim()

    def sorted(self) -> tuple[Floats, Ids]:
        """Scores and ids."""
        order = np.argsort(-self._scores, kind="stable")[: self._keep]
        return self._scores[order], self._ids[order]

    def _trim(self) -> None:
        """Drop what cannot be among the largest any more; what is left stays in order of id."""
        place = len(self._scores) - self._keep
        smallest = np.partition(self._scores, place)[place]
        kept = self._scores > smallest
        ties = np.flatnonzero(self._scores == smallest)
        kept[ties[: self._keep - np.count_nonzero(kept)]] = True
        self._scores, self._ids = self._scores[kept], self._ids[kept]
        self._cut = np.nextafter(smallest, np.float32(np.inf))  # of ties the first ones stay
