"""Who is drawn: everything about a person that stays the same from one picture to the next.

Lengths are in head units: 1 is half the distance from hairline to chin, u points right, v down,
and (0, 0) is the middle of the face.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from functools import lru_cache

import numpy as np

from .canvas import Colour, mix

_DOMAIN = 0xFACE  # keeps these random streams apart from those of other renderers


@dataclass(frozen=True)
class Head:
    """Shape of the skull and of the large forms of the face."""

    width: float
    depth: float
    jaw: float
    chin: float
    forehead: float
    cheeks: float
    cheek_relief: float
    brow_relief: float
    chin_relief: float
    ear_size: float
    ear_angle: float
    neck: float
    asymmetry: float


@dataclass(frozen=True)
class Eyes:
    """Eyes and their lids."""

    spacing: float
    height: float
    width: float
    opening: float
    tilt: float
    roundness: float
    crease: float
    iris: float
    colour: Colour
    bags: float
    depth: float


@dataclass(frozen=True)
class Brows:
    """Eyebrows."""

    lift: float
    length: float
    thickness: float
    arch: float
    tilt: float
    density: float
    gap: float


@dataclass(frozen=True)
class Nose:
    """Nose."""

    length: float
    bridge: float
    bridge_relief: float
    tip: float
    tip_relief: float
    wings: float
    nostrils: float
    bend: float


@dataclass(frozen=True)
class Mouth:
    """Mouth."""

    height: float
    width: float
    upper: float
    lower: float
    bow: float
    corners: float
    colour: Colour
    philtrum: float


@dataclass(frozen=True)
class Skin:
    """Skin, and how age shows on it."""

    colour: Colour
    gloss: float
    redness: float
    blotches: float
    age: float


@dataclass(frozen=True)
class Hair:
    """Hair of the head."""

    colour: Colour
    line: float
    part: float
    part_depth: float
    temples: float
    volume: float
    length: float
    fringe: float
    curl: float
    baldness: float


@dataclass(frozen=True)
class Beard:
    """Beard; `density` 0 is none, low values are stubble."""

    density: float
    moustache: float
    chin: float
    cheeks: float


@dataclass(frozen=True)
class Mark:
    """A mole, freckle or scar at (u, v)."""

    u: float
    v: float
    length: float
    width: float
    angle: float
    strength: float
    colour: Colour


@dataclass(frozen=True)
class Person:
    """An identity; the same seed is always the same person."""

    seed: int
    head: Head
    eyes: Eyes
    brows: Brows
    nose: Nose
    mouth: Mouth
    skin: Skin
    hair: Hair
    beard: Beard
    marks: tuple[Mark, ...]
    clothing: Colour


_SKINS: tuple[Colour, ...] = (
    (250, 221, 200),
    (241, 204, 178),
    (231, 188, 155),
    (217, 168, 130),
    (194, 141, 103),
    (160, 109, 77),
    (122, 80, 56),
    (86, 57, 42),
)
_HAIR: tuple[Colour, ...] = (
    (28, 23, 22),
    (48, 34, 26),
    (82, 55, 36),
    (122, 84, 50),
    (176, 137, 84),
    (208, 176, 122),
    (136, 60, 30),
)
_EYES: tuple[Colour, ...] = (
    (66, 42, 26),
    (92, 60, 34),
    (122, 92, 48),
    (104, 112, 70),
    (92, 122, 146),
    (120, 132, 138),
)


class _Draw:
    """Random draws that read like the anatomy they stand for."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng([_DOMAIN, seed])

    def around(self, mean: float, spread: float) -> float:
        """Normal, cut at two standard deviations."""
        return mean + spread * float(np.clip(self.rng.normal(), -2.0, 2.0))

    def between(self, low: float, high: float) -> float:
        """Uniform."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return float(self.rng.random()) < probability

    def along(self, colours: tuple[Colour, ...], low: float, high: float) -> Colour:
        """A colour between two neighbours of a palette, at a position low..high."""
        position = min(max(self.between(low, high), 0.0), len(colours) - 1.001)
        index = int(position)
        return mix(colours[index], colours[index + 1], position - index)


@lru_cache(maxsize=16)  # people are pictured several times in a row
def person(seed: int) -> Person:
    """Draw the person with this seed.

    Args:
        seed: see `splits`: people of different splits are different people.
    """
    draw = _Draw(seed)
    tone = draw.between(0.0, len(_SKINS) - 1.0)
    skin = draw.along(_SKINS, tone - 0.1, tone + 0.1)
    feminine = draw.chance(0.5)
    age = draw.between(0.0, 1.0) ** 1.5
    # Dark skin mostly goes with dark hair and eyes: colour alone must not tell people apart.
    lightest = 5.99 if tone < 2.5 else (2.5 if tone < 4.5 else 1.2)
    hair_colour = draw.along(_HAIR, 0.0, lightest)
    if age > 0.55 and draw.chance(0.7):
        hair_colour = mix(hair_colour, (190.0, 188.0, 186.0), draw.between(0.3, 0.95))
    eye_colour = draw.along(_EYES, 0.0, 4.99 if tone < 3.0 else 1.6)
    bald = 0.0 if feminine else max(0.0, draw.around(-0.2 + 0.6 * age, 0.35))
    lips = mix(skin, (176.0, 74.0, 78.0), draw.between(0.25, 0.75 if feminine else 0.5))
    bearded = not feminine and draw.chance(0.5)
    return Person(
        seed=seed,
        head=Head(
            width=draw.around(0.76, 0.045),
            depth=draw.around(0.86, 0.04),
            jaw=draw.around(0.98 if feminine else 1.07, 0.07),
            chin=draw.around(0.0, 0.12),
            forehead=draw.around(1.0, 0.05),
            cheeks=draw.around(1.0, 0.035),
            cheek_relief=draw.around(0.05, 0.025),
            brow_relief=draw.around(0.02 if feminine else 0.05, 0.015),
            chin_relief=draw.around(0.08, 0.03),
            ear_size=draw.around(0.21, 0.03),
            ear_angle=draw.between(0.0, 1.0),
            neck=draw.around(0.42 if feminine else 0.52, 0.05),
            asymmetry=draw.around(0.0, 0.02),
        ),
        eyes=Eyes(
            spacing=draw.around(0.335, 0.026),
            height=draw.around(-0.17, 0.035),
            width=draw.around(0.165, 0.017),
            opening=draw.around(0.075, 0.013),
            tilt=draw.around(0.06, 0.075),
            roundness=draw.between(0.0, 1.0),
            crease=draw.between(0.0, 1.0),
            iris=draw.around(0.078, 0.006),
            colour=eye_colour,
            bags=draw.between(0.0, 0.4 + 0.6 * age),
            depth=draw.around(0.06, 0.02),
        ),
        brows=Brows(
            lift=draw.around(0.19, 0.03),
            length=draw.around(0.24, 0.025),
            thickness=draw.around(0.034 if feminine else 0.046, 0.01),
            arch=draw.around(0.05, 0.03),
            tilt=draw.around(0.03, 0.1),
            density=draw.between(0.35, 0.95),
            gap=draw.around(0.02, 0.025),
        ),
        nose=Nose(
            length=draw.around(0.3, 0.05),
            bridge=draw.around(0.075, 0.014),
            bridge_relief=draw.around(0.13, 0.035),
            tip=draw.around(0.105, 0.018),
            tip_relief=draw.around(0.17, 0.035),
            wings=draw.around(0.15, 0.024),
            nostrils=draw.around(0.035, 0.007),
            bend=draw.around(0.0, 0.018),
        ),
        mouth=Mouth(
            height=draw.around(0.56, 0.035),
            width=draw.around(0.29, 0.032),
            upper=draw.around(0.058, 0.016),
            lower=draw.around(0.078, 0.018),
            bow=draw.between(0.1, 1.0),
            corners=draw.around(0.02, 0.025),
            colour=lips,
            philtrum=draw.between(0.0, 1.0),
        ),
        skin=Skin(
            colour=skin,
            gloss=draw.between(0.05, 0.35),
            redness=draw.between(0.0, 0.3),
            blotches=draw.between(0.3, 1.0),
            age=age,
        ),
        hair=Hair(
            colour=hair_colour,
            line=draw.around(-0.8, 0.07) - 0.2 * min(bald, 1.0),
            part=draw.around(0.0, 0.35),
            part_depth=draw.between(-0.1, 0.25),
            temples=draw.around(0.6, 0.045),
            volume=draw.between(0.04, 0.3) * (1.0 - 0.7 * min(bald, 1.0)),
            length=draw.between(0.3, 1.9) if feminine else draw.between(-0.4, 0.25),
            fringe=draw.between(0.15, 0.4) if draw.chance(0.3) and bald < 0.3 else 0.0,
            curl=draw.between(0.0, 1.0),
            baldness=min(bald, 1.0),
        ),
        beard=Beard(
            density=draw.between(0.15, 0.95) if bearded else (0.0 if feminine else 0.08),
            moustache=draw.between(0.0, 1.0) if draw.chance(0.75) else 0.0,
            chin=draw.between(0.2, 1.0),
            cheeks=draw.between(0.0, 1.0) if draw.chance(0.6) else 0.0,
        ),
        marks=_marks(draw, skin),
        clothing=(draw.between(20, 225), draw.between(20, 225), draw.between(20, 225)),
    )


def anatomy(person: Person) -> list[float]:
    """All numbers that describe a person except marks and clothing, always in the same order."""
    parts = (
        person.head,
        person.eyes,
        person.brows,
        person.nose,
        person.mouth,
        person.skin,
        person.hair,
        person.beard,
    )
    numbers: list[float] = []
    for part in parts:
        for value in astuple(part):
            numbers.extend(value if isinstance(value, tuple) else (value,))
    return numbers


def _marks(draw: _Draw, skin: Colour) -> tuple[Mark, ...]:
    """Moles, freckles and scars of one person."""
    dark = mix(skin, (62.0, 36.0, 26.0), 0.75)
    pale = mix(skin, (255.0, 226.0, 216.0), 0.6)
    marks = []
    for _ in range(int(draw.rng.integers(0, 5))):
        size = draw.between(0.014, 0.032)
        u, v = draw.between(-0.55, 0.55), draw.between(-0.6, 0.85)
        marks.append(Mark(u, v, size, size, 0.0, draw.between(0.5, 0.95), dark))
    if draw.chance(0.2):
        freckled = mix(skin, (126.0, 70.0, 40.0), 0.6)
        for _ in range(int(draw.rng.integers(8, 26))):
            side = 1.0 if draw.chance(0.5) else -1.0
            u, v = side * draw.between(0.06, 0.48), draw.around(0.12, 0.11)
            size = draw.between(0.01, 0.02)
            marks.append(Mark(u, v, size, size, 0.0, draw.between(0.3, 0.6), freckled))
    if draw.chance(0.15):
        u, v = draw.between(-0.5, 0.5), draw.between(-0.5, 0.7)
        length, angle = draw.between(0.06, 0.16), draw.between(0.0, 3.1)
        marks.append(Mark(u, v, length, 0.012, angle, draw.between(0.5, 0.9), pale))
    return tuple(marks)
