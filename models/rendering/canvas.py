"""Drawing primitives shared by the renderers: masks, noise, blur, warps and JPEG.

Images are (H, W, 3) RGB. While drawing they are float64 in 0..255, so that differences in the
last bit between CPUs and numpy versions practically never change the uint8 result. Pillow sees
uint8 images only, where its arithmetic is exact.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]
Colour = tuple[float, float, float]

_FINE = 4  # samples of a texture between two of its knots
SUBSAMPLING = 2  # of JPEG chroma, 4:2:0; given explicitly, since defaults change


# -- masks ---------------------------------------------------------------------------------------


def soft(distance: Floats, width: float) -> Floats:
    """Turn a signed distance (positive inside) into coverage 0..1, over an edge of `width`."""
    return np.minimum(np.maximum(0.5 + distance / width, 0.0), 1.0)


def bump(x: Floats, y: Floats, sx: float, sy: float) -> Floats:
    """Gaussian hill of height 1 with standard deviations `sx` and `sy`; 0 beyond four of them."""
    hill = np.zeros(x.shape)
    part = extent((np.abs(x) < 4.0 * sx) & (np.abs(y) < 4.0 * sy))
    if part is not None:
        hill[part] = np.exp(-0.5 * (np.square(x[part] / sx) + np.square(y[part] / sy)))
    return hill


def box(x: Floats, y: Floats, half_width: float, half_height: float, radius: float) -> Floats:
    """Signed distance to a rectangle with rounded corners, positive inside."""
    dx = np.abs(x) - (half_width - radius)
    dy = np.abs(y) - (half_height - radius)
    outside = np.hypot(np.maximum(dx, 0.0), np.maximum(dy, 0.0))
    return radius - outside - np.minimum(np.maximum(dx, dy), 0.0)


def capsule(
    x: Floats, y: Floats, start: tuple[float, float], end: tuple[float, float], radius: float
) -> Floats:
    """Signed distance to a thick line with round ends, positive inside."""
    ax, ay = x - start[0], y - start[1]
    bx, by = end[0] - start[0], end[1] - start[1]
    along = np.clip((ax * bx + ay * by) / max(bx * bx + by * by, 1e-12), 0.0, 1.0)
    return radius - np.hypot(ax - along * bx, ay - along * by)


def paint(image: Floats, colour: Floats | Colour, mask: Floats) -> None:
    """Lay a colour (3 numbers, or an image of the same size) over `image` in place.

    Args:
        image: (H, W, 3), changed in place; may be a view.
        colour: (3,) or (H, W, 3).
        mask: (H, W) coverage 0..1.
    """
    part = extent(mask > 0.0)
    if part is not None:
        colours = np.asarray(colour, np.float64)
        target = image[part]
        target += ((colours[part] if colours.ndim == 3 else colours) - target) * mask[part][
            ..., None
        ]


def extent(mask: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """The smallest window of (H, W) that holds all that is true; None if nothing is."""
    (rows,) = mask.any(axis=1).nonzero()
    if not len(rows):
        return None
    (columns,) = mask[rows[0] : rows[-1] + 1].any(axis=0).nonzero()
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def mix(a: Sequence[float], b: Sequence[float], share: float) -> Colour:
    """Blend two colours: `share` of b."""
    red, green, blue = (p + (q - p) * share for p, q in zip(a, b, strict=True))
    return red, green, blue


# -- noise ---------------------------------------------------------------------------------------


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> Floats:
    """Noise of about -1..1 with `cells` hills along the longer side."""
    rows = max(2, round(cells * shape[0] / max(shape)) + 1)
    columns = max(2, round(cells * shape[1] / max(shape)) + 1)
    lattice = rng.uniform(-1.0, 1.0, (rows, columns))
    return _interpolation(shape[0], rows) @ lattice @ _interpolation(shape[1], columns).T


def _interpolation(length: int, knots: int) -> Floats:
    """(length, knots) weights that interpolate smoothly between equally spaced knots."""
    position = np.linspace(0.0, knots - 1.0, length)
    lower = np.minimum(position.astype(np.int64), knots - 2)
    share = position - lower
    share = share * share * (3.0 - 2.0 * share)
    weights = np.zeros((length, knots))
    index = np.arange(length)
    weights[index, lower] = 1.0 - share
    weights[index, lower + 1] = share
    return weights


def texture(rng: np.random.Generator, cells: int = 64) -> Floats:
    """A periodic square of smooth noise, -1..1, for `lookup`; `_FINE` samples for each cell."""
    lattice = rng.uniform(-1.0, 1.0, (cells, cells))
    position = np.arange(cells * _FINE) / _FINE
    lower = position.astype(np.int64)
    upper, share = (lower + 1) % cells, position - lower
    share = share * share * (3.0 - 2.0 * share)
    rows = lattice[lower] + (lattice[upper] - lattice[lower]) * share[:, None]
    table = rows[:, lower] + (rows[:, upper] - rows[:, lower]) * share
    return np.ascontiguousarray(table)  # so that `lookup` need not copy it


def lookup(table: Floats, x: Floats, y: Floats) -> Floats:
    """Read a `texture` at (x, y) in cells; it repeats itself. The size is a power of two."""
    last = table.shape[0] - 1
    column = np.floor(x * _FINE).astype(np.int64) & last
    row = np.floor(y * _FINE).astype(np.int64) & last
    return table.ravel().take(row * (last + 1) + column)


# -- filters and warps ---------------------------------------------------------------------------


def blur(image: Floats, sigma: float) -> Floats:
    """Gaussian blur of (H, W) or (H, W, C) with `sigma` in pixels; edges are repeated."""
    if sigma < 0.15:
        return image
    radius = min(int(np.ceil(3.0 * sigma)), min(image.shape[:2]) - 1)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * np.square(offsets / sigma))
    weights /= weights.sum()
    return _convolve(_convolve(image, weights, 0), weights, 1)


def _convolve(image: Floats, weights: Floats, axis: int) -> Floats:
    radius = len(weights) // 2
    margin = [(0, 0)] * image.ndim
    margin[axis] = (radius, radius)
    padded = np.pad(image, margin, mode="edge")
    result = np.zeros_like(image)
    for i, weight in enumerate(weights):
        part = padded[i : i + image.shape[0]] if axis == 0 else padded[:, i : i + image.shape[1]]
        result += weight * part
    return result


def motion_blur(image: Floats, length: float, angle: float) -> Floats:
    """Mean along a line of `length` pixels at `angle` radians."""
    taps = max(1, int(np.ceil(length)) + 1)
    if taps == 1 or length < 0.5:
        return image
    height, width = image.shape[:2]
    margin = int(np.ceil(length / 2.0)) + 1
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    result = np.zeros_like(image)
    for step in np.linspace(-length / 2.0, length / 2.0, taps):
        row = margin + round(step * float(np.sin(angle)))
        column = margin + round(step * float(np.cos(angle)))
        result += padded[row : row + height, column : column + width]
    return result / taps


def sample(image: Floats, x: Floats, y: Floats) -> Floats:
    """Read (H, W, C) at pixel positions (x, y), linear between pixels; edges are repeated."""
    height, width = image.shape[:2]
    x, y = np.clip(x, 0.0, width - 1.0), np.clip(y, 0.0, height - 1.0)
    left = np.minimum(x.astype(np.int64), max(width - 2, 0))
    top = np.minimum(y.astype(np.int64), max(height - 2, 0))
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    # Four times as fast as indexing with two arrays.
    pixels = image.reshape(height * width, -1)
    upper_row, lower_row = top * width, bottom * width
    upper = pixels.take(upper_row + left, 0) * (1.0 - fx) + pixels.take(upper_row + right, 0) * fx
    lower = pixels.take(lower_row + left, 0) * (1.0 - fx) + pixels.take(lower_row + right, 0) * fx
    return upper * (1.0 - fy) + lower * fy


# -- to and from uint8 ---------------------------------------------------------------------------


def to_uint8(image: Floats) -> Bytes:
    """Round once, at the end."""
    return np.clip(np.floor(image + 0.5), 0.0, 255.0).astype(np.uint8)


def resize(image: Bytes, size: tuple[int, int]) -> Bytes:
    """Scale a uint8 image to (height, width) with Pillow's antialiased bilinear filter."""
    resized = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(resized, np.uint8)


