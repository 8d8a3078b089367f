"""Scenes with an identity document and its portrait, as customers photograph them.

A scene is a table, a desk or a room, clutter, the document in perspective, fingers that hold and
partly cover it, light, and the camera. Truth are the boxes of documents and of their portraits.
Lengths of flat things are in millimetres, those of a scene in pixels.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import cards, faces, splits
from .canvas import (
    Bytes,
    Colour,
    Floats,
    blur,
    bump,
    capsule,
    encode_jpeg,
    motion_blur,
    paint,
    resize,
    sample,
    smooth_noise,
    soft,
    to_uint8,
)
from .cards import Flat

SIZE = 320  # pixels, width and height of a scene
DOCUMENT, PORTRAIT = 0, 1
LEAST_VISIBLE = 0.5  # share of a quadrilateral: what is covered more is not labelled
LAYOUTS = {"training": 120, "calibration": 24, "selection": 24, "evaluation": 40}
EVALUATION_SCENES, SELECTION_SCENES, CALIBRATION_SCENES = 400, 200, 200

_DOMAIN = 0xD0C5  # keeps these random streams apart from those of other renderers
_X = np.arange(SIZE)[None, :] + 0.5
_Y = np.arange(SIZE)[:, None] + 0.5


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
    split = next(name for name, seeds in splits.ALL.items() if seed in seeds)
    stage = _Stage(rng, split)
    documents = (0, 1, 1, 1, 1, 1, 1, 1, 1, 2)[int(rng.integers(10))]
    stage.clutter(most=4 if documents == 0 else 3)
    for slot in range(documents):
        stage.document(slot, documents)
    stage.light()
    pixels, quality = _camera(stage.canvas, rng)
    boxes, classes = stage.truth()
    return Scene(pixels, quality, boxes, classes)


class _Stage:
    """A picture in the making.

    Args:
        rng: source of everything random.
        split: where issuers and people come from.
    """

    def __init__(self, rng: np.random.Generator, split: str) -> None:
        self.rng = rng
        self.split = split
        self.canvas = _background(rng)
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

    def person(self, difficulty: float) -> cards.Portrait:
        """Somebody of this split, to be pictured at any size."""
        rng = self.rng
        who = self.somebody()
        how = faces.capture(rng, difficulty=difficulty)
        size, down = rng.uniform(0.62, 0.75), rng.uniform(0.46, 0.52)

        def portrait(rows: int, columns: int, ground: Floats) -> Bytes:
            colour = (float(ground[0]), float(ground[1]), float(ground[2]))
            return faces.render(who, how, (rows, columns), size, (0.5, down), colour)

        return portrait

    def clutter(self, most: int) -> None:
        """Lay other things on the table, or put a person with a face into the background."""
        rng = self.rng
        for _ in range(int(rng.integers(most + 1))):
            scale = rng.uniform(1.0, 2.6)
            kind = rng.random()
            if kind < 0.25:
                flat = cards.bank_card(rng, scale)
            elif kind < 0.5:
                size = rng.uniform(60.0, 160.0), rng.uniform(60.0, 200.0)
                flat = cards.letter(rng, scale, *size)
            elif kind < 0.68:
                flat = cards.phone(rng, scale)
            elif kind < 0.85:
                wide = rng.uniform(25.0, 60.0)
                tall = wide * rng.uniform(1.1, 1.4)
                flat = cards.photograph(rng, scale, wide, tall, self.person(0.5))
            else:
                self._mug(scale)
                continue
            centre = rng.uniform(-20.0, SIZE + 20.0, 2)
            self._lay(flat, _pose(rng, flat, scale, scale, centre, tilt=0.3), scale)

    def document(self, slot: int, count: int) -> None:
        """Put a document into the picture, mostly held by a hand."""
        rng = self.rng
        issuers = splits.ALL[self.split].start
        design = cards.layout(issuers + int(rng.integers(LAYOUTS[self.split])))
        longest = rng.uniform(105.0, 165.0) if count > 1 else rng.uniform(130.0, 330.0)
        scale = longest / max(design.size)
        flat = cards.document(design, rng, scale, self.person(0.15))
        if count == 1:
            place = rng.uniform(0.25, 0.75, 2) * SIZE
        else:  # one in the upper, one in the lower half
            place = np.array([rng.uniform(0.3, 0.7), 0.25 + 0.5 * slot]) * SIZE
        pose = _pose(rng, flat, scale, scale, place, tilt=0.5)
        pose = _fit(pose, flat, slack=0.08 * longest)
        corners = _project(pose, _corners(flat.pixels.shape[1], flat.pixels.shape[0]))
        hand = self.chance(0.6) and count == 1
        if hand:
            grip = _Grip(rng, corners, self.somebody().skin.colour)
            grip.palm(self.canvas)
        number = slot + 1
        covered = self._lay(flat, pose, scale)
        self.seen[covered > 0.5] = number
        self.quads.append((DOCUMENT, number, corners))
        assert flat.portrait is not None
        x1, y1, x2, y2 = flat.portrait
        inner = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
        self.quads.append((PORTRAIT, number, _project(pose, inner)))
        if self.chance(0.35):
            self._glare(corners)
        if hand:
            self.seen[grip.fingers(self.canvas) > 0.5] = 0

    def light(self) -> None:
        """Uneven light, colour temperature, exposure and now and then a shadow."""
        rng = self.rng
        angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.45)
        run = ((_X - SIZE / 2) * np.cos(angle) + (_Y - SIZE / 2) * np.sin(angle)) / SIZE
        factor = np.exp(rng.normal() * 0.22) * (1 + strength * run)
        if self.chance(0.3):
            angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.4, 0.4) * SIZE
            edge = (_X - SIZE / 2) * np.cos(angle) + (_Y - SIZE / 2) * np.sin(angle) + offset
            factor *= 1 - rng.uniform(0.2, 0.6) * soft(edge, rng.uniform(4.0, 60.0))
        warmth = 0.08 * rng.normal()
        tint = np.array([1 + warmth, 1 + 0.02 * rng.normal(), 1 - warmth])
        self.canvas *= factor[..., None] * tint

    def truth(self) -> tuple[Floats, NDArray[np.int64]]:
        """Boxes and classes of what can be seen."""
        boxes: list[tuple[float, float, float, float]] = []
        classes = []
        for label, number, corners in self.quads:
            inside = _inside(corners) & (self.seen == number)
            if np.count_nonzero(inside) < LEAST_VISIBLE * _area(corners):
                continue
            low, high = corners.min(0).clip(0, SIZE), corners.max(0).clip(0, SIZE)
            boxes.append((low[0], low[1], high[0], high[1]))
            classes.append(label)
        return np.array(boxes, np.float64).reshape(-1, 4), np.array(classes, np.int64)

    def _lay(self, flat: Flat, pose: Floats, scale: float) -> Floats:
        """Draw something flat with the shadow below it; returns its coverage."""
        height, width = flat.pixels.shape[:2]
        coverage = np.zeros((SIZE, SIZE))
        lift = self.rng.uniform(0.5, 3.0) * scale
        corners = _project(pose, _corners(width, height))
        window = _window(corners, 3 * lift)
        view = self.canvas[window]
        if not view.size:
            return coverage
        x, y = _X[:, window[1]], _Y[window[0]]
        shadow = soft(_depth(corners + lift, x, y), 3 * lift)
        view *= 1 - 0.5 * shadow[..., None]
        depth = _depth(corners, x, y)
        hit = depth > -0.5
        rows, columns = np.nonzero(hit)
        inverse = np.linalg.inv(pose)
        u, v = _map(inverse, columns + window[1].start + 0.5, rows + window[0].start + 0.5)
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
        window = _window(corners, 0.0)
        right, down = _X[:, window[1]] - x, _Y[window[0]] - y
        across = right * np.cos(angle) + down * np.sin(angle)
        along = down * np.cos(angle) - right * np.sin(angle)
        strength = rng.uniform(0.3, 1.0) * bump(across, along, size, size * rng.uniform(1.0, 3.0))
        paint(self.canvas[window], (255.0, 253.0, 248.0), strength * _inside(corners)[window])

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
        ring = 0.3 * tall - np.abs(np.hypot(_X - x, _Y - centre[1]) - 0.25 * tall) * 6
        paint(self.canvas, ground * 0.7, soft(ring, 4.0))
        pose = _pose(rng, flat, scale, scale, centre, tilt=0.05, upright=True)
        self._lay(flat, pose, scale)


class _Grip:
    """A hand that holds a document at one of its sides.

    Args:
        rng: source of randomness.
        corners: of the document in pixels, 4 x 2.
        skin: colour.
    """

    def __init__(self, rng: np.random.Generator, corners: Floats, skin: Colour) -> None:
        self.rng = rng
        side = int(rng.integers(4))
        self.start, end = corners[side], corners[(side + 1) % 4]
        self.along = end - self.start
        middle = corners.mean(0)
        self.at = rng.uniform(0.25, 0.75)
        self.grip = self.start + self.at * self.along
        inward = middle - self.grip
        self.inward = inward / max(float(np.hypot(*inward)), 1.0)
        self.size = rng.uniform(0.05, 0.085) * float(np.hypot(*(corners[0] - corners[2])))
        self.skin = np.array(skin)

    def palm(self, canvas: Floats) -> None:
        """The part of the hand behind the document."""
        outside = self.grip - self.inward * 400
        self._limb(canvas, outside, self.grip - self.inward * self.size, self.size * 3.2)

    def fingers(self, canvas: Floats) -> Floats:
        """The fingers in front of it; returns their coverage."""
        rng = self.rng
        covered = np.zeros((SIZE, SIZE))
        count = int(rng.integers(1, 4))
        spread = np.hypot(*self.along)
        for finger in range(count):
            offset = (finger - (count - 1) / 2) * 2.1 * self.size / max(spread, 1.0)
            root = self.start + (self.at + offset) * self.along
            tip = root + self.inward * self.size * rng.uniform(0.8, 4.0)
            base = root - self.inward * self.size * 6
            covered = np.maximum(covered, self._limb(canvas, base, tip, self.size, nail=True))
        return covered

    def _limb(
        self, canvas: Floats, start: Floats, end: Floats, radius: float, *, nail: bool = False
    ) -> Floats:
        """Draw a finger or an arm, lit from the front; returns its coverage."""
        window = _window(np.stack([start, end]), radius + 2)
        x, y = _X[:, window[1]], _Y[window[0]]
        covered = np.zeros((SIZE, SIZE))
        if not covered[window].size:
            return covered
        depth = capsule(x, y, tuple(start), tuple(end), radius)
        height = np.sqrt(np.clip(depth * (2 * radius - depth), 0, None)) / radius
        covered[window] = soft(depth, 1.5)
        view = canvas[window]
        view *= 1 - 0.35 * soft(depth + 0.25 * radius, 0.7 * radius)[..., None]
        paint(view, self.skin * (0.5 + 0.5 * height)[..., None], covered[window])
        if nail:
            along = (end - start) / max(float(np.hypot(*(end - start))), 1.0)
            dx, dy = x - end[0] - along[0] * radius * 0.2, y - end[1] - along[1] * radius * 0.2
            across, forth = dx * along[1] - dy * along[0], dx * along[0] + dy * along[1]
            mask = soft(0.55 * radius - np.hypot(across, forth * 0.8), 1.5)
            paint(view, np.clip(self.skin * 1.1 + np.array([14.0, 2.0, 6.0]), 0, 255), mask * 0.7)
        return covered


def _background(rng: np.random.Generator) -> Floats:
    """A table, a cloth, stone, tiles or a blurred room."""
    shape = (SIZE, SIZE)
    base = rng.uniform(40.0, 225.0) * (1 + rng.uniform(-0.25, 0.25, 3))
    other = np.clip(base * rng.uniform(0.5, 1.3) + rng.normal(0.0, 15.0, 3), 0, 255)
    turned = bool(rng.integers(2))
    kind = int(rng.integers(6))
    if kind == 0:  # wood
        bent = _Y + 14 * smooth_noise(rng, shape, 4)
        grain = np.sin(bent * rng.uniform(0.15, 0.6)) + np.sin(bent * rng.uniform(0.7, 1.6))
        fibre = np.repeat(rng.normal(size=(SIZE, SIZE // 16)), 16, axis=1)
        weight = 0.5 + 0.22 * grain + 0.1 * fibre
        weight = weight.T if turned else weight
    elif kind == 1:  # cloth
        period = rng.uniform(2.5, 9.0)
        weave = np.sin(_X * 2 * np.pi / period) * np.sin(_Y * 2 * np.pi / period)
        folds = smooth_noise(rng, shape, int(rng.integers(2, 6)))
        weight = 0.5 + 0.25 * weave + 0.3 * folds
    elif kind == 2:  # stone
        weight = 0.5 + sum(
            smooth_noise(rng, shape, cells) / level
            for level, cells in ((2.0, 5), (3.0, 14), (4.0, 45))
        )
    elif kind == 3:  # tiles
        pitch = rng.uniform(40.0, 130.0)
        joint = np.minimum((_X + rng.uniform(0, 99)) % pitch, (_Y + rng.uniform(0, 99)) % pitch)
        weight = soft(3.0 - joint, 1.5) + 0.15 * smooth_noise(rng, shape, 20)
    elif kind == 4:  # a plain table
        weight = 0.3 + 0.2 * smooth_noise(rng, shape, 3) + 0.02 * rng.normal(size=shape)
    else:  # a room out of focus
        coarse = np.tile(base, (40, 40, 1))
        for _ in range(12):
            x, y, right, down = (int(value) for value in rng.integers(0, 40, 4))
            part = coarse[min(y, down) : max(y, down) + 1, min(x, right) : max(x, right) + 1]
            part[:] = rng.uniform(20.0, 235.0, 3)
        return resize(to_uint8(blur(coarse, rng.uniform(0.5, 1.5))), shape).astype(np.float64)
    return base + np.clip(weight, 0, 1)[..., None] * (other - base)


def _camera(canvas: Floats, rng: np.random.Generator) -> tuple[Bytes, int]:
    """Blur and noise of a phone camera; returns pixels and the quality of the JPEG."""
    kind = rng.random()
    if kind < 0.45:
        canvas = blur(canvas, rng.uniform(0.4, 1.8))
    elif kind < 0.6:
        canvas = motion_blur(canvas, rng.uniform(2.0, 9.0), rng.uniform(0.0, np.pi))
    strength = 1.0 + 9.0 * rng.random() ** 3
    grain = rng.normal(0.0, strength, (SIZE, SIZE, 1))
    return to_uint8(canvas + grain), int(rng.integers(40, 86))


def _pose(
    rng: np.random.Generator,
    flat: Flat,
    resolution: float,
    scale: float,
    centre: Floats,
    *,
    tilt: float,
    upright: bool = False,
) -> Floats:
    """Projective map of a flat thing, turned in space, from its pixels to those of the scene.

    Args:
        rng: source of randomness.
        flat: the thing.
        resolution: of its pixels, in a millimetre.
        scale: of the scene, pixels in a millimetre.
        centre: where its middle goes.
        tilt: standard deviation in radians (of the angles out of the plane of the picture).
        upright: not turned in the plane of the picture either.

    Returns:
        3 x 3.
    """
    height, width = flat.pixels.shape[:2]
    kind = rng.random()
    roll = 0.18 * rng.normal()
    if kind > 0.85 and not upright:
        roll = rng.uniform(-np.pi, np.pi)
    elif kind > 0.72 and not upright:
        roll += np.pi / 2 * int(rng.integers(1, 4))
    pitch, yaw = np.clip(rng.normal(0.0, tilt, 2), -0.8, 0.8)
    turn = _rotation(2, roll) @ _rotation(0, pitch) @ _rotation(1, yaw)
    longest = max(height, width) / resolution
    distance = longest * rng.uniform(2.0, 5.0)
    focal = scale * distance
    camera = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
    plane = np.column_stack([turn[:, 0], turn[:, 1], [0, 0, distance]])
    middle = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, resolution]])
    return camera @ plane @ middle


def _rotation(axis: int, angle: float) -> Floats:
    """Rotation about one axis, 3 x 3."""
    turn = np.eye(3)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    turn[first, first] = turn[second, second] = np.cos(angle)
    turn[second, first] = np.sin(angle)
    turn[first, second] = -turn[second, first]
    return turn


def _fit(pose: Floats, flat: Flat, slack: float) -> Floats:
    """Shrink and shift a pose so that at most `slack` pixels stick out of the picture."""
    corners = _project(pose, _corners(flat.pixels.shape[1], flat.pixels.shape[0]))
    room = SIZE + 2 * slack
    shrink = min(1.0, room / float((corners.max(0) - corners.min(0)).max()))
    middle = corners.mean(0)
    corners = middle + shrink * (corners - middle)
    low, high = corners.min(0), corners.max(0)
    shift = np.maximum(-slack - low, 0) + np.minimum(SIZE + slack - high, 0)
    move = np.array(
        [
            [shrink, 0, (1 - shrink) * middle[0] + shift[0]],
            [0, shrink, (1 - shrink) * middle[1] + shift[1]],
            [0, 0, 1],
        ]
    )
    return move @ pose


def _corners(width: float, height: float) -> Floats:
    return np.array([[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]])


def _map(matrix: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Apply a projective map to coordinates."""
    w = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
    u = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]
    v = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]
    return u / w, v / w


