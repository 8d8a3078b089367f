"""The liveness gates: from scores of FP32 and of a variant to checks against limits.

Rates are those of ISO/IEC 30107-3 at a frozen threshold: APCER for each attack species, with the
maximum as headline (never pooled: 0 of 900 prints and 15 of 100 screens are 15 %, not 1.5 %), and
BPCER. Where the data does not say who is captured, every capture counts as a subject of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...data.groups import Group
from ...data.liveness import LIVE, LivenessSet
from ...spec.limits import LivenessLimits
from ...statistics import (
    Difference,
    Rate,
    judge_bounds,
    mean_lower_bound,
)
from ...verdicts import (
    Check,
    GateResult,
    GroupIncrease,
    Verdict,
)
from ..checks import (
    finite_gate,
    group_checks,
    group_wanting,
    increase_check,
    rate_check,
    wanting,
)
from .scores import Decisions, bpcer_at_apcer, rate_of

DRIFT_REMEDY = "Try per-channel weights, another calibration method or fallback = 'mixed'."
_COLLAPSE = 0.5  # a variant whose scores spread less than half as far hardly looks at the image
_SEVERITY = (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL)


@dataclass(frozen=True, eq=False)
class LivenessComparison:
    """A variant held against FP32 on the same captures, at the same frozen threshold.

    Args:
        fp32: what FP32 makes of the captures.
        variant: what the variant makes of them.
        finite: (N,) whether all outputs of the variant were finite.
        broken_edges: names of the edge inputs that gave NaN or Inf.
        groups: of people, each judged for itself, too.
    """

    fp32: Decisions
    variant: Decisions
    finite: NDArray[np.bool_]
    broken_edges: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()

    @property
    def captures(self) -> LivenessSet:
        """What was captured."""
        return self.fp32.captures

    @cached_property
    def drift(self) -> NDArray[np.float64]:
        """(N,) absolute difference of the scores; 1, the largest, where there is none."""
        return np.nan_to_num(np.abs(self.variant.scores - self.fp32.scores), nan=1.0)

    @cached_property
    def flipped(self) -> NDArray[np.bool_]:
        """(N,) whether the variant decides otherwise than FP32; without a score it does not."""
        decided = np.equal(self.variant.wrong, self.fp32.wrong)
        return ~decided | np.isnan(self.variant.scores)


def judge_finite(comparison: LivenessComparison) -> GateResult:
    """No NaN or Inf in any output, and scores that still depend on the image."""
    names = comparison.captures.images.names
    bad = [name for name, ok in zip(names, comparison.finite, strict=True) if not ok]
    spread = _spread(comparison.variant.scores) / max(_spread(comparison.fp32.scores), 1e-12)
    return finite_gate(
        bad,
        comparison.broken_edges,
        spread,
        _COLLAPSE,
        what="spread of scores",
        detail="",
        collapsed="scores hardly depend on the image any more",
    )


def judge_apcer(comparison: LivenessComparison, limits: LivenessLimits) -> GateResult:
    """Upper bound of APCER below its limit for every species; the maximum comes first."""
    rates = comparison.variant.species_rates
    checks = [
        _rate_check(f"APCER {name}", found, limits.apcer, "apcer", comparison.captures)
        for name, found in rates.items()
    ]
    if len(checks) > 1:
        checks.insert(0, _largest(rates, checks, limits.apcer))
    return GateResult(
        "apcer",
        tuple(checks),
        "Attacks pass as live: keep the operators that harm most in FP32 (fallback = 'mixed') or "
        "try another recipe.",
    )


def judge_bpcer(comparison: LivenessComparison, limits: LivenessLimits) -> GateResult:
    """Upper bound of BPCER below its limit."""
    found = comparison.variant.rate(LIVE)
    check = _rate_check("BPCER", found, limits.bpcer, "bpcer", comparison.captures)
    return GateResult(
        "bpcer",
        (check,),
        "Live people are turned away: keep the operators that harm most in FP32 "
        "(fallback = 'mixed') or try another recipe.",
    )


def judge_degradation(
    comparison: LivenessComparison, limits: LivenessLimits, *, fp16: bool = False
) -> GateResult:
    """Paired increase of APCER, for each species, and of BPCER; and drift of the scores."""
    checks = [
        *(
            _paired(comparison, index, f"APCER {name}", limits.apcer_degradation)
            for index, name in enumerate(comparison.captures.species_names)
        ),
        _paired(comparison, LIVE, "BPCER", limits.bpcer_degradation),
        *group_checks(group_increases(comparison, limits)),
        *drift_checks(comparison, limits, fp16=fp16),
    ]
    return GateResult("degradation", tuple(checks), DRIFT_REMEDY)


def group_increases(comparison: LivenessComparison, limits: LivenessLimits) -> list[GroupIncrease]:
    """BPCER of each group, and its paired increase over FP32.

    APCER is that of a species already; the attacks of one species on one group are few.
    """
    return [
        GroupIncrease(
            group.name,
            "BPCER",
            comparison.fp32.rate(LIVE, among=group.members).as_dict(),
            comparison.variant.rate(LIVE, among=group.members).as_dict(),
            _paired(
                comparison,
                LIVE,
                f"BPCER of {group.name}",
                limits.group_bpcer_degradation,
                among=group.members,
            ),
        )
        for group in comparison.groups
    ]


def drift_checks(
    comparison: LivenessComparison, limits: LivenessLimits, *, fp16: bool
) -> list[Check]:
    """Flipped decisions and drift of the scores, which need no labels."""
    return [_flips(comparison, limits.flips), *score_checks(comparison, limits, fp16=fp16)]


def score_checks(
    comparison: LivenessComparison, limits: LivenessLimits, *, fp16: bool
) -> list[Check]:
    """Drift of the scores alone."""
    checks = [_mean_drift(comparison, limits.score_drift)]
    if fp16:
        largest = float(comparison.drift.max())
        checks.append(
            Check(
                "largest score difference to FP32",
                judge_bounds(largest, largest, limits.fp16_max_drift),
                largest,
                limit=limits.fp16_max_drift,
                direction=LivenessLimits.direction("fp16_max_drift"),
                unit="probability",
            )
        )
    return checks


def drift_figures(comparison: LivenessComparison) -> dict[str, float]:
    """Figures for the report: how far scores and decisions are from those of FP32."""
    return {
        "score_drift_mean": float(comparison.drift.mean()),
        "score_drift_max": float(comparison.drift.max()),
        "flipped": float(comparison.flipped.mean()),
    }


def figures(comparison: LivenessComparison) -> dict[str, float]:
    """Figures for the report: drift, and what ISO/IEC 30107-3 asks for beside the two rates."""
    found = drift_figures(comparison)
    for suffix, decisions in (("", comparison.variant), ("_fp32", comparison.fp32)):
        apcer = max(rate.value for rate in decisions.species_rates.values())
        found[f"acer{suffix}"] = (apcer + decisions.rate(LIVE).value) / 2
        for percent in (10, 5, 1):
            key = f"bpcer_at_apcer_{percent}{suffix}"
            found[key] = bpcer_at_apcer(decisions, percent / 100)
    return found


def _rate_check(
    name: str, found: Rate, limit: float, attribute: str, captures: LivenessSet
) -> Check:
    kind = "live captures" if attribute == "bpcer" else "attacks"
    detail = f"{found.errors:,} errors in {found.trials:,} {kind} {_of_whom(found, captures)}"
    return rate_check(
        name,
        found,
        limit,
        direction=LivenessLimits.direction(attribute),
        detail=detail,
        lacking=lambda found, limit: _wanting(found, limit, captures),
    )


def _of_whom(found: Rate, captures: LivenessSet) -> str:
    if captures.knows_subjects:
        return f"of {found.subjects} people, design effect {found.deff:.1f}"
    return "of unknown people, each counted as somebody else"


def _wanting(found: Rate | Difference, limit: float, captures: LivenessSet) -> str:
    subjects = "people" if captures.knows_subjects else "subjects"
    return wanting(found, limit, "captures", subjects, "a claim needs captures")


def _largest(rates: Mapping[str, Rate], checks: list[Check], limit: float) -> Check:
    """The maximum over species: its bounds are the maxima of the bounds."""
    worst, name, _ = max(
        zip(checks, rates, rates.values(), strict=True),
        key=lambda entry: (_SEVERITY.index(entry[0].verdict), entry[2].value, entry[2].upper),
    )
    return Check(
        f"APCER, maximum over {len(checks)} species",
        worst.verdict,
        max(rate.value for rate in rates.values()),
        max(rate.lower for rate in rates.values()),
        max(rate.upper for rate in rates.values()),
        limit,
        LivenessLimits.direction("apcer"),
        detail=f"{name}: {worst.detail}",
    )


def _group_wanting(found: Rate | Difference, limit: float) -> str:
    return group_wanting(found, limit, "captures", "people")


def _paired(
    comparison: LivenessComparison,
    kind: int,
    name: str,
    limit: float,
    among: NDArray[np.bool_] | None = None,
) -> Check:
    mine, theirs = comparison.variant, comparison.fp32
    worse = mine.rate(kind, only=mine.wrong & ~theirs.wrong, among=among)
    better = theirs.rate(kind, only=theirs.wrong & ~mine.wrong, among=among)
    attribute = "bpcer_degradation" if kind == LIVE else "apcer_degradation"
    if among is not None:
        attribute = f"group_{attribute}"
    return increase_check(
        name,
        worse,
        better,
        limit,
        direction=LivenessLimits.direction(attribute),
        detail=f"{worse.errors:,} captures newly wrong, {better.errors:,} newly right",
        lacking=_group_wanting
        if among is not None
        else lambda found, limit: _wanting(found, limit, comparison.captures),
    )


def _flips(comparison: LivenessComparison, limit: float) -> Check:
    """Errors of one kind may hide those of the other; a flipped decision is a flipped decision."""
    found = rate_of(comparison.flipped, comparison.captures.subjects)
    detail = f"{found.errors:,} of {found.trials:,} captures"
    if found.errors:
        accepted = comparison.fp32.scores >= comparison.fp32.threshold
        newly = int((comparison.flipped & ~accepted).sum())
        detail = f"{detail}, {newly:,} newly live and {found.errors - newly:,} newly rejected"
    return rate_check(
        "decisions other than FP32's",
        found,
        limit,
        direction=LivenessLimits.direction("flips"),
        detail=detail,
        lacking=lambda found, limit: _wanting(found, limit, comparison.captures),
    )


def _mean_drift(comparison: LivenessComparison, limit: float) -> Check:
    drift, subjects = comparison.drift, comparison.captures.subjects
    lower = mean_lower_bound(drift, subjects)
    upper = -mean_lower_bound(-drift, subjects)
    return Check(
        "mean score difference to FP32",
        judge_bounds(lower, upper, limit),
        float(drift.mean()),
        max(lower, 0.0),
        min(upper, 1.0),
        limit,
        LivenessLimits.direction("score_drift"),
        "probability",
        f"{len(drift):,} images",
    )


def _spread(scores: NDArray[np.float64]) -> float:
    """Standard deviation of the finite scores; 0 if there are none."""
    usable = scores[np.isfinite(scores)]
    return float(usable.std()) if len(usable) else 0.0
