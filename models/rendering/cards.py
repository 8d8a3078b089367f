"""Identity documents as flat images: layouts, paper, print, chip, hologram and stamp.

A layout is what an issuer decides: the format, where portrait and text stand, colours and security
print. It follows from its seed, so that every split has issuers of its own. Text is written in an
alphabet of arbitrary strokes: at five pixels a letter nothing else of it would remain, and nobody
can take a rendered document for a real one.

Formats are those of ISO/IEC 7810 (ID-1, ID-2, ID-3), lengths are in millimetres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .canvas import Bytes, Floats, box, paint, resize, soft, to_uint8

Portrait = Callable[[int, int, Floats], Bytes]
"""Pictures a person: (height, width, background colour) -> height x width x 3, uint8."""
Box = tuple[float, float, float, float]

_DOMAIN = 0xCA2D  # keeps these random streams apart from those of other renderers
_LETTERS = 40
_PITCH = 0.72  # of letters, in units of their height
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
        _colour(hue, tint, rng.uniform(0.8, 0.97)),
        _colour(hue + 0.12 * rng.normal(), tint * rng.uniform(0.3, 1.4), rng.uniform(0.75, 0.97)),
    )
    opposite = 0.5 if chance(1 / 3) else 0.0
    accent = _colour(hue + opposite + 0.05 * rng.normal(), 0.75, rng.uniform(0.3, 0.7))
    lines = _colour(hue + 0.2 * rng.normal(), 0.5, 0.6)
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
    page = _Page(_ground(design, scale), scale)
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
        _print_chip(page, design.chip)
    holder = _print_portrait(page, design, portrait)
    if design.hologram is not None:
        _print_hologram(page, design.hologram, rng)
    if design.stamped:
        _print_stamp(page, design.portrait, rng)
    corner = 0.0 if design.kind in ("passport", "permit") else 3.0
    return Flat(page.pixels, _sheet(page.pixels, corner * scale), holder)


def bank_card(rng: np.random.Generator, scale: float) -> Flat:
    """A payment card: chip and digits, but no portrait, hence no identity document."""
    width, height = _FORMATS["card"]
    shape = round(height * scale), round(width * scale)
    hue = rng.random()
    dark = _colour(hue, 0.7, rng.uniform(0.15, 0.6))
    light = _colour(hue + 0.1, 0.6, rng.uniform(0.3, 0.95))
    run = np.linspace(0.0, 0.7, shape[1])[None, :, None]
    page = _Page(dark + (light - dark) * (run + np.linspace(0.0, 0.3, shape[0])[:, None, None]), scale)
    _print_chip(page, (10.0, 18.0))
    page.write(rng, (10.0, 32.0, 62.0, 4.0), np.full(3, 230.0))
    page.write(rng, (10.0, 43.0, 30.0, 3.0), np.full(3, 215.0))
    page.disc((74.0, 45.0, 5.0), _colour(rng.random(), 0.8, 0.9), 0.8)
    return Flat(page.pixels, _sheet(page.pixels, 3.0 * scale))


def letter(rng: np.random.Generator, scale: float, width: float, height: float) -> Flat:
    """A printed sheet of paper."""
    shape = round(height * scale), round(width * scale)
    white = rng.uniform(210.0, 250.0) * np.array([1.0, 1.0, rng.uniform(0.9, 1.0)])
    page = _Page(np.tile(white, (*shape, 1)), scale)
    size = rng.uniform(2.0, 4.0)
    for y in np.arange(8.0, height - 6.0, size * 2):
        if float(rng.random()) < 0.85:
            where = (6.0, float(y), (width - 12.0) * rng.uniform(0.3, 1.0), size)
            page.write(rng, where, np.full(3, 50.0))
    return Flat(page.pixels, np.ones(shape))


def phone(rng: np.random.Generator, scale: float) -> Flat:
    """A phone with a dark or a lit screen."""
    shape = round(148.0 * scale), round(71.0 * scale)
    page = _Page(np.tile(rng.uniform(8.0, 45.0, 3), (*shape, 1)), scale)
    lit = float(rng.random()) < 0.5
    screen = rng.uniform(60.0, 240.0, 3) if lit else np.full(3, rng.uniform(5.0, 30.0))
    page.fill((3.0, 10.0, 65.0, 128.0), screen, 1.0)
    for row in range(4 if lit else 0):
        colour = rng.uniform(30.0, 230.0, 3)
        page.fill((8.0, 20.0 + 27 * row, 55.0 * rng.uniform(0.4, 1.0), 16.0), colour, 0.9)
    return Flat(page.pixels, _sheet(page.pixels, 8.0 * scale))


def photograph(
    rng: np.random.Generator, scale: float, width: float, height: float, portrait: Portrait
) -> Flat:
    """A print of a face with a white or no border: a face, but no document."""
    shape = round(height * scale), round(width * scale)
    page = _Page(np.full((*shape, 3), 240.0), scale)
    border = width * (0.06 if float(rng.random()) < 0.5 else 0.0)
    foot = 3 * border
    where = (border, border, width - 2 * border, height - border - foot)
    page.picture(where, lambda rows, columns: portrait(rows, columns, rng.uniform(30.0, 230.0, 3)))
    return Flat(page.pixels, np.ones(shape))


class _Page:
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
        view = self.pixels[max(y, 0) : max(y + max(height, 1), 0), max(x, 0) : max(x + max(width, 1), 0)]
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


def _print_fields(page: _Page, design: Layout, rng: np.random.Generator, ink: Floats) -> None:
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


def _print_chip(page: _Page, corner: tuple[float, float]) -> None:
    x, y = corner
    gold = np.array([205.0, 173.0, 92.0])
    page.fill((x, y, 12.0, 9.0), gold, 1.0)
    for share in (1 / 3, 2 / 3):
        page.fill((x, y + 9 * share - 0.3, 12.0, 0.6), gold * 0.5, 0.8)
        page.fill((x + 12 * share - 0.3, y, 0.6, 9.0), gold * 0.5, 0.8)


def _print_portrait(page: _Page, design: Layout, portrait: Portrait) -> Box:
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
    page: _Page, where: tuple[float, float, float], rng: np.random.Generator
) -> None:
    view, across, down = page.around(*where)
    angle = rng.uniform(0, 2 * np.pi)
    phase = 0.5 * (across * np.cos(angle) + down * np.sin(angle)) + rng.uniform(0, 6)
    rainbow = 127.5 + 127.5 * np.sin(phase[..., None] + np.array([0.0, 2.1, 4.2]))
    distance = np.hypot(across, down)
    edge = np.clip(where[2] - distance, 0, 1)
    paint(view, rainbow, 0.45 * edge * (0.6 + 0.4 * np.sin(3 * distance)))


def _print_stamp(page: _Page, portrait: Box, rng: np.random.Generator) -> None:
    x, y, width, height = portrait
    x += width * (0.05 if float(rng.random()) < 0.5 else 0.95)
    y += height * rng.uniform(0.8, 1.0)
    radius = rng.uniform(6.0, 9.0)
    view, across, down = page.around(x, y, radius)
    distance = np.hypot(across, down)
    outer = np.clip(1 - np.abs(distance - radius * 0.93) / 0.5, 0, 1)
    inner = np.clip(1 - np.abs(distance - radius * 0.6) / 0.4, 0, 1)
    colour = _colour((0.0, 0.63, 0.78)[int(rng.integers(3))], 0.7, 0.5)
    paint(view, colour, 0.7 * np.maximum(outer, inner))


def _sheet(pixels: Floats, radius: float) -> Floats:
    """Coverage of a sheet with corners rounded by `radius` pixels."""
    height, width = pixels.shape[:2]
    if not radius:
        return np.ones((height, width))
    y = (np.arange(height) + 0.5 - height / 2)[:, None]
    x = (np.arange(width) + 0.5 - width / 2)[None, :]
    return soft(box(x, y, width / 2, height / 2, radius), 1.0)


def _colour(hue: float, saturation: float, value: float) -> Floats:
    """RGB from hue (in turns), saturation and value (0..1)."""
    ramp = np.abs((hue + np.array([0.0, 2 / 3, 1 / 3])) % 1 * 6 - 3) - 1
    return 255 * value * (1 - saturation + saturation * np.clip(ramp, 0, 1))


def _alphabet() -> Floats:
    """Letters of arbitrary strokes: 40 x 5 x 4, 0 or 1, the last column empty."""
    rng = np.random.default_rng([_DOMAIN])
    letters = np.zeros((_LETTERS, 5, 4))
    letters[:, :, 0] = rng.random((_LETTERS, 1)) < 0.7
    letters[:, ::2, :3] = np.maximum(letters[:, ::2, :3], rng.random((_LETTERS, 3, 1)) < 0.5)
    letters[:, :, 2] = np.maximum(letters[:, :, 2], rng.random((_LETTERS, 5)) < 0.45)
    return letters


_ALPHABET = _alphabet()
