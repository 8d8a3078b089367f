"""All pairs of images decided by FP32 and by a variant: which flipped, and which cannot have.

The certificate is geometry. Unit embeddings lie on a sphere, where angles obey the triangle
inequality: if quantization turns the embeddings of two images by theta_i and theta_j, the angle
between the two changes by at most theta_i + theta_j. So a score s at a threshold t keeps its
decision if ``|arccos s - arccos t| > theta_i + theta_j``, whatever is on the images.
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

_ROWS = 256  # of the matrix of scores at a time
_ANGLE = 1e-7  # radians; more than the float64 functions below can err


@dataclass(frozen=True, eq=False)
class Flips:
    """Pairs that a variant decides otherwise than FP32, as pair ids; no pair is in both.

    Args:
        accepts: accepted by the variant only.
        rejects: accepted by FP32 only.
        closest: the 30 pairs that flipped furthest or came closest to it.
    """

    accepts: Ids
    rejects: Ids
    closest: Ids

    def rate(self, pairs: Comparisons) -> Rate:
        """Share of the pairs that flipped; pairs share images, each of which is a subject.

        Where there are fewer than 10 flips the design effect of `closest` stands in.
        """
        flipped = np.concatenate([self.accepts, self.rejects])
        counts = counts_of(pairs, flipped, genuine=False)
        closest = counts_of(pairs, self.closest, genuine=False)
        return rate_from(counts, closest, per_subject=False)


def pairs_of(images: int) -> Comparisons:
    """Every image with every other, each of somebody else: nobody says who is on them."""
    return Comparisons(np.arange(images, dtype=np.int64))


def flips_at(
    fp32: Floats, gallery: Floats, probe: Floats, pairs: Comparisons, threshold: float
) -> Flips:
    """Find the pairs that are decided otherwise than by FP32 on both sides.

    A pair without a score, since an embedding is broken, has flipped. Memory is O(block x images)
    beside the flips themselves.

    Args:
        fp32: (N, D) unit embeddings of FP32.
        gallery: (N, D) unit embeddings of the enrolled side, of the same images.
        probe: (N, D) unit embeddings of the presented side.
        pairs: of N images, each of somebody else.
        threshold: accept iff score >= threshold.
    """
    limit = np.float32(threshold)
    accepts, rejects, closest = [], [], Largest(RULE_OF_30)

    def past(theirs: Floats, mine: Floats) -> Floats:
        """How far the decision of the variant is beyond flipping; negative if it has not."""
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
    """Angle between the embeddings of each image in radians; pi where one of them is broken.

    By the chord: arccos of the cosine loses half of the digits of a small angle.

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
    """Find the scores whose decision provably is the same after the embeddings have turned.

    It holds for scores computed in float32 in whatever order (see `pair_scores.rounding`).

    Args:
        scores: cosines of FP32, float32 of any shape.
        turned: sum of the two angles between FP32 and the variant, in radians; same shape. If one
            side is a stored FP32 template it turns by nothing, so this sum bounds that, too.
        threshold: accept iff score >= threshold.
        dimensions: of the embeddings, D.
    """
    errs = rounding(dimensions)
    limit, exact = float(np.float32(threshold)), scores.astype(np.float64)
    accepted = exact >= limit
    # Both scores may err, each to the side that speaks against the certificate.
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
        threshold: accept iff score >= threshold.
    """
    images, dimensions = fp32.shape
    count, total = 0, images * (images - 1) // 2
    for start in range(0, images, _ROWS):
        rows = slice(start, start + _ROWS)
        sums = turned[rows, None] + turned[None, start:]
        kept = certified(fp32[rows] @ fp32[start:].T, sums, threshold, dimensions)
        count += int(np.triu(kept, 1).sum())
    return count / total if total else 0.0
