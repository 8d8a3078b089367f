"""Models, each with three sets of images that share no people: calibration, search, final check."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.quantizer import CASES, HERE, REAL, Case
from models.rendering.sets import ensure
from pytest_kycquant import Box
from pytest_kycquant.data.crops import crop_faces
from pytest_kycquant.data.faces import load_faces, split_subjects
from pytest_kycquant.data.images import ImageSet, preprocess
from pytest_kycquant.data.leakage import check_disjoint
from pytest_kycquant.data.unlabelled import load_images
from pytest_kycquant.tasks.detection.decode import Decoder

from .job import Array, Reading

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """Images of one purpose, and the person on each; every scene is a subject of its own."""

    images: ImageSet
    subjects: Ids

    @classmethod
    def of(cls, images: ImageSet) -> Part:
        return cls(images, np.arange(len(images.names)))

    def evenly(self, count: int) -> Part:
        """At most `count` images, spread evenly over all."""
        total = len(self.images.names)
        chosen = np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))
        return Part(self.images.subset(chosen), self.subjects[chosen])


Sets = tuple[Part, Part, Part]


@dataclass(frozen=True)
class Subject:
    """A model of `benchmarks.quantizer`, with what the search and the judge need.

    Args:
        case: name of the model in `benchmarks.quantizer`.
        load: a function that reads images for calibration, for the search and for the final check.
        reading: the values of the outputs that must stay near FP32's.
        faces: whether the outputs are embeddings of people.
        decoder: the decoder of a detector; None for other models.
        most: largest number of images for the final check; None for all.
        target: target for the mean cosine to FP32 on the search images. Scores of a detector are
            near zero except at a few anchors, which makes their cosine a stricter measure: the
            gates' agreement of .98 is reached well before .999.
    """

    case: str
    load: Callable[[], Sets]
    reading: Reading = field(default_factory=Reading)
    faces: bool = False
    decoder: Decoder | None = None
    most: int | None = None
    target: float = 0.999

    @property
    def spec(self) -> Case:
        return CASES[self.case]

    def sets(self) -> Sets:
        """The three sets; no image is in two of them."""
        names = ("calibration", "search", "final check")
        sets = self.load()
        for i, j in ((0, 1), (0, 2), (1, 2)):
            check_disjoint(sets[i].images, names[i], sets[j].images, names[j])
        return sets

    def tensor(self, part: Part, index: int) -> Array:
        """One image as the model's input, [1, C, H, W]."""
        name = part.images.names[index]
        return preprocess(part.images.pixels(index), self.spec.preprocess, name)

    def tensors(self, part: Part) -> Array:
        return np.concatenate([self.tensor(part, i) for i in range(len(part.images.names))])


def _people(path: Path) -> Part:
    faces = load_faces(path)
    return Part(faces.images, faces.subjects)


def _real_faces() -> Sets:
    """Of one folder, a third of the people for calibration and two thirds for the search."""
    search, calibration = split_subjects(load_faces(REAL / "faces/calibration"), 1 / 3)
    return (
        Part(calibration.images, calibration.subjects),
        Part(search.images, search.subjects),
        _people(REAL / "faces/evaluation"),
    )


def _thirds(images: ImageSet) -> Sets:
    """Every third photograph: 0, 3, 6, ... and 1, 4, 7, ... and 2, 5, 8, ..."""
    first, second, third = (
        Part.of(images.subset(np.arange(k, len(images.names), 3))) for k in range(3)
    )
    return first, second, third


def _scenes() -> Sets:
    return _thirds(load_images(REAL / "scenes/images"))


def _crops() -> Sets:
    """Faces in the scenes, cropped as in the training of MiniFASNetV2."""
    with (REAL / "scenes/face_boxes.csv").open(newline="", encoding="utf-8") as file:
        boxes = {
            (REAL / "scenes" / row["image"]).resolve(): Box(
                *(float(row[side]) for side in ("x1", "y1", "x2", "y2"))
            )
            for row in csv.DictReader(file)
        }
    return _thirds(crop_faces(load_images(REAL / "scenes/images"), boxes, 2.7))


def _rendered(calibration: str, data: str, below: str = "") -> Callable[[], Sets]:
    """Images of this repository, rendered where they are missing."""

    def load() -> Sets:
        ensure(HERE / "data")
        read = _people if data == "faces" else (lambda path: Part.of(load_images(path)))
        return (
            Part.of(load_images(HERE / "calibration" / calibration)),
            read(HERE / "data" / f"{data}-selection" / below),
            read(HERE / "data" / data / below),
        )

    return load


_DETECTOR = Decoder(2, 0, "probabilities", 0.7, CASES["yolov8"].preprocess.size)
_FACE_DETECTOR = Decoder(1, 5, "logits", 0.7, CASES["yolov8-lite-t (real)"].preprocess.size)

SUBJECTS: dict[str, Subject] = {
    subject.case: subject
    for subject in (
        Subject("mobilefacenet (real)", _real_faces, faces=True),
        Subject("MiniFASNetV2 (real)", _crops),
        Subject(
            "yolov8-lite-t (real)",
            _scenes,
            Reading(64, 65, logits=True),
            decoder=_FACE_DETECTOR,
            most=100,
            target=0.995,
        ),
        Subject("arcface", _rendered("faces", "faces"), faces=True),
        Subject("minifasnet", _rendered("liveness", "liveness"), most=400),
        Subject(
            "yolov8",
            _rendered("documents", "documents", "images"),
            Reading(4),
            decoder=replace(_DETECTOR, origin="yolov8"),
            most=200,
            target=0.995,
        ),
    )
}


def present(subject: Subject) -> bool:
    """Whether the model exists; images of the repository are rendered, others come with it."""
    return subject.spec.model.is_file() and subject.spec.images.is_dir()


def describe(sets: Sets) -> str:
    """Sizes of the sets in words."""
    names = ("calibration", "search", "final check")
    return ", ".join(
        f"{name} on {len(part.images.names)} images of {len(np.unique(part.subjects))} subjects"
        for name, part in zip(names, sets, strict=True)
    )
