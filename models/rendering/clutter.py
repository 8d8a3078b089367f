"""What lies around a document and must not be taken for one."""

from __future__ import annotations

import numpy as np

from .printing import Flat, Page, Portrait, colour_of, print_chip, sheet

_ID1 = (85.6, 54.0)  # ISO/IEC 7810, millimetres


def bank_card(rng: np.random.Generator, scale: float) -> Flat:
    """A payment card: chip and digits, but no portrait, hence no identity document."""
    width, height = _ID1
    shape = round(height * scale), round(width * scale)
    hue = rng.random()
    dark = colour_of(hue, 0.7, rng.uniform(0.15, 0.6))
    light = colour_of(hue + 0.1, 0.6, rng.uniform(0.3, 0.95))
    run = np.linspace(0.0, 0.7, shape[1])[None, :, None]
    page = Page(
        dark + (light - dark) * (run + np.linspace(0.0, 0.3, shape[0])[:, None, None]), scale
    )
    print_chip(page, (10.0, 18.0))
    page.write(rng, (10.0, 32.0, 62.0, 4.0), np.full(3, 230.0))
    page.write(rng, (10.0, 43.0, 30.0, 3.0), np.full(3, 215.0))
    page.disc((74.0, 45.0, 5.0), colour_of(rng.random(), 0.8, 0.9), 0.8)
    return Flat(page.pixels, sheet(page.pixels, 3.0 * scale))


def letter(rng: np.random.Generator, scale: float, width: float, height: float) -> Flat:
    """A printed sheet of paper."""
    shape = round(height * scale), round(width * scale)
    white = rng.uniform(210.0, 250.0) * np.array([1.0, 1.0, rng.uniform(0.9, 1.0)])
    page = Page(np.tile(white, (*shape, 1)), scale)
    size = rng.uniform(2.0, 4.0)
    for y in np.arange(8.0, height - 6.0, size * 2):
        if float(rng.random()) < 0.85:
            where = (6.0, float(y), (width - 12.0) * rng.uniform(0.3, 1.0), size)
            page.write(rng, where, np.full(3, 50.0))
    return Flat(page.pixels, np.ones(shape))


def phone(rng: np.random.Generator, scale: float) -> Flat:
    """A phone with a dark or a lit screen."""
    shape = round(148.0 * scale), round(71.0 * scale)
    page = Page(np.tile(rng.uniform(8.0, 45.0, 3), (*shape, 1)), scale)
    lit = float(rng.random()) < 0.5
    screen = rng.uniform(60.0, 240.0, 3) if lit else np.full(3, rng.uniform(5.0, 30.0))
    page.fill((3.0, 10.0, 65.0, 128.0), screen, 1.0)
    for row in range(4 if lit else 0):
        colour = rng.uniform(30.0, 230.0, 3)
        page.fill((8.0, 20.0 + 27 * row, 55.0 * rng.uniform(0.4, 1.0), 16.0), colour, 0.9)
    return Flat(page.pixels, sheet(page.pixels, 8.0 * scale))


def photograph(
    rng: np.random.Generator, scale: float, width: float, height: float, portrait: Portrait
) -> Flat:
    """A print of a face with a white or no border: a face, but no document."""
    shape = round(height * scale), round(width * scale)
    page = Page(np.full((*shape, 3), 240.0), scale)
    border = width * (0.06 if float(rng.random()) < 0.5 else 0.0)
    foot = 3 * border
    where = (border, border, width - 2 * border, height - border - foot)
    page.picture(where, lambda rows, columns: portrait(rows, columns, rng.uniform(30.0, 230.0, 3)))
    return Flat(page.pixels, np.ones(shape))
