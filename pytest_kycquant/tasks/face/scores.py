"""Scores of face comparisons: errors at a threshold, extremes, and the choice of a threshold.

One convention everywhere: accept iff score >= limit. The score is the cosine between two
embeddings, or a negative distance (`measures`). A pair with a non-finite embedding is its own worst
case: an impostor pair is accepted, a genuine pair rejected (``nan >= t`` is False and would *lower*
FAR).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import DataError
from ...statistics import (
    RULE_OF_30,
    Counts,
    Couples,
    Rate,
    subjects_to_decide,
)
from ..rates import chosen_for, last_that_holds, rate_from
from .measures import COSINE, Floats, Measure
from .pair_scores import (
    Ids,
    Largest,
    blocks,
    not_below,
    pair_images,
)

if TYPE_CHECKING:
    from ...data.pairs import Comparisons


@dataclass(frozen=True)
class PairErrors:
    """The comparisons with a wrong decision, as sorted pair ids (int64)."""

    false_accepts: Ids
    false_rejects: Ids


@dataclass(frozen=True)
class Extremes:
    """The most dangerous comparisons: highest impostor and lowest genuine scores, with ids."""

    impostor_scores: Floats
    impostor_ids: Ids
    genuine_scores: Floats
    genuine_ids: Ids


def errors_at(
    gallery: Floats,
    probe: Floats,
    comparisons: Comparisons,
    threshold: float,
    measure: Measure = COSINE,
) -> PairErrors:
    """Find the false accepts and false rejects at a threshold.

    Args:
        gallery: (N, D) embeddings of the enrolled side, as `measure` prepares them.
        probe: (N, D) embeddings of the presented side, of the same images.
        comparisons: the pairs to compare, and which of them are genuine.
        threshold: the decision threshold in the user's unit.
        measure: how alike two embeddings are.
    """
    accepts: list[Ids] = [np.empty(0, np.int64)]  # there may be no comparisons at all
    rejects: list[Ids] = [np.empty(0, np.int64)]
    limit = measure.limit(threshold)
    for impostors, genuine in blocks(gallery, probe, comparisons, measure):
        impostors.settle(limit)
        genuine.settle(limit)
        accepts.append(impostors.ids(not_below(impostors.values, limit)))
        rejects.append(genuine.ids(np.flatnonzero(~(genuine.values >= limit))))
    return PairErrors(np.concatenate(accepts), np.concatenate(rejects))


def extremes(
    gallery: Floats,
    probe: Floats,
    comparisons: Comparisons,
    keep: int,
    measure: Measure = COSINE,
) -> Extremes:
    """Keep the `keep` highest impostor scores (descending) and the 30 lowest genuine scores."""
    top, low = Largest(keep), Largest(RULE_OF_30)
    for impostors, genuine in blocks(gallery, probe, comparisons, measure):
        top.add(impostors)
        low.add(genuine.negated())
    impostor_scores, impostor_ids = top.sorted()
    genuine_scores, genuine_ids = low.sorted()
    return Extremes(impostor_scores, impostor_ids, -genuine_scores, genuine_ids)


def counts_of(comparisons: Comparisons, ids: Ids, *, genuine: bool) -> Counts:
    """Count errors per subject: an impostor pair has two subjects, a genuine pair one."""
    total = comparisons.n_genuine if genuine else comparisons.n_impostor
    if not comparisons.has_subjects:
        nobody = np.empty(0, np.int64)
        return Counts(len(ids), total, nobody, nobody)
    left, right = pair_images(comparisons, ids)
    subjects = comparisons.subjects
    trials = comparisons.subject_trials(genuine)
    errors = np.bincount(subjects[left], minlength=len(trials))
    couples = None
    if not genuine:
        errors = errors + np.bincount(subjects[right], minlength=len(trials))
        couples = _couples(comparisons, subjects[left], subjects[right])
    return Counts(len(ids), total, errors.astype(np.int64), trials, couples)


def _couples(comparisons: Comparisons, one: Ids, other: Ids) -> Couples:
    """Count the errors of impostor pairs by couple, given the two subjects of each."""
    people = int(comparisons.subjects.max(initial=0)) + 1
    ids = np.minimum(one, other) * people + np.maximum(one, other)
    which, errors = np.unique(ids, return_counts=True)
    trials = comparisons.couple_trials(np.stack([which // people, which % people], axis=1))
    return Couples(errors.astype(np.int64), trials, comparisons.couple_squares)


def error_rate(comparisons: Comparisons, ids: Ids, reference: Ids | None, *, genuine: bool) -> Rate:
    """Error rate with the design-effect interval.

    Args:
        comparisons: all pairs that were compared.
        ids: the pairs that were decided wrongly.
        reference: the 30 worst pairs by the same scores, whose design effect is used if there are
            fewer than 10 errors; None if unknown.
        genuine: whether these are genuine pairs (FRR) or impostor pairs (FAR).
    """
    counts = counts_of(comparisons, ids, genuine=genuine)
    known = counts_of(comparisons, reference, genuine=genuine) if reference is not None else None
    return rate_from(counts, known, per_subject=genuine)


def select_threshold(
    embeddings: Floats, comparisons: Comparisons, limit: float, measure: Measure = COSINE
) -> float:
    """The laxest threshold whose upper bound of FAR stays below `limit` on these subjects.

    Args:
        embeddings: (N, D) embeddings of the FP32 model, as `measure` prepares them.
        comparisons: the pairs of the people who choose.
        limit: the limit of the false accept rate.
        measure: how alike two embeddings are.

    Returns:
        The smallest cosine or the largest distance.

    Raises:
        DataError: the people are too few to prove the limit at any threshold.
    """
    keep = max(RULE_OF_30, int(limit * comparisons.n_impostor) + 1)
    found = extremes(embeddings, embeddings, comparisons, keep, measure)
    scores, ids = found.impostor_scores, found.impostor_ids
    reference = ids[:RULE_OF_30]

    def holds(k: int) -> bool:
        """Whether the bound is below the limit if only scores above the k-th are accepted."""
        accepted = int(np.searchsorted(-scores, -scores[k], side="left"))  # ties go together
        far = error_rate(comparisons, ids[:accepted], reference, genuine=False)
        return far.supported and far.upper < limit

    if not holds(0):
        far = error_rate(comparisons, ids[:0], reference, genuine=False)
        needed = subjects_to_decide(
            far, chosen_for(limit), crossed=True, listed=comparisons.left is not None
        )
        wanted = f" (about {needed:,} would do)" if needed is not None else ""
        raise DataError(
            "threshold selection",
            f"even zero errors in {comparisons.n_impostor:,} impostor comparisons of "
            f"{far.subjects} identities only show a FAR below {far.upper:.3%}, not {limit:.3%}",
            f"give more identities{wanted}, raise `selection_far`, or set `threshold`",
        )
    last = last_that_holds(len(scores), holds)
    return measure.threshold(np.nextafter(scores[last], np.float32(np.inf)))
