"""Applicants: for each invented person a document, a selfie, and attacks in the person's name.

Selfies are framed by the oval of an app: the face box is in the middle, and its height is
1 / `recapture.CROP_SCALE` of the picture, so a liveness model is given the whole picture. A face
of 30 pixels, all that it needs, is too small to be recognised. Therefore a selfie is what
`recapture` makes of a coarse scene, enlarged, to which the detail of the same scene is added as
far as camera and copy would have kept it. In the middle of each coarse pixel detail is nothing:
a resize without antialiasing, that of ``cv2``, looks there and finds the coarse picture.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import documents, faces, recapture, splits
from .canvas import Bytes, Floats, blur, encode_jpeg, sample, soft, to_uint8
from .groups import groups
from .liveness import JUDGED, KINDS, LIVE, MASK, PRINT, SCREEN
from .recapture import Sheet

FINER = 3  # pixels of a selfie in one of those that liveness is judged on
SIZE = FINER * recapture.SIZE
APPLICANTS = 300
ATTACKED = 100  # of them, by each species

PRESENTATIONS = {LIVE: "bona fide", PRINT: "print", SCREEN: "screen", MASK: "mask"}

_DOMAIN = 0xA991
_PHOTO = len(KINDS)
_EASIEST, _HARDEST = 0.1, 0.3  # of a guided user's selfies, see `faces.capture`
_MIDDLES = np.s_[FINER // 2 :: FINER, FINER // 2 :: FINER]
_LUMA = np.array([0.299, 0.587, 0.114])


class _View(NamedTuple):
    """The same in two sizes.

    Args:
        coarse: as `recapture` expects it.
        fine: `FINER` times as large.
    """

    coarse: Floats
    fine: Floats


def document(seed: int) -> bytes:
    """The JPEG file of the photograph of a person's document."""
    return documents.framed(seed, faces.person(seed)).jpeg


def selfie(kind: str, seed: int) -> bytes:
    """The JPEG file of one selfie.

    Args:
        kind: one of `liveness.KINDS`: the person or an attack in the person's name.
        seed: of the person.
    """
    return encode_jpeg(*picture(kind, seed))


def picture(kind: str, seed: int) -> tuple[Bytes, int]:
    """Draw one selfie.

    Returns:
        (SIZE, SIZE, 3) uint8 RGB, and the JPEG quality at which it is to be stored.
    """
    (shot, quality), scene, visible = _photograph(kind, seed)
    seen = shot.astype(np.float64)
    detail = scene.fine - _enlarged(scene.fine[_MIDDLES])
    kept = _kept(seen, scene.coarse) * visible
    return to_uint8(_enlarged(seen) + _enlarged(kept) * detail), quality


def _photograph(kind: str, seed: int) -> tuple[tuple[Bytes, int], _View, Floats]:
    """Picture what is held to the camera.

    Returns:
        the coarse picture and the quality of its JPEG; the scene before the attack left its
        traces; and where that can be seen, (recapture.SIZE, recapture.SIZE, 1), 0..1.
    """
    rng = np.random.default_rng([_DOMAIN, seed, KINDS.index(kind)])
    visible = np.ones((recapture.SIZE, recapture.SIZE, 1))
    if kind in (PRINT, SCREEN):
        hold = recapture.hold_print if kind == PRINT else recapture.hold_screen
        photo = _photo(seed)
        shown, sheet = hold(rng, to_uint8(photo.coarse), JUDGED.least)
        scene = _read(sheet, photo)
        visible = soft(sheet.inside, 1.0)[..., None]
    else:
        scene = _person(rng, seed, recapture.SIZE, recapture.CROP_SCALE)
        if kind == LIVE:
            shown = recapture.show_live(rng, scene.coarse)
        else:
            shown = recapture.show_mask(rng, scene.coarse, JUDGED.least)
    return recapture.photograph(rng, shown, JUDGED.rough), scene, visible


def _person(rng: np.random.Generator, seed: int, size: int, scale: float) -> _View:
    """A person before a room: the face box is 1 / scale of it; `size` is that of the coarse."""
    room = recapture.backdrop(rng, size)
    how = faces.capture(rng, difficulty=float(rng.uniform(_EASIEST, _HARDEST)))

    def drawn(room: Floats) -> Floats:
        size = room.shape[0], room.shape[1]
        who = faces.person(seed)
        picture = faces.render(who, how, size, 1 / scale, background=to_uint8(room))
        return picture.astype(np.float64)

    return _View(drawn(room), drawn(_enlarged(room)))


@lru_cache(maxsize=1)  # a print and a screen in a person's name follow each other
def _photo(seed: int) -> _View:
    """The one photo of a person that an attacker has; prints and screens show it."""
    rng = np.random.default_rng([_DOMAIN, seed, _PHOTO])
    person = _person(rng, seed, recapture.PHOTO_SIZE, recapture.PHOTO_SCALE)
    return _View(recapture.publish(rng, person.coarse).astype(np.float64), person.fine)


def _read(sheet: Sheet, photo: _View) -> _View:
    """What a copy shows of a photo: positions on a sheet change so little that they are linear."""
    pixels = FINER * recapture.PHOTO_SIZE / recapture.PHOTO_SCALE
    middle = FINER * recapture.PHOTO_SIZE / 2 - 0.5
    x, y = (_enlarged(each) * pixels + middle for each in (sheet.p, sheet.q))
    fine = sample(photo.fine, x, y)
    return _View(fine[_MIDDLES], fine)


def _kept(picture: Floats, scene: Floats) -> Floats:
    """How much of the detail of `scene` a picture has kept, (H, W, 1), 0..1.

    What is finer than a pixel of the picture is taken to have kept as much as what is a little
    coarser: the regression of one on the other, around each pixel.
    """
    seen, there = ((image - blur(image, 1.0)) @ _LUMA for image in (picture, scene))
    around = blur(seen * there, 3.0), blur(there * there, 3.0)
    return np.clip(around[0] / (around[1] + 1.0), 0.0, 1.0)[..., None]


def _enlarged(image: Floats) -> Floats:
    """(H, W, ...) enlarged `FINER` (3) times: linear between the middles of its pixels."""
    for axis in (0, 1):
        lines = np.moveaxis(image, axis, 0)
        before = lines + (np.concatenate([lines[:1], lines[:-1]]) - lines) / FINER
        after = lines + (np.concatenate([lines[1:], lines[-1:]]) - lines) / FINER
        three = np.stack([before, lines, after], axis=1).reshape(-1, *lines.shape[1:])
        image = np.moveaxis(three, 0, axis)
    return np.ascontiguousarray(image)


def write_evaluation(folder: Path) -> None:
    """Write documents, selfies and ``applicants.csv``, which says whose they are.

    The table has a row for each selfie. Paths in it are relative to `folder`.
    """
    for name in ("documents", *KINDS):
        (folder / name).mkdir(parents=True)
    lines = ["person,document,selfie,presentation,age,skin"]
    for place, seed in enumerate(splits.EVALUATION[:APPLICANTS]):
        name, (skin, age) = f"id{seed}", groups(faces.person(seed))
        paper = f"documents/{name}.jpg"
        (folder / paper).write_bytes(document(seed))
        for kind in KINDS if place < ATTACKED else (LIVE,):
            shot = f"{kind}/{name}.jpg"
            (folder / shot).write_bytes(selfie(kind, seed))
            lines.append(",".join((name, paper, shot, PRESENTATIONS[kind], age, skin)))
    (folder / "applicants.csv").write_text("\n".join(lines) + "\n", encoding="ascii")
