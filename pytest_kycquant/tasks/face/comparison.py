"""The face gates: from embeddings of FP32 and of a variant to checks against limits."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...curves import Curves
from ...plain import plain
from ...results import MOST_OFFENDERS, GateResult, GroupIncrease, Offender
from ...statistics import RULE_OF_30, MovesBound, Rate, bound_by_moves
from ...verdicts import Check, Kind
from ..checks import (
    DRIFT_REMEDY,
    Counted,
    broken_images,
    group_checks,
    increase_check,
    many,
    named_first,
    rate_check,
)
from .curves import score_plot, too_many, trade_off
from .embeddings import Cell, EmbeddingComparison
from .laxer import people_for_frr
from .near import moves_of
from .offenders import of_drift, of_increase, of_rate

_LAXER = "at the laxer threshold that they would choose, if scores stay alike"
_COUNTED = Counted(
    "comparisons",
    "identities",
    "a claim needs identities: add left_subject and right_subject to the list of pairs",
)


@dataclass(frozen=True, eq=False)
class FaceComparison(EmbeddingComparison):
    """A variant compared with FP32 on the same labelled images, at the same frozen threshold."""

    @cached_property
    def by_group(self) -> tuple[FaceComparison, ...]:
        """The same comparison within each group."""
        return tuple(
            FaceComparison(
                fp32,
                fp32.embeddings if self.is_baseline else self.variant.subset(group.members),
                self.limits,
            )
            for group, fp32 in zip(self.baseline.groups, self.baseline.by_group, strict=True)
        )

    def accuracy(self) -> list[GateResult]:
        """FAR and FRR, for new and for stored templates."""
        return [self._judge_rate("far", genuine=False), self._judge_rate("frr", genuine=True)]

    def against_fp32(self, *, float_variant: bool = False) -> GateResult:
        """Paired increase of FAR and FRR, and drift of embeddings."""
        checks = [
            self._increase("far_degradation", genuine=False),
            self._increase("frr_degradation", genuine=True),
            *group_checks(self.groups()),
            *self.drift(float_variant=float_variant),
        ]
        return GateResult("degradation", tuple(checks), DRIFT_REMEDY)

    def offenders(self, gate: GateResult) -> list[Offender]:
        """Pairs near or beyond the threshold, or the images that drift most."""
        worst = gate.worst_check()
        if gate.gate == "finite":
            return broken_images(self.broken)
        if gate.gate in ("far", "frr"):
            suffix = worst.name.removeprefix(gate.gate.upper())
            return of_rate(self.baseline, self.cells[suffix], genuine=gate.gate == "frr")
        if worst.limit is not None and worst.limit.kind is Kind.DRIFT:
            newly = [*of_increase(self, genuine=False), *of_increase(self, genuine=True)]
            return [*newly[: MOST_OFFENDERS // 2], *of_drift(self)][:MOST_OFFENDERS]
        among = self
        if worst.name.endswith(" groups"):  # the worst one, whose name begins the detail
            names = [group.name for group in self.baseline.groups]
            among = self.by_group[names.index(named_first(worst.detail, names))]
        genuine = worst.name.startswith("increase of FRR ")
        return of_increase(among, genuine=genuine)

    def curves(self) -> Curves:
        """Scores of all pairs, and FAR against FRR."""
        both = self.baseline.cell, self.cell
        if too_many(self.cell):
            return Curves()
        return Curves(score_plot(*both, labelled=True), (trade_off(*both),))

    def rates(self) -> dict[str, Rate]:
        """FAR and FRR."""
        cell = self.baseline.cell
        return {"FAR": cell.rate(genuine=False), "FRR": cell.rate(genuine=True)}

    def groups(self) -> list[GroupIncrease]:
        """FAR and FRR within each group, and their paired increase over FP32.

        Impostor pairs are pairs of two people of the group, who look more alike than people of
        different groups do (NISTIR 8280 also compares within demographics).
        """
        return [
            GroupIncrease(
                group.name,
                "FRR" if genuine else "FAR",
                plain(part.baseline.cell.rate(genuine=genuine)),
                plain(part.cell.rate(genuine=genuine)),
                part._increase(limit, genuine=genuine, group=group.name),
            )
            for genuine, limit in (
                (False, "group_far_degradation"),
                (True, "group_frr_degradation"),
            )
            for group, part in zip(self.baseline.groups, self.by_group, strict=True)
        ]

    def _judge_rate(self, gate: str, *, genuine: bool) -> GateResult:
        name = gate.upper()
        limit, checks = self.limits[gate], []
        for suffix, cell in self.cells.items():
            label = name + suffix
            found = cell.rate(genuine=genuine)
            detail = _describe(found, genuine=genuine)
            if genuine:
                lacking = functools.partial(self._lacking_for_frr, found, cell)
                checks.append(limit.check(label, found, detail, lacking=lacking))
            else:
                check = rate_check(
                    limit, label, found, detail, _COUNTED, crossed=True, listed=self._listed
                )
                checks.append(check)
        return GateResult(
            gate,
            tuple(checks),
            "Leave the most harmful operators in FP32 (fallback = 'mixed') or try another recipe. "
            "FP32 gallery: enrolled with the FP32 model, probed with this variant; either image of "
            "a pair may be the one that was enrolled.",
        )

    def _lacking_for_frr(self, found: Rate, cell: Cell) -> str:
        """Say what an undecided FRR lacks; more people may choose a laxer threshold, too."""
        limit, far = self.limits["frr"], self.baseline.chosen_for
        if far is not None and found.supported:
            plan = people_for_frr(self.baseline, cell, limit, far)
            if plan is not None:
                return _COUNTED.would_decide(*plan, _LAXER)
        return _COUNTED.wanting(found, limit)

    def _increase(self, limit: str, *, genuine: bool, group: str = "") -> Check:
        """Paired increase of FAR or FRR, over all people or over those of a group."""
        mine, theirs = self.cell, self.baseline.cell
        wrong, wrong_fp32 = mine.wrong(genuine=genuine), theirs.wrong(genuine=genuine)
        worse = mine.rate(genuine=genuine, only=np.setdiff1d(wrong, wrong_fp32))
        better = theirs.rate(genuine=genuine, only=np.setdiff1d(wrong_fp32, wrong))
        return increase_check(
            self.limits[limit],
            ("FRR" if genuine else "FAR") + (f" of {group}" if group else ""),
            worse,
            better,
            f"{many(worse.errors, 'comparisons')} newly wrong, {better.errors:,} newly right",
            _COUNTED.wanting_in_group if group else _COUNTED.wanting,
            crossed=not genuine,
            listed=self._listed,
            moves=self._moves(worse, genuine=genuine),
        )

    @property
    def _listed(self) -> bool:
        """Whether only some pairs are compared."""
        return self.baseline.comparisons.left is not None

    def _moves(self, worse: Rate, *, genuine: bool) -> MovesBound | None:
        """Bound the rate of newly wrong decisions by how far scores move."""
        if worse.errors >= RULE_OF_30:
            return None  # counting is sharp by itself
        cell, exact = self.cell, self.baseline
        moves = moves_of(
            exact.cell.probe,
            cell.gallery,
            cell.probe,
            exact.comparisons,
            exact.threshold,
            exact.near,
            genuine=genuine,
            measure=exact.measure,
        )
        return None if moves is None else bound_by_moves(moves, worse)


def _describe(found: Rate, *, genuine: bool) -> str:
    kind = "genuine" if genuine else "impostor"
    return (
        f"{many(found.errors, 'errors')} in {found.trials:,} {kind} comparisons of "
        f"{many(found.subjects, 'identities')}, design effect {found.deff:.1f}"
    )
