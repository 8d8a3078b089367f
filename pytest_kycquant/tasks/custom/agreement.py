"""A metric of the user's own that holds outputs against those of FP32, for want of labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...data.images import ImageSet
from ...data.labelled import LabelledSet
from ...spec.custom import CustomTask
from ...statistics import Rate
from ...verdicts import Check, GateResult
from ..base import Part, TaskData
from ..outputs import Outputs
from ..unlabelled import load_unlabelled
from . import comparison as custom_gates
from .comparison import CustomComparison
from .metric import Measurement
from .task import CustomMetricTask

_NOTE = (
    "without labels nothing is claimed about how well FP32 does: outputs are held against its own "
    "only, and each image counts as another subject, so with several images a subject the "
    "intervals are too narrow"
)


class UnlabelledCustomTask(CustomMetricTask):
    """Whatever a metric makes of outputs and of those of FP32."""

    spec: CustomTask

    def load(self) -> TaskData[LabelledSet]:
        """Read images."""
        return load_unlabelled(self, self.spec.data, self.spec.selection, _blank, _NOTE)

    def baseline(
        self, part: Part[LabelledSet], fp32: Outputs, threshold: Any = None
    ) -> CustomComparison:
        """FP32 on both sides."""
        arrays = self._arrays(fp32)
        truth = replace(part.truth, labels=arrays[0])
        found = Measurement(self.metric, arrays, fp32.finite, truth)
        return CustomComparison(found, found, fp32.broken_edges)

    def judge_accuracy(self, comparison: CustomComparison) -> list[GateResult]:
        """None: there are no labels."""
        return []

    def judge_against_fp32(self, comparison: CustomComparison, *, fp16: bool = False) -> GateResult:
        """The metric."""
        return custom_gates.judge_agreement(comparison, self.limits)

    def drift_checks(self, comparison: CustomComparison, *, fp16: bool = False) -> list[Check]:
        """The metric, which holds outputs against those of FP32."""
        return list(custom_gates.judge_agreement(comparison, self.limits).checks)

    def rates(self, baseline: CustomComparison) -> dict[str, Rate]:
        """None: FP32 agrees with itself."""
        return {}

    def golden_figures(self, baseline: CustomComparison) -> dict[str, float]:
        """What the outputs of FP32 are like."""
        (values,) = baseline.fp32.outputs
        exact = values.astype(np.float64)
        return {"mean of outputs": float(exact.mean()), "spread of outputs": float(exact.std())}


def _blank(images: ImageSet) -> LabelledSet:
    """What FP32 says takes the place of labels later; each image is a subject of its own."""
    count = len(images)
    return LabelledSet(images, np.zeros(count), np.arange(count, dtype=np.int64), ())
