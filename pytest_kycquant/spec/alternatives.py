"""How else images are often prepared: the mistakes to look for when a golden is recorded.

Each row of `ALTERNATIVES` changes one thing. A wrong channel order or range rarely breaks a model;
it makes it somewhat worse, and every verdict is then about another system than production's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from .model import Channels, Layout, Preprocess, Resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["channels", "range", "placement", "pad", "resize", "layout"]


class Alternative(NamedTuple):
    """Another way to prepare images.

    Args:
        kind: what is changed.
        spec: the preprocessing with the change.
        words: what to write in `Preprocess`, or what to do if no field says it.
    """

    kind: Kind
    spec: Preprocess
    words: str


_Change = Iterator[tuple[Kind, Preprocess]]

# Mean and factor of each channel in the order R, G, B.
_RANGES = (
    ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
    ((127.5, 127.5, 127.5), (1 / 127.5, 1 / 127.5, 1 / 127.5)),
    ((123.675, 116.28, 103.53), (1 / 58.395, 1 / 57.12, 1 / 57.375)),  # torchvision's for ImageNet
    ((123.0, 117.0, 104.0), (1.0, 1.0, 1.0)),  # Caffe's for ImageNet
)
SAME = 0.02  # largest difference between two ranges that are one, relative to their width
_PADS = (114, 0)  # YOLO's grey and InsightFace's black
_RESIZES: tuple[Resize, ...] = ("bilinear", "opencv-bilinear", "opencv-area")  # often used


def alternatives(spec: Preprocess) -> Iterator[Alternative]:
    """Yield the usual other ways to prepare images, each with one change.

    Some may not fit a model or its images: the other layout, or another placement of images that
    have the size of the input.

    Args:
        spec: the preprocessing of the gate file, without a function of its own.
    """
    for change in ALTERNATIVES:
        for kind, other in change(spec):
            yield Alternative(kind, other, written(spec, other))


def written(spec: Preprocess, other: Preprocess) -> str:
    """What to write in one preprocessing to get another, with all fields that this takes.

    Args:
        spec: the preprocessing of the gate file.
        other: another one; neither has a function of its own.
    """
    names = {name for name in _SHOWN if getattr(spec, name) != getattr(other, name)}
    if names & {"mean", "scale"} and not other.standardize:
        names |= {"mean", "scale"}
    if "resize" in names and spec.resize == "letterbox":
        names.add("fit")  # which the abbreviation implied
    return ", ".join(
        f"{name}={_SHOWN[name](getattr(other, name))}" for name in _SHOWN if name in names
    )


def stretched(spec: Preprocess, low: float, high: float) -> Preprocess:
    """The same preprocessing for images whose pixels are first stretched to 0..255.

    Args:
        spec: a preprocessing without a function of its own.
        low: the pixel that becomes 0.
        high: the pixel that becomes 255.
    """
    if spec.standardize:
        return spec  # it stretches the pixels of each image itself
    width = (high - low) / 255
    mean, scale = (np.broadcast_to(value, spec.depth) for value in (spec.mean, spec.scale))
    return replace(
        spec,
        mean=_plain(tuple((low + width * mean).tolist())),
        scale=_plain(tuple((scale / width).tolist())),
    )


def _channels(spec: Preprocess) -> _Change:
    if spec.channels == "GRAY":
        return
    other: Channels = "BGR" if spec.channels == "RGB" else "RGB"
    kept = replace(spec, channels=other)
    turned = _with_mean_turned(kept)
    yield "channels", turned
    if _differ(kept, turned):
        yield "channels", kept


def _ranges(spec: Preprocess) -> _Change:
    known = [] if spec.standardize else [spec]
    spec, given = replace(spec, standardize=False), spec
    for means, scales in _RANGES:
        mean, scale = _plain(means), _plain(scales)
        if spec.channels == "GRAY" and isinstance(mean, tuple):
            continue
        other = replace(spec, mean=mean, scale=scale)
        known.append(_with_mean_turned(other) if spec.channels == "BGR" else other)
    if not given.standardize:
        known.append(_with_mean_turned(spec))  # the order of the other colours
    for index, other in enumerate(known):
        if other != given and all(_differ(earlier, other) for earlier in known[:index]):
            yield "range", other
    if not given.standardize:
        yield "range", replace(spec, mean=0.0, scale=1.0, standardize=True)


def _placements(spec: Preprocess) -> _Change:
    if spec.resize == "none":
        return
    resize: Resize = "bilinear" if spec.resize == "letterbox" else spec.resize
    for fit in ("stretch", "letterbox", "top-left"):
        if fit == spec.placement:
            continue
        usual = _PADS[fit == "top-left"]
        pad = spec.pad if spec.pads and fit != "stretch" else usual if fit != "stretch" else 114
        yield "placement", replace(spec, resize=resize, fit=fit, pad=pad)


def _pads(spec: Preprocess) -> _Change:
    for pad in _PADS if spec.pads else ():
        if pad != spec.pad:
            yield "pad", replace(spec, pad=pad)


def _resizes(spec: Preprocess) -> _Change:
    if spec.resize == "none":
        return
    now = "bilinear" if spec.resize == "letterbox" else spec.resize
    for resize in _RESIZES:
        if resize != now:
            yield "resize", replace(spec, resize=resize, fit=spec.placement)


def _layouts(spec: Preprocess) -> _Change:
    other: Layout = "NHWC" if spec.layout == "NCHW" else "NCHW"
    yield "layout", replace(spec, layout=other)


ALTERNATIVES: tuple[Callable[[Preprocess], _Change], ...] = (
    _channels,
    _ranges,
    _placements,
    _pads,
    _resizes,
    _layouts,
)
"""What is changed: a new row is tried for every golden."""


def _differ(one: Preprocess, other: Preprocess) -> bool:
    """Whether two preprocessings with the same colours have ranges that are not the same."""
    apart = np.abs(_ends(other) - _ends(one)).max()
    return bool(apart > SAME * np.ptp(_ends(other), axis=1).max())


def _ends(spec: Preprocess) -> NDArray[np.float64]:
    """What a black and a white pixel become, for each channel: (C, 2)."""
    mean, scale = (np.broadcast_to(value, spec.depth) for value in (spec.mean, spec.scale))
    return np.stack([-mean * scale, (255 - mean) * scale], axis=1)


def _plain(values: tuple[float, ...]) -> float | tuple[float, ...]:
    return values[0] if len({*values}) == 1 else values


def _with_mean_turned(spec: Preprocess) -> Preprocess:
    mean, scale = (
        value[::-1] if isinstance(value, tuple) else value for value in (spec.mean, spec.scale)
    )
    return replace(spec, mean=mean, scale=scale)


def _quoted(value: str) -> str:
    return f'"{value}"'


def _number(value: float | tuple[float, ...]) -> str:
    """The shortest text that is read as exactly this number, or as these numbers."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_number, value))})"
    texts = [f"{value:g}", repr(value)]
    if 0 < value < 1:
        texts += [f"1 / {1 / value:g}", f"1 / {1 / value!r}"]
    exact = [text for text in texts if _read(text) == value]
    return min(exact, key=len)


def _read(text: str) -> float:
    over, _, under = text.rpartition("/")
    return float(over) / float(under) if over else float(under)


_SHOWN: dict[str, Callable[[Any], str]] = {
    "channels": _quoted,
    "mean": _number,
    "scale": _number,
    "resize": _quoted,
    "fit": _quoted,
    "pad": str,
    "standardize": str,
    "layout": _quoted,
}
"""How the fields are written, in this order."""
