"""A custom task: its data, its unprocessed outputs, and the user's metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ...data.images import ImageSet
from ...data.labelled import (
    LabelledSet,
    check_classes,
    load_labelled,
    selected_labelled,
    split_labelled,
)
from ...data.leakage import check_disjoint, check_disjoint_subjects
from ...data.prepared_rows import PreparedRows, holds_rows
from ...data.rows import RowSet
from ...data.split import SEARCH_SHARE
from ...data.unlabelled import load_images
from ...errors import ModelError
from ...runtimes.feeding import Sample
from ...spec.custom import CustomTask
from ...spec.limits import CustomLimits, Limits
from ...spec.model import KycModel
from ...spec.task import StrPath
from ..base import (
    Part,
    Resolve,
    Task,
    TaskData,
    only_output,
)
from ..outputs import Outputs, Tensor
from ..quality import Quality
from .comparison import CustomComparison
from .measured import MetricComparison, distance
from .metric import Measurement, Metric
from .quality import merit

_EXACT = 2.0**24  # float32 holds all smaller integers exactly


Held = TypeVar("Held", bound=MetricComparison)


class MetricTask(Task[LabelledSet, Held]):
    """A custom metric of outputs, with labels or without."""

    has_threshold: ClassVar[bool] = False

    def __init__(self, model: KycModel, limits: Limits, resolve: Resolve) -> None:
        super().__init__(model, limits, resolve)
        self.spec = cast("CustomTask", model.task)
        self.limits = cast("CustomLimits", limits)
        spec = self.spec
        self._rows: RowSet | None = None  # a few for judging, if data are rows of arrays
        self.metric = Metric(spec.metric, spec.name, higher=spec.direction == "higher")

    def images_at(self, path: Path, wanted: str = "JPEG or PNG images") -> ImageSet:
        """Images, or rows of arrays in their place."""
        rows = holds_rows(self.model.preprocess, path)
        return self._read_rows(path) if rows else load_images(path, wanted)

    @property
    def _prepared(self) -> PreparedRows:
        return PreparedRows(self.model.preprocess)

    def _read_rows(self, path: Path) -> RowSet:
        rows = self._prepared.load(path, self._rows)
        if self._rows is None:  # evaluation is read first
            self._rows = rows.subset([0])
        return rows

    def shape(self, member: int = 0) -> tuple[int, ...] | Mapping[str, tuple[int, ...]]:
        """Shape of one image, or of the arrays of one row."""
        path = self.resolve(self.spec.data, "CustomTask.data")
        if not holds_rows(self.model.preprocess, path):
            return super().shape(member)
        rows = self._rows if self._rows is not None else self._read_rows(path)
        return self._prepared.shapes(rows)

    def tensors(self, images: ImageSet, member: int = 0) -> Iterator[tuple[str, Sample]]:
        """Yield (name, sample) of each image or row."""
        if isinstance(images, RowSet):
            return self._prepared.samples(images)
        return super().tensors(images, member)

    def edge_inputs(self, member: int = 0) -> Iterator[tuple[str, Sample]]:
        """Black, white and noise in the place of images; nothing if the model takes none."""
        if self._rows is not None:
            return self._prepared.edges(self._rows)
        return super().edge_inputs(member)

    @property
    def has_edges(self) -> bool:
        """Whether there are images, in whose place extreme inputs are tried."""
        return self._rows is None or any(True for _ in self._prepared.edges(self._rows))

    @property
    def rows_note(self) -> str:
        """What is not tried for rows of arrays, in words for the report, or ""."""
        if self._rows is None:
            return ""
        tried = "" if self.has_edges else "; no extreme inputs were tried for NaN and Inf"
        return f"rows of arrays are compared bit for bit, not for edited copies{tried}"

    def choose_outputs(
        self, names: tuple[str, ...], where: Path, member: int = 0
    ) -> tuple[str, ...]:
        """The outputs that the gate file names, or the only one."""
        asked = self.spec.outputs
        given = "CustomTask(outputs=...)"
        if asked is None:
            return (only_output(names, None, "outputs", given, where),)
        return tuple(only_output(names, name, "outputs", given, where) for name in asked)

    def read(self, outputs: list[NDArray[Any]]) -> Tensor:
        """One row: all numbers of all outputs; `Outputs` keeps the shapes."""
        return np.concatenate([_as_float32(value).reshape(-1) for value in outputs])[np.newaxis]

    def reading(self) -> dict[str, Any]:
        """A marker: unlike those of other tasks, outputs are kept unprocessed."""
        return {"outputs": "as they are"}

    def policy(self) -> dict[str, Any]:
        """The metric and its direction: a change makes the golden stale."""
        return {**self.metric.identity(), "direction": self.spec.direction}

    def compare(self, baseline: Held, variant: Outputs) -> Held:
        """The results of the metric for the variant and for FP32."""
        found = replace(
            baseline.fp32,
            outputs=self.arrays(variant),
            finite=variant.finite,
            expected=baseline.fp32.form,
        )
        return replace(baseline, variant=found, broken_edges=variant.broken_edges)

    def spread(self, truth: LabelledSet) -> NDArray[np.int64]:
        """The subjects."""
        return truth.subjects

    def restricted(self, truth: LabelledSet, indices: NDArray[np.int64]) -> LabelledSet:
        """Labels of some images."""
        return truth.subset(indices)

    def harm(self, fp32: Outputs, variant: Outputs) -> float:
        """Relative L2 distance of the outputs from FP32's."""
        return distance(self.arrays(fp32), self.arrays(variant))

    def arrays(self, outputs: Outputs) -> tuple[Tensor, ...]:
        """The outputs in the shapes that the model returned, images first: (N, *shape)."""
        if not outputs.shapes:
            raise ModelError(
                self.model.path,
                "gives outputs whose shape differs between images",
                "export it with fixed shapes, or pad inside the model",
            )
        sizes = [int(np.prod(shape)) for shape in outputs.shapes]
        parts = np.split(outputs.values, np.cumsum(sizes)[:-1], axis=1)
        # A leading batch axis of size 1 is dropped.
        inner = [shape[1:] if shape[:1] == (1,) else shape for shape in outputs.shapes]
        return tuple(
            part.reshape(len(part), *shape) for part, shape in zip(parts, inner, strict=True)
        )


