"""Captures without labels: does a variant decide them as FP32 does?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...data.images import ImageSet
from ...data.liveness import LIVE, LivenessSet
from ...results import GateResult
from ...statistics import Rate
from ..base import Part, TaskData
from ..checks import DRIFT_REMEDY
from ..outputs import Outputs
from ..unlabelled import load_unlabelled, unsound
from .scores_comparison import ScoreComparison
from .task import ScoreTask

_LEAST_SPREAD = 1e-3  # standard deviation of FP32's scores, far below that of real captures
_NOTE = (
    "without labels nothing is claimed about APCER or BPCER: decisions are only compared with "
    "those of FP32, and each capture counts as a different person, so the intervals are too narrow "
    "if a person has several captures"
)


@dataclass(frozen=True, eq=False)
class LivenessAgreement(ScoreComparison):
    """A variant compared with FP32 on captures without labels."""

    def against_fp32(self, *, float_variant: bool = False) -> GateResult:
        """Flipped decisions and drift of scores."""
        checks = (self.flips(), *self.drift(float_variant=float_variant))
        return GateResult("agreement", checks, DRIFT_REMEDY)

    def rates(self) -> dict[str, Rate]:
        """The captures that FP32 rejects; without labels each counts as live."""
        return {"rejected captures": self.fp32.rate(LIVE)}

    def figures(self) -> dict[str, float]:
        """Drift, and the number of captures that each model accepts."""
        sides = (("", self.variant), ("_fp32", self.fp32))
        accepted = {f"accepted{end}": float((~side.wrong).sum()) for end, side in sides}
        return super().figures() | accepted


class UnlabelledLivenessTask(ScoreTask[LivenessAgreement]):
    """Presentation attack detection by agreement with FP32."""

    def load(self) -> TaskData[LivenessSet]:
        """Read images; if the gate file names face boxes, every image needs one."""
        data = load_unlabelled(self, self.spec.data, self.spec.selection, _blank, _NOTE)
        parts = [part.images for part in (data.evaluation, data.selection) if part is not None]
        for images in (data.calibration, *parts):
            if images is not None:
                self.seen(images, 0)  # refuses missing boxes before anything is computed
        return replace(data, digests={**data.digests, **self._crops(parts)})

    def policy(self) -> dict[str, Any]:
        """How scores are read, and the threshold, which is always given."""
        return {"given threshold": self.given_threshold} | self.reading_of_scores()

    def baseline(
        self, part: Part[LivenessSet], fp32: Outputs, threshold: float
    ) -> LivenessAgreement:
        """FP32 on both sides.

        Raises:
            BaselineError: the scores of FP32 hardly depend on the image.
        """
        found = self.held(LivenessAgreement, part, fp32, threshold)
        scores = found.fp32.scores[np.isfinite(found.fp32.scores)]
        if len(scores) and scores.std() < _LEAST_SPREAD:
            raise unsound(
                self.model,
                f"scores all {part.size} alike, {scores.min():.4g} to {scores.max():.4g}",
                "give live captures and attacks",
            )
        return found


def _blank(images: ImageSet) -> LivenessSet:
    """Captures that count as live, each of a different person."""
    count = len(images)
    everybody = np.arange(count, dtype=np.int64)
    return LivenessSet(images, np.full(count, LIVE, np.int64), (), everybody, ())
