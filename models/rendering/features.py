"""What is painted on the surface of a head: relief, skin, eyes, mouth, hair and what covers them.

Everything here works on a `Surface`: the colours of a patch of head before any light falls on it,
and the position (u, v) of each of its pixels on the head (see `people`). `pixel` is the size of a
pixel in head units, which is how soft edges are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import captures
from .canvas import Floats, box, bump, capsule, extent, lookup, mix, paint, soft
from .captures import Capture
from .people import Person


@dataclass(frozen=True)
class Surface:
    """A patch of head.

    Args:
        u: (H, W) position to the right; 9 where there is no head.
        v: (H, W) position downwards.
        colours: (H, W, 3), painted in place.
        pixel: size of a pixel in head units.
    """

    u: Floats
    v: Floats
    colours: Floats
    pixel: float

    def near(self, u: float, v: float, width: float, height: float) -> Surface | None:
        """The part around a position, as a view; None if it cannot be seen."""
        window = extent((np.abs(self.u - u) < width) & (np.abs(self.v - v) < height))
        if window is None:
            return None
        return Surface(self.u[window], self.v[window], self.colours[window], self.pixel)


def relief(person: Person, u: Floats, v: Floats) -> Floats:
    """Height of the features over the ellipsoid of the head, in head units, (H, W)."""
    head, eyes, mouth = person.head, person.eyes, person.mouth
    side = np.abs(u)
    height = nose_relief(person, u, v)
    height -= eyes.depth * bump(side - eyes.spacing, v - eyes.height, 0.15, 0.1)
    height += 0.03 * bump(side - eyes.spacing, v - eyes.height, 0.09, 0.07)
    brow = eyes.height - person.brows.lift
    height += head.brow_relief * bump(side - eyes.spacing * 0.9, v - brow, 0.2, 0.06)
    height += head.cheek_relief * bump(side - 0.42, v - 0.16, 0.17, 0.16)
    height += 0.6 * mouth.upper * bump(u, v - mouth.height + 0.6 * mouth.upper, 0.18, 0.035)
    height += 0.7 * mouth.lower * bump(u, v - mouth.height - 0.6 * mouth.lower, 0.17, 0.04)
    height -= 0.035 * bump(u, v - mouth.height - mouth.lower - 0.07, 0.16, 0.035)
    height += head.chin_relief * bump(u, v - 0.86, 0.16, 0.1)
    return height


def nose_relief(person: Person, u: Floats, v: Floats) -> Floats:
    """The part of `relief` that stands out so far that a turned head moves it."""
    nose, top = person.nose, person.eyes.height - 0.02
    base = nose_base(person)
    relief = np.zeros(u.shape)
    part = extent((np.abs(u) < 0.42) & (v > top - 0.32) & (v < base + 0.22))
    if part is None:
        return relief
    u, v = u[part], v[part]
    down = np.clip((v - top) / (base - top), 0.0, 1.0)
    below = np.exp(-np.square(np.maximum(v - base + 0.02, 0.0) / 0.045))
    above = np.exp(-np.square(np.minimum(v - top, 0.0) / 0.1))
    middle = u - nose.bend * np.sin(np.pi * down)
    ridge = np.exp(-0.5 * np.square(middle / (nose.bridge * (0.8 + 0.4 * down))))
    height = nose.bridge_relief * (0.3 + 0.7 * down) * ridge * below * above
    height += 0.6 * nose.tip_relief * bump(u, v - base + 0.05, nose.tip * 0.75, 0.062)
    height += 0.06 * bump(np.abs(u) - 0.72 * nose.wings, v - base + 0.025, 0.04, 0.04)
    relief[part] = height
    return relief


def nose_base(person: Person) -> float:
    """Where the nose ends below."""
    return person.eyes.height + 0.1 + person.nose.length


def paint_skin(person: Person, capture: Capture, skin: Surface, table: Floats) -> None:
    """Complexion, marks, folds and beard."""
    u, v, side = skin.u, skin.v, np.abs(skin.u)
    base, colour = nose_base(person), person.skin.colour
    blotch = lookup(table, 7.0 * u + 40.0, 7.0 * v + 40.0) * person.skin.blotches
    skin.colours[:] = np.asarray(colour) * (1.0 + 0.045 * blotch[..., None])
    flush = person.skin.redness * (
        bump(side - 0.4, v - 0.2, 0.16, 0.13) + bump(u, v - base + 0.06, 0.12, 0.08)
    )
    paint(skin.colours, mix(colour, (214.0, 84.0, 74.0), 0.6), np.clip(flush, 0.0, 0.6))
    shadow = mix(colour, (40.0, 18.0, 14.0), 0.5)
    folds = (0.12 + 0.4 * person.skin.age + 0.35 * max(capture.smile, 0.0)) * _line(
        side, v, (person.nose.wings, base - 0.04), (person.mouth.width + 0.07, 0.5), 0.022
    )
    folds += (0.25 * person.eyes.bags) * bump(
        side - person.eyes.spacing, v - person.eyes.height - 0.14, 0.11, 0.022
    )
    if person.skin.age > 0.4 or capture.brow_raise > 0.5:
        strength = 0.35 * person.skin.age + 0.15 * max(capture.brow_raise, 0.0)
        waves = np.square(np.square(np.sin(34.0 * v + 2.5 * np.square(u) + person.seed)))
        folds += strength * waves * bump(u, v + 0.58, 0.3, 0.1)
    paint(skin.colours, shadow, np.clip(folds, 0.0, 0.7))
    for mark in person.marks:
        part = skin.near(mark.u, mark.v, mark.length + 0.06, mark.length + 0.06)
        if part is not None:
            dx, dy = float(np.cos(mark.angle)), float(np.sin(mark.angle))
            along = (part.u - mark.u) * dx + (part.v - mark.v) * dy
            across = (part.v - mark.v) * dx - (part.u - mark.u) * dy
            spot = bump(along, across, mark.length, mark.width)
            paint(part.colours, mark.colour, mark.strength * spot)
    _paint_beard(person, skin, table)


def _paint_beard(person: Person, skin: Surface, table: Floats) -> None:
    beard, mouth = person.beard, person.mouth
    if beard.density <= 0.0:
        return
    u, v, side = skin.u, skin.v, np.abs(skin.u)
    base = nose_base(person)
    lip = 0.5 * (base + mouth.height - mouth.upper) + 0.015
    where = beard.moustache * bump(u, v - lip - 0.12 * np.square(u), mouth.width * 0.62, 0.05)
    where += beard.chin * soft(v - mouth.height - mouth.lower - 0.08, 0.12) * soft(0.4 - side, 0.2)
    jaw = soft(v - 0.18 - 1.1 * np.maximum(0.62 - side, 0.0), 0.2)
    where += beard.cheeks * jaw
    grain = lookup(table, 46.0 * u, 30.0 * v)
    cover = np.clip(where, 0.0, 1.0) * beard.density * (0.8 + 0.35 * grain)
    colour = mix(person.hair.colour, person.skin.colour, 0.12)
    paint(skin.colours, colour, np.clip(cover, 0.0, 0.95))


def paint_nose(person: Person, capture: Capture, skin: Surface) -> None:
    """Nostrils and the creases of the wings; the rest of the nose is `relief`."""
    base, nose = nose_base(person), person.nose
    part = skin.near(0.0, base, 0.32, 0.2)
    if part is None:
        return
    side = np.abs(part.u)
    dark = mix(person.skin.colour, (30.0, 10.0, 8.0), 0.8)
    tall = nose.nostrils * float(np.clip(0.55 - capture.pitch, 0.3, 0.9))
    holes = bump(side - 0.45 * nose.wings, part.v - base + 0.005, nose.nostrils, tall)
    rim = np.hypot(side - 0.68 * nose.wings, (part.v - base + 0.03) * 1.1) - 0.4 * nose.wings
    crease = np.exp(-np.square(rim / 0.018)) * soft(side - 0.75 * nose.wings, 0.05)
    under = bump(part.u, part.v - base - 0.02, nose.wings * 0.7, 0.02)
    paint(part.colours, dark, np.clip(0.8 * holes + 0.3 * crease + 0.22 * under, 0.0, 0.9))


def paint_eyes(person: Person, capture: Capture, skin: Surface, table: Floats) -> None:
    """Both eyes with their brows."""
    eyes, brows = person.eyes, person.brows
    for sign in (-1.0, 1.0):
        lower = person.head.asymmetry * sign
        part = skin.near(sign * eyes.spacing, eyes.height - 0.08, 0.34, 0.4)
        if part is None:
            continue
        _paint_eye(person, capture, part, sign, lower)
        start = eyes.spacing - eyes.width - brows.gap
        t = (sign * part.u - start) / (brows.length * 1.45)
        line = eyes.height + lower - brows.lift - brows.tilt * (t - 0.5) * 0.6
        line -= brows.arch * 4.0 * t * (1.0 - t) + 0.07 * capture.brow_raise
        thick = brows.thickness * np.clip(1.15 - 0.75 * t, 0.1, None)
        hairs = 0.85 + 0.3 * lookup(table, 60.0 * part.u + 20.0 * part.v, 24.0 * part.v)
        cover = soft(thick - np.abs(part.v - line), 0.03 + part.pixel)
        cover *= soft(t, 0.15) * soft(1.0 - t, 0.2) * brows.density * hairs
        colour = mix(person.hair.colour, (20.0, 14.0, 12.0), 0.35)
        paint(part.colours, colour, np.clip(cover, 0.0, 1.0))


def _paint_eye(person: Person, capture: Capture, part: Surface, sign: float, lower: float) -> None:
    eyes = person.eyes
    x = part.u - sign * eyes.spacing
    out = sign * x
    w = part.v - eyes.height - lower + eyes.tilt * out
    dome = np.clip(1.0 - np.square(out / eyes.width), 0.0, None)
    opening = eyes.opening * (1.0 - capture.squint)
    upper = opening * 1.15 * dome * (1.0 + 0.3 * eyes.roundness * dome)
    bottom = eyes.opening * (0.75 - 0.25 * capture.squint) * dome
    bottom -= 0.03 * max(capture.smile, 0.0) * dome
    edge = max(part.pixel, 0.012)
    inside = soft(np.minimum(w + upper, bottom - w), edge) * (dome > 0.0)
    dark = mix(person.skin.colour, (35.0, 16.0, 14.0), 0.6)
    fold = np.exp(-np.square((w + upper + 0.045 + 0.03 * eyes.crease) / 0.018)) * np.sqrt(dome)
    paint(part.colours, dark, 0.55 * eyes.crease * fold)
    white = np.empty_like(part.colours)
    white[:] = (232.0, 226.0, 220.0)
    white *= (0.62 + 0.38 * np.clip((w + upper) / 0.07, 0.0, 1.0))[..., None]
    gaze_x = capture.gaze[0] * 0.55 * (eyes.width - eyes.iris)
    gaze_y = capture.gaze[1] * 0.3 * eyes.opening - 0.1 * opening
    radius = np.hypot(x - gaze_x, w - gaze_y)
    streaks = 1.0 + 0.45 * np.clip(radius / eyes.iris, 0.0, 1.0)
    iris = np.asarray(eyes.colour) * streaks[..., None]
    paint(white, (24.0, 18.0, 16.0), soft(eyes.iris * 1.06 - radius, edge))
    paint(white, iris, soft(eyes.iris * 0.88 - radius, edge))
    paint(white, (10.0, 8.0, 8.0), soft(eyes.iris * 0.42 - radius, edge))
    lx, ly, _ = capture.light.direction
    glint = np.hypot(x - gaze_x - 0.03 * lx, w - gaze_y - 0.03 * ly + 0.008)
    paint(white, (255.0, 255.0, 255.0), 0.9 * soft(0.016 - glint, edge))
    paint(part.colours, white, inside)
    lash = np.exp(-np.square((w + upper) / (0.014 + 0.4 * part.pixel))) * (dome > 0.02)
    paint(part.colours, (22.0, 14.0, 12.0), 0.85 * lash)
    rim = np.exp(-np.square((w - bottom) / 0.012)) * (dome > 0.02)
    paint(part.colours, dark, 0.35 * rim)


def paint_mouth(person: Person, capture: Capture, skin: Surface) -> None:
    """Lips, and teeth when they part."""
    mouth = person.mouth
    part = skin.near(0.0, mouth.height, 0.55, 0.34)
    if part is None:
        return
    width = mouth.width * (1.0 + 0.2 * capture.smile - 0.12 * capture.open_mouth)
    t = part.u / width
    dome = np.clip(1.0 - np.square(t), 0.0, None)
    line = mouth.height - (mouth.corners + 0.085 * capture.smile) * np.square(t)
    line = line + 0.025 * capture.smile
    gap = 0.13 * capture.open_mouth * dome
    thin = 1.0 - 0.25 * max(capture.smile, 0.0)
    bow = 1.0 - 0.4 * mouth.bow * np.exp(-np.square(t / 0.16))
    top = line - 0.3 * gap - mouth.upper * thin * np.sqrt(dome) * bow * 1.15
    bottom = line + 0.7 * gap + mouth.lower * thin * dome * 1.15
    edge = max(part.pixel, 0.014)
    upper = soft(np.minimum(part.v - top, line - 0.3 * gap - part.v), edge) * (dome > 0.0)
    lower = soft(np.minimum(part.v - line - 0.7 * gap, bottom - part.v), edge) * (dome > 0.0)
    paint(part.colours, mix(mouth.colour, (60.0, 16.0, 20.0), 0.25), 0.9 * upper)
    shine = np.exp(-np.square((part.v - 0.5 * (line + 0.7 * gap + bottom)) / 0.03))
    paint(part.colours, mouth.colour, 0.85 * lower)
    paint(part.colours, (255.0, 236.0, 230.0), 0.14 * shine * lower)
    if capture.open_mouth > 0.05:
        hole = soft(np.minimum(part.v - line + 0.3 * gap, line + 0.7 * gap - part.v), edge)
        paint(part.colours, (48.0, 14.0, 14.0), hole * (dome > 0.0))
        teeth = soft(line + 0.12 * gap - part.v, edge) * hole * (np.abs(t) < 0.75)
        paint(part.colours, (226.0, 218.0, 202.0), 0.9 * teeth)
    seam = np.exp(-np.square((part.v - line) / (0.012 + 0.3 * part.pixel)))
    paint(part.colours, (52.0, 20.0, 18.0), 0.7 * seam * soft(1.04 - np.abs(t), 0.12))
    groove = bump(part.u, part.v - nose_base(person) - 0.06, 0.025, 0.05)
    paint(part.colours, mix(person.skin.colour, (50, 20, 16), 0.5), 0.3 * mouth.philtrum * groove)


def hair_cover(person: Person, u: Floats, v: Floats, table: Floats, pixel: float) -> Floats:
    """(H, W) how much of the head is under hair that grows on it."""
    hair, side = person.hair, np.abs(u)
    low = 0.95 if hair.length > 0.4 else (0.15 if person.beard.cheeks > 0.3 else -0.02)
    ragged = lookup(table, 14.0 * u, 3.0 * v + 9.0)
    top = hair.line + 0.28 * np.square(u) * (1.0 - 1.6 * hair.baldness)
    top = top + hair.part_depth * np.clip((u - hair.part) * np.sign(hair.part + 1e-9), 0.0, 0.6)
    top = top - 1.1 * hair.baldness * np.exp(-np.square(u / 0.5))
    if hair.fringe:
        top = top + hair.fringe * soft(0.62 - side, 0.3) * (1.0 + 0.25 * ragged)
    temple = hair.temples + 0.1 * np.clip(v + 0.2, 0.0, 1.0)
    share = np.clip((side - temple) / 0.1 + 0.5, 0.0, 1.0)
    edge = top + (low - top) * share * share * (3.0 - 2.0 * share)
    return soft(edge - v + 0.03 * ragged, 0.06 + pixel)


def paint_hair(person: Person, head: Surface, cover: Floats, table: Floats, light: Floats) -> None:
    """Paint hair where `cover` (H, W) says; `light` (3,) factors its colour."""
    window = extent(cover > 0.0)
    if window is None:
        return
    u, v, hair = head.u[window], head.v[window], person.hair
    wave = 0.08 * hair.curl * np.sin(9.0 * v + 5.0 * u) if hair.curl > 0.1 else 0.0
    strands = lookup(table, 30.0 * (u + wave) + 7.0, (2.0 + 9.0 * hair.curl) * v + 3.0)
    sheen = np.exp(-np.square((v + 1.0 + 0.15 * np.square(u)) / 0.16))
    factor = 0.86 + 0.3 * strands + 0.35 * sheen * (0.6 + 0.4 * strands)
    colours = np.asarray(hair.colour) * factor[..., None] + 10.0 * sheen[..., None]
    paint(head.colours[window], colours * light, cover[window])


def paint_occlusion(person: Person, capture: Capture, head: Surface, table: Floats) -> None:
    """What is worn on the face or held before it, already lit."""
    kind, colour = capture.occlusion, capture.occluder
    u, v, edge = head.u, head.v, max(head.pixel, 0.012)
    light = capture.light.exposure * (0.5 + 0.5 * capture.light.ambient)
    if kind in (captures.GLASSES, captures.SUNGLASSES):
        eyes = person.eyes
        wide, tall = 0.2 + 0.05 * capture.extent, 0.13 + 0.06 * capture.extent
        x, y = np.abs(u) - eyes.spacing - 0.01, v - eyes.height - 0.02
        rim = box(x, y, wide, tall, (0.4 + 0.6 * capture.extent) * tall)
        if kind == captures.SUNGLASSES:
            paint(head.colours, mix(colour, (12.0, 12.0, 14.0), 0.75), 0.93 * soft(rim, edge))
        else:
            streak = np.exp(-np.square((u + 0.6 * v - 0.3 * capture.side) / 0.06))
            paint(head.colours, (240.0, 244.0, 250.0), soft(rim, edge) * (0.05 + 0.4 * streak))
        thick = 0.014 + 0.022 * capture.extent
        frame = soft(thick - np.abs(rim), edge)
        bridge = soft(thick - np.abs(y + 0.04), edge) * (x < -wide + 0.01) * (np.abs(u) < 0.3)
        temple = soft(thick - np.abs(y + 0.03), edge) * (x > wide)
        paint(
            head.colours, mix(colour, (0, 0, 0), 0.2), np.maximum(np.maximum(frame, bridge), temple)
        )
    elif kind == captures.MASK:
        top = 0.62 - 0.42 * capture.extent + 0.12 * np.square(u)
        cover = soft(v - top, edge) * (u < 5.0)
        pleats = 0.9 + 0.1 * np.sin(26.0 * v)
        paint(head.colours, np.asarray(colour) * light * pleats[..., None], cover)
    elif kind == captures.HAND:
        for finger in range(4):
            y = 0.35 + 0.17 * finger
            reach = capture.side * (0.75 - 0.55 * capture.extent + 0.06 * abs(finger - 1.5))
            distance = capsule(u, v, (reach, y - 0.1), (1.5 * capture.side, y + 0.1), 0.08)
            tone = np.asarray(person.skin.colour) * light
            round_ = (0.62 + 0.38 * np.clip(distance / 0.06, 0.0, 1.0))[..., None]
            paint(head.colours, tone * round_, soft(distance, edge) * (u < 5.0))
    elif kind == captures.STRAND:
        middle = capture.side * (0.5 - 0.2 * capture.extent - 0.25 * np.square(v + 0.9))
        strands = lookup(table, 26.0 * u + 5.0, 2.0 * v)
        cover = soft(0.06 + 0.14 * capture.extent - np.abs(u - middle), 0.08)
        cover = np.clip(cover * (0.8 + 0.7 * strands), 0.0, 1.0)
        cover *= soft(0.05 + 0.5 * capture.extent - v, 0.1)
        paint_hair(person, head, cover, table, np.full(3, light))


def _line(
    x: Floats, y: Floats, start: tuple[float, float], end: tuple[float, float], width: float
) -> Floats:
    """A soft line, 1 in its middle."""
    left, right = sorted((start[0], end[0]))
    top, bottom = sorted((start[1], end[1]))
    reach, line = 3.0 * width, np.zeros(x.shape)
    inside = (x > left - reach) & (x < right + reach) & (y > top - reach) & (y < bottom + reach)
    part = extent(inside)
    if part is not None:
        line[part] = np.exp(-np.square(capsule(x[part], y[part], start, end, 0.0) / width))
    return line