class CustomMetricTask(MetricTask[CustomComparison]):
    """A custom metric of outputs and labels."""

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
                "the data does not say whom the images show, so each counts as a different "
                "subject: the intervals are too narrow if a subject has several images"
            )

        def searched() -> NDArray[np.bool_]:
            mask = selected_labelled(evaluation, SEARCH_SHARE)
            for side in (mask, ~mask):
                if spec.classes is not None:
                    remedy = "add images, or give other images for the search in selection="
                    check_classes(evaluation.subset(side), spec.classes, remedy)
            return mask

        return TaskData(
            _part(evaluation),
            _part(selection) if selection is not None else None,
            self.load_calibration(*others),
            {
                "evaluation": evaluation.digest,
                "selection": selection.digest if selection is not None else None,
            },
            "; ".join(filter(None, (note, self.rows_note))),
            searched=searched if selection is None else None,
        )

    def quality(self, part: Part[LabelledSet], outputs: Outputs) -> Quality | None:
        """The metric."""
        assert self.limits.metric is not None  # labels are judged by it
        found = Measurement(self.metric, self.arrays(outputs), outputs.finite, part.truth)
        return merit(found, self.limits.metric)

    def baseline(
        self, part: Part[LabelledSet], fp32: Outputs, threshold: Any = None
    ) -> CustomComparison:
        """FP32 on both sides."""
        found = Measurement(self.metric, self.arrays(fp32), fp32.finite, part.truth)
        return CustomComparison(found, found, self.limits, fp32.broken_edges, edges=self.has_edges)

    def _labelled(
        self, data: StrPath, labels: StrPath | None, data_name: str, labels_name: str
    ) -> LabelledSet:
        table = None
        if labels is not None:
            table = self.resolve(labels, f"CustomTask.{labels_name}")
        path = self.resolve(data, f"CustomTask.{data_name}")
        rows = None
        if table is None and holds_rows(self.model.preprocess, path):
            rows = self._read_rows
        return load_labelled(path, table, self.spec.classes, self.prepare, rows)


def _as_float32(value: NDArray[Any]) -> NDArray[np.float32]:
    """Convert numbers of any type to float32, if it can hold them.

    Raises:
        ModelError: float32 cannot hold them, or they are not numbers.
    """
    if value.dtype.kind in "biuf" and value.size:
        with np.errstate(over="ignore"):
            plain = value.astype(np.float32)
        exact = value.dtype.kind == "f" or float(np.abs(plain).max()) < _EXACT
        if exact and np.array_equal(np.isfinite(plain), np.isfinite(value)):
            return plain
    raise ModelError(
        "output",
        f"{value.dtype} of shape {value.shape} does not fit into float32",
        "name another output in CustomTask(outputs=...)",
    )


def _part(labelled: LabelledSet) -> Part[LabelledSet]:
    people = f" of {len(labelled.subject_names):,} subjects" if labelled.knows_subjects else ""
    size = f"{len(labelled.images):,} {labelled.images.noun}s{people}"
    return Part(labelled.images, labelled, labelled.digest, size)
