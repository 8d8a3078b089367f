"""Faces without labels: does a variant decide all pairs as FP32 does?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ...curves import Curves
from ...data.images import ImageSet
from ...data.pairs import Comparisons
from ...results import GateResult, Offender
from ...statistics import Rate
from ...verdicts import Check
from ..base import Part, TaskData
from ..checks import DRIFT_REMEDY, Counted, broken_images, rate_check
from ..outputs import Outputs
from ..prospects import Trials
from ..unlabelled import load_unlabelled, unsound
from .certificate import certified_share
from .curves import score_plot, too_many
from .embeddings import Cell, EmbeddingComparison, FaceBaseline
from .flips import Flips, flips_at, pairs_of
from .measures import Minkowski
from .offenders import of_drift, of_flips
from .scores import counts_of
from .task import EmbeddingTask

_MOST_ACCEPTED = 0.5  # for two people with equally many images, fewer than half of the pairs match
_FAR_BEYOND = 2.0  # times the threshold; strangers are hardly ever that far apart
_COUNTED = Counted("pairs", "images", "there are no pairs")
_DECISIONS = "decisions other than FP32's"
_NOTE = (
    "without labels nothing is claimed about FAR or FRR: decisions are only compared with those of "
    "FP32, and each image counts as a different person, so the intervals are too narrow if a "
    "person has several images"
)


@dataclass(frozen=True, eq=False)
class FaceAgreement(EmbeddingComparison):
    """A variant compared with FP32 on all pairs of images, each of a different person."""

    @cached_property
    def flips(self) -> dict[str, Flips]:
        """Pairs whose decision differs from FP32's, for each of `cells`."""
        return {suffix: self._flips(cell) for suffix, cell in self.cells.items()}

    @cached_property
    def certified(self) -> float:
        """Share of the pairs whose decision provably cannot have flipped, in either cell."""
        exact = self.baseline.cell
        return certified_share(exact.probe, self.cell.probe, exact.measure, exact.threshold)

    def against_fp32(self, *, float_variant: bool = False) -> GateResult:
        """Decisions other than FP32's, for new and for stored templates, and drift."""
        checks = [
            *(
                self._judge_flips(_DECISIONS + suffix, flips)
                for suffix, flips in self.flips.items()
            ),
            *self.drift(float_variant=float_variant),
        ]
        return GateResult("agreement", tuple(checks), DRIFT_REMEDY)

    def drift(self, *, float_variant: bool = False) -> list[Check]:
        """Cosines to FP32, and the certified share if a limit is given."""
        checks = super().drift(float_variant=float_variant)
        limit = self.limits.given("certified")
        if limit is not None:
            pairs = self.baseline.comparisons.n_impostor
            name, detail = (
                "decisions that cannot have flipped",
                f"certified share of {pairs:,} pairs",
            )
            checks.append(limit.point(name, self.certified, detail))
        return checks

    def offenders(self, gate: GateResult) -> list[Offender]:
        """Pairs that flipped, or the images that drift most."""
        if gate.gate == "finite":
            return broken_images(self.broken)
        suffix = gate.worst_check().name.removeprefix(_DECISIONS)
        flipped = (
            of_flips(self, self.cells[suffix], self.flips[suffix]) if suffix in self.cells else []
        )
        return flipped or of_drift(self)

    def curves(self) -> Curves:
        """Scores of all pairs."""
        if too_many(self.cell):
            return Curves()
        return Curves(score_plot(self.baseline.cell, self.cell, labelled=False))

    def rates(self) -> dict[str, Rate]:
        """The pairs that FP32 accepts; without labels each counts as a pair of different people."""
        return {"accepted pairs": self.baseline.cell.rate(genuine=False)}

    def figures(self) -> dict[str, float]:
        """Drift, both kinds of flips and the certified share."""
        figures = super().figures() | {"certified": self.certified}
        for suffix, flips in self.flips.items():
            key = suffix.replace(", ", "_").replace(" ", "_").lower()
            figures[f"newly_accepted{key}"] = float(len(flips.accepts))
            figures[f"newly_rejected{key}"] = float(len(flips.rejects))
        return figures | {"accepted_fp32": float(self._accepted)}

    def columns(self) -> dict[str, str]:
        """The certified share, and cosine to FP32."""
        return {"certified": f"{self.certified:.2%}"} | super().columns()

    @property
    def _accepted(self) -> int:
        """Number of pairs that FP32 accepts."""
        return len(self.baseline.cell.errors.false_accepts)

    def _flips(self, cell: Cell) -> Flips:
        exact = self.baseline.cell
        pairs = self.baseline.comparisons
        return flips_at(
            exact.probe, cell.gallery, cell.probe, pairs, exact.threshold, exact.measure
        )

    def _judge_flips(self, name: str, flips: Flips) -> Check:
        found = flips.rate(self.baseline.comparisons)
        # Matches are rare among all pairs, so lost matches need a denominator of their own.
        detail = (
            f"{len(flips.accepts):,} newly accepted, {len(flips.rejects):,} of the "
            f"{self._accepted:,} accepted by FP32 newly rejected, in {found.trials:,} pairs of "
            f"{found.subjects:,} images, design effect {found.deff:.1f}"
        )
        return rate_check(self.limits["flips"], name, found, detail, _COUNTED, crossed=True)


