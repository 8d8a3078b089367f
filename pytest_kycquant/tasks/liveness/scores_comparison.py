"""Scores of FP32 and of a variant side by side: the checks that need no labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...curves import Curves, ScorePlot
from ...data.groups import Group
from ...data.liveness import LivenessSet
from ...results import GateResult, Offender
from ...spec.limits import LivenessLimits
from ...verdicts import Check
from ..checks import Counted, broken_images, finite_gate, mean_check, rate_check, variety
from ..comparison import Comparison
from ..rates import rate_of
from ..score_plots import paired_plot
from .offenders import furthest
from .scores import Decisions

# A variant whose scores spread less than half as far hardly depends on the image.
_COLLAPSE = variety(0.5)


@dataclass(frozen=True, eq=False)
class ScoreComparison(Comparison):
    """Scores of a variant next to those of FP32 on the same captures, at the same threshold.

    Args:
        fp32: the decisions of FP32.
        variant: the decisions of the variant.
        limits: the limits of the gates.
        finite_outputs: (N,) bool, whether all outputs of the variant were finite.
        broken_edges: names of the edge inputs that gave NaN or Inf.
        group_table: the groups of people, each of which is also judged on its own.
    """

    fp32: Decisions
    variant: Decisions
    limits: LivenessLimits
    finite_outputs: NDArray[np.bool_]
    broken_edges: tuple[str, ...] = ()
    group_table: tuple[Group, ...] = ()

    @property
    def captures(self) -> LivenessSet:
        """The captures with their labels."""
        return self.fp32.captures

    @property
    def counted(self) -> Counted:
        """The words for what rates count."""
        subjects = "people" if self.captures.knows_subjects else "subjects"
        return Counted("captures", subjects, "there are no captures")

    @cached_property
    def apart(self) -> NDArray[np.float64]:
        """(N,) absolute difference of the scores; 1, the largest, if a score is missing."""
        return np.nan_to_num(np.abs(self.variant.scores - self.fp32.scores), nan=1.0)

    @cached_property
    def flipped(self) -> NDArray[np.bool_]:
        """(N,) whether the decision differs from FP32's; without a score it counts as flipped."""
        decided = np.equal(self.variant.wrong, self.fp32.wrong)
        return ~decided | np.isnan(self.variant.scores)

    @property
    def broken(self) -> list[str]:
        """Names of the captures for which an output of the variant was not finite."""
        pairs = zip(self.captures.images.names, self.finite_outputs, strict=True)
        return [name for name, ok in pairs if not ok]

    def offenders(self, gate: GateResult) -> list[Offender]:
        """Captures that are decided otherwise, or whose scores drift most."""
        if gate.gate == "finite":
            return broken_images(self.broken)
        return self.otherwise() or self.furthest()

    def otherwise(self) -> list[Offender]:
        """The captures that are decided otherwise, the furthest from FP32 first."""
        return furthest(self.fp32, self.variant, self.apart, self.flipped)

    def furthest(self) -> list[Offender]:
        """The captures whose scores are furthest from those of FP32."""
        everything = np.ones(len(self.apart), np.bool_)
        return furthest(self.fp32, self.variant, self.apart, everything)

    def finite(self) -> GateResult:
        """Check for NaN or Inf in any output, and that scores still depend on the image."""
        bad = self.broken
        spread = _spread(self.variant.scores) / max(_spread(self.fp32.scores), 1e-12)
        return finite_gate(
            bad,
            self.broken_edges,
            spread,
            _COLLAPSE,
            what="spread of scores",
            detail="",
            collapsed="scores hardly depend on the image any more",
        )

    def drift(self, *, float_variant: bool = False) -> list[Check]:
        """Differences between the scores and those of FP32."""
        limit, name = self.limits["score_drift"], "mean score difference to FP32"
        checks = [mean_check(limit, name, self.apart, self.captures.subjects, ends=(0.0, 1.0))]
        if float_variant:
            largest = float(self.apart.max())
            limit = self.limits["fp16_max_drift"]
            checks.append(limit.point("largest score difference to FP32", largest))
        return checks

    def flips(self) -> Check:
        """The rate of flipped decisions.

        New errors and corrected ones may cancel in an error rate; flips cannot cancel.
        """
        found = rate_of(self.flipped, self.captures.subjects)
        detail = f"{found.errors:,} of {found.trials:,} captures"
        if found.errors:
            accepted = self.fp32.scores >= self.fp32.threshold
            newly = int((self.flipped & ~accepted).sum())
            detail = f"{detail}, {newly:,} newly live and {found.errors - newly:,} newly rejected"
        name = "decisions other than FP32's"
        return rate_check(self.limits["flips"], name, found, detail, self.counted)

    def figures(self) -> dict[str, float]:
        """How far scores and decisions are from those of FP32."""
        return {
            "score_drift_mean": float(self.apart.mean()),
            "score_drift_max": float(self.apart.max()),
            "flipped": float(self.flipped.mean()),
        }

    def columns(self) -> dict[str, str]:
        """Difference of scores to FP32, mean and largest."""
        return {"score drift": f"{self.apart.mean():.4f} / {self.apart.max():.4f}"}

    def curves(self) -> Curves:
        """Scores of all captures, whatever they show."""
        everything = {"captures": np.ones(len(self.apart), np.bool_)}
        return Curves(self.score_plot(everything))

    def score_plot(self, kinds: Mapping[str, NDArray[np.bool_]]) -> ScorePlot:
        """The scores of both models by kind of capture."""
        both = self.fp32.scores, self.variant.scores
        title = "probability of a live face"
        return paired_plot(title, *both, kinds, self.fp32.threshold, (0.0, 1.0))

    def decided_otherwise(self, other: ScoreComparison) -> tuple[int, int, str]:
        """Captures whose decision differs, and the number of all captures."""
        differ = self.variant.wrong != other.variant.wrong
        return int(differ.sum()), len(differ), "captures"


def _spread(scores: NDArray[np.float64]) -> float:
    """Standard deviation of the finite scores; 0 if there are none."""
    usable = scores[np.isfinite(scores)]
    return float(usable.std()) if len(usable) else 0.0
