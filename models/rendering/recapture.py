"""What a camera sees when it is shown a face, or a print, a screen or a mask in place of one.

Everything happens on the 80x80 pixels of the final crop. Periodic structures finer than a pixel
(halftone dots, the pixels of a display) are sinusoids sampled at pixel positions, so that they
alias into moire as on a real sensor. Lengths on the subject are in heights of the face box, with
the origin in its middle. Species of presentation attacks follow ISO/IEC 30107-3; the artefacts are
those that Boulkenafet et al. (IEEE TIFS 11, 2016) and Patel et al. (IEEE TIFS 11, 2016) describe.

How strong the traces of an attack are varies from plain to hardly visible, and live captures have
look-alikes of them (frames in the background, flicker, reflections, smoothed skin), so no single
trace decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import (
    Bytes,
    Floats,
    blur,
    box,
    bump,
    capsule,
    jpeg,
    paint,
    sample,
    smooth_noise,
    soft,
    to_uint8,
)

SIZE = 80
CROP_SCALE = 2.7  # of the crop to the face box, as MiniFASNetV2 expects
PHOTO_SIZE = 128
PHOTO_SCALE = 3.2  # of a photo to its face box: more than the crop, since it may be turned

_ROOM = 56
_FACE = SIZE / CROP_SCALE  # pixels of a face height
_LUMA = np.array([0.299, 0.587, 0.114])
_V, _U = (np.mgrid[:SIZE, :SIZE] + 0.5) / _FACE - CROP_SCALE / 2
_INK_ANGLES = np.deg2rad([15.0, 75.0, 45.0])  # halftone screens of cyan, magenta and yellow/black


def backdrop(rng: np.random.Generator, size: int) -> Floats:
    """A room out of focus, (size, size, 3): walls, frames, shelves, blinds, lamps.

    Drawn on `_ROOM` pixels and enlarged: nothing in it is sharp.
    """
    n = _ROOM
    y, x = (np.mgrid[:n, :n] + 0.5) / n
    wall = rng.uniform(40.0, 215.0) * rng.uniform(0.85, 1.15, 3)
    light = 1.0 + rng.uniform(-0.4, 0.4) * (x - 0.5) + rng.uniform(-0.4, 0.4) * (y - 0.5)
    image = wall * light[..., None]
    image += rng.uniform(0.0, 35.0) * smooth_noise(rng, (n, n), int(rng.integers(3, 9)))[..., None]
    for _ in range(int(rng.integers(0, 6))):
        cx, cy = rng.uniform(0.0, 1.0, 2)
        half_width, half_height = rng.uniform(0.03, 0.6, 2)
        inside = n * box(x - cx, y - cy, half_width, half_height, 0.0)
        paint(image, rng.uniform(15.0, 240.0) * rng.uniform(0.8, 1.2, 3), soft(inside, 1.0))
        if rng.random() < 0.4:  # a frame around it
            line = n * rng.uniform(0.01, 0.04)
            colour = rng.uniform(10.0, 240.0) * rng.uniform(0.75, 1.25, 3)
            paint(image, colour, soft(line - np.abs(inside), 1.0))
    if rng.random() < 0.15:  # blinds
        wave = np.cos(2 * np.pi * rng.uniform(4.0, 20.0) * (y if rng.random() < 0.6 else x))
        image *= 1.0 + rng.uniform(0.03, 0.25) * wave[..., None]
    if rng.random() < 0.2:  # a lamp
        cx, cy = rng.uniform(0.0, 1.0, 2)
        image += rng.uniform(30.0, 160.0) * bump(x - cx, y - cy, 0.06, 0.06)[..., None]
    image = blur(np.clip(image, 0.0, 255.0), rng.uniform(0.0, 2.4))
    position = (np.arange(size) + 0.5) * n / size - 0.5
    rows, columns = np.meshgrid(position, position, indexing="ij")
    return sample(image, columns, rows)


# -- how a flat copy lies in front of the camera -------------------------------------------------


@dataclass(frozen=True)
class Sheet:
    """A flat or curled copy, seen by the camera.

    Args:
        p: (SIZE, SIZE) horizontal position on the copy of what each pixel sees, in face heights.
        q: (SIZE, SIZE) vertical position.
        inside: (SIZE, SIZE) distance to the edge of the copy in pixels, positive inside.
        tilt: (SIZE, SIZE) slope of the paper, -1 to 1; 0 if it is flat.
    """

    p: Floats
    q: Floats
    inside: Floats
    tilt: Floats

    def read(self, photo: Bytes) -> Floats:
        """(SIZE, SIZE, 3) colours of a photo of `PHOTO_SIZE` that the copy shows."""
        pixels = PHOTO_SIZE / PHOTO_SCALE
        middle = PHOTO_SIZE / 2 - 0.5
        return sample(photo.astype(np.float64), self.p * pixels + middle, self.q * pixels + middle)


def _lay(rng: np.random.Generator, curl: float) -> Sheet:
    """Turn, tilt and perhaps curl a copy; its edges are inside the crop in about half of cases."""
    angle = np.deg2rad(rng.normal(0.0, 4.0))
    p = _U * np.cos(angle) + _V * np.sin(angle)
    q = _V * np.cos(angle) - _U * np.sin(angle)
    nearer = 1.0 + rng.normal(0.0, 0.03) * p + rng.normal(0.0, 0.03) * q
    p, q = p / nearer, q / nearer
    direction = rng.uniform(0.0, np.pi)
    phase = (p * np.cos(direction) + q * np.sin(direction)) * rng.uniform(0.6, 1.6)
    phase = phase + rng.uniform(-1.5, 1.5)
    bent = 0.03 * curl * np.sin(phase)
    p, q = p + bent * np.cos(direction), q + bent * np.sin(direction)
    if rng.random() < 0.5:
        half_width, half_height = rng.uniform(0.7, 1.5), rng.uniform(0.85, 1.6)
    else:
        half_width = half_height = 3.0
    inside = box(
        p - rng.normal(0.0, 0.12), q - rng.normal(0.0, 0.12), half_width, half_height, 0.03
    )
    return Sheet(p, q, inside * _FACE, curl * np.cos(phase))


def _between(rng: np.random.Generator, low: float, high: float, strength: float) -> float:
    """An amplitude: `low` for the faintest of traces to `high` for the strongest."""
    return low + (high - low) * strength * float(rng.uniform(0.3, 1.0))


# -- species -------------------------------------------------------------------------------------
#
# Each draws how careless the attacker was, from `least` to 1: 0 would leave hardly a trace.


def show_print(rng: np.random.Generator, photo: Bytes, least: float) -> Floats:
    """A print of `photo` on paper, held in front of the camera; (SIZE, SIZE, 3)."""
    return hold_print(rng, photo, least)[0]


def hold_print(rng: np.random.Generator, photo: Bytes, least: float) -> tuple[Floats, Sheet]:
    """What `show_print` shows, and how the print lies."""
    strength = float(rng.uniform(least, 1.0))
    sheet = _lay(rng, curl=rng.normal(0.0, 1.0) if rng.random() < 0.7 else 0.0)
    image = _ink(rng, sheet.read(photo) / 255.0, sheet.p, sheet.q, strength) * 255.0
    image *= 1.0 + 0.12 * np.clip(sheet.tilt, -2.0, 2.0)[..., None]
    if rng.random() < 0.2:  # a fold
        across = sheet.p * np.cos(0.3) + sheet.q * np.sin(0.3) - rng.uniform(-0.8, 0.8)
        image *= (1.0 + rng.uniform(-0.12, 0.12) * np.tanh(across * 20.0))[..., None]
    image += _reflection(rng, 60.0 * strength)[..., None]
    margin = rng.uniform(0.5, 4.0) if rng.random() < 0.5 else 0.0
    paint(image, _paper(rng) * 255.0, soft(margin - sheet.inside, 1.0))
    return _held(rng, image, sheet.inside), sheet


def _ink(rng: np.random.Generator, image: Floats, p: Floats, q: Floats, strength: float) -> Floats:
    """What printing does to colours 0..1: gamut, paper, misregistration, dots and banding."""
    grey = (image @ _LUMA)[..., None]
    vivid = 0.0 if rng.random() < 0.05 else 1.0 - _between(rng, 0.02, 0.5, strength)
    image = np.clip(grey + (image - grey) * vivid, 0.0, 1.0)
    black = _between(rng, 0.01, 0.22, strength)
    image = black + (_paper(rng) - black) * image ** rng.uniform(0.85, 1.2)
    shift = _between(rng, 0.0, 0.8, strength)
    image[:, 1:, 0] += shift * (image[:, :-1, 0] - image[:, 1:, 0])
    image[1:, :, 2] += shift * (image[:-1, :, 2] - image[1:, :, 2])
    ink = np.clip(4.0 * image * (1.0 - image), 0.0, 1.0)  # solid tones show no dots
    if rng.random() < 0.65:  # laser: clustered dots
        pitch = rng.uniform(1.2, 4.5)
        x, y = p * _FACE / pitch, q * _FACE / pitch
        amplitude = _between(rng, 0.02, 0.42, strength)
        for channel, angle in enumerate(_INK_ANGLES + rng.normal(0.0, 0.05)):
            c, s = np.cos(angle), np.sin(angle)
            # A pixel takes the mean over its area, which weakens what is finer than it.
            seen = np.sinc(c / pitch) * np.sinc(s / pitch)
            dots = np.cos(2 * np.pi * (x * c + y * s)) * np.cos(2 * np.pi * (y * c - x * s))
            image[..., channel] += amplitude * seen**2 * ink[..., channel] * dots
    else:  # inkjet: scattered dots, and bands where the head returns
        grain = rng.normal(0.0, _between(rng, 0.01, 0.09, strength), image.shape)
        image += ink * grain
        bands = np.cos(2 * np.pi * q * rng.uniform(4.0, 11.0) + rng.uniform(0.0, 6.0))
        image *= 1.0 + _between(rng, 0.0, 0.05, strength) * bands[..., None]
    return np.clip(image, 0.0, 1.0)


def _paper(rng: np.random.Generator) -> Floats:
    return (
        rng.uniform(0.8, 1.0)
        * np.array([1.0, 1.0 - rng.uniform(0.0, 0.04), 0.97])
        * (1.0 + rng.normal(0.0, 0.025, 3))
    )


def _held(rng: np.random.Generator, image: Floats, inside: Floats) -> Floats:
    """Put a copy before a room, with its shadow and perhaps a finger on its edge."""
    if inside.min() > 2.0:
        return image
    room = backdrop(rng, SIZE) * rng.uniform(0.4, 1.1)
    room *= 1.0 - rng.uniform(0.0, 0.5) * soft(inside + 3.0, 6.0)[..., None]
    paint(room, image, soft(inside, rng.uniform(0.8, 1.8)))
    if rng.random() < 0.3:
        side = -1.0 if rng.random() < 0.5 else 1.0
        start, end = (side * 1.4, rng.uniform(0.2, 1.3)), (side * 0.85, rng.uniform(0.2, 1.1))
        finger = _FACE * capsule(_U, _V, start, end, rng.uniform(0.08, 0.14))
        skin = rng.uniform(0.35, 1.0) * np.array([235.0, 190.0, 165.0])
        paint(room, skin * (0.7 + 0.3 * soft(finger, 8.0)[..., None]), soft(finger, 1.2))
    return room


def show_screen(rng: np.random.Generator, photo: Bytes, least: float) -> Floats:
    """A display that shows `photo`, in front of the camera; (SIZE, SIZE, 3)."""
    return hold_screen(rng, photo, least)[0]


def hold_screen(rng: np.random.Generator, photo: Bytes, least: float) -> tuple[Floats, Sheet]:
    """What `show_screen` shows, and how the display stands."""
    strength = float(rng.uniform(least, 1.0))
    sheet = _lay(rng, curl=0.0)
    image = sheet.read(photo) / 255.0
    grey = (image @ _LUMA)[..., None]
    image = np.clip(grey + (image - grey) * rng.uniform(0.9, 1.25), 0.0, 1.0)
    image **= rng.uniform(0.85, 1.25)
    blue = _between(rng, 0.0, 0.22, strength)
    image *= np.array([1.0 - blue, 1.0 - 0.5 * blue, 1.0 + 0.4 * blue])
    glow = _between(rng, 0.0, 0.14, strength)  # a display is never black
    image = glow + (1.0 - glow) * image
    image *= 1.0 + _moire(rng, sheet.p * _FACE, sheet.q * _FACE, strength)
    if rng.random() < 0.6:  # shutter and refresh rate beat
        wave = np.cos(2 * np.pi * (_V * rng.uniform(0.3, 2.5) + rng.uniform(0.0, 1.0)))
        image *= 1.0 + _between(rng, 0.0, 0.16, strength) * (wave * np.abs(wave))[..., None]
    image *= rng.uniform(0.75, 1.15) * 255.0
    if rng.random() < 0.25:  # bars where the picture does not fill the display
        bar = (np.abs(sheet.q) - rng.uniform(0.9, 1.3)) * _FACE
        paint(image, 255.0 * glow * np.array([0.9, 0.95, 1.1]), soft(bar, 1.0))
    image += _reflection(rng, 150.0 * strength)[..., None] * rng.uniform(0.85, 1.0, 3)
    bezel = rng.uniform(1.0, 9.0)
    frame = rng.uniform(8.0, 60.0) if rng.random() < 0.85 else rng.uniform(150.0, 230.0)
    paint(image, (frame, frame, 1.04 * frame), soft(-sheet.inside, 1.0))
    if rng.random() < 0.4:
        rim = 0.6 - np.abs(sheet.inside + bezel)
        paint(image, (2.0 * frame + 20.0,) * 3, soft(rim, 1.0))
    return _held(rng, image, sheet.inside + bezel), sheet


def _moire(rng: np.random.Generator, x: Floats, y: Floats, strength: float) -> Floats:
    """(SIZE, SIZE, 3) relative brightness: the display's pixels against the sensor's.

    Red, green and blue elements lie a third of a display pixel apart, hence the colours.
    """
    close = rng.random() < 0.12
    pitch = rng.uniform(2.0, 3.4) if close else rng.uniform(0.42, 1.15)
    columns = _between(rng, 0.01, 0.17, strength)
    rows = _between(rng, 0.0, 0.12, strength)
    lens = rng.normal(0.0, 6e-4) * (np.square(x) + np.square(y))  # bends the beats
    across = 2 * np.pi * (x / pitch + lens)[..., None] + 2 * np.pi / 3 * np.arange(3.0)
    down = 2 * np.pi * (y / pitch + lens)[..., None]
    return columns * np.cos(across) + rows * np.cos(down + rng.uniform(0.0, 6.0))


def _reflection(rng: np.random.Generator, most: float) -> Floats:
    """(SIZE, SIZE) light that a glossy surface adds: a lamp's spot, a window, or nothing."""
    kind = rng.random()
    light = rng.uniform(0.0, 1.0) * most
    cx, cy = rng.uniform(-1.2, 1.2, 2)
    angle = rng.uniform(0.0, np.pi)
    x = (_U - cx) * np.cos(angle) + (_V - cy) * np.sin(angle)
    y = (_V - cy) * np.cos(angle) - (_U - cx) * np.sin(angle)
    if kind < 0.3:
        return light * bump(x, y, rng.uniform(0.15, 0.7), rng.uniform(0.08, 0.35))
    if kind < 0.5:
        window = box(x, y, rng.uniform(0.2, 0.8), rng.uniform(0.15, 0.5), 0.05)
        return 0.5 * light * soft(window * _FACE, rng.uniform(1.5, 10.0))
    return np.zeros((SIZE, SIZE))


