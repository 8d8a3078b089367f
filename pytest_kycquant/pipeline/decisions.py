"""Who is let in by the shipped pipeline, and by FP32's: the gates that ask about transactions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..plain import plain
from ..results import MOST_OFFENDERS, GateResult, GroupIncrease, Offender
from ..statistics import Rate
from ..tasks.checks import (
    Counted,
    group_checks,
    increase_check,
    known,
    many,
    named_first,
    rate_check,
)
from ..verdicts import Verdict
from .transactions import Ids, Mask, Reason, Transactions

if TYPE_CHECKING:
    from ..spec.limits import PipelineLimits
    from ..verdicts import Check, Limit

_TRANSACTIONS = Counted("transactions", "people")
_ATTACKS = Counted("attacks", "people")
_NOT_FOUND = "Ship a detector that finds more, or ask for better pictures."
_TURNED_AWAY = (
    "The stage where most attempts end is the one to look at; another combination of variants may "
    "hold."
)
_FP32_FAILS = (
    "FP32's own pipeline fails this, so no variant is to blame: check face, embedder_scale, the "
    "crop for the liveness model and the order of channels, or override document() and selfie()."
)
_LET_IN = "Ship another combination of variants: what each model may add is used up by the others."


@dataclass(frozen=True, eq=False)
class Decisions:
    """The shipped pipeline's decisions about the same applicants beside FP32's.

    Args:
        fp32: those of FP32.
        shipped: those of the shipped pipeline.
        limits: the limits of the gates.
    """

    fp32: Transactions
    shipped: Transactions
    limits: PipelineLimits

    def gates(self) -> dict[str, GateResult]:
        """Every gate about transactions, by name."""
        found = {"fta": self._fta(), "frr": self._frr(), "far": self._far()}
        if self.species:
            found["iapar"] = self._iapar()
        found["degradation"] = self._degradation()
        return {
            name: replace(gate, offenders=tuple(self._offenders(gate)))
            for name, gate in found.items()
        }

    @property
    def species(self) -> tuple[str, ...]:
        """The attack species."""
        return self.fp32.applicants.species_names

    def groups(self) -> list[GroupIncrease]:
        """FRR within each group of people, and its paired increase over FP32."""
        return [
            GroupIncrease(
                name,
                "FRR",
                plain(self.fp32.frr(among=members)),
                plain(self.shipped.frr(among=members)),
                self._frr_increase("group_frr_degradation", f"FRR of {name}", members),
            )
            for name, members in self.fp32.applicants.in_group()
        ]

    def rates(self, one: Transactions) -> dict[str, Rate]:
        """The rates of one of the two pipelines, by name."""
        found = {"FTA": one.fta(), "FRR": one.frr(), "FAR": one.far()}
        attacks = {f"IAPAR {name}": one.iapar(kind) for kind, name in enumerate(self.species)}
        return found | attacks

    # -- absolute rates --------------------------------------------------------------------------

    def _fta(self) -> GateResult:
        found = self.shipped.fta()
        shares = _reasons(self.shipped, (Reason.DOCUMENT, Reason.SELFIE))
        detail = f"{_of_people(found, 'transactions of customers')}: {shares}"
        theirs = self.fp32.fta().errors
        check = rate_check(
            self.limits["fta"], "FTA", found, f"{detail}; FP32 {theirs:,}", _TRANSACTIONS
        )
        before = self._fp32_fails("fta", self.fp32.fta())
        return GateResult("fta", (check,), before or _NOT_FOUND)

    def _frr(self) -> GateResult:
        found = self.shipped.frr()
        shares = _reasons(self.shipped, tuple(Reason)[1:])
        detail = f"{_of_people(found, 'transactions of customers')}: {shares}"
        check = rate_check(self.limits["frr"], "FRR", found, detail, _TRANSACTIONS)
        before = self._fp32_fails("frr", self.fp32.frr())
        return GateResult("frr", (check,), before or _TURNED_AWAY)

    def _far(self) -> GateResult:
        found = self.shipped.far()
        detail = _of_people(found, "transactions of impostors")
        check = rate_check(self.limits["far"], "FAR", found, detail, _TRANSACTIONS, crossed=True)
        before = self._fp32_fails("far", self.fp32.far())
        return GateResult("far", (check,), before or _LET_IN)

    def _iapar(self) -> GateResult:
        """Every species; the worst comes first and is the headline."""
        checks = []
        for kind, name in enumerate(self.species):
            found = self.shipped.iapar(kind)
            stopped = self.shipped.reasons[self.shipped.applicants.species == kind]
            ends = _counted(stopped[stopped != Reason.ACCEPTED])
            detail = f"{_of_people(found, 'attacks')}{f': {ends}' if ends else ''}"
            checks.append(
                rate_check(self.limits["iapar"], f"IAPAR {name}", found, detail, _ATTACKS)
            )
        if len(checks) > 1:
            worst = GateResult("iapar", tuple(checks)).worst_check()
            title = f"IAPAR, maximum over {len(checks)} species"
            species = worst.name.removeprefix("IAPAR ")
            checks.insert(0, replace(worst, name=title, detail=f"{species}: {worst.detail}"))
        kinds = range(len(self.species))
        before = self._fp32_fails("iapar", *(self.fp32.iapar(kind) for kind in kinds))
        return GateResult("iapar", tuple(checks), before or _LET_IN)

    def _fp32_fails(self, limit: str, *rates: Rate) -> str:
        """What to do if FP32 itself fails; "" if it does not."""
        judged = (self.limits[limit].judge(rate.lower, rate.upper) for rate in rates)
        return _FP32_FAILS if Verdict.FAIL in judged else ""

    # -- relative to FP32 ------------------------------------------------------------------------

    def _degradation(self) -> GateResult:
        checks = [
            self._far_increase(),
            self._frr_increase("frr_degradation", "FRR", None),
            *(self._iapar_increase(kind, name) for kind, name in enumerate(self.species)),
            *group_checks(self.groups()),
        ]
        return GateResult("degradation", tuple(checks), _LET_IN)

    def _far_increase(self) -> Check:
        mine, theirs = self.shipped.impostors.accepted, self.fp32.impostors.accepted
        return self._increase(
            self.limits["far_degradation"],
            "FAR",
            self.shipped.far(np.setdiff1d(mine, theirs)),
            self.fp32.far(np.setdiff1d(theirs, mine)),
            _TRANSACTIONS,
            "transactions of impostors",
            crossed=True,
        )

    def _frr_increase(self, limit: str, name: str, among: Mask | None) -> Check:
        mine, theirs = self.shipped.rejected(), self.fp32.rejected()
        newly = np.setdiff1d(mine, theirs)
        worse = self.shipped.frr(newly, among)
        better = self.fp32.frr(np.setdiff1d(theirs, mine), among)
        where = "" if among is not None or not len(newly) else f" ({self._ends(newly)})"
        return self._increase(
            self.limits[limit], name, worse, better, _TRANSACTIONS, "customers", where, among=among
        )

    def _iapar_increase(self, kind: int, name: str) -> Check:
        mine, theirs = self.shipped.attacks(kind), self.fp32.attacks(kind)
        return self._increase(
            self.limits["iapar_degradation"],
            f"IAPAR {name}",
            self.shipped.iapar(kind, np.setdiff1d(mine, theirs)),
            self.fp32.iapar(kind, np.setdiff1d(theirs, mine)),
            _ATTACKS,
            "attacks",
        )

    @staticmethod
    def _increase(
        limit: Limit,
        name: str,
        worse: Rate,
        better: Rate,
        counted: Counted,
        what: str,
        where: str = "",
        *,
        crossed: bool = False,
        among: Mask | None = None,
    ) -> Check:
        # Moves of scores say nothing about what is found or live, so errors are counted.
        return increase_check(
            limit,
            name,
            worse,
            better,
            f"{many(worse.errors, what)} newly wrong{where}, {better.errors:,} newly right",
            counted.wanting if among is None else counted.wanting_in_group,
            crossed=crossed,
        )

    def _ends(self, newly: Ids) -> str:
        """The stages at which newly rejected attempts end."""
        return _counted(self.shipped.reasons[newly])

    # -- the worst cases -------------------------------------------------------------------------

    def _offenders(self, gate: GateResult) -> list[Offender]:
        """The cases of the check that decided, newly wrong ones first."""
        worst = gate.worst_check()
        if "FAR" in worst.name:
            return self._let_in()
        for kind, name in enumerate(self.species):
            named = worst.name.endswith(f"IAPAR {name}") or f"IAPAR {name} over" in worst.name
            if named or (worst.name.startswith("IAPAR,") and worst.detail.startswith(f"{name}:")):
                return self._selfies(self.shipped.attacks(kind), self.fp32.attacks(kind))
        wrong, before = self.shipped.rejected(), self.fp32.rejected()
        if gate.gate == "fta":
            wrong, before = self.shipped.not_acquired(), self.fp32.not_acquired()
        if worst.name.endswith(" groups"):
            groups = dict(self.fp32.applicants.in_group())
            members = groups[named_first(worst.detail, list(groups))]
            wrong = wrong[members[self.fp32.applicants.people[wrong]]]
        return self._selfies(wrong, before)

    def _selfies(self, wrong: Ids, before: Ids) -> list[Offender]:
        new = np.isin(wrong, before, invert=True)
        applicants = self.shipped.applicants
        found = []
        for index in [*wrong[new].tolist(), *wrong[~new].tolist()][:MOST_OFFENDERS]:
            reason = Reason(int(self.shipped.reasons[index]))
            finding = "accepted" if reason is Reason.ACCEPTED else f"turned away, {reason.words}"
            found.append(
                Offender(
                    (
                        applicants.documents.names[applicants.people[index]],
                        applicants.selfies.names[index],
                    ),
                    applicants.describe(index),
                    *self._scores(index, reason),
                    f"newly {finding}" if index not in before else finding,
                )
            )
        return found

    def _scores(
        self, index: int, reason: Reason
    ) -> tuple[float | None, float | None, float | None]:
        """Score of the variant and of FP32 at the stage that decided, and its threshold."""
        thresholds = self.shipped.thresholds
        if reason in (Reason.DOCUMENT, Reason.SELFIE):
            return None, None, None
        if reason is Reason.LIVENESS:
            both = [side.selfies.scores[index] for side in (self.shipped, self.fp32)]
            return known(both[0]), known(both[1]), thresholds.live
        shown = thresholds.measure.shown
        both = [side.scores[index] for side in (self.shipped, self.fp32)]
        return known(shown(both[0])), known(shown(both[1])), thresholds.match

    def _let_in(self) -> list[Offender]:
        mine, theirs = self.shipped.impostors.accepted, self.fp32.impostors.accepted
        new = np.isin(mine, theirs, invert=True)
        chosen = np.concatenate([mine[new], mine[~new]])[:MOST_OFFENDERS]
        applicants, thresholds = self.shipped.applicants, self.shipped.thresholds
        document, selfie = np.divmod(chosen, len(applicants.people))
        scores = [side.scores_of(document, selfie) for side in (self.shipped, self.fp32)]
        return [
            Offender(
                (applicants.documents.names[one], applicants.selfies.names[other]),
                f"document of {applicants.names[one]}, selfie of "
                f"{applicants.names[applicants.people[other]]}",
                known(thresholds.measure.shown(float(scores[0][place]))),
                known(thresholds.measure.shown(float(scores[1][place]))),
                thresholds.match,
                "accepted" if pair in theirs else "newly accepted",
            )
            for place, (pair, one, other) in enumerate(
                zip(chosen.tolist(), document.tolist(), selfie.tolist(), strict=True)
            )
        ]


def reasons_of(one: Transactions) -> dict[str, int]:
    """The number of customers who are turned away, by the reason in words."""
    _, reasons = one.genuine()
    return _by_reason(reasons)


def stops_of(one: Transactions) -> dict[str, dict[str, int]]:
    """The number of attacks that are stopped, by species and by the reason in words."""
    species = one.applicants.species
    return {
        name: _by_reason(one.reasons[species == kind])
        for kind, name in enumerate(one.applicants.species_names)
    }


def _by_reason(reasons: Ids) -> dict[str, int]:
    return {
        reason.words: int(np.count_nonzero(reasons == reason))
        for reason in Reason
        if reason is not Reason.ACCEPTED
    }


def _reasons(one: Transactions, among: Sequence[Reason]) -> str:
    counts: Mapping[str, int] = reasons_of(one)
    return ", ".join(f"{reason.words} {counts[reason.words]:,}" for reason in among)


def _counted(reasons: Ids) -> str:
    counts = Counter(reasons.tolist())
    return ", ".join(f"{Reason(code).words} {counts[code]:,}" for code in sorted(counts))


def _of_people(found: Rate, what: str) -> str:
    return (
        f"{found.errors:,} of {many(found.trials, what)} of "
        f"{many(found.subjects, 'people')}, design effect "
        f"{found.deff:.1f}"
    )
