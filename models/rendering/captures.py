"""How a person is pictured: pose, light, expression, occlusion and what the camera does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import Bytes, Colour, Light, blur, jpeg, mix, motion_blur, to_uint8

GLASSES, SUNGLASSES, MASK, HAND, STRAND = "glasses", "sunglasses", "mask", "hand", "strand"


@dataclass(frozen=True)
class Capture:
    """One picture of somebody.

    Args:
        yaw: radians, positive turns the face to the right of the picture.
        pitch: radians, positive looks down.
        roll: radians, positive tilts clockwise.
        light: the light.
        smile: -1 (sad) to 1.
        open_mouth: 0 to 1.
        squint: -0.5 (eyes wide open) to 1 (closed).
        brow_raise: -1 to 1.
        gaze: right and down, -1 to 1.
        occlusion: None or one of this module's constants.
        occluder: colour of what occludes.
        extent: how much is occluded, 0 to 1.
        side: -1 or 1, the side it comes from.
        blur: Gaussian blur of the camera, in pixels of a face 84 pixels high.
        motion: length of motion blur, the same unit.
        motion_angle: radians.
        noise: standard deviation of sensor noise, in grey levels.
        quality: of JPEG.
        shift: error of the crop, right and down, as a share of the face height.
        scale: error of the crop, factor on the face height.
        clothing: colour.
        backdrop: two colours of the background.
        seed: of textures and noise.
    """

    yaw: float
    pitch: float
    roll: float
    light: Light
    smile: float
    open_mouth: float
    squint: float
    brow_raise: float
    gaze: tuple[float, float]
    occlusion: str | None
    occluder: Colour
    extent: float
    side: float
    blur: float
    motion: float
    motion_angle: float
    noise: float
    quality: int
    shift: tuple[float, float]
    scale: float
    clothing: Colour | None
    backdrop: tuple[Colour, Colour]
    seed: int


def capture(rng: np.random.Generator, *, difficulty: float = 0.5) -> Capture:
    """Draw the circumstances of a picture.

    Args:
        rng: the source of randomness.
        difficulty: 0 is a passport photograph (frontal, even light, neutral, nothing in front
            of the face, sharp), 0.5 a selfie of a cooperative user, 1 a bad one. More is allowed.
    """
    d = difficulty

    def spread(scale: float) -> float:
        return d * scale * float(np.clip(rng.normal(), -2.2, 2.2))

    def colour(low: float, high: float) -> Colour:
        red, green, blue = (float(rng.uniform(low, high)) for _ in range(3))
        return red, green, blue

    warmth = spread(0.13)
    azimuth, elevation = spread(0.9), -0.25 + spread(0.5)
    direction = (
        float(np.sin(azimuth) * np.cos(elevation)),
        float(np.sin(elevation)),
        float(np.cos(azimuth) * np.cos(elevation)),
    )
    light = Light(
        direction=direction,
        colour=(1.0 + warmth, 1.0 + spread(0.03), 1.0 - warmth),
        ambient=float(np.clip(0.55 - d * rng.uniform(0.0, 0.4), 0.12, 0.9)),
        exposure=float(np.exp(spread(0.2))),
    )
    occlusion = None
    if float(rng.random()) < min(0.4 * d, 0.9):
        kinds = (GLASSES, GLASSES, GLASSES, SUNGLASSES, MASK, HAND, STRAND, STRAND)
        occlusion = kinds[int(rng.integers(0, len(kinds)))]
    dark = colour(10, 120)
    wall = _muted(colour(40, 235))
    return Capture(
        yaw=spread(0.36),
        pitch=spread(0.2),
        roll=spread(0.13),
        light=light,
        smile=float(np.clip(spread(0.9) + 0.25 * d, -0.7, 1.0)),
        open_mouth=float(np.clip(spread(0.7) - 0.15, 0.0, 1.0)),
        squint=float(np.clip(spread(0.4), -0.4, 0.8)),
        brow_raise=float(np.clip(spread(0.8), -1.0, 1.0)),
        gaze=(spread(0.8), spread(0.4)),
        occlusion=occlusion,
        occluder=dark if occlusion != MASK else colour(120, 245),
        extent=float(rng.uniform(0.2, 0.4 + 0.6 * min(d, 1.0))),
        side=1.0 if float(rng.random()) < 0.5 else -1.0,
        blur=0.3 + d * float(rng.random()) ** 2 * 1.8,
        motion=d * max(0.0, float(rng.normal()) - 0.5) * 2.0,
        motion_angle=float(rng.uniform(0.0, np.pi)),
        noise=1.0 + d * float(rng.random()) ** 2 * 14.0,
        quality=round(95 - d * float(rng.uniform(0.0, 65.0))),
        shift=(spread(0.022), spread(0.022)),
        scale=1.0 + spread(0.035),
        clothing=colour(15, 235) if d > 0.0 else None,
        backdrop=(wall, mix(wall, _muted(colour(10, 250)), 0.7)),
        seed=int(rng.integers(0, 2**31)),
    )


def _muted(colour: Colour) -> Colour:
    grey = sum(colour) / 3.0
    return mix(colour, (grey, grey, grey), 0.6)


def degrade(
    image: Bytes, capture: Capture, rng: np.random.Generator, face_pixels: float = 84.0
) -> Bytes:
    """Blur, noise and JPEG of the camera, on a picture that `render` drew.

    Args:
        image: (H, W, 3) uint8.
        capture: says how much of each.
        rng: of the noise.
        face_pixels: height of the face in this picture; the blur scales with it.

    Returns:
        (H, W, 3) uint8.
    """
    unit = face_pixels / 84.0
    picture = image.astype(np.float64)
    picture = motion_blur(picture, capture.motion * unit, capture.motion_angle)
    picture = blur(picture, capture.blur * unit)
    grain = rng.normal(0.0, capture.noise, image.shape[:2])[..., None]
    picture += 0.8 * grain + rng.normal(0.0, 0.4 * capture.noise, image.shape)
    quality = max(5, min(capture.quality, 98))
    return jpeg(to_uint8(picture), quality)