def show_mask(rng: np.random.Generator, image: Floats, least: float) -> Floats:
    """A person, seen in `image`, who wears a mask of paper or of plastic; (SIZE, SIZE, 3)."""
    strength = float(rng.uniform(least, 1.0))
    u = _U - rng.normal(0.0, 0.015)
    v = _V - rng.normal(0.0, 0.015)
    oval = 1.0 - np.sqrt(
        np.square(u / rng.uniform(0.34, 0.42)) + np.square(v / rng.uniform(0.46, 0.56))
    )
    edge = 0.36 * _FACE * oval  # about pixels from the edge, positive inside
    inside = soft(edge, rng.uniform(1.0, 3.0))
    worn = blur(image, _between(rng, 0.4, 2.2, strength))
    share = _between(rng, 0.35, 1.0, strength)
    worn = image + (worn - image) * share
    weight = inside / inside.sum()
    tone = np.einsum("ij,ijk->k", weight, worn)
    bright = (worn @ _LUMA)[..., None] / max(float(tone @ _LUMA), 1.0)
    flat = tone * bright ** rng.uniform(0.45, 0.95)  # one material: hue and shading even out
    worn += (flat - worn) * _between(rng, 0.2, 0.95, strength)
    if rng.random() < 0.5:
        worn = 255.0 * _ink(rng, np.clip(worn / 255.0, 0.0, 1.0), u, v, strength)
        rim = np.array([225.0, 222.0, 215.0])
    else:
        worn *= 1.0 + rng.normal(0.0, 0.06, 3) * strength
        for cx, cy in ((0.0, -0.3), (0.0, 0.05), (-0.2, 0.1), (0.2, 0.1), (0.0, 0.36)):
            spot = bump(u - cx - rng.normal(0.0, 0.04), v - cy, *rng.uniform(0.03, 0.12, 2))
            worn += _between(rng, 0.0, 95.0, strength) * rng.uniform(0.0, 1.0) * spot[..., None]
        rim = tone * rng.uniform(0.4, 1.3)
    result = image.copy()
    result *= (
        1.0 - _between(rng, 0.05, 0.5, strength) * soft(3.0 - np.abs(edge + 2.0), 4.0)[..., None]
    )
    paint(result, worn, inside)
    paint(result, rim, _between(rng, 0.0, 0.8, strength) * soft(0.9 - np.abs(edge - 0.5), 1.0))
    _cut_eyes(rng, result, image, u, v, strength)
    return result


