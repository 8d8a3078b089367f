"""What two pipelines decide about the same data: labelled applicants, or images without labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..bench.people import CONFIRMATION, EVALUATION, SEARCH, Role
from ..data.split import SEARCH_SHARE, names_on_both_sides
from ..errors import DataError
from ..plain import plain
from ..results import GateResult, GroupIncrease
from ..spec.limits import PipelineLimits
from ..verdicts import Verdict
from .decisions import Decisions, reasons_of, stops_of
from .record import Yardstick, judge_finite
from .stages import Named, Photo, Stages
from .transactions import Reason, Thresholds, Transactions
from .watch import Method, Watch, documents, selfies
from .yardsticks import rows

if TYPE_CHECKING:
    from ..context import Context
    from ..data.applicants import ApplicantSet
    from .models import Pipeline


_SAME = 0.9999  # likeness of two embeddings that are not of two images
_RELATIVE = ("complete", "agreement", "degradation")  # to FP32


@dataclass(frozen=True)
class Attempt:
    """One attempt of an applicant: a document and a selfie that have not been read yet."""

    document: Photo
    selfie: Photo

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self.document.name} and {self.selfie.name}"


@dataclass(frozen=True)
class Figures:
    """What two pipelines decide, in figures for reports.

    Args:
        drift: differences of answers from FP32, end to end.
        farthest: name of the image with the largest difference, by stage.
        rates: rates with their bounds, as plain values, by the label of the pipeline and name.
        reasons: number of customers who are turned away, by label and reason.
        stopped: number of attacks that are stopped, by label, species and reason.
        groups: rates within each group of people.
        yardsticks: figures of the shipped pipeline beside those that public yardsticks ask for.
    """

    drift: Mapping[str, float] = field(default_factory=dict)
    farthest: Mapping[str, str] = field(default_factory=dict)
    rates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reasons: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    stopped: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    groups: tuple[GroupIncrease, ...] = ()
    yardsticks: tuple[Yardstick, ...] = ()


class Evidence(Protocol):
    """What two pipelines decide about the same data."""

    run: Callable[[Stages, Any], object]
    """Runs a pipeline on one image or attempt, as it is timed."""

    watch: Watch
    """What pipelines make of all images."""

    def gates(self, fp32: Pipeline, other: Pipeline, role: Role) -> dict[str, GateResult]:
        """Every gate about decisions, judged on the people of a role."""

    def figures(self, fp32: Pipeline, other: Pipeline, role: Role) -> Figures:
        """The same in figures."""

    def complete(self, fp32: Pipeline, other: Pipeline) -> list[Named]:
        """The images or attempts on which both pipelines reach every stage."""

    def notes(self, fp32: Pipeline) -> list[str]:
        """What a reader must know about the data."""

    def remarks(self, fp32: Pipeline) -> list[str]:
        """What else is worth knowing about the data."""

    def shown(self, units: Sequence[Named]) -> dict[str, list[int]]:
        """Indices of the images of these, by view."""


class OfApplicants:
    """Applicants with documents, selfies and attacks.

    Args:
        context: the context of the run.
        applicants: everybody.
        document: the function that processes a document, a bound method of the gate class.
        selfie: the same for a selfie.
        digest: see `Watch`.
        thresholds: the frozen thresholds.
        limits: the limits of the gates.
    """

    def __init__(
        self,
        context: Context,
        applicants: ApplicantSet,
        document: Method,
        selfie: Method,
        digest: str | None,
        thresholds: Thresholds,
        limits: PipelineLimits,
    ) -> None:
        self._everybody = applicants
        self._thresholds = thresholds
        self._limits = limits
        views = {
            "documents": documents(applicants.documents, document),
            "selfies": selfies(applicants.selfies, selfie),
        }
        self.watch = Watch(context, views, digest)

        def run(stages: Stages, attempt: Attempt) -> None:
            document(stages, attempt.document)
            selfie(stages, attempt.selfie)

        self.run: Callable[[Stages, Any], object] = run

    def gates(self, fp32: Pipeline, other: Pipeline, role: Role) -> dict[str, GateResult]:
        """Whether outputs are finite, and every rate of transactions."""
        decisions = self._decisions(fp32, other, role)
        seen, applicants = decisions.shipped, decisions.shipped.applicants
        broken = {**seen.documents.broken, **seen.selfies.broken}
        number = len(applicants.documents) + len(applicants.selfies)
        gates = {"complete": judge_finite(number, broken, copied(seen))}
        return gates | decisions.gates()

    def figures(self, fp32: Pipeline, other: Pipeline, role: Role) -> Figures:
        """Rates and reasons of both pipelines."""
        decisions = self._decisions(fp32, other, role)
        both = {"fp32": decisions.fp32, "shipped": decisions.shipped}
        return Figures(
            rates={label: plain(decisions.rates(one)) for label, one in both.items()},
            reasons={label: reasons_of(one) for label, one in both.items()},
            stopped={label: stops_of(one) for label, one in both.items()},
            groups=tuple(decisions.groups()),
            yardsticks=tuple(rows(decisions.shipped)),
        )

    def complete(self, fp32: Pipeline, other: Pipeline) -> list[Named]:
        """The attempts of customers whose document and selfie both pipelines find.

        Raises:
            DataError: FP32 finds none of the documents or none of the selfies.
        """
        both = [self.watch.seen(one) for one in (fp32, other)]
        chosen = self._everybody.bona_fide
        for what, images in (
            ("documents", self._everybody.documents),
            ("selfies", self._everybody.selfies),
        ):
            if not both[0][what].found.any():
                raise DataError(
                    images.origin,
                    f"{what.removesuffix('s')}() returns None for all of its {len(images):,} {what}"
                    ", with FP32",
                    "return what stages.embed gives; if no face is found, check the attribute face "
                    "and the pictures",
                )
        self._refuse_unseen(fp32)
        people = self._everybody.people[chosen]
        found = np.ones(len(chosen), np.bool_)
        for seen in both:
            found &= seen["documents"].found[people] & seen["selfies"].found[chosen]
        return [
            Attempt(
                Photo(self._everybody.documents, int(self._everybody.people[index])),
                Photo(self._everybody.selfies, int(index)),
            )
            for index in chosen[found]
        ]

    def _refuse_unseen(self, fp32: Pipeline) -> None:
        """Refuse a species of attacks on none of which FP32 finds a face: nothing stops them."""
        one = self._transactions(fp32, EVALUATION)
        unseen = np.isin(one.reasons, (Reason.DOCUMENT, Reason.SELFIE))
        for kind, name in enumerate(self._everybody.species_names):
            chosen = self._everybody.species == kind
            if unseen[chosen].all():
                raise DataError(
                    self._everybody.selfies.origin,
                    f"FP32 finds a face on none of its {int(chosen.sum()):,} attacks of the "
                    f"species {name}, so nothing is known about them",
                    "give attacks that reach the liveness model, or correct selfie()",
                )

    def notes(self, fp32: Pipeline) -> list[str]:
        """Customers for whom FP32 itself finds no face: they count as turned away by both."""
        one = self._transactions(fp32, EVALUATION)
        notes = []
        if lost := len(one.not_acquired()):
            number = len(one.applicants.bona_fide)
            notes.append(
                f"FP32 itself finds no face in {lost:,} of {number:,} transactions of customers; "
                "they count as turned away by both pipelines"
            )
        limit = self._limits["group_frr_degradation"].value
        if self._everybody.groups is None and limit != PipelineLimits().group_frr_degradation:
            notes.append("group_frr_degradation is not judged: the applicants have no groups")
        return notes

    def remarks(self, fp32: Pipeline) -> list[str]:
        """There is nothing else to say."""
        return []

    def shown(self, units: Sequence[Named]) -> dict[str, list[int]]:
        """Indices of the documents and the selfies of these."""
        attempts = [unit for unit in units if isinstance(unit, Attempt)]
        return {
            "documents": [one.document.index for one in attempts],
            "selfies": [one.selfie.index for one in attempts],
        }

    def _decisions(self, fp32: Pipeline, other: Pipeline, role: Role) -> Decisions:
        exact, mine = (self._transactions(one, role) for one in (fp32, other))
        return Decisions(exact, mine, self._limits)

    def _transactions(self, pipeline: Pipeline, role: Role) -> Transactions:
        seen = self.watch.seen(pipeline)
        applicants, theirs, own = self._everybody, seen["documents"], seen["selfies"]
        if role is not EVALUATION:
            people = self._people(role)
            kept = people[applicants.people]
            applicants = applicants.subset(people)
            theirs = theirs.subset(people, applicants.documents.names)
            own = own.subset(kept, applicants.selfies.names)
        return Transactions(applicants, theirs, own, self._thresholds)

    def _people(self, role: Role) -> NDArray[np.bool_]:
        origin = self._everybody.selfies.origin
        searched = names_on_both_sides(
            self._everybody.names, SEARCH_SHARE, origin, "people", "people"
        )
        return searched if role is SEARCH else ~searched


def copied(one: Transactions) -> list[str]:
    """Names of the selfies whose embedding is that of the document, but for its scale and rounding.

    Two photographs of one person are never as alike.
    """
    measure = one.thresholds.measure
    documents = measure.prepared(one.documents.embeddings)[one.applicants.people]
    with np.errstate(invalid="ignore"):  # NaN is like nothing
        same = measure.likeness(documents, measure.prepared(one.selfies.embeddings)) > _SAME
    return [name for name, bad in zip(one.applicants.selfies.names, same, strict=True) if bad]


def objection_to(evidence: Evidence, fp32: Pipeline, other: Pipeline, role: Role = SEARCH) -> str:
    """The first objection to a pipeline on the people of a search; "" if none.

    These people may be too few to show that rates do not rise, so the estimates must stay within
    half of each budget. Absolute rates, which FP32 may use up by itself, are left to those who
    confirm.
    """
    for name, gate in evidence.gates(fp32, other, role).items():
        for check in gate.checks:
            if name in _RELATIVE and not check.promising:
                return check.describe()
    return ""


def undecidable(evidence: Evidence, fp32: Pipeline, role: Role = EVALUATION) -> str:
    """Why this data cannot clear even FP32 compared with itself; "" if it can."""
    for gate in evidence.gates(fp32, fp32, role).values():
        if gate.checks and not gate.ships:
            why = gate.worst_check().describe()
            if gate.verdict is Verdict.FAIL:
                return f"FP32 itself does not pass: {why}"
            return f"this data cannot decide even for FP32 compared with itself: {why}"
    return ""


def hindered(evidence: Evidence, fp32: Pipeline) -> str:
    """Why a search for a combination could not lead to a verdict; "" if it can."""
    try:
        for role in (SEARCH, CONFIRMATION):
            why = undecidable(evidence, fp32, role) if role is CONFIRMATION else ""
            evidence.gates(fp32, fp32, role)
    except DataError as error:
        return error.problem
    if why:
        return f"of the people who would confirm it, {1 - SEARCH_SHARE:.0%} of all, {why}"
    return ""
