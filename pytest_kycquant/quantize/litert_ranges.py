"""Ranges of the activations of a float ``.tflite`` file, from one image at a time.

litert-quantizer averages the extremes of images, keeps all tensors in memory, and clips nothing on
purpose. Here the extremes of all images are kept, and for 8 bits those bounds that cause the
smallest squared error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .litert_layout import layout_of
from .litert_tensors import Observer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .litert_tensors import Feed

Bounds: TypeAlias = dict[str, tuple[float, float]]
_BINS = 2048
_LEVELS = 255
_SHRUNK = np.linspace(1.0, 0.3, 36)  # of a bound: what is clipped beyond costs more than it saves
_ROUNDS = 3


def extremes(content: bytes, feeds: Iterable[Feed], where: object) -> Bounds:
    """Smallest and largest value of each float tensor over all samples, by its name."""
    observer = Observer(content, where)
    found: Bounds = {}
    for feed in feeds:
        observer.run(feed)
        for name, array in observer.floats():
            low, high = float(array.min()), float(array.max())
            known = found.get(name, (low, high))
            found[name] = min(known[0], low), max(known[1], high)
    return found


def histograms(
    content: bytes,
    feeds: Iterable[Feed],
    bounds: Bounds,
    where: object,
    see: Callable[[str, NDArray[np.float32]], None] = lambda *_: None,
) -> dict[str, NDArray[np.float64]]:
    """How often values of each tensor fall into equal parts of its bounds, by its name.

    Args:
        content: the float file.
        feeds: samples.
        bounds: extremes of each tensor.
        where: the file, for messages.
        see: is given the name and the values of each tensor of each sample, too.
    """
    observer = Observer(content, where)
    found: dict[str, NDArray[np.float64]] = {}
    for feed in feeds:
        observer.run(feed)
        for name, array in observer.floats():
            see(name, array)
            low, high = bounds[name]
            if not high > low:
                continue
            places = ((array.ravel() - low) * (_BINS / (high - low))).astype(np.int64)
            counts = np.bincount(np.clip(places, 0, _BINS - 1), minlength=_BINS)
            found[name] = found.get(name, np.zeros(_BINS)) + counts
    return found


def least_error(
    bounds: Bounds, counts: Mapping[str, NDArray[np.float64]], spared: Iterable[str]
) -> Bounds:
    """Bounds that cause the smallest squared error in 8 bits.

    Args:
        bounds: extremes.
        counts: histograms between these extremes.
        spared: names of tensors that keep their extremes, such as outputs: a score or a box that
            is clipped is lost.
    """
    kept = set(spared)
    return {
        name: _least(*both, counts[name]) if name in counts and name not in kept else both
        for name, both in bounds.items()
    }


def _least(low: float, high: float, counts: NDArray[np.float64]) -> tuple[float, float]:
    centres = low + (np.arange(_BINS) + 0.5) * (high - low) / _BINS
    used = counts > 0
    centres, counts = centres[used], counts[used]

    def error(a: float, b: float) -> float:
        step = (b - a) / _LEVELS
        if step <= 0:
            return np.inf
        zero = np.clip(np.rint(-a / step), 0, _LEVELS)
        steps = np.clip(np.rint(centres / step) + zero, 0, _LEVELS)
        return float((counts * ((steps - zero) * step - centres) ** 2).sum())

    a, b = min(low, 0.0), max(high, 0.0)  # zero must be exact: it pads
    for _ in range(_ROUNDS):
        before = a, b
        a = min((a * each for each in _SHRUNK), key=_with(error, high=b)) if a else a
        b = min((b * each for each in _SHRUNK), key=_with(error, low=a)) if b else b
        if (a, b) == before:
            break
    return a, b


def _with(
    error: Callable[[float, float], float], *, low: float | None = None, high: float | None = None
) -> Callable[[float], float]:
    if low is None:
        assert high is not None
        return lambda a: error(a, high)
    return lambda b: error(low, b)


def statistics(content: bytes, bounds: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """Ranges as litert-quantizer takes them: arrays of as many dimensions as the tensor.

    Those of constants are left out: litert-quantizer would take them in place of the ranges of each
    channel.
    """
    return {
        name: {
            "min": np.full((1,) * rank, bounds[name][0], np.float32),
            "max": np.full((1,) * rank, bounds[name][1], np.float32),
        }
        for name, rank in layout_of(content).ranks.items()
        if name in bounds
    }