def _cut_eyes(
    rng: np.random.Generator, worn: Floats, image: Floats, u: Floats, v: Floats, strength: float
) -> None:
    """Let the wearer's eyes look through holes, in place."""
    height, width = rng.uniform(0.035, 0.07), rng.uniform(0.08, 0.12)
    level, apart = -0.1 + rng.normal(0.0, 0.015), 0.17 + rng.normal(0.0, 0.01)
    for side in (-1.0, 1.0):
        hole = 1.0 - np.sqrt(
            np.square((u - side * apart) / width) + np.square((v - level) / height)
        )
        hole = hole * height * _FACE
        rim = soft(0.8 - np.abs(hole), 1.0)
        paint(worn, image * rng.uniform(0.4, 0.95), soft(hole, 1.0))
        paint(worn, worn * rng.uniform(0.4, 1.3), _between(rng, 0.1, 1.0, strength) * rim)


def show_live(rng: np.random.Generator, image: Floats) -> Floats:
    """A person, seen in `image`; now and then with what an attack might look like, too."""
    if rng.random() < 0.12:  # make-up, or a camera that flatters
        share = rng.uniform(0.2, 0.7) * bump(_U, _V, 0.35, 0.45)
        image = image + (blur(image, rng.uniform(0.6, 1.4)) - image) * share[..., None]
    if rng.random() < 0.12:  # lamps flicker
        wave = np.cos(2 * np.pi * (_V * rng.uniform(0.3, 2.0) + rng.uniform(0.0, 1.0)))
        image = image * (1.0 + rng.uniform(0.0, 0.06) * wave[..., None])
    if rng.random() < 0.15:  # light into the lens
        image = image + _reflection(rng, 70.0)[..., None]
    if rng.random() < 0.1:  # the glow of a display on the face
        image = image * np.array([1.0 - rng.uniform(0.0, 0.12), 0.97, 1.0 + rng.uniform(0.0, 0.1)])
    return image


