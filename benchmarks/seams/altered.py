"""Pipelines with a fault: their stages are shown something else, or answer something else.

A fault acts where a pipeline calls its stages, so models are run only on pixels that no earlier
pipeline has shown them: where a fault changes the answers alone, nothing is run again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_kycquant import Box
from pytest_kycquant.pipeline.models import Memory, OpenStage, Pipeline, Pixels, Stage
from pytest_kycquant.pipeline.stages import Detected, Named, Stages, Trace
from pytest_kycquant.pipeline.watch import View, Watch
from pytest_kycquant.spec.pipeline import STAGES
from pytest_kycquant.tasks.outputs import Outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_kycquant import Recipe
    from pytest_kycquant.context import Context

SEAM, SUM, SOUND = "seam", "sum", "sound"
Alter = Callable[[Outputs], Outputs]
Shown = Callable[[Stages, Pixels, Any], Pixels]
Values = Mapping[str, float]


def _nothing() -> Mapping[str, Alter]:
    return {}


@dataclass(frozen=True)
class Fault:
    """One way in which a pipeline differs from FP32's.

    Args:
        title: what differs.
        kind: "seam" for a fault between stages, "sum" for drift of stages that each keep their own
            budgets, "sound" for a change that must not fail.
        box: what becomes of a detected box, in pixels of the image; None leaves it.
        scale: what becomes of the scale of a crop; None leaves it.
        shown: what a stage is shown instead of its pixels, given the stages, those pixels and the
            photo; by stage.
        answers: makes functions that change what a model gives, by stage. Made anew for each
            pipeline, since they may remember.
        thresholds: what becomes of the frozen thresholds, by stage. They are those of a golden, so
            FP32 is decided by them, too.
        recipes: the variants that stand for FP32, by stage.
        threads: threads within an operator.
    """

    title: str
    kind: str = SEAM
    box: Callable[[Box], Box] | None = None
    scale: Callable[[float], float] | None = None
    shown: Mapping[str, Shown] = field(default_factory=dict)
    answers: Callable[[], Mapping[str, Alter]] = _nothing
    thresholds: Callable[[Values], Values] | None = None
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    threads: int = 1


class AlteredPipeline(Pipeline):
    """A pipeline with a fault, which is not FP32's even where it runs the FP32 models."""

    @property
    def is_fp32(self) -> bool:
        return False


class AlteredStages(Stages):
    """Stages with a fault.

    Args:
        pipeline: the pipeline to open.
        memory: what is already open and known.
        fault: what differs.
    """

    def __init__(self, pipeline: Pipeline, memory: Memory, fault: Fault) -> None:
        super().__init__(pipeline, memory=memory)
        self._fault = fault
        self._photo: Any = None

    def trace(self, process: Callable[[Stages, Any], object], photo: Named) -> Trace:
        self._photo = photo
        return super().trace(process, photo)

    def detect(self, pixels: Pixels) -> list[Detected]:
        found = super().detect(self._shown("detector", pixels))
        if self._fault.box is None:
            return found
        height, width = pixels.shape[:2]
        moved = [(each, clipped(self._fault.box(each.box), width, height)) for each in found]
        return [replace(one, box=box) for one, box in moved if box.width > 0 and box.height > 0]

    def liveness(self, pixels: Pixels, box: Box | None = None) -> float:
        return super().liveness(self._shown("liveness", pixels), box)

    def embed(self, pixels: Pixels) -> NDArray[np.float64]:
        return super().embed(self._shown("embedder", pixels))

    def crop(  # type: ignore[override]  # callers have an object, never the class
        self, pixels: Pixels, box: Box, scale: float = 1.0, *, square: bool = True
    ) -> Pixels:
        change = self._fault.scale
        return Stages.crop(pixels, box, change(scale) if change else scale, square=square)

    def _shown(self, stage: str, pixels: Pixels) -> Pixels:
        change = self._fault.shown.get(stage)
        return pixels if change is None else change(self, pixels, self._photo)


class AlteredMemory(Memory):
    """Answers of open stages, changed.

    Args:
        shared: the answers of the models, which all pipelines share.
        answers: functions that change them, by stage.
        confidence: threshold of the detector, whose boxes are known at any.
    """

    def __init__(self, shared: Memory, answers: Mapping[str, Alter], confidence: float) -> None:
        super().__init__()
        self._shared = shared
        self._answers = answers
        self._confidence = confidence
        self._origins: dict[int, OpenStage] = {}

    def opened(self, pipeline: Pipeline, stage: Stage) -> OpenStage:
        origin = self._shared.opened(pipeline, stage)
        found = copy.copy(origin)
        if isinstance(stage.model.task, STAGES["detector"]):
            found.threshold = self._confidence
        self._origins[id(found)] = origin
        return found

    def outputs(self, stage: OpenStage, seen: list[Pixels], where: str, image: str) -> Outputs:
        given = self._shared.outputs(self._origins[id(stage)], seen, where, image)
        spec = stage.task.model.task
        name = next(name for name, kind in STAGES.items() if isinstance(spec, kind))
        return self._answers[name](given) if name in self._answers else given


class AlteredWatch(Watch):
    """Runs pipelines with a fault; nothing is kept in the cache.

    Args:
        context: the context of the run.
        views: the images.
        fault: what differs.
        shared: the answers of the models, which all pipelines share.
        confidence: threshold of the detector.
    """

    def __init__(
        self,
        context: Context,
        views: Mapping[str, View],
        fault: Fault,
        shared: Memory,
        confidence: float,
    ) -> None:
        super().__init__(context, views, None)
        self._fault = fault
        self._shared = shared
        self._confidence = confidence

    def opened(self, pipeline: Pipeline, memory: Memory) -> Stages:
        altered = AlteredMemory(self._shared, self._fault.answers(), self._confidence)
        return AlteredStages(pipeline, altered, self._fault)


def clipped(box: Box, width: int, height: int) -> Box:
    """The part of a box inside an image, in pixels."""
    x1, x2 = (float(np.clip(x, 0, width)) for x in (box.x1, box.x2))
    y1, y2 = (float(np.clip(y, 0, height)) for y in (box.y1, box.y2))
    return Box(x1, y1, x2, y2)


class Late:
    """A stage that returns the answer of the call before: a cache that is off by one."""

    def __init__(self) -> None:
        self._last: Outputs | None = None

    def __call__(self, given: Outputs) -> Outputs:
        last, self._last = self._last, given
        return given if last is None else last


class Broken:
    """A stage that gives NaN on its first image.

    Args:
        finds: whether it is a detector: boxes with NaN reach no confidence, so it finds nothing.
    """

    def __init__(self, *, finds: bool = False) -> None:
        self._finds = finds
        self._spent = False

    def __call__(self, given: Outputs) -> Outputs:
        if self._spent:
            return given
        self._spent = True
        none = np.array([False])
        if self._finds:
            return Outputs(given.values[:0], none, rows=np.zeros(1, np.int64))
        return Outputs(np.full_like(given.values, np.nan), none)
