"""How a person is drawn.

A head is an ellipsoid with a relief on it. For each pixel the ray is met with the ellipsoid, which
gives the position on the head; colours are painted there, the relief gives the normals, and light
falls on them. Shoulders, neck and the hair behind the head are flat shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .canvas import (
    Bytes,
    Colour,
    Floats,
    extent,
    mix,
    paint,
    shade,
    smooth_noise,
    soft,
    texture,
    to_uint8,
)
from .captures import Capture
from .features import (
    Surface,
    hair_cover,
    nose_relief,
    paint_eyes,
    paint_hair,
    paint_mouth,
    paint_nose,
    paint_occlusion,
    paint_skin,
    relief,
)
from .people import Person

_MIDDLE = -0.15  # v of the centre of the head's ellipsoid
_HALF_HEIGHT = 1.18
_NOWHERE = 9.0  # u, v of pixels that show no head


def render(
    person: Person,
    capture: Capture,
    size: tuple[int, int] = (112, 112),
    face_height: float = 0.75,
    centre: tuple[float, float] = (0.5, 0.5),
    background: Colour | Bytes | None = None,
) -> Bytes:
    """Draw a person, without the camera's blur, noise and JPEG (see `degrade`).

    Args:
        person: who.
        capture: how.
        size: height and width of the picture.
        face_height: from hairline to chin, as a share of the picture's height. 0.75 shows the
            whole head, as aligned crops with a margin do; 0.3 shows shoulders as well.
        centre: middle of the face, right and down, as shares of width and height.
        background: a colour, a picture (H, W, 3) uint8, or None for that of the capture.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    height, width = size
    unit = face_height * capture.scale * height / 2.0
    middle_x = centre[0] * width + 2.0 * unit * capture.shift[0]
    middle_y = centre[1] * height + 2.0 * unit * capture.shift[1]
    rng = np.random.default_rng([0xB0D7, capture.seed])
    scene = _backdrop(capture, size, background, rng)
    y, x = np.mgrid[:height, :width] + 0.5
    x, y = (x - middle_x) / unit, (y - middle_y) / unit
    table = _texture(person.seed)
    view = _View(person, capture)
    _paint_body(scene, x, y, person, capture, table, 1.0 / unit, view)
    reach = 1.75
    rows = np.nonzero(np.abs(y[:, 0]) < reach)[0]
    columns = np.nonzero(np.abs(x[0]) < reach)[0]
    if len(rows) and len(columns):
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        _paint_head(scene[part], x[part], y[part], person, capture, table, 1.0 / unit, view)
    return to_uint8(scene)


@lru_cache(maxsize=4)
def _texture(seed: int) -> Floats:
    """Skin and hair of a person in detail; cached, since people are pictured several times."""
    table = texture(np.random.default_rng([0x7AB1E, seed]))
    table.flags.writeable = False
    return table


@dataclass(frozen=True)
class _Hit:
    """Where rays meet the head: (H, W) each, head units; `inside` is a signed distance."""

    u: Floats
    v: Floats
    depth: Floats
    inside: Floats


