"""Scenes with an identity document and its portrait, as customers photograph them.

A scene is a table, a desk or a room, clutter, the document in perspective, fingers that hold and
partly cover it, light, and the camera. Truth are the boxes of documents and of their portraits.
Lengths of flat things are in millimetres, those of a scene in pixels.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import cards, clutter, faces, perspective, splits
from .canvas import Bytes, Floats, bump, encode_jpeg, paint, sample, soft
from .perspective import SIZE, X, Y
from .printing import Flat, Portrait
from .surroundings import Grip, background, camera

DOCUMENT, PORTRAIT = 0, 1
LEAST_VISIBLE = 0.5  # share of a quadrilateral: what is covered more is not labelled
LAYOUTS = {"training": 120, "calibration": 24, "selection": 24, "evaluation": 40}
EVALUATION_SCENES, SELECTION_SCENES, CALIBRATION_SCENES = 800, 200, 200

_DOMAIN = 0xD0C5  # keeps these random streams apart from those of other renderers
_FRAMED = 1  # and those of framed documents from those of other scenes
# Glare, shadows, blur and uneven light of a guided capture, relative to others.
_GUIDED_TROUBLE = 0.25


@dataclass(frozen=True)
class Scene:
    """One picture and what can be seen in it.

    Args:
        pixels: 320 x 320 x 3, uint8, before compression.
        quality: of its JPEG.
        boxes: n x 4, x1, y1, x2, y2 in pixels, inside of the picture.
        classes: n, `DOCUMENT` or `PORTRAIT`.
    """

    pixels: Bytes
    quality: int
    boxes: Floats
    classes: NDArray[np.int64]

    @property
    def jpeg(self) -> bytes:
        """The file."""
        return encode_jpeg(self.pixels, self.quality)


def scene(seed: int) -> Scene:
    """Picture the scene with this seed; its split (see `splits`) gives issuers and people."""
    rng = np.random.default_rng([_DOMAIN, seed])
    stage = _Stage(rng, _split(seed))
    documents = (0, 1, 1, 1, 1, 1, 1, 1, 1, 2)[int(rng.integers(10))]
    stage.clutter(most=4 if documents == 0 else 3)
    for slot in range(documents):
        stage.document(slot, documents)
    return stage.shot()


def framed(seed: int, who: faces.Person) -> Scene:
    """Picture the one document of `who`, as a customer does whom an app guides.

    Args:
        seed: of the scene; its split gives the issuer, as in `scene`.
        who: is portrayed on the document.
    """
    rng = np.random.default_rng([_DOMAIN, seed, _FRAMED])
    stage = _Stage(rng, _split(seed), guided=True)
    stage.clutter(most=1)
    stage.framed(who)
    return stage.shot()


def _split(seed: int) -> str:
    return next(name for name, seeds in splits.ALL.items() if seed in seeds)


def _portrait(who: faces.Person, how: faces.Capture, size: float, down: float) -> Portrait:
    """Picture a person with the face in the middle, `size` high and `down` from the top."""

    def portrait(rows: int, columns: int, ground: Floats) -> Bytes:
        colour = (float(ground[0]), float(ground[1]), float(ground[2]))
        return faces.render(who, how, (rows, columns), size, (0.5, down), colour)

    return portrait


class _Stage:
    """A picture in the making.

    Args:
        rng: source of everything random.
        split: where issuers and people come from.
        guided: whether an app has asked for good light.
    """

    def __init__(self, rng: np.random.Generator, split: str, *, guided: bool = False) -> None:
        self.rng = rng
        self.split = split
        self.trouble = _GUIDED_TROUBLE if guided else 1.0
        self.canvas = background(rng)
        # Who is seen at a pixel: 0 nothing of interest, otherwise a document, counted from 1.
        self.seen = np.zeros((SIZE, SIZE), dtype=np.int64)
        self.quads: list[tuple[int, int, Floats]] = []  # class, document, corners

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return float(self.rng.random()) < probability

    def somebody(self) -> faces.Person:
        """A person of this split."""
        seeds = splits.ALL[self.split]
        return faces.person(int(self.rng.integers(seeds.start, seeds.stop)))

    def person(self, difficulty: float) -> Portrait:
        """Somebody of this split, to be pictured at any size."""
        rng = self.rng
        who = self.somebody()
        how = faces.capture(rng, difficulty=difficulty)
        return _portrait(who, how, rng.uniform(0.62, 0.75), rng.uniform(0.46, 0.52))

    def holder(self, who: faces.Person) -> Portrait:
        """A person by the rules for such portraits: nothing before the face, and a set size."""
        rng = self.rng
        how = replace(faces.capture(rng, difficulty=0.15), occlusion=None)
        return _portrait(who, how, rng.uniform(0.65, 0.71), rng.uniform(0.47, 0.51))

    def clutter(self, most: int) -> None:
        """Lay other things on the table, or put a person with a face into the background."""
        rng = self.rng
        for _ in range(int(rng.integers(most + 1))):
            scale = rng.uniform(1.0, 2.6)
            kind = rng.random()
            if kind < 0.25:
                flat = clutter.bank_card(rng, scale)
            elif kind < 0.5:
                size = rng.uniform(60.0, 160.0), rng.uniform(60.0, 200.0)
                flat = clutter.letter(rng, scale, *size)
            elif kind < 0.68:
                flat = clutter.phone(rng, scale)
            elif kind < 0.85:
                wide = rng.uniform(25.0, 60.0)
                tall = wide * rng.uniform(1.1, 1.4)
                flat = clutter.photograph(rng, scale, wide, tall, self.person(0.5))
            else:
                self._mug(scale)
                continue
            centre = rng.uniform(-20.0, SIZE + 20.0, 2)
            self._lay(flat, perspective.pose(rng, flat.size, centre, tilt=0.3), scale)

    def document(self, slot: int, count: int) -> None:
        """Put a document into the picture, mostly held by a hand."""
        rng = self.rng
        design = self._issuer()
        longest = rng.uniform(105.0, 165.0) if count > 1 else rng.uniform(130.0, 330.0)
        scale = longest / max(design.size)
        flat = cards.document(design, rng, scale, self.person(0.15))
        if count == 1:
            place = rng.uniform(0.25, 0.75, 2) * SIZE
        else:  # one in the upper, one in the lower half
            place = np.array([rng.uniform(0.3, 0.7), 0.25 + 0.5 * slot]) * SIZE
        pose = perspective.pose(rng, flat.size, place, tilt=0.5)
        pose = perspective.fitted(pose, flat.size, slack=0.08 * longest)
        self._present(flat, pose, scale, slot + 1, by_hand=count == 1)

    def framed(self, who: faces.Person) -> None:
        """Put the document of `who` where an app asks for it: upright, and filling the picture."""
        rng = self.rng
        # The embedder has never seen a face in grey, or one with a hologram on it.
        design = replace(self._issuer(), gray=False, hologram=None)
        longest = rng.uniform(270.0, 330.0)
        scale = longest / max(design.size)
        flat = cards.document(design, rng, scale, self.holder(who))
        place = rng.uniform(0.46, 0.54, 2) * SIZE
        pose = perspective.pose(rng, flat.size, place, tilt=0.12, upright=True, roll=0.04)
        pose = perspective.fitted(pose, flat.size, slack=0.0)
        self._present(flat, pose, scale, 1, side=design.free_side)

    def _issuer(self) -> cards.Layout:
        """The layout of an issuer of this split."""
        issuers = splits.ALL[self.split].start
        return cards.layout(issuers + int(self.rng.integers(LAYOUTS[self.split])))

    def _present(
        self,
        flat: Flat,
        pose: Floats,
        scale: float,
        number: int,
        *,
        by_hand: bool = True,
        side: int | None = None,
    ) -> None:
        """Draw document number `number`; if a hand may hold it, one mostly does, from `side`."""
        rng = self.rng
        corners = perspective.projected(pose, perspective.rectangle(flat.size))
        hand = self.chance(0.6) and by_hand
        if hand:
            grip = Grip(rng, corners, self.somebody().skin.colour, side)
            grip.palm(self.canvas)
        covered = self._lay(flat, pose, scale)
        self.seen[covered > 0.5] = number
        self.quads.append((DOCUMENT, number, corners))
        assert flat.portrait is not None
        x1, y1, x2, y2 = flat.portrait
        inner = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
        self.quads.append((PORTRAIT, number, perspective.projected(pose, inner)))
        if self.chance(0.35 * self.trouble):
            self._glare(corners)
        if hand:
            self.seen[grip.fingers(self.canvas) > 0.5] = 0

    def shot(self) -> Scene:
        """Light the scene and photograph it."""
        self.light()
        pixels, quality = camera(self.canvas, self.rng, self.trouble)
        boxes, classes = self.truth()
        return Scene(pixels, quality, boxes, classes)

    def light(self) -> None:
        """Uneven light, colour temperature, exposure and now and then a shadow."""
        rng = self.rng
        angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.45) * self.trouble
        run = ((X - SIZE / 2) * np.cos(angle) + (Y - SIZE / 2) * np.sin(angle)) / SIZE
        factor = np.exp(rng.normal() * 0.22 * self.trouble) * (1 + strength * run)
        if self.chance(0.3 * self.trouble):
            angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.4, 0.4) * SIZE
            edge = (X - SIZE / 2) * np.cos(angle) + (Y - SIZE / 2) * np.sin(angle) + offset
            factor *= 1 - rng.uniform(0.2, 0.6) * soft(edge, rng.uniform(4.0, 60.0))
        warmth = 0.08 * rng.normal()
        tint = np.array([1 + warmth, 1 + 0.02 * rng.normal(), 1 - warmth])
        self.canvas *= factor[..., None] * tint

    def truth(self) -> tuple[Floats, NDArray[np.int64]]:
        """Boxes and classes of what can be seen."""
        boxes: list[tuple[float, float, float, float]] = []
        classes = []
        for label, number, corners in self.quads:
            inside = perspective.inside(corners) & (self.seen == number)
            if np.count_nonzero(inside) < LEAST_VISIBLE * perspective.area(corners):
                continue
            low, high = corners.min(0).clip(0, SIZE), corners.max(0).clip(0, SIZE)
            boxes.append((low[0], low[1], high[0], high[1]))
            classes.append(label)
        return np.array(boxes, np.float64).reshape(-1, 4), np.array(classes, np.int64)

    def _lay(self, flat: Flat, pose: Floats, scale: float) -> Floats:
        """Draw something flat with the shadow below it; returns its coverage."""
        coverage = np.zeros((SIZE, SIZE))
        lift = self.rng.uniform(0.5, 3.0) * scale
        corners = perspective.projected(pose, perspective.rectangle(flat.size))
        window = perspective.window(corners, 3 * lift)
        view = self.canvas[window]
        if not view.size:
            return coverage
        x, y = X[:, window[1]], Y[window[0]]
        shadow = soft(perspective.depth(corners + lift, x, y), 3 * lift)
        view *= 1 - 0.5 * shadow[..., None]
        depth = perspective.depth(corners, x, y)
        hit = depth > -0.5
        rows, columns = np.nonzero(hit)
        inverse = np.linalg.inv(pose)
        u, v = perspective.mapped(
            inverse, columns + window[1].start + 0.5, rows + window[0].start + 0.5
        )
        found = sample(np.dstack([flat.pixels, flat.coverage]), u - 0.5, v - 0.5)
        opaque = found[:, 3] * soft(depth[hit], 1.0)
        view[hit] += opaque[:, None] * (found[:, :3] - view[hit])
        coverage[window][hit] = opaque
        self.seen[coverage > 0.5] = 0
        return coverage

    def _glare(self, corners: Floats) -> None:
        """Reflection of a lamp on the laminate."""
        rng = self.rng
        weight = rng.random(4) + 0.1
        x, y = weight @ corners / weight.sum()
        angle, size = rng.uniform(0, np.pi), rng.uniform(6.0, 30.0)
        window = perspective.window(corners, 0.0)
        right, down = X[:, window[1]] - x, Y[window[0]] - y
        across = right * np.cos(angle) + down * np.sin(angle)
        along = down * np.cos(angle) - right * np.sin(angle)
        strength = rng.uniform(0.3, 1.0) * bump(across, along, size, size * rng.uniform(1.0, 3.0))
        paint(
            self.canvas[window],
            (255.0, 253.0, 248.0),
            strength * perspective.inside(corners)[window],
        )

    def _mug(self, scale: float) -> None:
        """A mug with a face printed on it."""
        rng = self.rng
        wide, tall = round(rng.uniform(35.0, 45.0) * scale), round(rng.uniform(40.0, 55.0) * scale)
        ground = rng.uniform(60.0, 245.0, 3)
        print_ = self.person(0.6)(tall, round(wide * 0.7), ground).astype(np.float64)
        pixels = np.tile(ground, (tall, wide, 1))
        left = (wide - print_.shape[1]) // 2
        pixels[:, left : left + print_.shape[1]] = print_
        round_ = np.sqrt(1 - np.linspace(-0.98, 0.98, wide) ** 2)
        pixels *= (0.45 + 0.6 * round_)[None, :, None]
        flat = Flat(pixels, np.ones((tall, wide)))
        centre = rng.uniform(0.0, SIZE, 2)
        x = centre[0] + wide * (0.55 if self.chance(0.5) else -0.55)
        ring = 0.3 * tall - np.abs(np.hypot(X - x, Y - centre[1]) - 0.25 * tall) * 6
        paint(self.canvas, ground * 0.7, soft(ring, 4.0))
        pose = perspective.pose(rng, flat.size, centre, tilt=0.05, upright=True)
        self._lay(flat, pose, scale)


def write_evaluation(folder: Path) -> None:
    """Write the evaluation scenes: 800 JPEGs in ``images/`` and ``labels.json`` (COCO)."""
    _write(folder, splits.EVALUATION[:EVALUATION_SCENES])


def write_selection(folder: Path) -> None:
    """Write the 200 scenes on which thresholds and mixed precision are chosen."""
    _write(folder, splits.SELECTION[:SELECTION_SCENES])


def write_calibration(folder: Path) -> None:
    """Write the calibration scenes: 200 JPEGs, no labels."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in splits.CALIBRATION[:CALIBRATION_SCENES]:
        (folder / f"{seed}.jpg").write_bytes(scene(seed).jpeg)


def _write(folder: Path, seeds: range) -> None:
    """Write scenes and their truth in the format of COCO; category ids are class + 1."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        made = scene(seed)
        name = f"{seed}.jpg"
        (folder / "images" / name).write_bytes(made.jpeg)
        images.append({"id": seed, "file_name": name, "width": SIZE, "height": SIZE})
        for (x1, y1, x2, y2), label in zip(made.boxes.tolist(), made.classes.tolist(), strict=True):
            width, height = x2 - x1, y2 - y1
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": seed,
                    "category_id": label + 1,
                    "bbox": [round(value, 2) for value in (x1, y1, width, height)],
                    "area": round(width * height, 2),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": 1, "name": "document"}, {"id": 2, "name": "portrait"}]
    labels = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "labels.json").write_text(json.dumps(labels, indent=1) + "\n", encoding="utf-8")
