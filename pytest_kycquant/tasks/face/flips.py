"""All pairs of images decided by FP32 and by a variant: which flipped?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...data.pairs import Comparisons
from ...statistics import (
    RULE_OF_30,
    Rate,
)
from ..rates import rate_from
from .measures import COSINE, Floats, Measure
from .pair_scores import (
    Ids,
    Largest,
    PairScores,
    blocks,
)
from .scores import counts_of


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
    fp32: Floats,
    gallery: Floats,
    probe: Floats,
    pairs: Comparisons,
    threshold: float,
    measure: Measure = COSINE,
) -> Flips:
    """Find the pairs whose decision differs from that of FP32 on both sides.

    A pair with a broken embedding has no score and counts as flipped. Memory is O(block x images)
    plus the flips themselves.

    Args:
        fp32: (N, D) embeddings of FP32, as `measure` prepares them.
        gallery: (N, D) embeddings of the enrolled side, of the same images.
        probe: (N, D) embeddings of the presented side.
        pairs: the pairs of N images, each of a different person.
        threshold: the decision threshold in the user's unit.
        measure: how alike two embeddings are.
    """
    limit = measure.limit(threshold)
    accepts, rejects, closest = [], [], Largest(RULE_OF_30)

    def past(theirs: Floats, mine: Floats) -> Floats:
        """How far the variant's score is across the threshold from FP32's; negative if not."""
        found = np.where(theirs >= limit, limit - mine, mine - limit)
        found[np.isnan(theirs) | np.isnan(mine)] = np.inf
        return found

    ours = blocks(gallery, probe, pairs, measure)
    for (theirs, _), (mine, _) in zip(blocks(fp32, fp32, pairs, measure), ours, strict=True):
        theirs.settle(limit)
        mine.settle(limit)
        accepted = theirs.values >= limit
        flipped = (mine.values >= limit) != accepted
        flipped |= np.isnan(theirs.values) | np.isnan(mine.values)
        accepts.append(mine.ids(np.flatnonzero(flipped & ~accepted)))
        rejects.append(mine.ids(np.flatnonzero(flipped & accepted)))

        def exact(ids: Ids, theirs: PairScores = theirs, mine: PairScores = mine) -> Floats:
            return past(theirs.exact(ids), mine.exact(ids))

        slack = max(theirs.slack, mine.slack)
        closest.add(PairScores(past(theirs.values, mine.values), mine.ids, exact, slack))
    return Flips(np.concatenate(accepts), np.concatenate(rejects), closest.sorted()[1])
