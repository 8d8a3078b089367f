"""Captures of which nobody says what is live: decided as FP32 decides them?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...data.images import ImageSet
from ...data.liveness import LIVE, LivenessSet
from ...statistics import Rate
from ...verdicts import GateResult
from ..base import Part, TaskData
from ..outputs import Outputs
from ..unlabelled import load_unlabelled, unsound
from . import comparison as liveness_gates
from .comparison import LivenessComparison
from .task import LivenessTask

_LEAST_SPREAD = 1e-3  # of FP32's scores, a standard deviation: far below that of real captures
_NOTE = (
    "without labels nothing is claimed about APCER or BPCER: decisions are held against those of "
    "FP32 only, and each capture counts as another person, so with several captures a person the "
    "intervals are too narrow"
)


class UnlabelledLivenessTask(LivenessTask):
    """Presentation attack detection by agreement with FP32."""

    def load(self) -> TaskData[LivenessSet]:
        """Read images, whose faces have boxes if any have."""
        data = load_unlabelled(self, self.spec.data, self.spec.selection, _blank, _NOTE)
        parts = [part.images for part in (data.evaluation, data.selection) if part is not None]
        for images in (data.calibration, *parts):
            if images is not None:
                self.seen(images, 0)  # complains of missing boxes before anything is computed
        return replace(data, digests={**data.digests, **self._crops(parts)})

    def policy(self) -> dict[str, Any]:
        """How scores are read, and the threshold, which is always given."""
        return {k: v for k, v in super().policy().items() if k != "selection APCER"}

    def baseline(
        self, part: Part[LivenessSet], fp32: Outputs, threshold: float
    ) -> LivenessComparison:
        """FP32 on both sides.

        Raises:
            BaselineError: the scores of FP32 hardly depend on the image.
        """
        found = super().baseline(part, fp32, threshold)
        scores = found.fp32.scores[np.isfinite(found.fp32.scores)]
        if len(scores) and scores.std() < _LEAST_SPREAD:
            raise unsound(
                self.model,
                f"scores all of {part.size} alike, {scores.min():.4g} to {scores.max():.4g}",
                "give live captures and attacks",
            )
        return found

    def judge_accuracy(self, comparison: LivenessComparison) -> list[GateResult]:
        """None: there are no labels."""
        return []

    def judge_against_fp32(
        self, comparison: LivenessComparison, *, fp16: bool = False
    ) -> GateResult:
        """Flipped decisions and drift of scores."""
        checks = liveness_gates.drift_checks(comparison, self.limits, fp16=fp16)
        return GateResult("agreement", tuple(checks), liveness_gates.DRIFT_REMEDY)

    def rates(self, baseline: LivenessComparison) -> dict[str, Rate]:
        """What FP32 rejects; without labels every capture is taken for a live one."""
        return {"rejected captures": baseline.fp32.rate(LIVE)}

    def figures(self, comparison: LivenessComparison) -> dict[str, float]:
        """Drift, and what both accept."""
        accepted = {
            f"accepted{suffix}": float((~decisions.wrong).sum())
            for suffix, decisions in (("", comparison.variant), ("_fp32", comparison.fp32))
        }
        return liveness_gates.drift_figures(comparison) | accepted


def _blank(images: ImageSet) -> LivenessSet:
    """Captures taken for live ones, each of somebody else."""
    count = len(images)
    everybody = np.arange(count, dtype=np.int64)
    return LivenessSet(images, np.full(count, LIVE, np.int64), (), everybody, ())
