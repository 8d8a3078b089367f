"""A pipeline as plain data, and its stages as callables once the models are open."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ..data.crops import Box, crop_box
from ..data.decoding import decode
from ..data.files import read_file
from ..data.images import ImageSet, preprocess
from ..data.placement import place
from ..errors import KycquantError, ModelError, PipelineError, SpecError
from ..runtimes import OpenModel, library
from ..runtimes.feeding import Feeding
from ..runtimes.interface import Interface
from ..runtimes.verified import open_verified
from ..spec.functions import describe_raised
from ..spec.model import KycModel
from ..spec.runtime import REFERENCE, Runtime
from ..tasks.detection.task import DetectionTask
from ..tasks.liveness.task import LivenessTask
from ..tasks.outputs import Outputs, all_finite, fed, run_once
from ..tasks.registry import task_of

if TYPE_CHECKING:
    from ..tasks.base import Task

Pixels = NDArray[np.uint8]
Clock = Callable[[], int]
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


@dataclass(frozen=True)
class Photo:
    """An image that a pipeline has not read yet.

    Args:
        images: the images that it belongs to.
        index: its place among them.
    """

    images: ImageSet
    index: int

    @property
    def name(self) -> str:
        """Its path relative to the folder of images."""
        return self.images.names[self.index]

    @property
    def path(self) -> Path:
        """Its file.

        Raises:
            SpecError: the image is a row of an array.
        """
        if self.images.is_array:
            raise SpecError(
                self.name, "is a row of an array, not a file", "name a folder of images"
            )
        return Path(self.images.where(self.index))

    def pixels(self) -> Pixels:
        """Read and decode it: RGB, shape (height, width, 3), uint8."""
        return self.images.pixels(self.index)


@dataclass(frozen=True)
class Detected:
    """A detection at or above the frozen confidence.

    Args:
        name: name of its class.
        box: box in pixels of the image, clipped to the image.
        score: confidence.
    """

    name: str
    box: Box
    score: float


@dataclass(frozen=True)
class Trace:
    """One run of a pipeline on one image.

    Args:
        wall_ns: wall-clock time in ns, from before the image was read to after the last stage.
        spent_ns: time of each stage that was called, in ns, including its preprocessing.
        broken: names of the stages that gave NaN or Inf.
        answers: answers of liveness and embedder, call by call.
    """

    wall_ns: int
    spent_ns: Mapping[str, int]
    broken: tuple[str, ...] = ()
    answers: Mapping[str, tuple[NDArray[np.float64], ...]] = field(default_factory=dict)


class Stages:
    """The stages that a pipeline's `process` calls; every call is timed and checked for NaN.

    Args:
        pipeline: the pipeline to open.
        clock: a function that returns the wall clock in ns.
        open_model: a function that opens a file, given its runtime, its path, the
            number of threads and whether to run without saturation; None opens and checks it.

    Raises:
        ModelError: a model cannot be opened, or lacks an output.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        clock: Clock = time.perf_counter_ns,
        open_model: OpenFile | None = None,
    ) -> None:
        self._clock = clock
        self._open = {
            name: _OpenStage(stage, _opened(pipeline, stage, open_model))
            for name, stage in pipeline.stages.items()
        }
        self._restart()

    def __contains__(self, name: str) -> bool:
        return name in self._open

    def detect(self, pixels: Pixels) -> list[Detected]:
        """Find objects, best first, decoded as in the detector's gates.

        Args:
            pixels: the whole image, RGB, shape (height, width, 3), uint8.

        Returns:
            Detections of all judged classes whose score reaches the frozen confidence. A box
            without area inside the image is left out.
        """
        began = self._clock()
        stage = self._stage("detector")
        task = cast("DetectionTask", stage.task)
        rows = self._run("detector", [pixels] * len(stage.opened)).values.astype(np.float64)
        boxes = place(pixels.shape[:2], stage.preprocesses[0]).to_image(rows[:, :4])
        found = [
            Detected(task.judged[int(kind)], Box(*(float(side) for side in box)), float(score))
            for box, score, kind in zip(boxes, rows[:, 4], rows[:, 5], strict=True)
            if score >= stage.threshold and box[2] > box[0] and box[3] > box[1]
        ]
        self._spend("detector", began)
        return found

    def liveness(self, pixels: Pixels, box: Box | None = None) -> float:
        """Probability of a live face; NaN if the model gives NaN.

        Args:
            pixels: the image, RGB, shape (height, width, 3), uint8.
            box: the box of the face. Each member crops around it by the `crop_scale` of its gate
                file, or to the box itself without a scale. None if `pixels` are already the crop.
        """
        began = self._clock()
        stage = self._stage("liveness")
        task = cast("LivenessTask", stage.task)
        count = len(stage.opened)
        seen = [pixels] * count
        if box is not None:
            scales = task.spec.crop_scales(count) or (1.0,) * count
            seen = [self.crop(pixels, box, scale, square=False) for scale in scales]
        score = float(task.scores(self._run("liveness", seen))[0])
        self._spend("liveness", began, np.array([score]))
        return score

    def embed(self, pixels: Pixels) -> NDArray[np.float64]:
        """Embedding of an aligned or cropped face: shape (D,), float64, not normalised."""
        began = self._clock()
        stage = self._stage("embedder")
        values = self._run("embedder", [pixels] * len(stage.opened)).values
        embedding: NDArray[np.float64] = values[0].astype(np.float64)
        self._spend("embedder", began, embedding)
        return embedding

    @staticmethod
    def crop(pixels: Pixels, box: Box, scale: float = 1.0, *, square: bool = True) -> Pixels:
        """Crop a box enlarged `scale` times; at the border of the image, the crop shifts inwards.

        Args:
            pixels: the image, RGB, shape (height, width, 3), uint8.
            box: the box, with a positive area, in pixels.
            scale: side of the crop relative to the side of the box.
            square: whether to extend the shorter side to the longer one first.
        """
        height, width = pixels.shape[:2]
        if square:
            half = max(box.width, box.height) / 2
            x, y = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2
            box = Box(x - half, y - half, x + half, y + half)
        left, top, right, bottom = crop_box(width, height, box, scale)
        return np.ascontiguousarray(pixels[top:bottom, left:right])

    @staticmethod
    def open(path: Path) -> Pixels:
        """Read and decode another image: RGB, shape (height, width, 3), uint8."""
        return decode(read_file(path), str(path))

    def trace(self, process: Callable[[Stages, Photo], object], photo: Photo) -> Trace:
        """Run a pipeline on one image.

        Raises:
            KycquantError: a stage refuses what it is given.
            PipelineError: the pipeline raises anything else.
        """
        self._restart(photo.name)
        began = self._clock()
        try:
            process(self, photo)
        except (KeyboardInterrupt, KycquantError):
            raise
        except BaseException as error:  # the user's function may raise anything, a skip too
            raise PipelineError(
                "process",
                f"{describe_raised(error, process)}, for the image {photo.name}",
                "correct process(): it is called with the stages and a photo",
            ) from error
        wall = self._clock() - began
        answers = {name: tuple(given) for name, given in self._answers.items()}
        return Trace(wall, self._spent, tuple(self._broken), answers)

    def _restart(self, image: str = "") -> None:
        self._image = image
        self._spent: dict[str, int] = {}
        self._broken: list[str] = []
        self._answers: dict[str, list[NDArray[np.float64]]] = {}

    def _run(self, name: str, seen: list[Pixels]) -> Outputs:
        outputs = self._open[name].run(seen, f"input of the {name}", self._image)
        if not outputs.finite.all() and name not in self._broken:
            self._broken.append(name)
        return outputs

    def _spend(self, name: str, began: int, answer: NDArray[np.float64] | None = None) -> None:
        self._spent[name] = self._spent.get(name, 0) + self._clock() - began
        if answer is not None:
            self._answers.setdefault(name, []).append(answer)

    def _stage(self, name: str) -> _OpenStage:
        if name not in self._open:
            raise SpecError(
                "process",
                f"calls the {name}, which this pipeline does not have",
                f"name its gates in the attribute {name}, or do not call it",
            )
        return self._open[name]


def _opened(pipeline: Pipeline, stage: Stage, opener: OpenFile | None) -> list[OpenModel]:
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


class _OpenStage:
    """A model with all its files open."""

    def __init__(self, stage: Stage, opened: list[OpenModel]) -> None:
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


def _nowhere(path: object, attribute: str) -> Path:
    raise ModelError(attribute, "is not read by a pipeline", "report this as a bug")
