"""Resizing as OpenCV does it, bit for bit, in numpy.

OpenCV's bilinear resize does not antialias: of an image that shrinks to a third, it looks at four
of nine pixels. Many models were trained and are deployed with it, so a gate that antialiases judges
another system. These functions follow OpenCV's resize of 8-bit images with its fixed-point
arithmetic (``modules/imgproc/src/resize.cpp``), and the tests compare every pixel with OpenCV's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

_BITS = 11  # of the coefficients of the bilinear resize
_SHORT = (-32768, 32767)


def resize_linear(image: Pixels, size: tuple[int, int]) -> Pixels:
    """``cv2.resize(..., interpolation=cv2.INTER_LINEAR)``.

    Args:
        image: pixels, shape (height, width) or (height, width, channels), uint8.
        size: (height, width) of the result.
    """
    height, width = image.shape[:2]
    if size == (height, width):
        return image.copy()
    if height == 2 * size[0] and width == 2 * size[1]:
        return _halved(image)
    return _interpolated(image, size, _linear)


def resize_area(image: Pixels, size: tuple[int, int]) -> Pixels:
    """``cv2.resize(..., interpolation=cv2.INTER_AREA)``; see `resize_linear` for the arguments.

    Each pixel is the mean of the area that it covers. An image that grows in some direction is
    interpolated instead.
    """
    height, width = image.shape[:2]
    if size == (height, width):
        return image.copy()
    if size[0] > height or size[1] > width:
        return _interpolated(image, size, _linear_of_areas)
    rows, columns = (_whole_factor(*pair) for pair in zip((height, width), size, strict=True))
    if rows and columns:
        if rows == columns == 2:
            return _halved(image)
        cells = _channels(image).astype(np.int64).reshape(size[0], rows, size[1], columns, -1)
        mean = cells.sum(axis=(1, 3)).astype(np.float32) * np.float32(1.0 / (rows * columns))
        return _rounded(mean).reshape(*size, *image.shape[2:])
    return _by_areas(image, size)


def resize_nearest(image: Pixels, size: tuple[int, int]) -> Pixels:
    """``cv2.resize(..., interpolation=cv2.INTER_NEAREST)``; see `resize_linear`."""
    picked = []
    for before, after in zip(image.shape[:2], size, strict=True):
        step = 1.0 / (after / before)
        places = np.floor(np.arange(after) * step).astype(np.int64)
        picked.append(np.minimum(places, before - 1))
    found: Pixels = image[picked[0]][:, picked[1]]
    return found


def _interpolated(
    image: Pixels,
    size: tuple[int, int],
    weigh: Callable[[int, int], tuple[NDArray[np.int64], NDArray[np.float32]]],
) -> Pixels:
    """Interpolate between two pixels in each direction, in OpenCV's fixed-point arithmetic."""
    height, width = image.shape[:2]
    row, below = weigh(height, size[0])
    column, right = weigh(width, size[1])
    # Columns outside the image take the pixel at the border alone; rows are only clipped.
    outside = (column < 0) | (column >= width - 1)
    right = np.where(outside, np.float32(0), right)
    first = np.clip(column, 0, width - 1)
    second = np.minimum(first + 1, width - 1)
    across = _coefficients(right)
    pixels = _channels(image).astype(np.int32)
    wide = pixels[:, first] * across[0][:, None] + pixels[:, second] * across[1][:, None]
    upper = wide[np.clip(row, 0, height - 1)] >> 4
    lower = wide[np.clip(row + 1, 0, height - 1)] >> 4
    down = _coefficients(below)
    total = ((upper * down[0][:, None, None]) >> 16) + ((lower * down[1][:, None, None]) >> 16)
    found: Pixels = np.clip((total + 2) >> 2, 0, 255).astype(np.uint8)
    return found.reshape(*size, *image.shape[2:])


