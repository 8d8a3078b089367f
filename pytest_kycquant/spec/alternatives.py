"""How else images are often prepared: the mistakes to look for when a golden is recorded.

Each row of `ALTERNATIVES` changes one thing. A wrong channel order or range rarely breaks a model;
it makes it somewhat worse, and every verdict is then about another system than production's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .model import Channels, Layout, Preprocess

if TYPE_CHECKING:
    from numpy.typing import NDArray

Alternative = tuple[str, Preprocess]
"""What to write in `Preprocess`, and the preprocessing with it."""

# Mean and factor of each channel in the order R, G, B.
_RANGES = (
    ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
    ((127.5, 127.5, 127.5), (1 / 127.5, 1 / 127.5, 1 / 127.5)),
    ((123.675, 116.28, 103.53), (1 / 58.395, 1 / 57.12, 1 / 57.375)),  # torchvision's for ImageNet
    ((123.0, 117.0, 104.0), (1.0, 1.0, 1.0)),  # Caffe's for ImageNet
)
_SAME = 0.02  # largest difference between two ranges that are one, relative to their width


def alternatives(spec: Preprocess) -> Iterator[Alternative]:
    """Yield the usual other ways to prepare images, each with one change.

    Some may not fit a model or its images: the other layout, or another placement of images that
    have the size of the input.

    Args:
        spec: the preprocessing of the gate file.
    """
    if spec.function is not None:
        return  # nothing is known about what it does
    for change in ALTERNATIVES:
        yield from change(spec)


def _channels(spec: Preprocess) -> Iterator[Alternative]:
    if spec.channels == "GRAY":
        return
    other: Channels = "BGR" if spec.channels == "RGB" else "RGB"
    mean, scale = _turned(spec.mean), _turned(spec.scale)
    yield f'channels="{other}"', replace(spec, channels=other, mean=mean, scale=scale)


def _ranges(spec: Preprocess) -> Iterator[Alternative]:
    for means, scales in _RANGES:
        mean, scale = _plain(means), _plain(scales)
        if spec.channels == "GRAY" and isinstance(mean, tuple):
            continue
        if spec.channels == "BGR":
            mean, scale = _turned(mean), _turned(scale)
        other = replace(spec, mean=mean, scale=scale)
        apart = np.abs(_ends(other) - _ends(spec)).max()
        if apart > _SAME * np.ptp(_ends(other), axis=1).max():
            yield f"mean={_shown(mean)}, scale={_shown(scale)}", other


def _placements(spec: Preprocess) -> Iterator[Alternative]:
    if spec.resize == "none":
        return
    resize = "bilinear" if spec.resize == "letterbox" else spec.resize
    for fit in ("stretch", "letterbox"):
        if fit != spec.placement:
            padded = spec.placement == "top-left" and fit == "letterbox"
            yield (
                f'fit="{fit}"',
                replace(spec, resize=resize, fit=fit, pad=spec.pad if padded else 114),
            )


def _resizes(spec: Preprocess) -> Iterator[Alternative]:
    other = {"bilinear": "opencv-bilinear", "opencv-bilinear": "bilinear"}.get(spec.resize)
    if other is not None:
        yield f'resize="{other}"', replace(spec, resize=other)  # type: ignore[arg-type]


def _layouts(spec: Preprocess) -> Iterator[Alternative]:
    other: Layout = "NHWC" if spec.layout == "NCHW" else "NCHW"
    yield f'layout="{other}"', replace(spec, layout=other)


ALTERNATIVES: tuple[Callable[[Preprocess], Iterator[Alternative]], ...] = (
    _channels,
    _ranges,
    _placements,
    _resizes,
    _layouts,
)
"""What is changed: a new row is tried for every golden."""


def _ends(spec: Preprocess) -> NDArray[np.float64]:
    """What a black and a white pixel become, for each channel in the order R, G, B: (C, 2)."""
    mean, scale = (np.broadcast_to(value, spec.depth) for value in (spec.mean, spec.scale))
    ends = np.stack([-mean * scale, (255 - mean) * scale], axis=1)
    return ends[::-1] if spec.channels == "BGR" else ends


def _plain(values: tuple[float, ...]) -> float | tuple[float, ...]:
    return values[0] if len({*values}) == 1 else values


def _turned(value: float | tuple[float, ...]) -> float | tuple[float, ...]:
    return value[::-1] if isinstance(value, tuple) else value


def _shown(value: float | tuple[float, ...]) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_shown, value))})"
    return f"{value:g}" if value >= 1 or value == 0 else f"1 / {1 / value:g}"
