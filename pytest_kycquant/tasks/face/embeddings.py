"""Embeddings of FP32 and of a variant side by side: the checks that need no labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from ...data.groups import Group
from ...data.pairs import Comparisons
from ...results import GateResult
from ...spec.limits import FaceLimits
from ...statistics import RULE_OF_30, Rate
from ...verdicts import Check
from ..checks import finite_gate, low_quantile, mean_check, variety
from ..comparison import Comparison
from ..outputs import Outputs
from .measures import COSINE, Measure
from .near import Near, near_threshold
from .scores import Extremes, PairErrors, error_rate, errors_at, extremes

# A variant whose embeddings spread less than half as far no longer tells people apart.
_COLLAPSE = variety(0.5)


@dataclass(frozen=True, eq=False)
class Cell:
    """One way to compare: the model that enrols people and the model that probes them.

    Args:
        gallery: (N, D) embeddings of the enrolled side, as `measure` prepares them.
        probe: (N, D) embeddings of the presented side, of the same images.
        comparisons: the pairs to compare.
        threshold: the decision threshold in the user's unit.
        measure: how alike two embeddings are.
    """

    gallery: NDArray[np.float32]
    probe: NDArray[np.float32]
    comparisons: Comparisons
    threshold: float
    measure: Measure = COSINE

    @property
    def limit(self) -> np.float32:
        """The score from which on pairs are accepted."""
        return self.measure.limit(self.threshold)

    @cached_property
    def errors(self) -> PairErrors:
        """The comparisons with a wrong decision."""
        pairs = self.comparisons
        return errors_at(self.gallery, self.probe, pairs, self.threshold, self.measure)

    @cached_property
    def worst(self) -> Extremes:
        """The most dangerous comparisons, whose design effect is used if there are few errors."""
        return extremes(self.gallery, self.probe, self.comparisons, RULE_OF_30, self.measure)

    def wrong(self, *, genuine: bool) -> NDArray[np.int64]:
        """Ids of the false rejects or of the false accepts."""
        return self.errors.false_rejects if genuine else self.errors.false_accepts

    def rate(self, *, genuine: bool, only: NDArray[np.int64] | None = None) -> Rate:
        """FRR or FAR, or the rate of only some of these errors."""
        ids = self.wrong(genuine=genuine) if only is None else only
        reference = self.worst.genuine_ids if genuine else self.worst.impostor_ids
        return error_rate(self.comparisons, ids, reference, genuine=genuine)


@dataclass(frozen=True, eq=False)
class FaceBaseline:
    """FP32 on some images: the reference of every variant.

    Args:
        embeddings: raw outputs of FP32.
        comparisons: the pairs to compare.
        threshold: the decision threshold in the user's unit.
        names: the names of the images.
        groups: the groups of people, each of which is also judged on its own.
        people: the name of the person on each image; empty if nobody is known.
        chosen_for: the FAR for which these people have chosen the threshold; None if it is given,
            or if others chose it.
        measure: how alike two embeddings are.
    """

    embeddings: Outputs
    comparisons: Comparisons
    threshold: float
    names: tuple[str, ...]
    groups: tuple[Group, ...] = ()
    people: tuple[str, ...] = ()
    chosen_for: float | None = None
    measure: Measure = COSINE

    @cached_property
    def cell(self) -> Cell:
        """FP32 on both sides."""
        compared = _compared(self.embeddings, self.measure)
        return Cell(compared, compared, self.comparisons, self.threshold, self.measure)

    @cached_property
    def near(self) -> Near:
        """The comparisons nearest to the threshold that are decided right."""
        return near_threshold(self.cell.probe, self.comparisons, self.threshold, self.measure)

    @cached_property
    def by_group(self) -> tuple[FaceBaseline, ...]:
        """FP32 on each group, whose people are only compared with one another."""
        return tuple(
            FaceBaseline(
                self.embeddings.subset(group.members),
                self.comparisons.restrict(group.members)[0],
                self.threshold,
                tuple(compress(self.names, group.members)),
                people=tuple(compress(self.people, group.members)),
                measure=self.measure,
            )
            for group in self.groups
        )


@dataclass(frozen=True, eq=False)
class EmbeddingComparison(Comparison):
    """Embeddings of a variant next to those of FP32 on the same images.

    Args:
        baseline: FP32 on the images.
        variant: raw outputs of the variant; those of FP32 if it is compared with itself.
        limits: the limits of the gates.
    """

    baseline: FaceBaseline
    variant: Outputs
    limits: FaceLimits

    @property
    def is_baseline(self) -> bool:
        """Whether FP32 is compared with itself."""
        return self.variant is self.baseline.embeddings

    @cached_property
    def cell(self) -> Cell:
        """The variant on both sides."""
        if self.is_baseline:
            return self.baseline.cell
        compared = _compared(self.variant, self.baseline.measure)
        return replace(self.baseline.cell, gallery=compared, probe=compared)

    @cached_property
    def stored(self) -> Cell:
        """FP32 gallery and variant probes: stored templates outlive models."""
        return replace(self.baseline.cell, probe=self.cell.probe)

    @cached_property
    def stored_swapped(self) -> Cell:
        """The same with the other image of each pair enrolled.

        Scores of pairs are symmetric as long as one model computes both sides. With two models,
        either image may be the one whose template is stored, and the errors are not the same.
        """
        return replace(self.baseline.cell, gallery=self.cell.gallery)

    @property
    def cells(self) -> dict[str, Cell]:
        """The ways to compare, by what is added to the name of a check; one for FP32 itself."""
        if self.is_baseline:
            return {"": self.cell}
        return {
            "": self.cell,
            ", FP32 gallery": self.stored,
            ", FP32 gallery, sides swapped": self.stored_swapped,
        }

    @cached_property
    def likeness(self) -> NDArray[np.float64]:
        """(N,) cosine of each embedding to its FP32 embedding; -1 if either is broken.

        Where the length of embeddings matters, it falls with that, too (`Measure.likeness`).
        """
        found = self.baseline.measure.likeness(self.baseline.cell.probe, self.cell.probe)
        return np.nan_to_num(found, nan=-1.0)

    @property
    def broken(self) -> list[str]:
        """Names of the images for which an output of the variant was not finite."""
        pairs = zip(self.baseline.names, self.variant.finite, strict=True)
        return [name for name, ok in pairs if not ok]

    def finite(self) -> GateResult:
        """Check for NaN or Inf in any output, and that embeddings still tell people apart."""
        bad = self.broken
        spread = _spread(self.cell.probe) / max(_spread(self.baseline.cell.probe), 1e-12)
        return finite_gate(
            bad,
            self.variant.broken_edges,
            spread,
            _COLLAPSE,
            what="spread of embeddings",
            detail="",
            collapsed="outputs hardly depend on the image any more",
        )

    def drift(self, *, float_variant: bool = False) -> list[Check]:
        """How alike embeddings are to those of FP32."""
        subjects, limits = self.cell.comparisons.subjects, self.limits
        name = self.baseline.measure.relates
        mean = limits["mean_cosine"], f"mean {name} to FP32"
        low = limits["p1_cosine"], f"1st percentile of {name} to FP32"
        checks = [
            mean_check(*mean, self.likeness, subjects, ends=(-1.0, 1.0)),
            low_quantile(*low, self.likeness, 0.01, "images"),
        ]
        if float_variant:
            smallest = float(self.likeness.min())
            checks.append(limits["fp16_min_cosine"].point(f"smallest {name} to FP32", smallest))
        return checks

    def figures(self) -> dict[str, float]:
        """Likeness to FP32 and the ratio of norms."""
        norms, fp32_norms = (
            np.linalg.norm(outputs.values.astype(np.float64), axis=1)
            for outputs in (self.variant, self.baseline.embeddings)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = float(np.median(norms / fp32_norms))
        name = self.baseline.measure.relates
        return {
            f"{name}_mean": float(self.likeness.mean()),
            f"{name}_p1": float(np.quantile(self.likeness, 0.01)),
            f"{name}_min": float(self.likeness.min()),
            "norm_ratio": ratio if np.isfinite(ratio) else 0.0,
        }

    def columns(self) -> dict[str, str]:
        """Likeness to FP32, mean and smallest."""
        return {
            self.baseline.measure.relates: f"{self.likeness.mean():.4f} / {self.likeness.min():.4f}"
        }

    def decided_otherwise(self, other: EmbeddingComparison) -> tuple[int, int, str]:
        """Comparisons whose decision differs, and the number of all comparisons."""
        pairs = self.baseline.comparisons
        number = sum(
            len(np.setxor1d(self.cell.wrong(genuine=kind), other.cell.wrong(genuine=kind)))
            for kind in (True, False)
        )
        return number, pairs.n_genuine + pairs.n_impostor, "comparisons"


def _compared(embeddings: Outputs, measure: Measure) -> NDArray[np.float32]:
    compared = measure.prepared(embeddings.values)
    compared[~embeddings.finite] = np.nan  # NaN in any output discredits the whole answer
    return compared


def _spread(compared: NDArray[np.float32]) -> float:
    """Root mean square distance of embeddings from their mean; 0 if all are the same."""
    usable = compared[np.isfinite(compared).all(axis=1)].astype(np.float64)
    if not len(usable):
        return 0.0
    return float(np.sqrt(np.square(usable - usable.mean(axis=0)).sum(axis=1).mean()))
