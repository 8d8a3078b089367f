"""Printing on flat things: a canvas addressed in millimetres, letters, colours, chips.

Text is written in an alphabet of arbitrary strokes: at five pixels a letter nothing else of it
would remain, and nobody can take a rendered document for a real one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .canvas import Bytes, Floats, box, paint, soft

Portrait = Callable[[int, int, Floats], Bytes]
"""Pictures a person: (height, width, background colour) -> height x width x 3, uint8."""
Box = tuple[float, float, float, float]

_LETTERS = 40
_PITCH = 0.72  # of letters, in units of their height


@dataclass(frozen=True)
class Flat:
    """Something flat that can lie in a scene.

    Args:
        pixels: height x width x 3.
        coverage: height x width, 0..1.
        portrait: x1, y1, x2, y2 of the portrait in pixels, None without one.
    """

    pixels: Floats
    coverage: Floats
    portrait: Box | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.coverage.shape[0], self.coverage.shape[1]


class Page:
    """A canvas that is addressed in millimetres.

    Args:
        pixels: height x width x 3.
        scale: pixels in a millimetre.
    """

    def __init__(self, pixels: Floats, scale: float) -> None:
        self.pixels = pixels
        self.scale = scale

    def part(self, where: Box) -> tuple[Floats, int, int]:
        """View of the pixels in a box, and how many rows and columns of the box it lacks."""
        x, y, width, height = (round(length * self.scale) for length in where)
        view = self.pixels[
            max(y, 0) : max(y + max(height, 1), 0), max(x, 0) : max(x + max(width, 1), 0)
        ]
        return view, max(-y, 0), max(-x, 0)

    def fill(self, where: Box, colour: Floats, alpha: float) -> None:
        """Fill a box."""
        view, _, _ = self.part(where)
        view += alpha * (colour - view)

    def mask(self, where: Box, mask: Floats, colour: Floats) -> None:
        """Print a mask (rows x columns, 0..1) in one colour, resized to the box."""
        view, rows, columns = self.part(where)
        if view.size:
            size = max(1, round(where[2] * self.scale)), max(1, round(where[3] * self.scale))
            image = Image.fromarray(np.uint8(mask * 255)).resize(size, Image.Resampling.BILINEAR)
            weight = np.asarray(image)[rows:, columns:][: view.shape[0], : view.shape[1]] / 255.0
            paint(view, colour, weight)

    def write(
        self, rng: np.random.Generator, where: Box, colour: Floats, *, words: bool = True
    ) -> None:
        """Write a line of letters as high as the box."""
        x, y, width, size = where
        count = max(2, int(width / (size * _PITCH)))
        glyphs = _ALPHABET[rng.integers(_LETTERS, size=count)]
        if words:
            glyphs = glyphs * (rng.random(count) > 0.15)[:, None, None]
        rows = glyphs.transpose(1, 0, 2).reshape(5, -1)
        self.mask((x, y, count * size * _PITCH, size), rows, colour)

    def around(self, x: float, y: float, radius: float) -> tuple[Floats, Floats, Floats]:
        """View of the square around a centre, and offsets from the centre to right and down."""
        left, top = (max(int((c - radius) * self.scale) - 1, 0) for c in (x, y))
        right, bottom = (max(int((c + radius) * self.scale) + 2, 0) for c in (x, y))
        view = self.pixels[top:bottom, left:right]
        down = (np.arange(view.shape[0]) + top + 0.5)[:, None] / self.scale - y
        across = (np.arange(view.shape[1]) + left + 0.5)[None, :] / self.scale - x
        return view, across, down

    def disc(self, where: tuple[float, float, float], colour: Floats, alpha: float) -> None:
        """Fill a circle given by x, y and radius."""
        view, across, down = self.around(*where)
        paint(view, colour, alpha * soft(where[2] - np.hypot(across, down), 1 / self.scale))

    def picture(self, where: Box, draw: Callable[[int, int], Bytes]) -> Box:
        """Put a picture into a box on the page; returns x1, y1, x2, y2 in pixels."""
        x, y, width, height = (round(length * self.scale) for length in where)
        view = self.pixels[y : y + max(height, 8), x : x + max(width, 8)]
        view[:] = draw(*view.shape[:2])
        return float(x), float(y), float(x + view.shape[1]), float(y + view.shape[0])


def print_chip(page: Page, corner: tuple[float, float]) -> None:
    """Print the contacts of a chip."""
    x, y = corner
    gold = np.array([205.0, 173.0, 92.0])
    page.fill((x, y, 12.0, 9.0), gold, 1.0)
    for share in (1 / 3, 2 / 3):
        page.fill((x, y + 9 * share - 0.3, 12.0, 0.6), gold * 0.5, 0.8)
        page.fill((x + 12 * share - 0.3, y, 0.6, 9.0), gold * 0.5, 0.8)


def sheet(pixels: Floats, radius: float) -> Floats:
    """Coverage of a sheet with corners rounded by `radius` pixels."""
    height, width = pixels.shape[:2]
    if not radius:
        return np.ones((height, width))
    y = (np.arange(height) + 0.5 - height / 2)[:, None]
    x = (np.arange(width) + 0.5 - width / 2)[None, :]
    return soft(box(x, y, width / 2, height / 2, radius), 1.0)


def colour_of(hue: float, saturation: float, value: float) -> Floats:
    """RGB from hue (in turns), saturation and value (0..1)."""
    ramp = np.abs((hue + np.array([0.0, 2 / 3, 1 / 3])) % 1 * 6 - 3) - 1
    return 255 * value * (1 - saturation + saturation * np.clip(ramp, 0, 1))


def _alphabet() -> Floats:
    """Letters of arbitrary strokes: 40 x 5 x 4, 0 or 1, the last column empty."""
    rng = np.random.default_rng([0xCA2D])
    letters = np.zeros((_LETTERS, 5, 4))
    letters[:, :, 0] = rng.random((_LETTERS, 1)) < 0.7
    letters[:, ::2, :3] = np.maximum(letters[:, ::2, :3], rng.random((_LETTERS, 3, 1)) < 0.5)
    letters[:, :, 2] = np.maximum(letters[:, :, 2], rng.random((_LETTERS, 5)) < 0.45)
    return letters


_ALPHABET = _alphabet()
