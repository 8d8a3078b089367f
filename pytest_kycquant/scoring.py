"""Scores of face comparisons: errors at a threshold, extremes, and the choice of a threshold.

One convention everywhere: accept iff score >= threshold. The score is the cosine between two
embeddings. A pair with a non-finite embedding is its own worst case: an impostor pair is
accepted, a genuine pair rejected (``nan >= t`` is False and would *lower* FAR).
Memory is O(block x images): the score matrix is never held whole.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    accepts: list[Ids] = [np.empty(0, np.int64)]  # there may be no comparison at all
    rejects: list[Ids] = [np.empty(0, np.int64)]
    for block in blocks(gallery, probe, comparisons):
        wrong = (block.scores >= np.float32(threshold)) != block.same
        wrong |= np.isnan(block.scores)
        ids, genuine = block.select(wrong)
        accepts.append(ids[~genuine])
        rejects.append(ids[genuine])
    return PairErrors(np.concatenate(accepts), np.concatenate(rejects))


def extremes(gallery: Floats, probe: Floats, comparisons: Comparisons, keep: int) -> Extremes:
    """Keep the `keep` highest impostor scores (descending) and the 30 lowest genuine scores."""
    top, low = Largest(keep), Largest(RULE_OF_30)
    for block in blocks(gallery, probe, comparisons):
        broken = np.isnan(block.scores)
        top.add(block, np.where(broken, np.float32(np.inf), block.scores), ~block.same)
        low.add(block, np.where(broken, np.float32(np.inf), -block.scores), block.same)
    return Extremes(top.scores, top.ids, -low.scores, low.ids)


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
    """Some comparisons: scores, whether they are genuine and whether they count (same shape).

    `ids` is computed for the few that are selected only.
    """

    scores: Floats
    same: NDArray[np.bool_]
    counts: NDArray[np.bool_]
    first_id: int
    stride: int

    def select(self, chosen: NDArray[np.bool_]) -> tuple[Ids, NDArray[np.bool_]]:
        """Ids of the chosen comparisons that count, and whether each is genuine."""
        chosen = chosen & self.counts
        index = np.nonzero(chosen)
        ids = index[-1].astype(np.int64) + self.first_id
        if len(index) == 2:
            ids += index[0] * self.stride
        return ids, self.same[index]


def blocks(gallery: Floats, probe: Floats, comparisons: Comparisons) -> Iterator[Block]:
    """Yield the comparisons in blocks, in the order of their ids."""
    subjects = comparisons.subjects
    count = len(subjects)
    if comparisons.left is None or comparisons.right is None or comparisons.same is None:
        for start in range(0, count, _ROWS):
            stop = min(start + _ROWS, count)
            scores = gallery[start:stop] @ probe[start:].T
            same = subjects[start:stop, None] == subjects[None, start:]
            # Each pair once: image i with the images after it.
            counts = np.ones(scores.shape, np.bool_)
            counts[:, : stop - start] = np.triu(counts[:, : stop - start], 1)
            yield Block(scores, same, counts, start * count + start, count)
        return
    for start in range(0, len(comparisons.left), _LISTED):
        part = slice(start, start + _LISTED)
        left, right = comparisons.left[part], comparisons.right[part]
        scores = np.einsum("ij,ij->i", gallery[left], probe[right])
        everything = np.ones(len(left), np.bool_)
        yield Block(scores, comparisons.same[part], everything, start, 0)


class Largest:
    """The largest scores seen, descending; ties by id, so that the order is reproducible."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self.scores = np.empty(0, np.float32)
        self.ids = np.empty(0, np.int64)

    def add(self, block: Block, scores: Floats, wanted: NDArray[np.bool_]) -> None:
        """Take in the wanted comparisons of a block."""
        wanted = wanted & block.counts
        if len(self.scores) == self._keep:
            wanted &= scores >= self.scores[-1]
        ids, _ = block.select(wanted)
        found = scores[wanted]
        if len(found) > self._keep:
            # All ties of the smallest kept score stay in, so that the order below sees them.
            border = np.partition(found, len(found) - self._keep)[len(found) - self._keep]
            inside = found >= border
            found, ids = found[inside], ids[inside]
        found, ids = np.concatenate([self.scores, found]), np.concatenate([self.ids, ids])
        order = np.lexsort((ids, -found))[: self._keep]
        self.scores, self.ids = found[order], ids[order]
