"""What is around a document: tables and rooms, the hand that holds it, the camera."""

from __future__ import annotations

import numpy as np

from . import perspective
from .canvas import (
    Bytes,
    Colour,
    Floats,
    blur,
    capsule,
    motion_blur,
    paint,
    resize,
    smooth_noise,
    soft,
    to_uint8,
)
from .perspective import SIZE, X, Y


def background(rng: np.random.Generator) -> Floats:
    """A table, a cloth, stone, tiles or a blurred room."""
    shape = (SIZE, SIZE)
    base = rng.uniform(40.0, 225.0) * (1 + rng.uniform(-0.25, 0.25, 3))
    other = np.clip(base * rng.uniform(0.5, 1.3) + rng.normal(0.0, 15.0, 3), 0, 255)
    turned = bool(rng.integers(2))
    kind = int(rng.integers(6))
    if kind == 0:  # wood
        bent = Y + 14 * smooth_noise(rng, shape, 4)
        grain = np.sin(bent * rng.uniform(0.15, 0.6)) + np.sin(bent * rng.uniform(0.7, 1.6))
        fibre = np.repeat(rng.normal(size=(SIZE, SIZE // 16)), 16, axis=1)
        weight = 0.5 + 0.22 * grain + 0.1 * fibre
        weight = weight.T if turned else weight
    elif kind == 1:  # cloth
        period = rng.uniform(2.5, 9.0)
        weave = np.sin(X * 2 * np.pi / period) * np.sin(Y * 2 * np.pi / period)
        folds = smooth_noise(rng, shape, int(rng.integers(2, 6)))
        weight = 0.5 + 0.25 * weave + 0.3 * folds
    elif kind == 2:  # stone
        weight = 0.5 + sum(
            smooth_noise(rng, shape, cells) / level
            for level, cells in ((2.0, 5), (3.0, 14), (4.0, 45))
        )
    elif kind == 3:  # tiles
        pitch = rng.uniform(40.0, 130.0)
        joint = np.minimum((X + rng.uniform(0, 99)) % pitch, (Y + rng.uniform(0, 99)) % pitch)
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


def camera(canvas: Floats, rng: np.random.Generator, shaky: float = 1.0) -> tuple[Bytes, int]:
    """Blur and noise of a phone camera.

    Args:
        canvas: what is in front of it.
        rng: source of randomness.
        shaky: how often it is out of focus or moved: 1 is in 60 % of pictures, 0 is never.

    Returns:
        the picture and the quality of its JPEG.
    """
    kind = rng.random()
    if kind < 0.45 * shaky:
        canvas = blur(canvas, rng.uniform(0.4, 1.8))
    elif kind < 0.6 * shaky:
        canvas = motion_blur(canvas, rng.uniform(2.0, 9.0), rng.uniform(0.0, np.pi))
    strength = 1.0 + 9.0 * rng.random() ** 3
    grain = rng.normal(0.0, strength, (SIZE, SIZE, 1))
    return to_uint8(canvas + grain), int(rng.integers(40, 86))


class Grip:
    """A hand that holds a document at one of its sides.

    Args:
        rng: source of randomness.
        corners: of the document in pixels, 4 x 2.
        skin: colour.
        side: from which the hand comes, clockwise from 0, the top; None is any.
    """

    def __init__(
        self, rng: np.random.Generator, corners: Floats, skin: Colour, side: int | None = None
    ) -> None:
        self.rng = rng
        side = int(rng.integers(4)) if side is None else side
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
        window = perspective.window(np.stack([start, end]), radius + 2)
        x, y = X[:, window[1]], Y[window[0]]
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
