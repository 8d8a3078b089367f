"""Histograms whose range grows with the data, in fixed memory and whatever the order of values."""

from __future__ import annotations

import math
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .sensitivity import Weights

BINS = 16384  # half of them on each side of zero
_SIDE = BINS // 2
_COARSE = 512  # bins on each side in the entropy search: finer bins give ever narrower ranges
_LEVELS = 256  # quantization levels in the searches, those of 8 bits
_GRID = 33  # number of range ends tried in each step of the search for the least squared error
_SMALLEST = 1 / 64  # smallest range that this search tries, as a fraction of the extremes
_STRIDE = 4  # the entropy search tries every fourth bin as a threshold
_CHUNK = 1 << 17  # values counted at once, so that intermediate results fit in the CPU's cache
_ALIKE = 4  # weight of the error of a clipped value if errors are weighted by their effect
_NOTHING = -149  # exponent before any nonzero value: that of the smallest float32
# Exponents for which float32 counts exactly. Outside, tiny numbers become zero and change sides, or
# the factor overflows.
_EXACT = range(-100, _SIDE.bit_length())


class Histogram:
    """Counts of values in equal bins on both sides of zero, and their extremes.

    The bins span -2**e to 2**e for the smallest e that covers the data. A larger value merges
    neighbouring bins, which is exact because all widths are powers of two. The counts therefore
    depend only on the values, not on their order, and the memory is constant. Threads may share a
    histogram.

    Args:
        counts: number of values in each bin, int64, `[BINS]`; all 0 by default.
        exponent: the exponent e above.
        low: the smallest value.
        high: the largest value.
    """

    def __init__(
        self,
        counts: NDArray[np.int64] | None = None,
        exponent: int = _NOTHING,
        low: float = math.inf,
        high: float = -math.inf,
    ) -> None:
        self.counts = np.zeros(BINS, np.int64) if counts is None else counts
        self.exponent = exponent
        self.low, self.high = low, high
        self._lock = Lock()

    def add(self, values: NDArray[np.float32]) -> tuple[float, float]:
        """Count float32 values of any shape, and return the smallest and the largest of them.

        If one of these is NaN or Inf, nothing is counted. Without values, both are zero.
        """
        if not values.size:
            return 0.0, 0.0
        # NaN wins. Zero is made positive, so that its sign does not depend on the image order.
        low, high = float(values.min()) + 0.0, float(values.max()) + 0.0
        if not (math.isfinite(low) and math.isfinite(high)):
            return low, high
        largest = max(-low, high)
        exponent = math.frexp(largest)[1] if largest else _NOTHING
        exponent = max(exponent, self.exponent)  # self.exponent only grows
        counts = _count(values.ravel(), exponent)
        with self._lock:
            self.low, self.high = min(self.low, low), max(self.high, high)
            if exponent > self.exponent:
                self.counts = _merged(self.counts, exponent - self.exponent)
                self.exponent = exponent
            self.counts += _merged(counts, self.exponent - exponent)
        return low, high

    def extremes(self) -> tuple[float, float]:
        """Return the smallest and the largest value; zeros if there were none."""
        return (self.low, self.high) if self.low <= self.high else (0.0, 0.0)

    def percentile_range(self, percentile: float) -> tuple[float, float]:
        """Return the range that keeps `percentile` percent of the values.

        The same number of values is cut off on each side; bins are kept whole.
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

        The divergence is that of Kullback and Leibler; the search tries ranges symmetric about
        zero.
        """
        if not self.counts.any():
            return 0.0, 0.0
        counts = self.counts.reshape(2 * _COARSE, -1).sum(axis=1)
        candidates = range(_LEVELS // 2, _COARSE + 1, _STRIDE)
        divergences = [_divergence(counts, half) for half in candidates]
        threshold = candidates[int(np.argmin(divergences))] * self._width(_COARSE)
        return self._clip(-threshold, threshold)

    def mse_range(self, weights: Weights | None = None) -> tuple[float, float]:
        """Return the range whose 256-level quantization has the least squared error.

        A narrower range has finer steps and cuts off more. Pairs of ends are tried on a grid, then
        on finer grids around the best pair. A value counts as the middle of its bin, except that
        values in the bin that begins at zero count as zero, which every range represents exactly.

        Args:
            weights: weight of the squared error of each value in the outputs; None weights all
                equally. The weights assume that errors are independent, as rounding errors are.
                Values that are cut off all move in the same direction and their errors add up, so
                these count more.
        """
        width = self._width(_SIDE)
        lowest, highest = min(self.low, 0.0) / width, max(self.high, 0.0) / width
        if lowest == highest:
            return 0.0, 0.0
        middles = np.arange(-_SIDE + 0.5, _SIDE)  # the width of a bin is the unit
        middles[_SIDE] = 0.0
        counts = self.counts if weights is None else self.counts * weights.at(middles * width)
        weighted = counts * np.stack([np.ones(BINS), middles, middles**2])
        moments = np.zeros((3, BINS + 1))
        np.cumsum(weighted, axis=1, out=moments[:, 1:])
        lows = highs = np.geomspace(_SMALLEST, 1.0, _GRID)  # shares of the extremes
        step = _SMALLEST ** (1 / (1 - _GRID))
        for _ in range(3):
            lows = np.unique(lows) if lowest else np.ones(1)
            highs = np.unique(highs) if highest else np.ones(1)
            pairs = [(moments, low * lowest, highs * highest) for low in lows]
            errors = np.array([_squared_errors(*pair) for pair in pairs])
            if weights is not None:
                errors += (_ALIKE - 1) * np.array([_cut_off(*pair) for pair in pairs])
            below, above = np.unravel_index(int(np.argmin(errors)), errors.shape)
            low, high = float(lows[below] * lowest), float(highs[above] * highest)
            around = step ** np.linspace(-1, 1, _GRID // 2 + 1)
            lows = np.minimum(lows[below] * around, 1.0)
            highs = np.minimum(highs[above] * around, 1.0)
            step = step ** (4 / _GRID)
        return low * width, high * width

    def _width(self, side: int) -> float:
        return 2.0**self.exponent / side

    def _clip(self, low: float, high: float) -> tuple[float, float]:
        """Keep a range inside the extremes that were seen."""
        return max(low, self.low), min(high, self.high)


def _count(values: NDArray[np.float32], exponent: int) -> NDArray[np.int64]:
    """Count values, `[N]`, all of magnitude below 2**exponent, in BINS bins."""
    # Multiplying by a power of two is exact.
    dtype = np.float32 if exponent in _EXACT else np.float64
    scale = dtype(2.0**-exponent * _SIDE)
    counts = np.zeros(0, np.int64)
    for start in range(0, values.size, _CHUNK):
        scaled = np.multiply(values[start : start + _CHUNK], scale, dtype=dtype)
        index = np.floor(scaled, out=scaled).astype(np.int32)
        index += _SIDE
        counted = np.bincount(index, minlength=BINS)
        counts = counts + counted if start else counted
    return counts


def _merged(counts: NDArray[np.int64], times: int) -> NDArray[np.int64]:
    """Counts in bins that are 2**times as wide, `[BINS]`."""
    if not times:
        return counts
    wide = counts.reshape(-1, 2 ** min(times, _SIDE.bit_length() - 1)).sum(axis=1)
    around = (BINS - wide.size) // 2
    return np.pad(wide, around)


def _squared_errors(
    moments: NDArray[np.float64], low: float, highs: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum of squared errors of the quantization to [low, high], less a constant, for all `highs`.

    Let the levels L[k] be s apart, and m[k] halfway between L[k - 1] and L[k]. Let C[k] values with
    sum F[k] be below m[k], out of C values with sum F. Summation by parts gives the sum of
    (x - L)**2 as sum(x**2) - 2 F L[-1] + C L[-1]**2 + 2 s sum(F[k] - m[k] C[k]).

    Args:
        moments: number, sum and sum of squares of the values before each bin, `[3, BINS + 1]`.
        low: lower end of the range in bins, at most zero.
        highs: upper ends in bins, at least zero.
    """
    count, first, _ = moments
    scale = (highs - low) / (_LEVELS - 1)
    zero = np.round(-low / scale)
    halfway = (np.arange(0.5, _LEVELS - 1) - zero[:, None]) * scale[:, None]
    # The first bin whose value is not below. The bin that begins at zero has the value zero.
    edges = np.ceil(halfway - 0.5).astype(np.int32)
    edges += (edges == 0) & (halfway > 0)
    edges = np.clip(edges + _SIDE, 0, BINS)
    top = (_LEVELS - 1 - zero) * scale
    inside = (first[edges] - halfway * count[edges]).sum(axis=1)
    return np.asarray(top * (top * count[-1] - 2 * first[-1]) + 2 * scale * inside)


def _cut_off(
    moments: NDArray[np.float64], low: float, highs: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The part of `_squared_errors` from values outside the range; same arguments."""
    scale = (highs - low) / (_LEVELS - 1)
    bottom = -np.round(-low / scale) * scale
    top = bottom + (_LEVELS - 1) * scale
    below, above = (
        moments[:, np.clip(np.ceil(end - 0.5).astype(np.int64) + _SIDE, 0, BINS)]
        for end in (bottom, top)
    )
    above = moments[:, -1:] - above
    return np.asarray(
        sum(q - 2 * end * f + end**2 * c for (c, f, q), end in ((below, bottom), (above, top)))
    )


def _divergence(counts: NDArray[np.int64], half: int) -> float:
    """Divergence between the counts, clipped at `half` bins from zero, and their quantization."""
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
    """Normalize to a sum of one, with a little weight in empty bins to keep divergence finite."""
    share = counts / counts.sum()
    empty = share == 0
    epsilon = 1e-4 / share.size
    share[empty] = epsilon
    share /= share.sum()
    return np.asarray(share, np.float64)
