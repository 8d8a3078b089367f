"""The stages of a pipeline as callables, for the functions that a gate file may override."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ..data.alignment import aligned, template
from ..data.crops import crop_box
from ..data.decoding import decode
from ..data.files import read_file
from ..data.images import ImageSet
from ..data.placement import place
from ..errors import KycquantError, PipelineError, SpecError
from ..spec.box import Box
from ..spec.functions import describe_raised
from ..tasks.detection.task import DetectionTask, rows_of
from ..tasks.liveness.task import LivenessTask
from .models import Memory, OpenFile, OpenStage, Pipeline, Pixels

if TYPE_CHECKING:
    from ..tasks.outputs import Outputs

T = TypeVar("T", bound="Named")
Clock = Callable[[], int]


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


class Named(Protocol):
    """What a pipeline runs on: a `Photo`, or an attempt of an applicant."""

    @property
    def name(self) -> str:
        """Name for messages."""


@dataclass(frozen=True)
class Detected:
    """A detection at or above the frozen confidence.

    Args:
        name: name of its class.
        box: box in pixels of the image, clipped to the image.
        score: confidence.
        keypoints: landmarks in pixels of the image, which may lie outside of it, in the detector's
            order; shape (K, 2), float64. None if its gates read none.
    """

    name: str
    box: Box
    score: float
    keypoints: NDArray[np.float64] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Trace:
    """One run of a pipeline on one image.

    Args:
        wall_ns: wall-clock time in ns, from before the image was read to after the last stage.
        spent_ns: time of each stage that was called, in ns, including its preprocessing.
        broken: names of the stages that gave NaN or Inf.
        answers: answers of liveness and embedder, call by call.
        returned: what the pipeline's function returned.
    """

    wall_ns: int
    spent_ns: Mapping[str, int]
    broken: tuple[str, ...] = ()
    answers: Mapping[str, tuple[NDArray[np.float64], ...]] = field(default_factory=dict)
    returned: Any = None


class Stages:
    """The stages that a pipeline's `process` calls; every call is timed and checked for NaN.

    Args:
        pipeline: the pipeline to open.
        clock: a function that returns the wall clock in ns.
        open_model: a function that opens a file, given its runtime, its path, the
            number of threads and whether to run without saturation; None opens and checks it.
        memory: what is already open and known; None opens every model and runs it each time, as
            a measurement must.

    Raises:
        ModelError: a model cannot be opened, or lacks an output.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        clock: Clock = time.perf_counter_ns,
        open_model: OpenFile | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._clock = clock
        self._memory = memory

        self._open = {
            name: OpenStage(pipeline, stage, open_model)
            if memory is None
            else memory.opened(pipeline, stage)
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
        found = rows_of(self._run("detector", [pixels] * len(stage.opened)))
        placement = place(pixels.shape[:2], stage.preprocesses[0])
        boxes, points = placement.to_image(found.boxes), found.keypoints
        if points is not None:
            points = placement.points_to_image(points)
        shown = [
            Detected(
                task.judged[kind],
                Box(*(float(side) for side in boxes[index])),
                score,
                None if points is None else points[index],
            )
            for index, (score, kind) in enumerate(
                zip(found.scores.tolist(), found.classes.tolist(), strict=True)
            )
            if score >= stage.threshold and (boxes[index, 2:] > boxes[index, :2]).all()
        ]
        self._spend("detector", began)
        return shown

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

    def align(self, pixels: Pixels, keypoints: NDArray[np.floating] | None) -> Pixels:
        """Align a face by its landmarks, exactly as ``FaceVerification(landmarks=...)`` does.

        Args:
            pixels: the image, RGB, shape (height, width, 3), uint8.
            keypoints: the eyes, the nose and the corners of the mouth in pixels of the image, each
                pair from left to right as the image shows it; shape (5, 2).

        Returns:
            The upright face of the size of the embedder's input, RGB, uint8; black where it lies
            outside of the image.

        Raises:
            DataError: the landmarks cannot be those of a face: fewer than three lie in the image,
                or all in one place.
            SpecError: there are no landmarks or not five, or the template is not defined for the
                size of the embedder's input.
        """
        size = self._stage("embedder").preprocesses[0].size
        template(size, "stages.align")  # refuses a size, whatever the landmarks are
        points = np.asarray([] if keypoints is None else keypoints, np.float64)
        if points.shape != (5, 2):
            given = f"{len(points)} landmarks" if len(points) else "no landmarks"
            raise SpecError(
                "stages.align",
                f"is given {given} for {self._image or 'an image'}, where a face has five",
                "give the eyes, the nose and the corners of the mouth, such as the keypoints of "
                "a detection",
            )
        return aligned(pixels, points, size, self._image or "image")

    @staticmethod
    def open(path: Path) -> Pixels:
        """Read and decode another image: RGB, shape (height, width, 3), uint8."""
        return decode(read_file(path), str(path))

    def trace(self, process: Callable[[Stages, T], object], photo: T) -> Trace:
        """Run a pipeline on one image, or on whatever its function takes.

        Raises:
            KycquantError: a stage refuses what it is given.
            PipelineError: the pipeline raises anything else.
        """
        self._restart(photo.name)
        began = self._clock()
        try:
            returned = process(self, photo)
        except (KeyboardInterrupt, KycquantError):
            raise
        except BaseException as error:  # the user's function may raise anything, a skip too
            name = getattr(process, "__name__", "process")
            raise PipelineError(
                name,
                f"{describe_raised(error, process)}, for the image {photo.name}",
                f"correct {name}(): it is called with the stages and a photo",
            ) from error
        wall = self._clock() - began
        answers = {name: tuple(given) for name, given in self._answers.items()}
        return Trace(wall, self._spent, tuple(self._broken), answers, returned)

    def _restart(self, image: str = "") -> None:
        self._image = image
        self._spent: dict[str, int] = {}
        self._broken: list[str] = []
        self._answers: dict[str, list[NDArray[np.float64]]] = {}

    def _run(self, name: str, seen: list[Pixels]) -> Outputs:
        stage = self._open[name]
        where = f"input of the {name}", self._image
        if self._memory is None:
            outputs = stage.run(seen, *where)
        else:
            outputs = self._memory.outputs(stage, seen, *where)
        if not outputs.finite.all() and name not in self._broken:
            self._broken.append(name)
        return outputs

    def _spend(self, name: str, began: int, answer: NDArray[np.float64] | None = None) -> None:
        self._spent[name] = self._spent.get(name, 0) + self._clock() - began
        if answer is not None:
            self._answers.setdefault(name, []).append(answer)

    def _stage(self, name: str) -> OpenStage:
        if name not in self._open:
            raise SpecError(
                "process",
                f"calls the {name}, which this pipeline does not have",
                f"name its gates in the attribute {name}, or do not call it",
            )
        return self._open[name]
