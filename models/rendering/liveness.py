"""Face crops for a liveness model: live captures, prints, screens and masks, in folders.

A subject is a person of `faces.py`; the split of a subject follows from its number (`splits.py`).
Each picture depends on its kind, subject and index alone, not on what was drawn before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import faces, recapture, splits
from .canvas import Bytes, Floats, encode_jpeg, jpeg, to_uint8
from .groups import write_groups

SIZE = recapture.SIZE
LIVE, PRINT, SCREEN, MASK = KINDS = ("live", "print", "screen", "mask")
LABELS = {LIVE: 1, PRINT: 0, SCREEN: 2, MASK: 0}  # MiniFASNetV2: 0 and 2 are attacks
CALIBRATION_SUBJECTS = 64
SELECTION_SUBJECTS = 300
EVALUATION_SUBJECTS = 800


class Hardness(NamedTuple):
    """How difficult pictures may be.

    Args:
        least: how faint the traces of an attack may be, 0 (hardly visible) to 1.
        rough: how often the camera is out of focus or the room dark, see `recapture.photograph`.
        difficulty: most that `faces.capture` is asked for.
    """

    least: float
    rough: float
    difficulty: float


# The network is trained on harder pictures than it is judged on: identity verification turns most
# blurred and dark captures away before it asks whether they are live.
TRAINED = Hardness(least=0.2, rough=1.0, difficulty=0.7)
JUDGED = Hardness(least=0.45, rough=0.2, difficulty=0.5)

_DOMAIN = 80_270
_PHOTO = len(KINDS)


def picture(kind: str, subject: int, index: int) -> tuple[Bytes, int]:
    """Draw one crop.

    Args:
        kind: one of `KINDS`.
        subject: number of the person.
        index: number of the picture among those of this kind and person.

    Returns:
        (SIZE, SIZE, 3) uint8 RGB, and the JPEG quality at which it is to be stored.
    """
    rng = np.random.default_rng([_DOMAIN, subject, KINDS.index(kind), index])
    hardness = _hardness(subject)
    if kind == PRINT:
        scene = recapture.show_print(rng, _photo(subject), hardness.least)
    elif kind == SCREEN:
        scene = recapture.show_screen(rng, _photo(subject), hardness.least)
    else:
        scene = _person(rng, subject, SIZE, recapture.CROP_SCALE)
        if kind == LIVE:
            scene = recapture.show_live(rng, scene)
        else:
            scene = recapture.show_mask(rng, scene, hardness.least)
    return recapture.photograph(rng, scene, hardness.rough)


@lru_cache(maxsize=EVALUATION_SUBJECTS)  # a set draws all prints before it draws screens
def _photo(subject: int) -> Bytes:
    """The one photo of a person that an attacker has; prints and screens show it."""
    rng = np.random.default_rng([_DOMAIN, subject, _PHOTO])
    person = _person(rng, subject, recapture.PHOTO_SIZE, recapture.PHOTO_SCALE)
    return recapture.publish(rng, person)


def _hardness(subject: int) -> Hardness:
    return TRAINED if subject in splits.TRAINING else JUDGED


def _person(rng: np.random.Generator, subject: int, size: int, scale: float) -> Floats:
    """A person before a room, (size, size, 3): the face box is 1 / scale of it."""
    room = to_uint8(recapture.backdrop(rng, size))
    difficulty = float(rng.uniform(0.1, _hardness(subject).difficulty))
    seen = faces.capture(rng, difficulty=difficulty)
    drawn = faces.render(faces.person(subject), seen, (size, size), 1 / scale, background=room)
    return drawn.astype(np.float64)


def render(kind: str, subject: int, index: int) -> bytes:
    """The JPEG file of one crop."""
    return encode_jpeg(*picture(kind, subject, index))


def pixels(kind: str, subject: int, index: int) -> Bytes:
    """What a reader of that file sees, (SIZE, SIZE, 3) uint8 RGB."""
    return jpeg(*picture(kind, subject, index))


def write_evaluation(folder: Path) -> None:
    """Write what the gates judge, as `write` does.

    Beside the folders lies `groups.csv` with the groups of these people and those of selection.
    """
    write(folder, splits.EVALUATION, EVALUATION_SUBJECTS)
    alive = (
        splits.EVALUATION[: 3 * EVALUATION_SUBJECTS],
        splits.SELECTION[: 3 * SELECTION_SUBJECTS],
    )
    write_groups(folder / "groups.csv", *alive)


def write_selection(folder: Path) -> None:
    """Write other people in the same form: for the threshold and for the mixed search."""
    write(folder, splits.SELECTION, SELECTION_SUBJECTS)


def write(folder: Path, split: range, attacked: int) -> None:
    """Write captures of one split into ``KIND/idSUBJECT/00.jpg``.

    One picture of each kind for each person: further ones would not be independent of the first
    and say little more about error rates.

    Args:
        folder: where to.
        split: the people.
        attacked: how many of them have an attack of each species. Three times as many are seen
            alive: half a point more of BPCER is to be told from chance.
    """
    for kind in KINDS:
        for subject in split[: 3 * attacked if kind == LIVE else attacked]:
            place = folder / kind / f"id{subject}"
            place.mkdir(parents=True)
            (place / "00.jpg").write_bytes(render(kind, subject, 0))


def write_calibration(folder: Path) -> None:
    """Write the crops whose ranges INT8 uses: one of each kind for people of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    for subject in splits.CALIBRATION[:CALIBRATION_SUBJECTS]:
        for kind in KINDS:
            (folder / f"id{subject}-{kind}.jpg").write_bytes(render(kind, subject, 0))


def training(subjects: Iterable[int]) -> Iterator[tuple[Bytes, int]]:
    """Yield crops and labels of people: three live captures and four attacks each."""
    for subject in subjects:
        for kind, count in ((LIVE, 3), (PRINT, 1), (SCREEN, 2), (MASK, 1)):
            for index in range(count):
                yield pixels(kind, subject, index), LABELS[kind]
