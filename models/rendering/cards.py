"""Identity documents as flat images: layouts, paper, print, chip, hologram and stamp.

A layout is what an issuer decides: the format, where portrait and text stand, colours and security
print. It follows from its seed, so that every split has issuers of its own.

Formats are those of ISO/IEC 7810 (ID-1, ID-2, ID-3), lengths are in millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from .canvas import Bytes, Floats, paint, resize, to_uint8
from .printing import Box, Flat, Page, Portrait, colour_of, print_chip, sheet

_DOMAIN = 0xCA2D  # keeps these random streams apart from those of other renderers
_MRZ_PITCH = 4.6  # of the lines of the machine-readable zone
_FORMATS = {
    "card": (85.6, 54.0),
    "portrait-card": (54.0, 85.6),
    "licence": (85.6, 54.0),
    "permit": (105.0, 74.0),
    "passport": (125.0, 88.0),
}


@dataclass(frozen=True)
class Layout:
    """What all documents of one issuer have in common. Boxes are x, y, width, height.

    Args:
        kind: "card", "portrait-card", "licence", "permit" or "passport".
        size: width and height of the document.
        portrait: box of the portrait.
        text: box of the fields.
        fields: number of fields, each a small label and a value.
        header: height of the coloured band at the top, 0 for none.
        mrz: lines of the machine-readable zone, 0 for none.
        paper: two colours between which the ground runs, 2 x 3.
        accent: colour of header and print.
        lines: colour of the guilloche.
        pattern: frequencies and phases of the guilloche, 2 x 4.
        emblem: x, y and radius of the emblem.
        chip: x and y of the chip, None without one.
        hologram: x, y and radius of the hologram, None without one.
        ghost: box of the faint second portrait, None without one.
        barcode: whether there is one below the fields.
        stamped: whether an official's stamp crosses the portrait.
        gray: whether the portrait is engraved without colour.
    """

    kind: str
    size: tuple[float, float]
    portrait: Box
    text: Box
    fields: int
    header: float
    mrz: int
    paper: Floats
    accent: Floats
    lines: Floats
    pattern: Floats
    emblem: tuple[float, float, float]
    chip: tuple[float, float] | None
    hologram: tuple[float, float, float] | None
    ghost: Box | None
    barcode: bool
    stamped: bool
    gray: bool

    @property
    def free_side(self) -> int:
        """The side that is farthest from the portrait, clockwise from 0, the top."""
        x, y, wide, tall = self.portrait
        width, height = self.size
        free = (y, width - x - wide, height - y - tall, x)
        return free.index(max(free))


def layout(seed: int) -> Layout:
    """The layout of the issuer with this seed."""
    rng = np.random.default_rng([_DOMAIN, seed])

    def chance(probability: float) -> bool:
        return float(rng.random()) < probability

    kind = tuple(_FORMATS)[int(rng.integers(len(_FORMATS)))]
    width, height = _FORMATS[kind]
    margin = rng.uniform(2.5, 5.0)
    header = rng.uniform(6.0, 11.0) if chance(0.75) else 0.0
    top = max(header, margin) + rng.uniform(1.0, 3.0)
    mrz = 2 if kind == "passport" else int(chance(0.3)) * (3 if kind == "portrait-card" else 2)
    foot = margin + mrz * _MRZ_PITCH
    if kind == "portrait-card":
        tall = rng.uniform(26.0, 36.0)
        wide = tall * rng.uniform(0.74, 0.82)
        x = (margin, (width - wide) / 2, width - margin - wide)[int(rng.integers(3))]
        y = top
        text = (margin, top + tall + 2, width - 2 * margin, height - foot - top - tall - 2)
    else:
        tall = min(rng.uniform(0.52, 0.68) * height, height - top - foot)
        wide = tall * rng.uniform(0.74, 0.84)
        left = chance(0.7)
        x = margin if left else width - margin - wide
        y = top + rng.random() * (height - foot - top - tall)
        free = margin + wide + 3 if left else margin
        text = (free, top, width - 2 * margin - wide - 3, height - foot - top)
    hue, tint = rng.random(), rng.uniform(0.05, 0.4)
    paper = (
        colour_of(hue, tint, rng.uniform(0.8, 0.97)),
        colour_of(hue + 0.12 * rng.normal(), tint * rng.uniform(0.3, 1.4), rng.uniform(0.75, 0.97)),
    )
    opposite = 0.5 if chance(1 / 3) else 0.0
    accent = colour_of(hue + opposite + 0.05 * rng.normal(), 0.75, rng.uniform(0.3, 0.7))
    lines = colour_of(hue + 0.2 * rng.normal(), 0.5, 0.6)
    emblem_x = (margin + 4, width / 2, width - margin - 4)[int(rng.integers(3))]
    chip = hologram = ghost = None
    if kind in ("card", "portrait-card") and chance(0.6):
        right, down = max(text[2] - 12.0, 1.0), max(text[3] - 9.0, 1.0)
        chip = (text[0] + rng.random() * right, text[1] + rng.random() * down)
    if chance(0.65):
        across, below = rng.uniform(0.0, 1.2), rng.uniform(0.5, 1.1)
        hologram = (x + wide * across, y + tall * below, rng.uniform(6.0, 11.0))
    if chance(0.35):
        ghost = (text[0] + text[2] - 10, text[1] + text[3] - 13, 9.5, 12.0)
    return Layout(
        kind=kind,
        size=(width, height),
        portrait=(x, y, wide, tall),
        text=text,
        fields=max(3, int(text[3] / rng.uniform(5.0, 8.5))),
        header=header,
        mrz=mrz,
        paper=np.stack(paper),
        accent=accent,
        lines=lines,
        pattern=np.stack([rng.uniform(0.05, 0.5, 4), rng.uniform(0.0, 2 * np.pi, 4)]),
        emblem=(emblem_x, max(header / 2, 4.0), rng.uniform(2.2, 4.0)),
        chip=chip,
        hologram=hologram,
        ghost=ghost,
        barcode=chance(0.25),
        stamped=kind in ("passport", "licence", "permit") and chance(0.5),
        gray=chance(0.35),
    )


def document(design: Layout, rng: np.random.Generator, scale: float, portrait: Portrait) -> Flat:
    """Print a document.

    Args:
        design: of the issuer.
        rng: for what is personal: text, stamp, how the hologram catches the light.
        scale: pixels in a millimetre.
        portrait: pictures the holder.
    """
    width, height = design.size
    page = Page(_ground(design, scale), scale)
    ink = design.accent * 0.25
    if design.header:
        page.fill((0.0, 0.0, width, design.header), design.accent, 0.85)
        where = (width * 0.25, design.header * 0.28, width * 0.5, design.header * 0.45)
        page.write(rng, where, np.full(3, 250.0))
    page.disc(design.emblem, design.lines, 0.9)
    page.disc((*design.emblem[:2], design.emblem[2] * 0.6), design.paper[0], 0.8)
    _print_fields(page, design, rng, ink)
    if design.mrz:
        top = height - 3 - design.mrz * _MRZ_PITCH
        page.fill((0.0, top - 1, width, height - top + 1), np.array([240.0, 240.0, 235.0]), 0.7)
        for line in range(design.mrz):
            where = (3.0, top + line * _MRZ_PITCH, width - 6, 3.0)
            page.write(rng, where, ink * 0.7, words=False)
    if design.chip is not None:
        print_chip(page, design.chip)
    holder = _print_portrait(page, design, portrait)
    if design.hologram is not None:
        _print_hologram(page, design.hologram, rng)
    if design.stamped:
        _print_stamp(page, design.portrait, rng)
    corner = 0.0 if design.kind in ("passport", "permit") else 3.0
    return Flat(page.pixels, sheet(page.pixels, corner * scale), holder)


def _ground(design: Layout, scale: float) -> Floats:
    """Paper with guilloche."""
    width, height = design.size
    y = (np.arange(round(height * scale)) / scale)[:, None]
    x = (np.arange(round(width * scale)) / scale)[None, :]
    run = (x / width + y / height)[..., None] / 2
    page = design.paper[0] + (design.paper[1] - design.paper[0]) * run
    frequency, phase = design.pattern
    waves = 4 * np.sin(frequency[0] * x + phase[0]) + 2 * np.sin(frequency[1] * x + phase[1])
    first = _thin(np.sin((y + waves) * (0.8 + 2 * frequency[3])))
    waves = 4 * np.sin(frequency[2] * y + phase[2])
    second = _thin(np.sin((x + waves) * (0.6 + frequency[3]) + phase[3]))
    paint(page, design.lines, 0.35 * first + 0.25 * second)
    return page


def _thin(wave: Floats) -> Floats:
    """Narrow the crests of a wave to lines: its eighth power."""
    return np.square(np.square(np.square(wave)))


def _print_fields(page: Page, design: Layout, rng: np.random.Generator, ink: Floats) -> None:
    x, y, width, height = design.text
    step = (height - (7.0 if design.barcode else 0.0)) / design.fields
    size = min(0.42 * step, 3.2)
    for line in range(design.fields):
        top = y + line * step
        label, value = rng.uniform(0.15, 0.4), rng.uniform(0.3, 0.95)
        page.write(rng, (x, top, width * label, size * 0.55), ink + 60)
        page.write(rng, (x, top + size * 0.75, width * value, size), ink)
    if design.barcode:
        bars = (rng.random((1, 40)) < 0.5).astype(np.float64)
        page.mask((x, y + height - 6, width * 0.8, 5.0), bars, np.full(3, 25.0))


def _print_portrait(page: Page, design: Layout, portrait: Portrait) -> Box:
    """Print the portrait, and a faint copy where the layout has one."""
    ground = np.clip(0.6 * design.paper[0] + 90, 0, 245)

    def draw(rows: int, columns: int) -> Bytes:
        face = portrait(rows, columns, ground)
        if design.gray:
            face = np.asarray(Image.fromarray(face).convert("L").convert("RGB"))
        return face

    placed = page.picture(design.portrait, draw)
    if design.ghost is not None:
        left, top, right, bottom = (int(side) for side in placed)
        view, _, _ = page.part(design.ghost)
        original = to_uint8(page.pixels[top:bottom, left:right])
        view += 0.4 * (resize(original, (view.shape[0], view.shape[1])) - view)
    return placed


def _print_hologram(
    page: Page, where: tuple[float, float, float], rng: np.random.Generator
) -> None:
    view, across, down = page.around(*where)
    angle = rng.uniform(0, 2 * np.pi)
    phase = 0.5 * (across * np.cos(angle) + down * np.sin(angle)) + rng.uniform(0, 6)
    rainbow = 127.5 + 127.5 * np.sin(phase[..., None] + np.array([0.0, 2.1, 4.2]))
    distance = np.hypot(across, down)
    edge = np.clip(where[2] - distance, 0, 1)
    paint(view, rainbow, 0.45 * edge * (0.6 + 0.4 * np.sin(3 * distance)))


def _print_stamp(page: Page, portrait: Box, rng: np.random.Generator) -> None:
    x, y, width, height = portrait
    x += width * (0.05 if float(rng.random()) < 0.5 else 0.95)
    y += height * rng.uniform(0.8, 1.0)
    radius = rng.uniform(6.0, 9.0)
    view, across, down = page.around(x, y, radius)
    distance = np.hypot(across, down)
    outer = np.clip(1 - np.abs(distance - radius * 0.93) / 0.5, 0, 1)
    inner = np.clip(1 - np.abs(distance - radius * 0.6) / 0.4, 0, 1)
    colour = colour_of((0.0, 0.63, 0.78)[int(rng.integers(3))], 0.7, 0.5)
    paint(view, colour, 0.7 * np.maximum(outer, inner))