def encode_jpeg(image: Bytes, quality: int) -> bytes:
    """The file of a uint8 image as baseline JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=SUBSAMPLING)
    return buffer.getvalue()


def jpeg(image: Bytes, quality: int) -> Bytes:
    """What is left of a uint8 image after JPEG compression."""
    with Image.open(io.BytesIO(encode_jpeg(image, quality))) as decoded:
        return np.asarray(decoded.convert("RGB"), np.uint8).copy()


@dataclass(frozen=True)
class Light:
    """One directional light and its surroundings.

    Args:
        direction: towards the light, unit vector; x right, y down, z to the camera.
        colour: factors of red, green and blue of the directional part.
        ambient: share of the light that comes from everywhere, 0..1.
        exposure: factor on everything.
    """

    direction: tuple[float, float, float]
    colour: Colour
    ambient: float
    exposure: float


def shade(depth: Floats, pixel: float, light: Light, gloss: float) -> tuple[Floats, Floats]:
    """Diffuse and specular light on a height field seen from above.

    Args:
        depth: (H, W) height towards the camera, in scene units.
        pixel: size of a pixel in scene units.
        light: the light.
        gloss: strength of the highlight, 0..1.

    Returns:
        (H, W, 3) factors on the colour of the surface, and (H, W) highlight 0..1.
    """
    slope_y, slope_x = np.gradient(depth, pixel)
    length = np.sqrt(1.0 + np.square(slope_x) + np.square(slope_y))
    lx, ly, lz = light.direction
    facing = (lz - slope_x * lx - slope_y * ly) / length
    # Wrapped diffuse light: skin scatters, so its terminator is soft.
    diffuse = np.square(np.clip((facing + 0.35) / 1.35, 0.0, None))
    factors = light.ambient + (1.0 - light.ambient) * 1.15 * diffuse[..., None] * np.asarray(
        light.colour
    )
    half = np.array([lx, ly, lz + 1.0])
    half /= np.sqrt(np.square(half).sum())
    shine = np.clip((half[2] - slope_x * half[0] - slope_y * half[1]) / length, 0.0, 1.0)
    for _ in range(4):  # shine ** 16
        shine = np.square(shine)
    return factors * light.exposure, gloss * shine * (1.0 - light.ambient) * light.exposure