def _project(pose: Floats, points: Floats) -> Floats:
    """Apply a projective map to n x 2 points."""
    return np.column_stack(_map(pose, points[:, 0], points[:, 1]))


def _window(points: Floats, margin: float) -> tuple[slice, slice]:
    """The part of the picture around some points, n x 2."""
    low = np.clip(np.floor(points.min(0) - margin), 0, SIZE).astype(int)
    high = np.clip(np.ceil(points.max(0) + margin), 0, SIZE).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def _depth(corners: Floats, x: Floats, y: Floats) -> Floats:
    """Distance of each point to the nearest side of a convex quadrilateral, positive inside.

    Args:
        corners: 4 x 2, clockwise on the screen.
        x: 1 x columns.
        y: rows x 1.

    Returns:
        rows x columns, in pixels.
    """
    sides = np.roll(corners, -1, axis=0) - corners
    sides /= np.maximum(np.hypot(sides[:, :1], sides[:, 1:]), 1e-9)
    depths = [
        right * (y - corner[1]) - down * (x - corner[0])
        for corner, (right, down) in zip(corners, sides, strict=True)
    ]
    return np.minimum(np.minimum(depths[0], depths[1]), np.minimum(depths[2], depths[3]))


def _inside(corners: Floats) -> NDArray[np.bool_]:
    """Which pixels lie in a quadrilateral."""
    return _depth(corners, _X, _Y) >= 0


def _area(corners: Floats) -> float:
    """Area of a polygon, in pixels (shoelace formula)."""
    x, y = corners.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def write_evaluation(folder: Path) -> None:
    """Write the evaluation scenes: 400 JPEGs in ``images/`` and ``labels.json`` (COCO)."""
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