def _linear(before: int, after: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The first of two pixels and the weight of the second, for centres of pixels."""
    scale = 1.0 / (after / before)
    place = ((np.arange(after) + 0.5) * scale - 0.5).astype(np.float32)
    first = np.floor(place).astype(np.int64)
    return first, place - first.astype(np.float32)


def _linear_of_areas(before: int, after: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The same where each pixel of the result covers part of one or two pixels."""
    inverse = after / before
    scale = 1.0 / inverse
    index = np.arange(after)
    first = np.floor(index * scale).astype(np.int64)
    weight = ((index + 1) - (first + 1) * inverse).astype(np.float32)
    weight = np.where(weight <= 0, np.float32(0), weight - np.floor(weight))
    return first, weight.astype(np.float32)


def _coefficients(weight: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    scale = np.float32(1 << _BITS)
    both = (np.float32(1) - weight) * scale, weight * scale
    first, second = (np.clip(np.rint(one), *_SHORT).astype(np.int32) for one in both)
    return first, second


def _whole_factor(before: int, after: int) -> int:
    """The factor by which a side shrinks if OpenCV takes it for a whole number, else 0.

    OpenCV inverts twice, and 1 / (1 / 49) is not 49 in float64: it then sums weighted pixels.
    """
    scale = 1.0 / (after / before)
    factor = round(scale)
    return factor if abs(scale - factor) < np.finfo(np.float64).eps else 0


def _halved(image: Pixels) -> Pixels:
    """The mean of 2 x 2 pixels, where a half is rounded up."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    cells = image.astype(np.uint16).reshape(height, 2, width, 2, *image.shape[2:])
    found: Pixels = ((cells.sum(axis=(1, 3)) + 2) >> 2).astype(np.uint8)
    return found


def _by_areas(image: Pixels, size: tuple[int, int]) -> Pixels:
    """The mean over cells of any size, in float32 and in OpenCV's order of summation."""
    height, width = image.shape[:2]
    pixels = _channels(image).astype(np.float32)
    wide = np.zeros((height, size[1], pixels.shape[2]), np.float32)
    for target, source, weight in _cells(width, size[1]):
        wide[:, target] += pixels[:, source] * weight[:, None]
    found = np.zeros((*size, pixels.shape[2]), np.float32)
    for target, source, weight in _cells(height, size[0]):
        found[target] += wide[source] * weight[:, None, None]
    return _rounded(found).reshape(*size, *image.shape[2:])


def _cells(
    before: int, after: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]]:
    """Which pixel adds to which cell with what weight; the n-th entry has the n-th pixel of each.

    Within an entry each cell occurs once, so that it can be added at once.
    """
    scale = 1.0 / (after / before)
    entries: list[list[tuple[int, int, float]]] = []
    for cell in range(after):
        start = cell * scale
        end = start + scale
        width = min(scale, before - start)
        first, last = int(np.ceil(start)), int(np.floor(end))
        last = min(last, before - 1)
        first = min(first, last)
        parts: list[tuple[int, float]] = []
        if first - start > 1e-3:
            parts.append((first - 1, (first - start) / width))
        parts += [(pixel, 1.0 / width) for pixel in range(first, last)]
        if end - last > 1e-3:
            parts.append((last, min(min(end - last, 1.0), width) / width))
        for place, (pixel, weight) in enumerate(parts):
            if place == len(entries):
                entries.append([])
            entries[place].append((cell, pixel, weight))
    return [
        (
            np.array([cell for cell, _, _ in entry], np.int64),
            np.array([pixel for _, pixel, _ in entry], np.int64),
            np.array([weight for _, _, weight in entry], np.float32),
        )
        for entry in entries
    ]


def _rounded(values: NDArray[np.float32]) -> Pixels:
    found: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return found


def _channels(image: Pixels) -> Pixels:
    """The same pixels with an axis of channels."""
    found: Pixels = image.reshape(*image.shape[:2], -1)
    return found
