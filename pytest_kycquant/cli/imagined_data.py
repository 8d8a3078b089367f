"""Data that does not exist yet: the labels of so many people and images, without any pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..data.detections import DetectionSet
from ..data.images import ImageSet
from ..data.liveness import labelled
from ..data.pairs import Comparisons
from ..spec.limits import Limits
from ..spec.model import KycModel, Preprocess
from ..spec.profiles import Profile, limits_under
from ..spec.task import TaskSpec
from ..spec.tasks import FaceVerification, LivenessDetection, ObjectDetection
from ..tasks.base import Part, Task, TaskData
from ..tasks.registry import task_of

_NOWHERE = Path("imagined")


class Numbers(NamedTuple):
    """How much data there will be.

    Args:
        people: number of people (detectors: of images, each with one object of the class).
        images: live images of each person.
        species: number of attack species, each with `images` captures of each person.
    """

    people: int
    images: int
    species: int


def imagined(family: str, profile: Profile, changes: dict[str, float]) -> Task[Any, Any]:
    """The task of a model of a family, with limits that differ from the defaults by `changes`.

    Raises:
        SpecError: a limit is unknown or impossible.
    """
    specs: dict[str, TaskSpec] = {
        "face": FaceVerification("imagined"),
        "liveness": LivenessDetection("imagined"),
        "detector": ObjectDetection("imagined", labels="imagined", classes=("object",)),
    }
    spec = specs[family]
    limits: Limits = limits_under(profile, spec.limits(**changes))
    model = KycModel("imagined.onnx", Preprocess(size=(1, 1)), spec)
    return task_of(model, limits, lambda path, _: Path(path))


def data_of(family: str, numbers: Numbers) -> TaskData[Any]:
    """Labels for `Task.prospects`, which looks at nothing else."""
    makers = {"face": _faces, "liveness": _captures, "detector": _scenes}
    truth, size = makers[family](numbers)
    part: Part[Any] = Part(_images(1), truth, "", size)
    # Faces and liveness choose their threshold on the same people, see docs/verdicts.md.
    return TaskData(part, None, None, choosing=part)


def _faces(numbers: Numbers) -> tuple[Comparisons, str]:
    subjects = np.repeat(np.arange(numbers.people, dtype=np.int64), numbers.images)
    return Comparisons(subjects), f"{numbers.people:,} people with {numbers.images} images each"


def _captures(numbers: Numbers) -> tuple[Any, str]:
    names = [str(person) for person in range(numbers.people) for _ in range(numbers.images)]
    kinds = ["", *(f"species {index + 1}" for index in range(numbers.species))]
    species = [kind for kind in kinds for _ in names]
    people = names * len(kinds)
    size = (
        f"{numbers.people:,} people with {numbers.images} captures each, live and of each species"
    )
    return labelled(_images(len(species)), species, people), size


def _scenes(numbers: Numbers) -> tuple[DetectionSet, str]:
    count = numbers.people
    nothing = np.zeros(count, np.int64)
    boxes = np.tile(np.array([0.0, 0.0, 1.0, 1.0]), (count, 1))
    index = np.arange(count, dtype=np.int64)
    truth = DetectionSet(
        _images(count), boxes, nothing, index, np.zeros(count, np.bool_), ("object",)
    )
    return truth, f"{count:,} images with an object each"


def _images(count: int) -> ImageSet:
    names = tuple(map(str, range(count)))
    return ImageSet(_NOWHERE, names, tuple(Path(name) for name in names))
