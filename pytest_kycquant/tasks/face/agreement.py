"""Faces of which nobody says who is on them: all pairs, decided as FP32 decides them?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...data.images import ImageSet
from ...data.pairs import Comparisons
from ...spec.limits import FaceLimits
from ...statistics import Rate
from ...verdicts import Check, GateResult
from ..base import Part, TaskData
from ..checks import at_least, rate_check, wanting
from ..outputs import Outputs
from ..unlabelled import load_unlabelled, unsound
from . import comparison as face_gates
from .comparison import Cell, FaceComparison
from .flips import (
    Flips,
    angles,
    certified_share,
    flips_at,
    pairs_of,
)
from .task import FaceTask

_MOST_ACCEPTED = 0.5  # two people with equally many images are accepted in less than half of pairs
_NOTE = (
    "without labels nothing is claimed about FAR or FRR: decisions are held against those of FP32 "
    "only, and each image counts as another person, so with several images a person the intervals "
    "are too narrow"
)


@dataclass(frozen=True, eq=False)
class FaceAgreement(FaceComparison):
    """A variant held against FP32 on all pairs of images, each of somebody else."""

    @cached_property
    def flips(self) -> Flips:
        """Pairs decided otherwise with the variant on both sides."""
        return self._flips(self.cell)

    @cached_property
    def stored_flips(self) -> Flips:
        """Pairs decided otherwise with the variant against stored FP32 templates."""
        return self._flips(self.stored)

    @cached_property
    def certified(self) -> float:
        """Share of the pairs whose decision provably cannot have flipped, in either cell."""
        exact = self.baseline.cell
        turned = angles(exact.probe, self.cell.probe)
        return certified_share(exact.probe, turned, exact.threshold)

    @property
    def pairs(self) -> Comparisons:
        """What is compared."""
        return self.baseline.comparisons

    def _flips(self, cell: Cell) -> Flips:
        exact = self.baseline.cell
        return flips_at(exact.probe, cell.gallery, cell.probe, self.pairs, exact.threshold)


class UnlabelledFaceTask(FaceTask):
    """Face verification by agreement with FP32."""

    def load(self) -> TaskData[Comparisons]:
        """Read images; all pairs are compared."""
        spec = self.spec
        return load_unlabelled(self, spec.data, spec.selection, _blank, _NOTE)

    def policy(self) -> dict[str, Any]:
        """The threshold, which is always given."""
        return {"given threshold": self.given_threshold}

    def baseline(self, part: Part[Comparisons], fp32: Outputs, threshold: float) -> FaceAgreement:
        """FP32 on both sides.

        Raises:
            BaselineError: FP32 takes most images for the same person.
        """
        found = super().baseline(part, fp32, threshold)
        accepted = found.cell.rate(genuine=False).value
        # The gate "finite" has a word of its own for broken embeddings, which count as accepted.
        if accepted > _MOST_ACCEPTED and fp32.finite.all():
            raise unsound(
                self.model,
                f"accepts {accepted:.1%} of all pairs of {part.size} at a threshold of "
                f"{threshold:.4g}",
                "give images of many different people",
            )
        return FaceAgreement(found.baseline, found.variant)

    def compare(self, baseline: FaceComparison, variant: Outputs) -> FaceAgreement:
        """The variant's embeddings beside those of FP32."""
        return FaceAgreement(baseline.baseline, variant)

    def judge_accuracy(self, comparison: FaceComparison) -> list[GateResult]:
        """None: there are no labels."""
        return []

    def judge_against_fp32(self, comparison: FaceComparison, *, fp16: bool = False) -> GateResult:
        """Flipped decisions, and drift of embeddings."""
        return judge_agreement(_as_agreement(comparison), self.limits, fp16=fp16)

    def drift_checks(self, comparison: FaceComparison, *, fp16: bool = False) -> list[Check]:
        """Cosines to FP32, and the certified share if a limit is given."""
        found = super().drift_checks(comparison, fp16=fp16)
        if self.limits.certified is not None:
            found.append(_certified(_as_agreement(comparison), self.limits.certified))
        return found

    def rates(self, baseline: FaceComparison) -> dict[str, Rate]:
        """What FP32 accepts; without labels every pair counts as one of different people."""
        return {"accepted pairs": baseline.cell.rate(genuine=False)}

    def figures(self, comparison: FaceComparison) -> dict[str, float]:
        """Drift, flips of either kind and the certified share."""
        found = _as_agreement(comparison)
        accepted = len(found.baseline.cell.errors.false_accepts)
        figures = face_gates.drift_figures(found) | {"certified": found.certified}
        for suffix, flips in (("", found.flips), ("_fp32_gallery", found.stored_flips)):
            figures[f"newly_accepted{suffix}"] = float(len(flips.accepts))
            figures[f"newly_rejected{suffix}"] = float(len(flips.rejects))
        return figures | {"accepted_fp32": float(accepted)}

    def shown(self, comparison: FaceComparison) -> dict[str, str]:
        """The certified share, and cosine to FP32."""
        share = _as_agreement(comparison).certified
        return {"certified": f"{share:.2%}"} | super().shown(comparison)


def judge_agreement(
    comparison: FaceAgreement, limits: FaceLimits, *, fp16: bool = False
) -> GateResult:
    """Decisions other than FP32's, for new and for stored templates, and drift of embeddings."""
    checks = [
        _flips(comparison, comparison.flips, "decisions other than FP32's", limits.flips),
        _flips(
            comparison,
            comparison.stored_flips,
            "decisions other than FP32's, FP32 gallery",
            limits.flips,
        ),
        *face_gates.drift_checks(comparison, limits, fp16=fp16),
    ]
    if limits.certified is not None:
        checks.append(_certified(comparison, limits.certified))
    return GateResult("agreement", tuple(checks), face_gates.DRIFT_REMEDY)


def _certified(comparison: FaceAgreement, limit: float) -> Check:
    share = comparison.certified
    return Check(
        "decisions that cannot have flipped",
        at_least(share, share, limit),
        share,
        limit=limit,
        direction=FaceLimits.direction("certified"),
        unit="share",
        detail=f"certified among {comparison.pairs.n_impostor:,} pairs",
    )


def _flips(comparison: FaceAgreement, flips: Flips, name: str, limit: float) -> Check:
    found = flips.rate(comparison.pairs)
    accepted = len(comparison.baseline.cell.errors.false_accepts)
    # Matches are rare among all pairs, so those that are lost want a base of their own.
    detail = (
        f"{len(flips.accepts):,} newly accepted, and newly rejected {len(flips.rejects):,} of "
        f"{accepted:,} that FP32 accepts, in {found.trials:,} pairs of {found.subjects:,} images, "
        f"design effect {found.deff:.1f}"
    )
    return rate_check(
        name,
        found,
        limit,
        direction=FaceLimits.direction("flips"),
        detail=detail,
        lacking=lambda found, limit: wanting(found, limit, "pairs", "images", "there are no pairs"),
    )


def _as_agreement(comparison: FaceComparison) -> FaceAgreement:
    """The bench hands back what `baseline` and `compare` made."""
    if not isinstance(comparison, FaceAgreement):
        raise TypeError(f"{type(comparison).__name__} is no comparison without labels")
    return comparison


def _blank(images: ImageSet) -> Comparisons:
    return pairs_of(len(images))
