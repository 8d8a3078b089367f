"""Histograms that grow with the data, in fixed memory, whatever the order of the data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIDE = 8192  # bins on each side of zero
_COARSE = 512  # the same for the entropy search: finer bins choose ever narrower ranges
_LEVELS = 256  # levels that the searches quantize to, those of 8 bits
_GRID = 33  # ends that each step of the search for the least squared error tries
_SMALLEST = 1 / 64  # share of the extremes that it keeps at least
_STRIDE = 4  # thresholds the entropy search tries: every fourth bin


class Histogram:
    """Counts of values in equal bins on both sides of zero.

    The bins span -2**e to 2**e for the smallest e that covers the data. A larger value merges
    neighbouring bins, which is exact because all widths are powers of two; so the counts depend
    on the values only and not on their order, and the memory is constant.
    """

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(2 * _SIDE, np.int64)
        self._exponent: int | None = None
        self._low = math.inf
        self._high = -math.inf

    def add(self, values: NDArray[np.float32]) -> None:
        """Count finite float32 values of any shape."""
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        self._low, self._high = min(self._low, low), max(self._high, high)
        largest = max(-low, high)
        if largest == 0:
            self.counts[_SIDE] += values.size
            return
        self._grow(math.frexp(largest)[1])
        assert self._exponent is not None
        # In float64 (which numpy 1 would not choose): the product of tiny numbers must not become
        # zero and change its side.
        scale = 2.0**-self._exponent * _SIDE
        scaled = np.floor(np.multiply(values.ravel(), scale, dtype=np.float64))
        index = scaled.astype(np.int32) + _SIDE
        self.counts += np.bincount(index, minlength=2 * _SIDE)

    def percentile_range(self, percentile: float) -> tuple[float, float]:
        """Return the range that keeps `percentile` percent of the values.

        The same number of values is cut on either side; bins are kept whole.
        """
        total = self.counts.sum()
        if not total:
            return 0.0, 0.0
        share = np.cumsum(self.counts) / total
        cut = (100.0 - percentile) / 200.0
        left = int(np.searchsorted(share, cut, side="right"))
        right = int(np.searchsorted(share, 1.0 - cut))
        width = self._width(_SIDE)
        return self._clip((left - _SIDE) * width, (right + 1 - _SIDE) * width)

    def entropy_range(self) -> tuple[float, float]:
        """Return the range whose 256-level quantization diverges least from the values.

        The divergence is that of Kullback and Leibler, searched over thresholds around zero.
        """
        if not self.counts.any():
            return 0.0, 0.0
        counts = self.counts.reshape(2 * _COARSE, -1).sum(axis=1)
        candidates = range(_LEVELS // 2, _COARSE + 1, _STRIDE)
        divergences = [_divergence(counts, half) for half in candidates]
        threshold = candidates[int(np.argmin(divergences))] * self._width(_COARSE)
        return self._clip(-threshold, threshold)

    def mse_range(self) -> tuple[float, float]:
        """Return the range whose 256-level quantization has the least squared error.

        A narrower range has finer steps and cuts off more. Pairs of ends are tried on a grid, then
        on a finer one around the best. Values count as the middle of their bin, and those of the
        bin that begins at zero as zero, which every range represents exactly.
        """
        if self._exponent is None:
            return 0.0, 0.0
        width = self._width(_SIDE)
        middles = np.arange(-_SIDE + 0.5, _SIDE) * width
        middles[_SIDE] = 0.0
        weighted = self.counts * np.stack([np.ones(middles.size), middles, middles**2])
        moments = np.zeros((3, middles.size + 1))
        np.cumsum(weighted, axis=1, out=moments[:, 1:])
        lowest, highest = min(self._low, 0.0), max(self._high, 0.0)
        lows = highs = np.geomspace(_SMALLEST, 1.0, _GRID)  # shares of the extremes
        step = _SMALLEST ** (1 / (1 - _GRID))
        for _ in range(3):
            lows = np.unique(lows) if lowest else np.ones(1)
            highs = np.unique(highs) if highest else np.ones(1)
            errors = np.array(
                [_squared_errors(moments, middles, low * lowest, highs * highest) for low in lows]
            )
            below, above = np.unravel_index(int(np.argmin(errors)), errors.shape)
            low, high = float(lows[below] * lowest), float(highs[above] * highest)
            around = step ** np.linspace(-1, 1, _GRID // 2 + 1)
            lows = np.minimum(lows[below] * around, 1.0)
            highs = np.minimum(highs[above] * around, 1.0)
            step = step ** (4 / _GRID)
        return low, high

    def _grow(self, exponent: int) -> None:
        if self._exponent is None:
            self._exponent = exponent  # until now only zeros, in the bin that begins at zero
        for _ in range(exponent - self._exponent):
            merged = self.counts.reshape(_SIDE, 2).sum(axis=1)
            self.counts[:] = 0
            self.counts[_SIDE // 2 : _SIDE // 2 + _SIDE] = merged
        self._exponent = max(self._exponent, exponent)

    def _width(self, side: int) -> float:
        return 0.0 if self._exponent is None else 2.0**self._exponent / side

    def _clip(self, low: float, high: float) -> tuple[float, float]:
        """Keep a range inside the extremes that were seen."""
        return max(low, self._low), min(high, self._high)


def _squared_errors(
    moments: NDArray[np.float64],
    middles: NDArray[np.float64],
    low: float,
    highs: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Sum of squared errors of the quantization to [low, high] for each of `highs`.

    Args:
        moments: sums of 1, x and x squared over the bins before each bin, `[3, bins + 1]`.
        middles: value of each bin, ascending.
        low: lower end, at most zero.
        highs: upper ends, at least zero.
    """
    scale = ((highs - low) / (_LEVELS - 1))[:, None]
    zero = np.round(-low / scale)
    levels = (np.arange(_LEVELS) - zero) * scale
    edges = np.searchsorted(middles, (levels[:, 1:] + levels[:, :-1]) / 2)
    count, first, second = (
        np.diff(sums[edges], axis=1, prepend=0.0, append=sums[-1]) for sums in moments
    )
    return np.asarray((second - 2 * levels * first + levels**2 * count).sum(axis=1))


def _divergence(counts: NDArray[np.int64], half: int) -> float:
    """Divergence between the counts clipped at `half` bins from zero and their quantization."""
    middle = counts.size // 2
    window = counts[middle - half : middle + half].astype(np.float64)
    clipped = window.copy()
    clipped[0] += counts[: middle - half].sum()
    clipped[-1] += counts[middle + half :].sum()
    filled = clipped > 0
    starts = np.arange(_LEVELS) * (window.size // _LEVELS)
    lengths = np.diff(starts, append=window.size)
    occupied = np.add.reduceat(filled.astype(np.float64), starts)
    level = np.add.reduceat(window, starts) / np.maximum(occupied, 1)
    quantized = np.where(filled, np.repeat(level, lengths), 0.0)
    if not window.any():
        return math.inf  # everything would be clipped
    p, q = _smooth(clipped), _smooth(quantized)
    return float(np.sum(p * np.log(p / q)))


def _smooth(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move a little weight into empty bins, so that the divergence stays finite; sum to one."""
    share = counts / counts.sum()
    empty = share == 0
    epsilon = 1e-4 / share.size
    share[empty] = epsilon
    share /= share.sum()
    return np.asarray(share, np.float64)
