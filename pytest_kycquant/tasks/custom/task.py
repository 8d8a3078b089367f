"""A custom task: its data, its outputs as they are, and a metric of the user's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from ...data.labelled import (
    LabelledSet,
    check_classes,
    load_labelled,
    split_labelled,
)
from ...data.leakage import check_disjoint, check_disjoint_subjects
from ...errors import ModelError
from ...spec.custom import CustomTask
from ...spec.limits import CustomLimits, Limits
from ...spec.model import KycModel
from ...spec.tasks import StrPath
from ...statistics import Rate
from ...verdicts import GateResult
from ..base import (
    Part,
    Resolve,
    Task,
    TaskData,
    only_output,
)
from ..outputs import Outputs, Tensor
from . import comparison as custom_gates
from .comparison import CustomComparison
from .metric import Measurement, Metric

_EXACT = 2.0**24  # all integers below are float32 numbers


class CustomMetricTask(Task[LabelledSet, CustomComparison]):
    """Whatever a metric of the user's own makes of outputs and labels."""

    has_threshold: ClassVar[bool] = False

    def __init__(self, model: KycModel, limits: Limits, resolve: Resolve) -> None:
        super().__init__(model, limits, resolve)
        self.spec = cast("CustomTask", model.task)
        self.limits = cast("CustomLimits", limits)
        spec = self.spec
        self.metric = Metric(spec.metric, spec.name, higher=spec.direction == "higher")

    def load(self) -> TaskData[LabelledSet]:
        """Read images and labels, and split them."""
        spec = self.spec
        evaluation = self._labelled(spec.data, spec.labels, "data", "labels")
        selection: LabelledSet | None = None
        if isinstance(spec.selection, float):
            evaluation, selection = split_labelled(evaluation, spec.selection)
            if spec.classes is not None:
                remedy = "change the share for selection, or give other images for it"
                check_classes(evaluation, spec.classes, remedy)
                check_classes(selection, spec.classes, remedy)
        elif spec.selection is not None:
            labels = spec.selection_labels
            selection = self._labelled(spec.selection, labels, "selection", "selection_labels")
        others = [(evaluation.images, "evaluation")]
        if selection is not None:
            check_disjoint_subjects(evaluation, "evaluation", selection, "selection")
            check_disjoint(evaluation.images, "evaluation", selection.images, "selection")
            others.append((selection.images, "selection"))
        note = ""
        if not evaluation.knows_subjects:
            note = (
                "the data does not say whom the images show, so each counts as another subject: "
                "with several images a subject, the intervals are too narrow"
            )
        return TaskData(
            _part(evaluation),
            _part(selection) if selection is not None else None,
            self.load_calibration(*others),
            {
                "evaluation": evaluation.digest,
                "selection": selection.digest if selection is not None else None,
            },
            note,
        )

    def choose_outputs(
        self, names: tuple[str, ...], where: Path, member: int = 0
    ) -> tuple[str, ...]:
        """Those of the gate file, or the only one."""
        asked = self.spec.outputs
        given = "CustomTask(outputs=...)"
        if asked is None:
            return (only_output(names, None, "outputs", given, where),)
        return tuple(only_output(names, name, "outputs", given, where) for name in asked)

    def read(self, outputs: list[NDArray[Any]]) -> Tensor:
        """One row: all numbers of all outputs, whose shapes `Outputs` keeps."""
        return np.concatenate([_as_float32(value).reshape(-1) for value in outputs])[np.newaxis]

    def reading(self) -> dict[str, Any]:
        """Outputs of other tasks are not kept as they are."""
        return {"outputs": "as they are"}

    def policy(self) -> dict[str, Any]:
        """The metric: another one makes the golden stale."""
        return {**self.metric.identity(), "direction": self.spec.direction}

    def baseline(
        self, part: Part[LabelledSet], fp32: Outputs, threshold: Any = None
    ) -> CustomComparison:
        """FP32 on both sides."""
        found = Measurement(self.metric, self._arrays(fp32), fp32.finite, part.truth)
        return CustomComparison(found, found, fp32.broken_edges)

    def compare(self, baseline: CustomComparison, variant: Outputs) -> CustomComparison:
        """What the metric makes of the variant beside what it makes of FP32."""
        found = replace(
            baseline.fp32,
            outputs=self._arrays(variant),
            finite=variant.finite,
            expected=baseline.fp32.form,
        )
        return CustomComparison(baseline.fp32, found, variant.broken_edges)

    def judge_finite(self, comparison: CustomComparison) -> GateResult:
        """No NaN or Inf, and outputs that still depend on the image."""
        return custom_gates.judge_finite(comparison)

    def judge_accuracy(self, comparison: CustomComparison) -> list[GateResult]:
        """The metric."""
        return [custom_gates.judge_metric(comparison, self.limits)]

    def judge_against_fp32(self, comparison: CustomComparison, *, fp16: bool = False) -> GateResult:
        """Paired difference of the metric; nobody knows which drift would be too much."""
        return custom_gates.judge_degradation(comparison, self.limits)

    def decided_otherwise(
        self, one: CustomComparison, other: CustomComparison
    ) -> tuple[int, int, str] | None:
        """Images, if the metric tells errors."""
        if one.variant.form != "errors":
            return None
        differ = one.variant.errors != other.variant.errors
        return int(differ.sum()), len(differ), "images"

    def spread(self, truth: LabelledSet) -> NDArray[np.int64]:
        """Subjects."""
        return truth.subjects

    def restricted(self, truth: LabelledSet, indices: NDArray[np.int64]) -> LabelledSet:
        """Labels of some images."""
        return truth.subset(indices)

    def rates(self, baseline: CustomComparison) -> dict[str, Rate]:
        """The error rate, if the metric tells errors."""
        found = baseline.fp32
        return {self.metric.name: found.rate()} if found.form == "errors" else {}

    def golden_figures(self, baseline: CustomComparison) -> dict[str, float]:
        """The mean or the figure, if it does not."""
        found = baseline.fp32
        return {} if found.form == "errors" else {self.metric.name: found.value}

    def harm(self, fp32: Outputs, variant: Outputs) -> float:
        """Relative L2 distance of the outputs."""
        return custom_gates.drift(self._arrays(fp32), self._arrays(variant))

    def figures(self, comparison: CustomComparison) -> dict[str, float]:
        """How far outputs are from those of FP32."""
        return {"output_drift": comparison.drift}

    def shown(self, comparison: CustomComparison) -> dict[str, str]:
        """Relative L2 distance of outputs to FP32's."""
        return {"output drift": f"{comparison.drift:.4f}"}

    def _labelled(
        self, data: StrPath, labels: StrPath | None, data_name: str, labels_name: str
    ) -> LabelledSet:
        table = None
        if labels is not None:
            table = self.resolve(labels, f"CustomTask.{labels_name}")
        path = self.resolve(data, f"CustomTask.{data_name}")
        return load_labelled(path, table, self.spec.classes)

    def _arrays(self, outputs: Outputs) -> tuple[Tensor, ...]:
        """Outputs in the shapes that the model gave them, images first: (N, *shape)."""
        if not outputs.shapes:
            raise ModelError(
                self.model.path,
                "gives outputs of another shape for each image",
                "export it with fixed shapes, or pad inside of the model",
            )
        sizes = [int(np.prod(shape)) for shape in outputs.shapes]
        parts = np.split(outputs.values, np.cumsum(sizes)[:-1], axis=1)
        # The batch of one that models have goes.
        inner = [shape[1:] if shape[:1] == (1,) else shape for shape in outputs.shapes]
        return tuple(
            part.reshape(len(part), *shape) for part, shape in zip(parts, inner, strict=True)
        )


def _as_float32(value: NDArray[Any]) -> NDArray[np.float32]:
    """Numbers of any type, if float32 holds them.

    Raises:
        ModelError: it does not, or they are none.
    """
    if value.dtype.kind in "biuf" and value.size:
        with np.errstate(over="ignore"):
            plain = value.astype(np.float32)
        exact = value.dtype.kind == "f" or float(np.abs(plain).max()) < _EXACT
        if exact and np.array_equal(np.isfinite(plain), np.isfinite(value)):
            return plain
    raise ModelError(
        "output",
        f"{value.dtype} of the shape {value.shape} does not fit into float32",
        "name another one in CustomTask(outputs=...)",
    )


def _part(labelled: LabelledSet) -> Part[LabelledSet]:
    people = f" of {len(labelled.subject_names):,} subjects" if labelled.knows_subjects else ""
    size = f"{len(labelled.images):,} images{people}"
    return Part(labelled.images, labelled, labelled.digest, size)
