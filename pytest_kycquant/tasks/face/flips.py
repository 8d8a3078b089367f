"""All pairs of images decided by FP32 and by a variant: which flipped, and which cannot have?

The certificate is geometry. Unit embeddings lie on a sphere, where angles obey the triangle
inequality: if quantization turns the embeddings of two images by theta_i and theta_j, the angle
between the two changes by at most theta_i + theta_j. So a score s at a threshold t keeps its
decision if ``|arccos s - arccos t| > theta_i + theta_j``, whatever the images show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...data.pairs import Comparisons
from ...statistics import (
    RULE_OF_30,
    Rate,
)
from ..rates import rate_from
from .pair_scores import (
    Floats,
    Ids,
    Largest,
    PairScores,
    blocks,
    rounding,
)
from .scores import counts_of

_ROWS = 256  # rows of the score matrix at a time
_ANGLE = 1e-7  # radians; more than the error of the float64 functions below


@dataclass(frozen=True, eq=False)
class Flips:
    """Pairs that a variant decides differently from FP32, as pair ids.

    Args:
        accepts: ids of the pairs that only the variant accepts.
        rejects: ids of the pairs that only FP32 accepts.
        closest: ids of the 30 pairs that flipped furthest or came closest to flipping.
    """

    accepts: Ids
    rejects: Ids
    closest: Ids

    def rate(self, pairs: Comparisons) -> Rate:
        """Share of the pairs that flipped; pairs share images, so each image is a subject.

        If there are fewer than 10 flips, the design effect of `closest` is used.
        """
        flipped = np.concatenate([self.accepts, self.rejects])
        counts = counts_of(pairs, flipped, genuine=False)
        closest = counts_of(pairs, self.closest, genuine=False)
        return rate_from(counts, closest, per_subject=False)


def pairs_of(images: int) -> Comparisons:
    """Compare every image with every other; without labels each shows a different person."""
    return Comparisons(np.arange(images, dtype=np.int64))


def flips_at(
    fp32: Floats, gallery: Floats, probe: Floats, pairs: Comparisons, threshold: float
) -> Flips:
    """Find the pairs whose decision differs from that of FP32 on both sides.

    A pair with a broken embedding has no score and counts as flipped. Memory is O(block x images)
    plus the flips themselves.

    Args:
        fp32: (N, D) unit embeddings of FP32.
        gallery: (N, D) unit embeddings of the enrolled side, of the same images.
        probe: (N, D) unit embeddings of the presented side.
        pairs: the pairs of N images, each of a different person.
        threshold: the decision threshold; accept iff score >= threshold.
    """
    limit = np.float32(threshold)
    accepts, rejects, closest = [], [], Largest(RULE_OF_30)

    def past(theirs: Floats, mine: Floats) -> Floats:
        """How far the variant's score is across the threshold from FP32's; negative if not."""
        found = np.where(theirs >= limit, limit - mine, mine - limit)
        found[np.isnan(theirs) | np.isnan(mine)] = np.inf
        return found

    ours = blocks(gallery, probe, pairs)
    for (theirs, _), (mine, _) in zip(blocks(fp32, fp32, pairs), ours, strict=True):
        theirs.settle(limit)
        mine.settle(limit)
        accepted = theirs.values >= limit
        flipped = (mine.values >= limit) != accepted
        flipped |= np.isnan(theirs.values) | np.isnan(mine.values)
        accepts.append(mine.ids(np.flatnonzero(flipped & ~accepted)))
        rejects.append(mine.ids(np.flatnonzero(flipped & accepted)))

        def exact(ids: Ids, theirs: PairScores = theirs, mine: PairScores = mine) -> Floats:
            return past(theirs.exact(ids), mine.exact(ids))

        closest.add(PairScores(past(theirs.values, mine.values), mine.ids, exact, mine.slack))
    return Flips(np.concatenate(accepts), np.concatenate(rejects), closest.sorted()[1])


def angles(one: Floats, other: Floats) -> NDArray[np.float64]:
    """Angle between the embeddings of each image in radians; pi if one of them is broken.

    It is computed from the chord: arccos of the cosine loses half of the digits of a small angle.

    Args:
        one: (N, D) unit embeddings.
        other: (N, D) unit embeddings of the same images.
    """
    first, second = (
        wide / np.linalg.norm(wide, axis=1, keepdims=True)
        for wide in (unit.astype(np.float64) for unit in (one, other))
    )
    chord = np.linalg.norm(first - second, axis=1)
    found: NDArray[np.float64] = 2 * np.arcsin(np.minimum(chord / 2, 1.0))
    return np.nan_to_num(found, nan=np.pi)


def certified(
    scores: Floats, turned: NDArray[np.float64], threshold: float, dimensions: int
) -> NDArray[np.bool_]:
    """Find the scores whose decision is provably the same after the embeddings have turned.

    The proof covers scores computed in float32 in any order (see `pair_scores.rounding`).

    Args:
        scores: cosines of FP32, float32 of any shape.
        turned: sum of the two angles between FP32 and the variant, in radians; same shape. A stored
            FP32 template does not turn, so the sum is an upper bound for it as well.
        threshold: the decision threshold; accept iff score >= threshold.
        dimensions: the dimension of the embeddings, D.
    """
    errs = rounding(dimensions)
    limit, exact = float(np.float32(threshold)), scores.astype(np.float64)
    accepted = exact >= limit
    # Both scores may be off, each in the direction that is worse for the certificate.
    apart = np.arccos(np.clip(np.where(accepted, exact - errs, exact + errs), -1.0, 1.0))
    above, below = np.arccos(np.clip([limit + errs, limit - errs], -1.0, 1.0))
    stays_accepted = apart + turned + _ANGLE < above
    stays_rejected = apart - turned - _ANGLE > below
    found: NDArray[np.bool_] = np.where(accepted, stays_accepted, stays_rejected)
    return found


def certified_share(fp32: Floats, turned: NDArray[np.float64], threshold: float) -> float:
    """Share of all pairs whose decision provably cannot have flipped; 0.0 if there are none.

    Args:
        fp32: (N, D) unit embeddings of FP32.
        turned: (N,) angle between each embedding and that of the variant, in radians.
        threshold: the decision threshold; accept iff score >= threshold.
    """
    images, dimensions = fp32.shape
    count, total = 0, images * (images - 1) // 2
    for start in range(0, images, _ROWS):
        rows = slice(start, start + _ROWS)
        sums = turned[rows, None] + turned[None, start:]
        kept = certified(fp32[rows] @ fp32[start:].T, sums, threshold, dimensions)
        count += int(np.triu(kept, 1).sum())
    return count / total if total else 0.0
