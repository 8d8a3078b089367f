"""Transactions: is somebody let in who shows this document and this selfie?

ISO/IEC 19795-1 counts transactions, in which everything must hold: a document and a selfie are
found, the selfie is live, and the two match. What is not found counts as turned away, so that a
pipeline which finds fewer faces is no better. Errors of stages are not independent (a bad picture
fails everywhere), so transactions are counted, and rates of stages are never multiplied.

Impostors present their own bona fide selfie with the document of somebody else: all documents with
the selfies of all others. Attacks (ISO/IEC 30107-3) imitate the person on the document.

What is broken is its own worst case: a customer is turned away, and everybody else is let in.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..data.liveness import LIVE
from ..statistics import RULE_OF_30, Counts, Couples, Rate
from ..tasks.rates import rate_from, rate_of

if TYPE_CHECKING:
    from ..data.applicants import ApplicantSet
    from ..tasks.face.measures import Floats, Measure
    from .seen import Seen

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]
_ROWS = 256  # documents at a time


class Reason(enum.IntEnum):
    """Why somebody is not let in: the first stage at which an attempt ends."""

    ACCEPTED = 0
    DOCUMENT = 1
    SELFIE = 2
    LIVENESS = 3
    MATCH = 4

    @property
    def words(self) -> str:
        """The reason in words."""
        return _WORDS[self]


_WORDS = {
    Reason.ACCEPTED: "accepted",
    Reason.DOCUMENT: "no face on the document",
    Reason.SELFIE: "no face on the selfie",
    Reason.LIVENESS: "not live",
    Reason.MATCH: "no match",
}


@dataclass(frozen=True)
class Thresholds:
    """The thresholds that the goldens of the stages hold.

    Args:
        match: of the embedder, in the user's unit; unused if the pipeline has none.
        live: of the liveness model; None if the pipeline has none.
        how: how alike two embeddings are; None if the pipeline has no embedder.
    """

    match: float
    live: float | None
    how: Measure | None

    @property
    def measure(self) -> Measure:
        """How alike two embeddings are, for a pipeline with an embedder."""
        assert self.how is not None
        return self.how


@dataclass(frozen=True, eq=False)
class Impostors:
    """Impostor transactions: each document with the bona fide selfies of all other people.

    The id of a transaction is the index of the document times N, plus the index of the selfie.

    Args:
        accepted: ids of those that are let in, ascending.
        nearest: ids of the 30 that are let in or come nearest to it.
    """

    accepted: Ids
    nearest: Ids


@dataclass(frozen=True, eq=False)
class Transactions:
    """What a pipeline decides about applicants.

    Args:
        applicants: everybody, P people with N selfies.
        documents: what the pipeline makes of their documents, P of them.
        selfies: what it makes of their selfies, N of them.
        thresholds: the frozen thresholds.
    """

    applicants: ApplicantSet
    documents: Seen
    selfies: Seen
    thresholds: Thresholds

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """Score of each selfie with the document of its person, NaN without embeddings; (N,)."""
        return self.scores_of(self.applicants.people, np.arange(len(self.applicants.people)))

    def scores_of(self, documents: Ids, selfies: Ids) -> NDArray[np.float64]:
        """Scores of documents with selfies, side by side, given their indices; (n,)."""
        gallery, probes = self._prepared
        found: NDArray[np.float64]
        found = self.thresholds.measure.exact(gallery[documents], probes[selfies])
        return found

    @cached_property
    def reasons(self) -> NDArray[np.int64]:
        """`Reason` of each selfie with the document of its person, (N,) int64.

        What is broken is decided as `_worst` says: a customer is turned away, an attack let in.
        """
        people, bona_fide = self.applicants.people, self.applicants.species == LIVE
        limit = self.thresholds.measure.limit(self.thresholds.match)
        found = np.full(len(people), Reason.ACCEPTED, np.int64)
        broken = np.isnan(self.scores)
        matched = self.scores.astype(np.float32) >= limit
        found[~np.where(broken, ~bona_fide, matched)] = Reason.MATCH
        found[~self._live(let_in=~bona_fide)] = Reason.LIVENESS
        # A selfie without an embedding because it is not live is not one that was not found.
        lost = ~self.selfies.found & (found != Reason.LIVENESS)
        found[lost] = Reason.SELFIE
        found[~self.documents.found[people]] = Reason.DOCUMENT
        return found

    def genuine(self) -> tuple[Ids, NDArray[np.int64]]:
        """Indices of the bona fide selfies, and the reason of each."""
        chosen = self.applicants.bona_fide
        found: NDArray[np.int64] = self.reasons[chosen]
        return chosen, found

    def rejected(self) -> Ids:
        """Indices of the bona fide selfies whose owners are turned away."""
        chosen, reasons = self.genuine()
        found: Ids = chosen[reasons != Reason.ACCEPTED]
        return found

    def not_acquired(self) -> Ids:
        """Indices of the bona fide selfies where no face is found, there or on the document."""
        chosen, reasons = self.genuine()
        found: Ids = chosen[np.isin(reasons, (Reason.DOCUMENT, Reason.SELFIE))]
        return found

    def attacks(self, kind: int) -> Ids:
        """Indices of the attacks of a species that are let in as the person whom they imitate."""
        chosen = self.applicants.species == kind
        return np.flatnonzero(chosen & (self.reasons == Reason.ACCEPTED))

    @cached_property
    def impostors(self) -> Impostors:
        """The impostor transactions that are let in, or nearly."""
        gallery, selfies = self._prepared
        chosen, number = self.applicants.bona_fide, len(self.applicants.people)
        probes, whose = selfies[chosen], self.applicants.people[chosen]
        usable = self.selfies.found[chosen] & self._live(let_in=True)[chosen]
        limit = self.thresholds.measure.limit(self.thresholds.match)
        accepted, near, their_scores = [], [], []
        for start in range(0, len(gallery), _ROWS):
            rows = np.arange(start, min(start + _ROWS, len(gallery)))
            scores = self._table(gallery[rows], probes, limit)
            possible = self.documents.found[rows][:, None] & usable
            possible &= rows[:, None] != whose
            ids = rows[:, None] * number + chosen
            accepted.append(ids[possible & ~(scores < limit)])
            best = np.where(np.isnan(scores), np.inf, scores)[possible]
            top = np.argsort(-best, kind="stable")[:RULE_OF_30]
            near.append(ids[possible][top])
            their_scores.append(best[top])
        order = np.argsort(-np.concatenate(their_scores), kind="stable")[:RULE_OF_30]
        return Impostors(np.concatenate(accepted), np.sort(np.concatenate(near)[order]))

    # -- rates -----------------------------------------------------------------------------------

    def far(self, only: Ids | None = None) -> Rate:
        """The system's false accept rate, or the rate of only some of these errors (ids)."""
        impostors = self.impostors
        counts = self._impostor_counts(impostors.accepted if only is None else only)
        return rate_from(counts, self._impostor_counts(impostors.nearest), per_subject=False)

    def frr(self, only: Ids | None = None, among: Mask | None = None) -> Rate:
        """The system's false reject rate, or the rate of only some of these errors.

        Args:
            only: indices of the selfies to count as errors; all who are turned away by default.
            among: whether each person counts, (P,) bool; everybody by default.
        """
        return self._rate(LIVE, self.rejected() if only is None else only, among)

    def fta(self) -> Rate:
        """The failure-to-acquire rate among transactions of customers."""
        return self._rate(LIVE, self.not_acquired(), None)

    def iapar(self, kind: int, only: Ids | None = None) -> Rate:
        """The impostor attack presentation accept rate of a species, or only of some attacks."""
        return self._rate(kind, self.attacks(kind) if only is None else only, None)

    def _rate(self, kind: int, wrong: Ids, among: Mask | None) -> Rate:
        people = self.applicants.people
        counted = self.applicants.species == kind
        if among is not None:
            counted &= among[people]
        errors = np.zeros(len(people), np.bool_)
        errors[wrong] = True
        worst = np.zeros(int(counted.sum()), np.bool_)
        worst[np.argsort(self._margins[counted], kind="stable")[:RULE_OF_30]] = True
        return rate_of(errors[counted], people[counted], worst)

    @cached_property
    def _margins(self) -> NDArray[np.float64]:
        """How far each selfie is from the wrong decision, the nearest first; (N,).

        Scores of two models have no common unit, so the place among all selfies stands for them. A
        customer is turned away by the stage with the smaller margin, an attack is let in only if
        both are passed.
        """
        scores = [np.nan_to_num(self.scores, nan=-np.inf)]
        if self.thresholds.live is not None:
            scores.append(np.nan_to_num(self.selfies.scores, nan=-np.inf, posinf=np.inf))
        places = [np.argsort(np.argsort(each, kind="stable"), kind="stable") for each in scores]
        found: NDArray[np.float64] = np.min(places, axis=0).astype(np.float64)
        gone = np.isin(self.reasons, (Reason.DOCUMENT, Reason.SELFIE))
        found[gone] = -1.0
        return np.where(self.applicants.species == LIVE, found, -found)

    # -- how it is decided -----------------------------------------------------------------------

    @cached_property
    def _prepared(self) -> tuple[Floats, Floats]:
        measure = self.thresholds.measure
        return (
            measure.prepared(self.documents.embeddings),
            measure.prepared(self.selfies.embeddings),
        )

    def _live(self, *, let_in: Mask | bool) -> Mask:
        """Whether each selfie passes as live; `let_in` says what becomes of a broken score."""
        scores, threshold = self.selfies.scores, self.thresholds.live
        if threshold is None:
            return np.ones(len(scores), np.bool_)
        return np.where(np.isnan(scores), let_in, scores >= threshold)

    def _table(self, documents: Floats, selfies: Floats, limit: np.float32) -> Floats:
        """Scores of all documents with all selfies; exact where rounding could decide."""
        measure = self.thresholds.measure
        scores = measure.table(documents, selfies)
        slack = measure.slack(documents, selfies)
        with np.errstate(invalid="ignore", over="ignore"):
            row, column = np.nonzero(np.abs(scores - limit) <= slack)
        scores[row, column] = measure.exact(documents[row], selfies[column])
        return scores

    def _impostor_counts(self, ids: Ids) -> Counts:
        """Errors and trials by person: the owners of the document and of the selfie."""
        people = len(self.applicants.names)
        own = np.bincount(self.applicants.people[self.applicants.bona_fide], minlength=people)
        everybody = int(own.sum())
        trials = (everybody - own) + own * (people - 1)
        document, selfie = np.divmod(ids, len(self.applicants.people))
        owner = self.applicants.people[selfie]
        errors = np.bincount(document, minlength=people) + np.bincount(owner, minlength=people)
        # A couple of people has the selfies of both, each with the document of the other.
        first, second = np.minimum(document, owner), np.maximum(document, owner)
        which, wrong = np.unique(first * people + second, return_counts=True)
        squares = own.astype(np.float64)
        couples = Couples(
            wrong.astype(np.int64),
            own[which // people] + own[which % people],
            float((people - 2) * np.square(squares).sum() + squares.sum() ** 2),
        )
        total = everybody * (people - 1)
        return Counts(len(ids), total, errors.astype(np.int64), trials.astype(np.int64), couples)
