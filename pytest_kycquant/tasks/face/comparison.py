"""The face gates: from embeddings of FP32 and of a variant to checks against limits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from ...data.groups import Group
from ...data.pairs import Comparisons
from ...spec.limits import FaceLimits
from ...statistics import (
    RULE_OF_30,
    Difference,
    Rate,
    mean_lower_bound,
)
from ...verdicts import Check, GateResult, GroupIncrease
from ..checks import (
    at_least,
    finite_gate,
    group_checks,
    group_wanting,
    increase_check,
    low_quantile,
    rate_check,
    wanting,
)
from ..outputs import Outputs
from .scores import (
    Extremes,
    PairErrors,
    error_rate,
    errors_at,
    extremes,
    normalise,
)

DRIFT_REMEDY = "Try per-channel weights, another calibration method or fallback = 'mixed'."
_COLLAPSE = (
    0.5  # a variant whose embeddings spread less than half as far no longer tells people apart
)


@dataclass(frozen=True, eq=False)
class Cell:
    """One way to compare: who is enrolled with which model, and who is presented to which.

    Args:
        gallery: (N, D) unit embeddings of the enrolled side.
        probe: (N, D) unit embeddings of the presented side, of the same images.
        comparisons: which pairs to compare.
        threshold: accept iff score >= threshold.
    """

    gallery: NDArray[np.float32]
    probe: NDArray[np.float32]
    comparisons: Comparisons
    threshold: float

    @cached_property
    def errors(self) -> PairErrors:
        """Comparisons that are decided wrongly."""
        return errors_at(self.gallery, self.probe, self.comparisons, self.threshold)

    @cached_property
    def worst(self) -> Extremes:
        """The most dangerous comparisons, the reference for design effects of few errors."""
        return extremes(self.gallery, self.probe, self.comparisons, RULE_OF_30)

    def wrong(self, *, genuine: bool) -> NDArray[np.int64]:
        """Ids of the false rejects or of the false accepts."""
        return self.errors.false_rejects if genuine else self.errors.false_accepts

    def rate(self, *, genuine: bool, only: NDArray[np.int64] | None = None) -> Rate:
        """FRR or FAR; or the rate of only some of these errors."""
        ids = self.wrong(genuine=genuine) if only is None else only
        reference = self.worst.genuine_ids if genuine else self.worst.impostor_ids
        return error_rate(self.comparisons, ids, reference, genuine=genuine)


@dataclass(frozen=True, eq=False)
class Baseline:
    """FP32 on some images: what every variant is held against.

    Args:
        embeddings: raw outputs of FP32.
        comparisons: which pairs to compare.
        threshold: accept iff score >= threshold.
        names: of the images.
        groups: of people, each judged for itself, too.
    """

    embeddings: Outputs
    comparisons: Comparisons
    threshold: float
    names: tuple[str, ...]
    groups: tuple[Group, ...] = ()

    @cached_property
    def cell(self) -> Cell:
        """FP32 on both sides."""
        unit = _unit(self.embeddings)
        return Cell(unit, unit, self.comparisons, self.threshold)

    @cached_property
    def by_group(self) -> tuple[Baseline, ...]:
        """FP32 on each group alone, whose people are compared with one another only."""
        return tuple(
            Baseline(
                self.embeddings.subset(group.members),
                self.comparisons.restrict(group.members)[0],
                self.threshold,
                tuple(compress(self.names, group.members)),
            )
            for group in self.groups
        )


@dataclass(frozen=True, eq=False)
class FaceComparison:
    """A variant held against FP32 on the same images, at the same frozen threshold."""

    baseline: Baseline
    variant: Outputs

    @cached_property
    def cell(self) -> Cell:
        """The variant on both sides."""
        if self.variant is self.baseline.embeddings:
            return self.baseline.cell
        unit = _unit(self.variant)
        return replace(self.baseline.cell, gallery=unit, probe=unit)

    @cached_property
    def stored(self) -> Cell:
        """FP32 gallery against variant probes: stored templates outlive models."""
        return replace(self.baseline.cell, probe=self.cell.probe)

    @cached_property
    def by_group(self) -> tuple[FaceComparison, ...]:
        """The same within each group alone."""
        itself = self.variant is self.baseline.embeddings
        return tuple(
            FaceComparison(fp32, fp32.embeddings if itself else self.variant.subset(group.members))
            for group, fp32 in zip(self.baseline.groups, self.baseline.by_group, strict=True)
        )

    @cached_property
    def cosines(self) -> NDArray[np.float64]:
        """(N,) cosine of each embedding to its FP32 embedding; -1 where there is none."""
        exact = self.baseline.cell.probe.astype(np.float64)
        products: NDArray[np.float64] = np.einsum("ij,ij->i", exact, self.cell.probe)
        return np.nan_to_num(products, nan=-1.0)


def judge_finite(comparison: FaceComparison) -> GateResult:
    """No NaN or Inf in any output, and outputs that still depend on the image."""
    names = comparison.baseline.names
    bad = [name for name, ok in zip(names, comparison.variant.finite, strict=True) if not ok]
    spread = _spread(comparison.cell.probe) / max(_spread(comparison.baseline.cell.probe), 1e-12)
    return finite_gate(
        bad,
        comparison.variant.broken_edges,
        spread,
        _COLLAPSE,
        what="spread of embeddings",
        detail="",
        collapsed="outputs hardly depend on the image any more",
    )


def judge_far(comparison: FaceComparison, limits: FaceLimits) -> GateResult:
    """Upper bound of FAR below its limit, for new and for stored templates."""
    return _judge_rate(comparison, limits.far, "FAR", genuine=False)


def judge_frr(comparison: FaceComparison, limits: FaceLimits) -> GateResult:
    """Upper bound of FRR below its limit, for new and for stored templates."""
    return _judge_rate(comparison, limits.frr, "FRR", genuine=True)


def judge_degradation(
    comparison: FaceComparison, limits: FaceLimits, *, fp16: bool = False
) -> GateResult:
    """Paired increase of FAR and FRR against FP32, and embedding drift, inside their budgets."""
    checks = [
        _paired(comparison, limits.far_degradation, genuine=False),
        _paired(comparison, limits.frr_degradation, genuine=True),
        *group_checks(group_increases(comparison, limits)),
        *drift_checks(comparison, limits, fp16=fp16),
    ]
    return GateResult("degradation", tuple(checks), DRIFT_REMEDY)


def group_increases(comparison: FaceComparison, limits: FaceLimits) -> list[GroupIncrease]:
    """FAR and FRR within each group, and their paired increase over FP32.

    Impostor pairs are those of two people of the group, who look more alike than people of
    different groups do (NISTIR 8280 compares within demographics, too).
    """
    budgets = {False: limits.group_far_degradation, True: limits.group_frr_degradation}
    return [
        GroupIncrease(
            group.name,
            "FRR" if genuine else "FAR",
            part.baseline.cell.rate(genuine=genuine).as_dict(),
            part.cell.rate(genuine=genuine).as_dict(),
            _paired(part, budget, genuine=genuine, of=f" of {group.name}"),
        )
        for genuine, budget in budgets.items()
        for group, part in zip(comparison.baseline.groups, comparison.by_group, strict=True)
    ]


def drift_checks(comparison: FaceComparison, limits: FaceLimits, *, fp16: bool) -> list[Check]:
    """Drift of the embeddings, which needs no labels."""
    checks = [
        _mean_cosine(comparison, limits.mean_cosine),
        low_quantile(
            "1st percentile of cosine to FP32",
            comparison.cosines,
            0.01,
            limits.p1_cosine,
            direction=FaceLimits.direction("p1_cosine"),
            unit="cosine",
            what="images",
        ),
    ]
    if fp16:
        smallest = float(comparison.cosines.min())
        checks.append(
            Check(
                "smallest cosine to FP32",
                at_least(smallest, smallest, limits.fp16_min_cosine),
                smallest,
                limit=limits.fp16_min_cosine,
                direction="at least",
                unit="cosine",
            )
        )
    return checks


def drift_figures(comparison: FaceComparison) -> dict[str, float]:
    """Figures for the report: cosines to FP32 and the ratio of norms."""
    norms = np.linalg.norm(comparison.variant.values.astype(np.float64), axis=1)
    fp32_norms = np.linalg.norm(comparison.baseline.embeddings.values.astype(np.float64), axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = float(np.median(norms / fp32_norms))
    return {
        "cosine_mean": float(comparison.cosines.mean()),
        "cosine_p1": float(np.quantile(comparison.cosines, 0.01)),
        "cosine_min": float(comparison.cosines.min()),
        "norm_ratio": ratio if np.isfinite(ratio) else 0.0,
    }


def _judge_rate(
    comparison: FaceComparison, limit: float, name: str, *, genuine: bool
) -> GateResult:
    cells = [(name, comparison.cell)]
    if comparison.cell is not comparison.baseline.cell:
        cells.append((f"{name}, FP32 gallery", comparison.stored))
    checks = []
    for label, cell in cells:
        found = cell.rate(genuine=genuine)
        checks.append(
            rate_check(
                label,
                found,
                limit,
                direction=FaceLimits.direction("frr" if genuine else "far"),
                detail=_describe_rate(found, genuine=genuine),
                lacking=_wanting,
            )
        )
    return GateResult(
        name.lower(),
        tuple(checks),
        "Keep the operators that harm most in FP32 (fallback = 'mixed') or try another recipe. "
        "FP32 gallery: enrolled with the FP32 model, presented to this variant.",
    )


def _describe_rate(found: Rate, *, genuine: bool) -> str:
    kind = "genuine" if genuine else "impostor"
    return (
        f"{found.errors:,} errors in {found.trials:,} {kind} comparisons of "
        f"{found.subjects} identities, design effect {found.deff:.1f}"
    )


def _wanting(found: Rate | Difference, limit: float) -> str:
    unknown = "a claim needs identities: add left_subject and right_subject to the list of pairs"
    return wanting(found, limit, "comparisons", "identities", unknown)


def _group_wanting(found: Rate | Difference, limit: float) -> str:
    return group_wanting(found, limit, "comparisons", "identities")


def _paired(comparison: FaceComparison, limit: float, *, genuine: bool, of: str = "") -> Check:
    mine, theirs = comparison.cell, comparison.baseline.cell
    wrong, wrong_fp32 = mine.wrong(genuine=genuine), theirs.wrong(genuine=genuine)
    worse = mine.rate(genuine=genuine, only=np.setdiff1d(wrong, wrong_fp32))
    better = theirs.rate(genuine=genuine, only=np.setdiff1d(wrong_fp32, wrong))
    name = "frr" if genuine else "far"
    return increase_check(
        name.upper() + of,
        worse,
        better,
        limit,
        direction=FaceLimits.direction(f"{'group_' if of else ''}{name}_degradation"),
        detail=f"{worse.errors:,} comparisons newly wrong, {better.errors:,} newly right",
        lacking=_group_wanting if of else _wanting,
    )


def _mean_cosine(comparison: FaceComparison, limit: float) -> Check:
    subjects = comparison.cell.comparisons.subjects
    lower = mean_lower_bound(comparison.cosines, subjects)
    upper = -mean_lower_bound(-comparison.cosines, subjects)
    return Check(
        "mean cosine to FP32",
        at_least(lower, upper, limit),
        float(comparison.cosines.mean()),
        max(lower, -1.0),
        min(upper, 1.0),
        limit,
        FaceLimits.direction("mean_cosine"),
        "cosine",
        f"{len(comparison.cosines):,} images",
    )


def _unit(embeddings: Outputs) -> NDArray[np.float32]:
    unit = normalise(embeddings.values)
    unit[~embeddings.finite] = np.nan  # NaN in any output discredits the whole answer
    return unit


def _spread(unit: NDArray[np.float32]) -> float:
    """Root mean square distance of unit embeddings from their mean; 0 if all are the same."""
    usable = unit[np.isfinite(unit).all(axis=1)].astype(np.float64)
    if not len(usable):
        return 0.0
    return float(np.sqrt(np.square(usable - usable.mean(axis=0)).sum(axis=1).mean()))
