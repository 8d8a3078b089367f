"""The liveness gates: from scores of FP32 and of a variant to checks against limits.

The rates are those of ISO/IEC 30107-3 at a frozen threshold: BPCER, and APCER for each attack
species, with the maximum as the headline (never pooled: 0 of 900 prints and 15 of 100 screens are
15 %, not 1.5 %). If the data does not say who is captured, every capture counts as a subject.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ...curves import Curves, TradeOff
from ...data.liveness import LIVE
from ...plain import plain
from ...results import GateResult, GroupIncrease, Offender
from ...statistics import RULE_OF_30, MovesBound, Rate, bound_by_moves
from ...verdicts import Check, Limit, Verdict
from ..checks import (
    DRIFT_REMEDY,
    Counted,
    group_checks,
    increase_check,
    many,
    named_first,
    rate_check,
)
from ..score_plots import points, thresholds_among
from .near import moves_of
from .offenders import newly_wrong, of_kind
from .scores import Decisions, bpcer_at_apcer
from .scores_comparison import ScoreComparison

_SEVERITY = (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL)
_IN_GROUP = Counted("captures", "people")


@dataclass(frozen=True, eq=False)
class LivenessComparison(ScoreComparison):
    """A variant compared with FP32 on the same labelled captures, at the same frozen threshold."""

    def accuracy(self) -> list[GateResult]:
        """APCER of every species and BPCER."""
        return [self._judge_apcer(), self._judge_bpcer()]

    def against_fp32(self, *, float_variant: bool = False) -> GateResult:
        """Paired increase of APCER (each species) and BPCER, flipped decisions, score drift."""
        names = self.captures.species_names
        checks = [
            *(
                self._increase("apcer_degradation", index, f"APCER {name}")
                for index, name in enumerate(names)
            ),
            self._increase("bpcer_degradation", LIVE, "BPCER"),
            *group_checks(self.groups()),
            self.flips(),
            *self.drift(float_variant=float_variant),
        ]
        return GateResult("degradation", tuple(checks), DRIFT_REMEDY)

    def offenders(self, gate: GateResult) -> list[Offender]:
        """The attacks or live captures nearest to a wrong decision, or those newly wrong."""
        worst, both = gate.worst_check(), (self.fp32, self.variant)
        kinds = {name: kind for kind, name in enumerate(self.captures.species_names)}
        if gate.gate == "bpcer":
            return of_kind(*both, LIVE)
        if gate.gate == "apcer":
            named = worst.name.removeprefix("APCER ")
            if named not in kinds:  # the maximum, whose detail begins with the species
                named = named_first(worst.detail, list(kinds))
            return of_kind(*both, kinds[named])
        newly = {f"increase of APCER {name} over FP32": kind for name, kind in kinds.items()}
        newly["increase of BPCER over FP32"] = LIVE
        if worst.name.endswith(" groups"):
            names = [group.name for group in self.group_table]
            group = self.group_table[names.index(named_first(worst.detail, names))]
            return newly_wrong(*both, LIVE, group.members) or of_kind(*both, LIVE, group.members)
        if gate.gate == "degradation" and worst.name in newly:
            return newly_wrong(*both, newly[worst.name]) or self.furthest()
        return super().offenders(gate)

    def rates(self) -> dict[str, Rate]:
        """APCER of each species, and BPCER."""
        found = self.fp32.species_rates
        named = {f"APCER {name}": rate for name, rate in found.items()}
        return named | {"BPCER": self.fp32.rate(LIVE)}

    def groups(self) -> list[GroupIncrease]:
        """BPCER of each group, and its paired increase over FP32.

        APCER is not split by group: it is per species, and few attacks of a species are on a group.
        """
        return [
            GroupIncrease(
                group.name,
                "BPCER",
                plain(self.fp32.rate(LIVE, among=group.members)),
                plain(self.variant.rate(LIVE, among=group.members)),
                self._increase(
                    "group_bpcer_degradation", LIVE, f"BPCER of {group.name}", group.members
                ),
            )
            for group in self.group_table
        ]

    def figures(self) -> dict[str, float]:
        """Drift, and the figures that ISO/IEC 30107-3 requires in addition to the two rates."""
        found = super().figures()
        for suffix, decisions in (("", self.variant), ("_fp32", self.fp32)):
            apcer = max(rate.value for rate in decisions.species_rates.values())
            found[f"acer{suffix}"] = (apcer + decisions.rate(LIVE).value) / 2
            for percent in (10, 5, 1):
                key = f"bpcer_at_apcer_{percent}{suffix}"
                found[key] = bpcer_at_apcer(decisions, percent / 100)
        return found

    def curves(self) -> Curves:
        """Scores of live captures and of attacks, and APCER of every species against BPCER."""
        captures = self.captures
        kinds = {"live": captures.live}
        kinds |= {n: captures.species == kind for kind, n in enumerate(captures.species_names)}
        traded = (self._trade_off(kind, n) for kind, n in enumerate(captures.species_names))
        return Curves(self.score_plot(kinds), tuple(traded))

    def _trade_off(self, kind: int, name: str) -> TradeOff:
        fp32, captures = self.fp32, self.captures
        scores = fp32.scores[captures.species == kind], fp32.scores[captures.live]
        thresholds, frozen = thresholds_among(scores, fp32.threshold)

        def rates(side: Decisions, threshold: float) -> tuple[Rate, Rate]:
            moved = replace(side, threshold=threshold)
            return moved.rate(kind), moved.rate(LIVE)

        curves = (points(thresholds, partial(rates, side)) for side in (fp32, self.variant))
        return TradeOff(name, "APCER", "BPCER", frozen, *curves)

    def _judge_apcer(self) -> GateResult:
        """Compare every species with the limit; the maximum comes first."""
        rates, limit = self.variant.species_rates, self.limits["apcer"]
        checks = [
            self._judge_rate(limit, f"APCER {name}", found, "attacks")
            for name, found in rates.items()
        ]
        if len(checks) > 1:
            checks.insert(0, _largest(rates, checks))
        return GateResult(
            "apcer",
            tuple(checks),
            "Attacks pass as live: leave the most harmful operators in FP32 (fallback = 'mixed') "
            "or try another recipe.",
        )

    def _judge_bpcer(self) -> GateResult:
        found = self.variant.rate(LIVE)
        check = self._judge_rate(self.limits["bpcer"], "BPCER", found, "live captures")
        return GateResult(
            "bpcer",
            (check,),
            "Live people are turned away: leave the most harmful operators in FP32 "
            "(fallback = 'mixed') or try another recipe.",
        )

    def _judge_rate(self, limit: Limit, name: str, found: Rate, kind: str) -> Check:
        whose = "of unknown people, each counted as a different person"
        if self.captures.knows_subjects:
            whose = f"of {many(found.subjects, 'people')}, design effect {found.deff:.1f}"
        detail = f"{many(found.errors, 'errors')} in {found.trials:,} {kind} {whose}"
        return rate_check(limit, name, found, detail, self.counted)

    def _increase(
        self, limit: str, kind: int, name: str, among: NDArray[np.bool_] | None = None
    ) -> Check:
        """Paired increase of the error rate of a species or of `LIVE`, perhaps within a group."""
        mine, theirs = self.variant, self.fp32
        worse = mine.rate(kind, only=mine.wrong & ~theirs.wrong, among=among)
        better = theirs.rate(kind, only=theirs.wrong & ~mine.wrong, among=among)
        return increase_check(
            self.limits[limit],
            name,
            worse,
            better,
            f"{many(worse.errors, 'captures')} newly wrong, {better.errors:,} newly right",
            self.counted.wanting if among is None else _IN_GROUP.wanting_in_group,
            moves=self._moves(kind, worse, among),
        )

    def _moves(self, kind: int, worse: Rate, among: NDArray[np.bool_] | None) -> MovesBound | None:
        """Bound the rate of newly wrong decisions by how far scores move."""
        if worse.errors >= RULE_OF_30:
            return None  # counting is sharp by itself
        return bound_by_moves(moves_of(self.fp32, self.variant.scores, kind, among), worse)


def _largest(rates: Mapping[str, Rate], checks: list[Check]) -> Check:
    """The species that is worst: by its verdict, then by the bound that decides it."""
    worst, name, _ = max(
        zip(checks, rates, rates.values(), strict=True),
        key=lambda entry: (_SEVERITY.index(entry[0].verdict), entry[2].upper, entry[2].value),
    )
    title = f"APCER, maximum over {len(checks)} species"
    return replace(worst, name=title, detail=f"{name}: {worst.detail}")