# -- the camera ----------------------------------------------------------------------------------


def photograph(rng: np.random.Generator, image: Floats, rough: float) -> tuple[Bytes, int]:
    """What the camera in front of the scene makes of it.

    Args:
        rng: draws exposure, white balance, blur, noise and compression.
        image: (SIZE, SIZE, 3) light, 0..255 where it is neither dark nor bright.
        rough: how often it is out of focus or dark, 0 (never) to 1 (one capture in five).

    Returns:
        the picture, uint8, and the JPEG quality at which it is to be stored.
    """
    image = image * (rng.uniform(0.8, 1.2) * (1.0 + rng.normal(0.0, 0.03, 3)))
    image = 255.0 * np.clip(image / 255.0, 0.0, None) ** rng.uniform(0.88, 1.14)
    image = image * (1.0 - rng.uniform(0.0, 0.08) * (np.square(_U) + np.square(_V))[..., None])
    focused = rng.random() < 1.0 - 0.12 * rough
    image = blur(image, rng.uniform(0.1, 0.7) if focused else rng.uniform(0.7, 1.4))
    if rng.random() < 0.25:
        image = image + rng.uniform(0.2, 0.8) * (image - blur(image, 0.8))
    shot = np.sqrt(np.clip(image, 0.0, 255.0) / 255.0)
    grey, colour = rng.uniform(0.5, 5.0), rng.uniform(0.2, 2.5)
    if rng.random() < 0.08 * rough:  # a dark room
        grey, colour = 2.0 * grey + 2.0, 2.0 * colour + 1.0
    noise = grey * rng.normal(0.0, 1.0, (SIZE, SIZE, 1)) + colour * rng.normal(
        0.0, 1.0, image.shape
    )
    return to_uint8(image + noise * (0.4 + 0.6 * shot)), int(rng.integers(62, 96))


def publish(rng: np.random.Generator, image: Floats) -> Bytes:
    """The photo that an attacker found, as JPEG: (PHOTO_SIZE, PHOTO_SIZE, 3) uint8."""
    found = blur(image, rng.uniform(0.3, 1.0)) + rng.normal(0.0, rng.uniform(0.5, 3.0), image.shape)
    return jpeg(to_uint8(found), int(rng.integers(60, 96)))
