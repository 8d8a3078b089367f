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
from .statistics import Counts, Rate, rate, small_sample_floor

if TYPE_CHECKING:
    from .data.pairs import Comparisons

_BLOCK = 1024
RULE_OF_30 = 30  # errors needed for a trustworthy design effect (Doddington)

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
    for scores, ids, same in _blocks(gallery, probe, comparisons):
        broken = np.isnan(scores)
        accepted = scores >= np.float32(threshold)
        accepts.append(ids[~same & (accepted | broken)])
        rejects.append(ids[same & (~accepted | broken)])
    return PairErrors(np.concatenate(accepts), np.concatenate(rejects))


def extremes(gallery: Floats, probe: Floats, comparisons: Comparisons, keep: int) -> Extremes:
    """Keep the `keep` highest impostor scores (descending) and the 30 lowest genuine scores."""
    top = (np.empty(0, np.float32), np.empty(0, np.int64))
    low = (np.empty(0, np.float32), np.empty(0, np.int64))
    for scores, ids, same in _blocks(gallery, probe, comparisons):
        impostor = np.where(np.isnan(scores), np.float32(np.inf), scores)[~same]
        genuine = np.where(np.isnan(scores), np.float32(-np.inf), scores)[same]
        top = _largest(*top, impostor, ids[~same], keep)
        low = _largest(low[0], low[1], -genuine, ids[same], RULE_OF_30)
    return Extremes(top[0], top[1], -low[0], low[1])


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
            "give `selection` more identities, or set `threshold`",
        )
    low, high = 0, len(scores)  # holds(low); the first failure is at or before high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return float(np.nextafter(scores[low], np.float32(np.inf)))


def _blocks(
    gallery: Floats, probe: Floats, comparisons: Comparisons
) -> Iterator[tuple[Floats, Ids, NDArray[np.bool_]]]:
    """Yield (scores, pair ids, same subject) in blocks, in a fixed order."""
    subjects = comparisons.subjects
    count = len(subjects)
    if comparisons.left is None or comparisons.right is None or comparisons.same is None:
        for start in range(0, count, _BLOCK):
            rows = slice(start, min(start + _BLOCK, count))
            scores = gallery[rows] @ probe[start:].T
            i, j = np.triu_indices(scores.shape[0], 1, scores.shape[1])
            left, right = i + start, j + start
            yield scores[i, j], left * count + right, subjects[left] == subjects[right]
        return
    size = _BLOCK * 16
    for start in range(0, len(comparisons.left), size):
        part = slice(start, start + size)
        left, right = comparisons.left[part], comparisons.right[part]
        scores = np.einsum("ij,ij->i", gallery[left], probe[right])
        yield scores, np.arange(start, start + len(left), dtype=np.int64), comparisons.same[part]


def _largest(
    scores: Floats, ids: Ids, more_scores: Floats, more_ids: Ids, keep: int
) -> tuple[Floats, Ids]:
    """Merge and keep the largest, descending, ties by id so that the order is reproducible."""
    if len(more_scores) > keep:
        # All ties of the smallest kept score stay in, so that the choice below sees them.
        border = np.partition(more_scores, len(more_scores) - keep)[len(more_scores) - keep]
        inside = more_scores >= border
        more_scores, more_ids = more_scores[inside], more_ids[inside]
    scores, ids = np.concatenate([scores, more_scores]), np.concatenate([ids, more_ids])
    order = np.lexsort((ids, -scores))[:keep]
    return scores[order], ids[order]
