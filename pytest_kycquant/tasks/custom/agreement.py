"""A custom metric that compares outputs with those of FP32, because there are no labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...data.images import ImageSet
from ...data.labelled import LabelledSet
from ...errors import MetricError
from ...results import GateResult
from ...statistics import Rate
from ...verdicts import Check
from ..base import Part, TaskData
from ..outputs import Outputs
from ..unlabelled import load_unlabelled
from .measured import METRIC_REMEDY, MetricComparison, judge_metric
from .metric import Measurement
from .task import MetricTask

_NOTE = (
    "without labels nothing is claimed about how well FP32 does: outputs are only compared with "
    "those of FP32, and each image counts as a different subject, so the intervals are too narrow "
    "if a subject has several images"
)


@dataclass(frozen=True, eq=False)
class CustomAgreement(MetricComparison):
    """A variant whose outputs a metric compares with those of FP32.

    Args:
        names: the names of the outputs, if there are several.
    """

    names: tuple[str, ...] = ()

    def against_fp32(self, *, float_variant: bool = False) -> GateResult:
        """The metric."""
        return GateResult("agreement", tuple(self.drift()), METRIC_REMEDY)

    def drift(self, *, float_variant: bool = False) -> list[Check]:
        """The metric, which compares outputs with those of FP32."""
        return [judge_metric(self.variant, self.limits, "agreement")]

    def rates(self) -> dict[str, Rate]:
        """No rates: FP32 agrees with itself."""
        return {}

    def golden_figures(self) -> dict[str, float]:
        """Mean and spread of the outputs of FP32, of several for each."""
        figures = {}
        for name, values in zip(self.names or ("outputs",), self.fp32.outputs, strict=True):
            exact = values.astype(np.float64)
            figures[f"mean of {name}"] = float(exact.mean())
            figures[f"spread of {name}"] = float(exact.std())
        return figures


class UnlabelledCustomTask(MetricTask[CustomAgreement]):
    """A custom metric of outputs and of those of FP32."""

    def load(self) -> TaskData[LabelledSet]:
        """Read images."""
        found = load_unlabelled(self, self.spec.data, self.spec.selection, _blank, _NOTE)
        return replace(found, note="; ".join(filter(None, (_NOTE, self.rows_note))))

    def baseline(
        self, part: Part[LabelledSet], fp32: Outputs, threshold: Any = None
    ) -> CustomAgreement:
        """FP32 on both sides.

        Raises:
            MetricError: the metric is infinite for equal outputs, as PSNR is, so that neither FP32
                nor an exact variant could be judged.
        """
        arrays = self.arrays(fp32)
        found = Measurement(self.metric, arrays, fp32.finite, part.truth, against=arrays)
        known = fp32.finite.all() and found.form != "errors"
        if known and not np.isfinite(found.value):
            raise MetricError(
                self.metric.where,
                f"is {found.value:g} for outputs that equal those of FP32",
                "return a finite figure for them, such as min(figure, 100)",
            )
        names = (self.spec.outputs or ()) if len(arrays) > 1 else ()
        edges = self.has_edges
        return CustomAgreement(
            found, found, self.limits, fp32.broken_edges, edges=edges, names=names
        )


def _blank(images: ImageSet) -> LabelledSet:
    """Placeholders that FP32's outputs replace later; each image counts as a subject."""
    count = len(images)
    return LabelledSet(images, np.zeros(count), np.arange(count, dtype=np.int64), ())
