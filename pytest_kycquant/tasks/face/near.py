"""The comparisons that FP32 decides right, nearest to the threshold, and how far their scores move.

See `statistics.moves` for what this says about newly wrong decisions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...statistics import Moves
from .measures import COSINE, Floats, Measure
from .pair_scores import NO_PAIR, Ids, Largest, PairScores, blocks, pair_images

if TYPE_CHECKING:
    from ...data.pairs import Comparisons

KEEP = 2000  # comparisons of each kind; more say nothing about the neighbourhood of the threshold
_AT_ONCE = 4096  # pairs whose embeddings are copied at the same time


@dataclass(frozen=True, eq=False)
class Near:
    """Comparisons near the threshold with the right decision, the nearest first, as pair ids.

    Args:
        impostor_ids: rejected impostor pairs, by descending score.
        genuine_ids: accepted genuine pairs, by ascending score.
    """

    impostor_ids: Ids
    genuine_ids: Ids


def near_threshold(
    fp32: Floats, comparisons: Comparisons, threshold: float, measure: Measure = COSINE
) -> Near:
    """Find the comparisons nearest to the threshold that FP32 decides right.

    Args:
        fp32: (N, D) embeddings of FP32, as `measure` prepares them.
        comparisons: the pairs to compare.
        threshold: the decision threshold in the user's unit.
        measure: how alike two embeddings are.
    """
    limit = measure.limit(threshold)
    below, above = Largest(KEEP), Largest(KEEP)
    for impostors, genuine in blocks(fp32, fp32, comparisons, measure):
        impostors.settle(limit)
        genuine.settle(limit)
        below.add(_only(impostors, impostors.values < limit, 1))
        above.add(_only(genuine, genuine.values >= limit, -1))
    return Near(below.sorted()[1], above.sorted()[1])


def moves_of(
    fp32: Floats,
    gallery: Floats,
    probe: Floats,
    comparisons: Comparisons,
    threshold: float,
    near: Near,
    *,
    genuine: bool,
    measure: Measure = COSINE,
) -> Moves | None:
    """How far the scores of these comparisons move towards the threshold; None without subjects.

    Args:
        fp32: (N, D) embeddings of FP32, as `measure` prepares them.
        gallery: (N, D) embeddings of the enrolled side of the variant.
        probe: (N, D) embeddings of the presented side of the variant.
        comparisons: the pairs to compare.
        threshold: the decision threshold in the user's unit.
        near: the comparisons near the threshold.
        genuine: whether to look at genuine pairs (FRR) or at impostor pairs (FAR).
        measure: how alike two embeddings are.
    """
    if not comparisons.has_subjects:
        return None
    ids = near.genuine_ids if genuine else near.impostor_ids
    left, right = pair_images(comparisons, ids)
    before = scores_of(fp32, fp32, left, right, measure)
    after = scores_of(gallery, probe, left, right, measure)
    limit = float(measure.limit(threshold))
    sign = 1.0 if genuine else -1.0
    subjects = comparisons.subjects
    who = subjects[left] if genuine else np.stack([subjects[left], subjects[right]], axis=1)
    return Moves(
        # Rounding may put a score that was settled in float32 on the other side by a last bit.
        np.maximum(sign * (before - limit), 0.0),
        np.nan_to_num(sign * (before - after), nan=np.inf, posinf=np.inf),
        who,
        comparisons.n_genuine if genuine else comparisons.n_impostor,
        int(np.count_nonzero(comparisons.subject_trials(genuine))),
    )


def _only(scores: PairScores, kept: NDArray[np.bool_], sign: int) -> PairScores:
    """The scores, or the negated ones (sign -1), of the pairs that are decided right."""

    def exact(ids: Ids) -> Floats:
        found: Floats = sign * scores.exact(ids)
        return found

    values = np.where(kept, sign * scores.values, NO_PAIR)
    return PairScores(values, scores.ids, exact, scores.slack)


def scores_of(
    gallery: Floats, probe: Floats, left: Ids, right: Ids, measure: Measure
) -> NDArray[np.float64]:
    """Scores in float64, which do not depend on threads; NaN for a broken embedding."""
    found = np.empty(len(left), np.float64)
    for start in range(0, len(left), _AT_ONCE):  # a broken model can have all pairs wrong
        part = slice(start, start + _AT_ONCE)
        found[part] = measure.exact(gallery[left[part]], probe[right[part]])
    return found