class UnlabelledFaceTask(EmbeddingTask[FaceAgreement]):
    """Face verification by agreement with FP32."""

    def load(self) -> TaskData[Comparisons]:
        """Read images, all pairs of which are compared."""
        spec = self.spec
        data = load_unlabelled(self, spec.data, spec.selection, _blank, _NOTE)
        parts = [part.images for part in (data.evaluation, data.selection) if part is not None]
        self._aligned(data.calibration)  # refuses wrong landmarks before anything is computed
        return replace(data, digests={**data.digests, **self._aligned(*parts)})

    def prospects(self, data: TaskData[Comparisons]) -> Iterator[Trials]:
        """Decisions other than FP32's."""
        counts = counts_of(data.evaluation.truth, np.empty(0, np.int64), genuine=False)
        limit, what = self.limits["flips"], "decisions other than FP32's"
        yield Trials(limit, what, counts, "images", crossed=True, all_pairs=True)

    def policy(self) -> dict[str, Any]:
        """The threshold, which is always given, and the distance that it belongs to."""
        return {"given threshold": self.given_threshold, **self.reading_of_pairs()}

    def baseline(self, part: Part[Comparisons], fp32: Outputs, threshold: float) -> FaceAgreement:
        """FP32 on both sides.

        Raises:
            BaselineError: FP32 takes most pairs of images for the same person, or its distances are
                of another scale than the threshold.
        """
        names, groups = part.images.names, part.groups
        baseline = FaceBaseline(fp32, part.truth, threshold, names, groups, measure=self.measure)
        accepted = baseline.cell.rate(genuine=False).value
        # Broken embeddings count as accepted, but the gate "finite" reports them better.
        if accepted > _MOST_ACCEPTED and fp32.finite.all():
            raise unsound(
                self.model,
                f"accepts {accepted:.1%} of all pairs of {part.size} at a threshold of "
                f"{threshold:.4g}",
                "give images of many different people",
                self.suspects(part.images, {}),
            )
        self._refuse_other_scale(baseline, part)
        return FaceAgreement(baseline, fp32, self.limits)

    def _refuse_other_scale(self, baseline: FaceBaseline, part: Part[Comparisons]) -> None:
        """Refuse a threshold that no pair comes near: then all decisions agree, whatever breaks."""
        measure, threshold = baseline.measure, baseline.threshold
        nearest = baseline.cell.worst.impostor_scores[:1]
        if not isinstance(measure, Minkowski) or not np.isfinite(nearest).all():
            return
        far = _FAR_BEYOND**2 if measure.squared else _FAR_BEYOND
        if len(nearest) and measure.shown(float(nearest[0])) > far * threshold:
            raise unsound(
                self.model,
                f"has distances of {measure.shown(float(nearest[0])):.4g} and more between all "
                f"pairs of {part.size}, far beyond the threshold of {threshold:.4g}",
                "if the threshold is one of unit embeddings, set FaceVerification(normalize=True)",
            )

    def compare(self, baseline: FaceAgreement, variant: Outputs) -> FaceAgreement:
        """The variant's embeddings next to those of FP32."""
        return replace(baseline, variant=variant)


def _blank(images: ImageSet) -> Comparisons:
    return pairs_of(len(images))
