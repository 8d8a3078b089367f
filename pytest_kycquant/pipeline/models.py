"""The models of a pipeline: plain data, and open once something is to run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data.images import preprocess
from ..errors import ModelError
from ..runtimes import OpenModel, library
from ..runtimes.feeding import Feeding
from ..runtimes.interface import Interface
from ..runtimes.verified import open_verified
from ..spec.model import KycModel
from ..spec.runtime import REFERENCE, Runtime
from ..tasks.outputs import Outputs, all_finite, fed, run_once
from ..tasks.registry import task_of

if TYPE_CHECKING:
    from ..tasks.base import Task

Pixels = NDArray[np.uint8]
OpenFile = Callable[[Runtime, Path, int, bool], OpenModel]


@dataclass(frozen=True)
class Stage:
    """One model of a pipeline in one variant; plain data, so that another process can open it.

    Args:
        model: the model, as its gate file describes it.
        variant: label of the variant.
        paths: paths of its files: one, or those of all members of a fused liveness model.
        threshold: the threshold frozen in its golden; only the detector uses it.
        size: size of all files in bytes.
        runtime: the runtime that runs the files.
        digests: SHA-256 of each file; a file that has changed is not opened. Empty checks nothing.
        learned: what FP32's outputs tell about how outputs are read, see `Task.adopt`.
        feedings: how images are fed to each file; empty for models of one float32 image.
        interfaces: how each file stands in for FP32; empty if all do as they are.
        facts: plain values that determine the model's input and how its outputs are read.
    """

    model: KycModel
    variant: str
    paths: tuple[Path, ...]
    threshold: float
    size: int
    runtime: Runtime = REFERENCE
    digests: tuple[str, ...] = ()
    learned: Mapping[str, Any] = field(default_factory=dict)
    feedings: tuple[Feeding, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def key(self) -> list[Any]:
        """Plain values that determine what the stage answers."""
        of_files = [list(self.digests), repr(self.interfaces)]
        read = [dict(self.learned), dict(self.facts), self.threshold, repr(self.model.task)]
        return [*of_files, library(self.runtime).describe(), *read]


@dataclass(frozen=True)
class Pipeline:
    """The models that one image goes through.

    Args:
        label: "fp32" or "shipped".
        stages: stages by name: "detector", then "liveness" and "embedder" if the pipeline has them.
        threads: number of threads that onnxruntime may use within an operator.
        exact: whether INT8 runs without saturation.
    """

    label: str
    stages: Mapping[str, Stage]
    threads: int = 1
    exact: bool = False

    @property
    def is_fp32(self) -> bool:
        """Whether every stage is the FP32 model."""
        return all(stage.variant == "fp32" for stage in self.stages.values())


class OpenStage:
    """A model with all its files open.

    Args:
        pipeline: the pipeline of the stage.
        stage: the stage.
        opener: a function that opens a file; None opens it, and checks that it has not changed.

    Raises:
        ModelError: a file cannot be opened, or lacks an output.
    """

    def __init__(self, pipeline: Pipeline, stage: Stage, opener: OpenFile | None = None) -> None:
        opened = _presented(pipeline, stage, opener)
        model = stage.model
        self.threshold = stage.threshold
        self.preprocesses = model.preprocesses
        self.task: Task[Any, Any] = task_of(model, model.task.limits(), _nowhere)
        self.task.adopt(stage.learned)
        self.opened, self._paths = opened, stage.paths
        self._feedings, self._chosen = stage.feedings or (Feeding(),) * len(opened), []
        for index, (path, each) in enumerate(zip(stage.paths, opened, strict=True)):
            wanted = self.task.choose_outputs(each.outputs, path, index)
            self._chosen.append([each.outputs.index(name) for name in wanted])

    def run(self, seen: list[Pixels], where: str, image: str) -> Outputs:
        """Outputs for one image.

        Args:
            seen: the crop for each file.
            where: the stage, for messages.
            image: name of the image, for messages.
        """
        given = []
        for pixels, spec, model, feeding, chosen, path in zip(
            seen, self.preprocesses, self.opened, self._feedings, self._chosen, self._paths,
            strict=True,
        ):  # fmt: skip
            tensor = preprocess(pixels, spec, where)
            title = f"{image} ({where})"
            inputs = fed(model, feeding, [tensor], path, title)
            (outputs,) = feeding.split(run_once(model, inputs, path, title), 1)
            rows = self.task.read([outputs[index] for index in chosen])
            finite = np.array([all_finite(outputs)])
            given.append(Outputs(rows, finite, rows=np.array([len(rows)])))
        return self.task.fuse(given)


class Memory:
    """Open stages and what they gave, for pipelines that have stages in common.

    Where another detector finds the same box, the crop is the same, and so is what follows.
    """

    def __init__(self) -> None:
        self._opened: dict[object, OpenStage] = {}
        self._outputs: dict[object, Outputs] = {}

    def opened(self, pipeline: Pipeline, stage: Stage) -> OpenStage:
        """Return a stage, opened once for each way in which it runs and is read."""
        # Two stages of one file may still differ, such as in the threshold of a detector.
        way = repr((pipeline.threads, pipeline.exact, stage.key()))
        key = (stage.model.name, stage.variant, stage.paths, stage.digests, way)
        if key not in self._opened:
            self._opened[key] = OpenStage(pipeline, stage)
        return self._opened[key]

    def outputs(self, stage: OpenStage, seen: list[Pixels], where: str, image: str) -> Outputs:
        """Return what a stage gives for these pixels, computed once; see `OpenStage.run`."""
        key = (id(stage), *((each.shape, hashlib.sha256(each.tobytes()).digest()) for each in seen))
        if key not in self._outputs:
            self._outputs[key] = stage.run(seen, where, image)
        return self._outputs[key]


def _presented(pipeline: Pipeline, stage: Stage, opener: OpenFile | None) -> list[OpenModel]:
    """The files of a stage, opened and presented as those of FP32."""
    interfaces = stage.interfaces or (Interface(),) * len(stage.paths)
    files = _files(pipeline, stage, opener)
    return [fit.present(model) for fit, model in zip(interfaces, files, strict=True)]


def _files(pipeline: Pipeline, stage: Stage, opener: OpenFile | None) -> list[OpenModel]:
    runtime, threads, exact = stage.runtime, pipeline.threads, pipeline.exact
    if opener is not None:
        return [opener(runtime, path, threads, exact) for path in stage.paths]
    if not stage.digests:
        return [library(runtime).open(path, threads=threads, exact=exact) for path in stage.paths]
    return [
        open_verified(runtime, path, digest, threads=threads, exact=exact)
        for path, digest in zip(stage.paths, stage.digests, strict=True)
    ]


def _nowhere(path: object, attribute: str) -> Path:
    raise ModelError(attribute, "is not read by a pipeline", "report this as a bug")
