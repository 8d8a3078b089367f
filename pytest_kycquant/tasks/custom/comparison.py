"""The gates of a custom task: from a metric for FP32 and a variant to checks against limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...results import GateResult
from ...statistics import Rate
from ...verdicts import Check, Estimate
from ..checks import increase_check, many
from .measured import METRIC_REMEDY, MetricComparison, counted, judge_figure, judge_metric, of_rate
from .metric import bounds


@dataclass(frozen=True, eq=False)
class CustomComparison(MetricComparison):
    """A variant compared with FP32 on the same labelled images."""

    def accuracy(self) -> list[GateResult]:
        """The metric."""
        check = judge_metric(self.variant, self.limits, "metric")
        return [GateResult("metric", (check,), METRIC_REMEDY)]

    def against_fp32(self, *, float_variant: bool = False) -> GateResult:
        """How much worse than FP32 the metric is; there is no known limit of the drift."""
        errors = self.variant.form == "errors"
        check = self._more_errors() if errors else self._worse_figure()
        return GateResult("degradation", (check,), METRIC_REMEDY)

    def rates(self) -> dict[str, Rate]:
        """The error rate, if the metric returns errors."""
        found = self.fp32
        return {found.metric.name: found.rate()} if found.form == "errors" else {}

    def golden_figures(self) -> dict[str, float]:
        """The mean or the figure, unless the metric returns errors."""
        found = self.fp32
        return {} if found.form == "errors" else {found.metric.name: found.value}

    @property
    def _same(self) -> bool:
        """Whether the outputs of the variant equal those of FP32 exactly, as for FP32 itself."""
        pairs = zip(self.fp32.outputs, self.variant.outputs, strict=True)
        return all(np.array_equal(one, other) for one, other in pairs)

    def _more_errors(self) -> Check:
        mine, theirs = self.variant, self.fp32
        limit = of_rate(self.limits["degradation"])
        worse = mine.rate(mine.errors & ~theirs.errors)
        better = theirs.rate(theirs.errors & ~mine.errors)
        detail = f"{many(worse.errors, 'images')} newly wrong, {better.errors:,} newly right"
        wanting = counted(mine).wanting
        return increase_check(limit, mine.metric.name, worse, better, detail, wanting)

    def _worse_figure(self) -> Check:
        mine, theirs = self.variant, self.fp32
        more, less = (theirs, mine) if mine.metric.higher else (mine, theirs)
        value = more.value - less.value
        found = value, value
        if np.isfinite(value) and not self._same:
            found = bounds(value, more.without - less.without, share=False)
        name = mine.metric.name
        changed = f"drop of {name} from" if mine.metric.higher else f"increase of {name} over"
        estimate = Estimate(value, *found)
        return judge_figure(self.limits["degradation"], f"{changed} FP32", mine, estimate)