class _View:
    """How the head is turned, and where a pixel looks on it."""

    def __init__(self, person: Person, capture: Capture) -> None:
        head = person.head
        self._head = head
        cos, sin = np.cos(capture.yaw), np.sin(capture.yaw)
        turn = np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
        cos, sin = np.cos(capture.pitch), np.sin(capture.pitch)
        nod = np.array([[1.0, 0.0, 0.0], [0.0, cos, sin], [0.0, -sin, cos]])
        self.rotation: Floats = nod @ turn
        self._axes = np.array([head.width, _HALF_HEIGHT, head.depth])
        self._roll = (float(np.cos(capture.roll)), float(np.sin(capture.roll)))
        # Crops are aligned by eyes and mouth, so the face stays where it is when the head turns.
        front = self.rotation @ np.array([0.0, 0.1 - _MIDDLE, 0.8 * head.depth])
        self._offset = (float(front[0]), float(front[1]) - 0.1 + _MIDDLE)

    def upright(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Camera coordinates relative to the ellipsoid's centre, without roll."""
        cos, sin = self._roll
        return x * cos + y * sin + self._offset[0], y * cos - x * sin + self._offset[1] - _MIDDLE

    def profile(self, y: Floats) -> Floats:
        """Width of the head relative to an ellipse, at heights relative to its centre."""
        head, v = self._head, y + _MIDDLE
        jaw = (head.jaw - 1.0) * np.exp(-np.square((v - 0.55) / 0.33))
        chin = head.chin * np.exp(-np.square((v - 0.95) / 0.2))
        forehead = (head.forehead - 1.0) * np.exp(-np.square((v + 0.75) / 0.4))
        cheeks = (head.cheeks - 1.0) * np.exp(-np.square((v - 0.1) / 0.25))
        return 1.0 + jaw + chin + forehead + cheeks

    def meet(self, x: Floats, y: Floats) -> _Hit:
        """Meet parallel rays with the ellipsoid: |m + z d| = 1 in its scaled coordinates."""
        rotation, axes = self.rotation, self._axes
        d = rotation[2] / axes
        m = [(rotation[0, i] * x + rotation[1, i] * y) / axes[i] for i in range(3)]
        dd = float(d @ d)
        md = m[0] * d[0] + m[1] * d[1] + m[2] * d[2]
        rest = 1.0 - np.square(m[0]) - np.square(m[1]) - np.square(m[2]) + np.square(md) / dd
        z = np.sqrt(np.maximum(rest, 0.0) / dd) - md / dd
        u = (m[0] + z * d[0]) * axes[0]
        v = (m[1] + z * d[1]) * axes[1] + _MIDDLE
        return _Hit(u, v, z, 0.42 * rest)

    def place(self, u: float, v: float, z: float) -> tuple[float, float]:
        """Upright camera position of a point on or in the head."""
        found = self.rotation @ np.array([u, v - _MIDDLE, z])
        return float(found[0]), float(found[1])


def _paint_head(
    scene: Floats,
    x: Floats,
    y: Floats,
    person: Person,
    capture: Capture,
    table: Floats,
    pixel: float,
    view: _View,
) -> None:
    x, y = view.upright(x, y)
    if person.hair.length < 0.6 or person.hair.volume < 0.12:
        _paint_ears(scene, x, y, person, capture, pixel, view)
    x = x / view.profile(y)
    hit = view.meet(x, y)
    window = extent(hit.inside > -pixel)
    if window is None:
        return
    x, y, scene = x[window], y[window], scene[window]
    u, v, inside = hit.u[window], hit.v[window], hit.inside[window]
    # What stands out moves when the head turns: look again where the nose has moved from.
    nose = nose_relief(person, u, v)
    moved = view.meet(x - view.rotation[0, 2] * nose, y - view.rotation[1, 2] * nose)
    u = np.where(inside > 0.0, moved.u, _NOWHERE)
    v = np.where(inside > 0.0, moved.v, _NOWHERE)
    skin = Surface(u, v, np.zeros_like(scene), pixel)
    paint_skin(person, capture, skin, table)
    paint_nose(person, capture, skin)
    paint_eyes(person, capture, skin, table)
    paint_mouth(person, capture, skin)
    hair = hair_cover(person, u, v, table, pixel)
    paint_hair(person, skin, hair, table, np.ones(3))
    height = hit.depth[window] + relief(person, u, v) + 0.012 * hair
    factors, shine = shade(height, pixel, capture.light, person.skin.gloss)
    skin.colours[:] = skin.colours * factors + (255.0 * shine * (1.0 - 0.8 * hair))[..., None]
    if capture.occlusion is not None:
        paint_occlusion(person, capture, skin, table)
    paint(scene, skin.colours, soft(inside, 1.2 * pixel))


def _paint_ears(
    scene: Floats,
    x: Floats,
    y: Floats,
    person: Person,
    capture: Capture,
    pixel: float,
    view: _View,
) -> None:
    head = person.head
    for sign in (-1.0, 1.0):
        place = view.place(sign * (head.width + 0.01), -0.02, -0.05)
        reach = 1.2 * head.ear_size
        part = extent((np.abs(x - place[0]) < reach) & (np.abs(y - place[1]) < reach))
        if part is None:
            continue
        dx, dy = x[part] - place[0], y[part] - place[1]
        dx = dx + 0.25 * sign * head.ear_angle * dy
        round_ = np.hypot(dx / (0.45 + 0.2 * head.ear_angle), dy) / head.ear_size
        inside = soft((1.0 - round_) * head.ear_size * 0.5, pixel)
        light = _flat_light(capture, sign * 0.7)
        tone = np.asarray(person.skin.colour) * light
        shell = tone * (0.62 + 0.38 * np.clip(np.abs(round_ - 0.45) * 2.2, 0.0, 1.0))[..., None]
        paint(scene[part], shell, inside)


def _flat_light(capture: Capture, facing_x: float) -> NDArray[np.float64]:
    """(3,) light on something that faces the camera, turned a little to one side."""
    light = capture.light
    lx, _, lz = light.direction
    diffuse = max(0.0, (0.8 * lz + 0.6 * facing_x * lx + 0.35) / 1.35) ** 2
    return light.exposure * (
        light.ambient + (1.0 - light.ambient) * diffuse * np.asarray(light.colour)
    )


def _paint_body(
    scene: Floats,
    x: Floats,
    y: Floats,
    person: Person,
    capture: Capture,
    table: Floats,
    pixel: float,
    view: _View,
) -> None:
    """Shoulders, the hair behind the head and the neck."""
    light = _flat_light(capture, 0.0)
    low = extent(y > 0.2)
    if low is not None:
        _paint_shoulders(scene[low], x[low], y[low], person, capture, light, pixel)
    _paint_back_hair(scene, *view.upright(x, y), person, light, table, pixel)
    if low is not None:
        _paint_neck(scene[low], x[low], y[low], person, capture, light, pixel)


def _paint_shoulders(
    scene: Floats,
    x: Floats,
    y: Floats,
    person: Person,
    capture: Capture,
    light: Floats,
    pixel: float,
) -> None:
    cloth = np.asarray(capture.clothing or person.clothing)
    sideways = np.clip(x / 2.2, -1.0, 1.0)
    edge = 1.24 + 0.28 * np.square(x) + 3.0 * np.square(np.maximum(np.abs(x) - 1.75, 0.0))
    bend = 0.85 + 0.35 * capture.light.direction[0] * sideways - 0.12 * np.square(sideways)
    folds = 1.0 + 0.06 * np.sin(7.0 * x + 3.0 * y) * np.clip(y - 1.6, 0.0, 1.0)
    paint(scene, cloth * light * (bend * folds)[..., None], soft(y - edge, 2.0 * pixel))


def _paint_neck(
    scene: Floats,
    x: Floats,
    y: Floats,
    person: Person,
    capture: Capture,
    light: Floats,
    pixel: float,
) -> None:
    half, side = person.head.neck, np.abs(x)
    column = soft(half + 0.25 * np.square(np.maximum(y - 1.1, 0.0)) - side, 1.5 * pixel)
    column *= soft(y - 0.3, 0.2) * soft(1.72 - 0.8 * side - y, 2.0 * pixel)
    across = np.clip(x / half, -1.0, 1.0)
    tone = (1.0 - 0.35 * np.square(across)) * (0.6 + 0.3 * np.clip((y - 1.0) / 0.6, 0.0, 1.0))
    tone = tone * (1.0 + 0.3 * capture.light.direction[0] * across)
    paint(scene, np.asarray(person.skin.colour) * light * tone[..., None], column)


def _paint_back_hair(
    scene: Floats, x: Floats, y: Floats, person: Person, light: Floats, table: Floats, pixel: float
) -> None:
    hair, head = person.hair, person.head
    if hair.baldness > 0.8:
        return
    wide, high = head.width + 0.75 * hair.volume, _HALF_HEIGHT + hair.volume
    bottom = max(0.25 + max(hair.length, 0.0), hair.length - _MIDDLE)
    window = extent((np.abs(x) < 1.3 * wide) & (y > -1.1 * high) & (y < bottom + 0.2))
    if window is None:
        return
    x, y, scene = x[window], y[window], scene[window]
    angle = np.arctan2(y, x)  # both terms have whole periods, so there is no seam
    ragged = np.sin(13.0 * angle + person.seed) + np.sin(29.0 * angle + 2.0 * person.seed)
    crown = 0.9 * (1.0 - np.hypot(x / wide, y / high)) + 0.012 * (0.3 + hair.curl) * ragged
    crown = np.minimum(crown, 0.25 + max(hair.length, 0.0) - y)
    if hair.length > 0.3:
        waves = 0.06 * hair.curl * np.sin(8.0 * y + 1.3)
        spread = wide * (1.0 + 0.12 * np.clip(y, 0.0, 1.5)) + waves
        fall = np.minimum(spread - np.abs(x), hair.length - _MIDDLE - y + 0.03 * ragged)
        crown = np.maximum(crown, np.minimum(fall, y + 0.1))
    surface = Surface(x, y + _MIDDLE, scene, pixel)
    paint_hair(person, surface, soft(crown, 0.05 + pixel), table, 0.75 * light)


def _backdrop(
    capture: Capture,
    size: tuple[int, int],
    background: Colour | Bytes | None,
    rng: np.random.Generator,
) -> Floats:
    height, width = size
    scene = np.empty((height, width, 3))
    if isinstance(background, np.ndarray):
        if background.shape != (height, width, 3):
            raise ValueError(f"background is {background.shape}, the picture {(height, width, 3)}")
        scene[:] = background
        return scene
    if background is not None:
        scene[:] = background
        return scene
    near, far = capture.backdrop
    blend = np.clip(0.5 + 0.6 * smooth_noise(rng, size, 3), 0.0, 1.0)
    scene[:] = near
    paint(scene, far, blend)
    for _ in range(int(rng.integers(0, 4))):  # furniture, windows, door frames
        left, top = rng.uniform(-0.2, 1.0) * width, rng.uniform(-0.2, 1.0) * height
        right, bottom = left + rng.uniform(0.1, 0.5) * width, top + rng.uniform(0.1, 0.9) * height
        part = scene[max(0, int(top)) : max(0, int(bottom)), max(0, int(left)) : max(0, int(right))]
        part += 0.5 * (np.asarray(mix(near, far, float(rng.uniform(-0.5, 1.5)))) - part)
    light = capture.light
    scene *= 0.6 + 0.4 * light.exposure
    return np.clip(scene, 0.0, 255.0, out=scene)
