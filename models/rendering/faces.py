"""Faces of people that do not exist, under varying pose, light, expression and occlusion.

No trained model and no photograph is involved, so that images, identities and all their variation
can be published and are reproduced from seeds alone. `person`, `capture`, `render` and `degrade`
draw any picture of a face; the rest makes the data sets of the face verification model.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import splits
from .canvas import Bytes, encode_jpeg
from .captures import Capture, capture, degrade
from .groups import write_groups
from .heads import render
from .people import Person, anatomy, person

__all__ = [
    "Capture",
    "Person",
    "aligned",
    "anatomy",
    "capture",
    "degrade",
    "person",
    "render",
    "write_calibration",
    "write_evaluation",
    "write_selection",
]

CROP = (112, 112)
CROP_FACE = 0.85  # face height in an aligned crop; eyes and mouth are 35 pixels apart
DIFFICULTY = 0.65  # of calibration, selection and evaluation pictures: worse than usual selfies

CALIBRATION_IMAGES = 256
SELECTION_IDENTITIES = 300
EVALUATION_IDENTITIES = 600  # fewer leave an increase of FRR by one point undecided
PICTURES = 4  # of each identity
_QUALITY = 90  # of the files; that of the simulated camera comes before


def aligned(seed: int, index: int, *, difficulty: float = DIFFICULTY) -> Bytes:
    """Picture number `index` of a person as a face pipeline would crop it.

    Args:
        seed: of the person, see `splits`.
        index: of the picture.
        difficulty: see `capture`.

    Returns:
        (112, 112, 3) uint8, RGB.
    """
    rng = np.random.default_rng([0xA119, seed, index])
    how = capture(rng, difficulty=difficulty)
    picture = render(person(seed), how, CROP, CROP_FACE)
    return degrade(picture, how, rng, CROP[0] * CROP_FACE)


def write_evaluation(folder: Path) -> None:
    """Write the faces that the gates judge: a folder `id<seed>` of JPEG files for each person.

    Beside the folders lies `groups.csv` with the groups of these people and those of selection.
    """
    people = splits.EVALUATION[:EVALUATION_IDENTITIES]
    _write_people(folder, people)
    write_groups(folder / "groups.csv", people, splits.SELECTION[:SELECTION_IDENTITIES])


def write_selection(folder: Path) -> None:
    """Write other people in the same form: for the threshold and for the mixed search."""
    _write_people(folder, splits.SELECTION[:SELECTION_IDENTITIES])


def write_calibration(folder: Path) -> None:
    """Write the pictures whose ranges INT8 uses, one of each calibration identity."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in splits.CALIBRATION[:CALIBRATION_IMAGES]:
        (folder / f"id{seed}.jpg").write_bytes(encode_jpeg(aligned(seed, 0), _QUALITY))


def _write_people(folder: Path, seeds: Sequence[int]) -> None:
    for seed in seeds:
        home = folder / f"id{seed}"
        home.mkdir(parents=True, exist_ok=True)
        for index in range(PICTURES):
            picture = encode_jpeg(aligned(seed, index), _QUALITY)
            (home / f"{index:02d}.jpg").write_bytes(picture)
