"""From scores to what plots show: counts in bins, and error rates over thresholds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..curves import OperatingPoint, ScoreCounts, ScorePlot
from ..statistics import Rate

BINS = 48
POINTS = 25  # thresholds of a DET curve, beside the frozen one

Scores = NDArray[np.floating]


def edges_over(
    scores: Iterable[Scores], within: tuple[float, float] = (-math.inf, math.inf)
) -> NDArray[np.float64]:
    """Limits of `BINS` bins over all finite scores, of equal width; shape (BINS + 1,).

    The ends are rounded outwards, so that they do not depend on the last bits of a score.

    Args:
        scores: the scores.
        within: the lowest and the highest score that there can be.
    """
    known = [found for each in scores if len(found := each[np.isfinite(each)])]
    least = float(min((each.min() for each in known), default=0.0))
    most = float(max((each.max() for each in known), default=1.0))
    if not most > least:
        least, most = least - 0.5, most + 0.5
    step = 10.0 ** np.floor(np.log10(most - least) - 1)
    low = max(float(np.floor(least / step - 0.01) * step), within[0])
    high = min(float(np.ceil(most / step + 0.01) * step), within[1])
    return np.linspace(low, high, BINS + 1)


def binned(scores: Scores, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bin of each score, of any shape; `BINS` for what is not finite, ends for what is beyond."""
    place = np.floor((scores - edges[0]) * (BINS / (edges[-1] - edges[0])))
    known = np.isfinite(scores)
    found = np.full(scores.shape, BINS, np.int64)
    found[known] = np.clip(place[known], 0, BINS - 1).astype(np.int64)
    return found


def counted(kind: str, fp32: NDArray[np.int64], variant: NDArray[np.int64]) -> ScoreCounts:
    """Count trials by the bins of both scores."""
    side = BINS + 1
    return of_table(kind, np.bincount(fp32 * side + variant, minlength=side * side))


def of_table(kind: str, table: NDArray[np.int64]) -> ScoreCounts:
    """The counts of a flattened table of (bins of FP32, bins of the variant)."""
    filled = np.flatnonzero(table)
    rows, columns = np.divmod(filled, BINS + 1)
    return ScoreCounts(
        kind,
        tuple(zip(rows.tolist(), columns.tolist(), table[filled].tolist(), strict=True)),
    )


def paired_plot(
    score: str,
    fp32: Scores,
    variant: Scores,
    kinds: Mapping[str, NDArray[np.bool_]],
    threshold: float | None,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> ScorePlot:
    """The scores of single trials.

    Args:
        score: what the score is.
        fp32: (N,) scores of FP32; NaN for those that it does not give.
        variant: (N,) scores of the variant.
        kinds: (N,) bool, the trials of each kind, by its name.
        threshold: the frozen threshold; None if there is none.
        within: the lowest and the highest score that there can be.
    """
    edges = edges_over((fp32, variant), within)
    places = binned(fp32, edges), binned(variant, edges)
    return ScorePlot(
        score,
        tuple(edges.tolist()),
        threshold if threshold is not None and np.isfinite(threshold) else None,
        tuple(counted(kind, *(each[of] for each in places)) for kind, of in kinds.items()),
    )


def thresholds_among(scores: Sequence[Scores], frozen: float) -> tuple[list[float], int]:
    """Thresholds at evenly spaced ranks of the scores of each kind, and the frozen one's index.

    Ranks are spaced evenly in their logarithm from both ends, where rates are small.

    Args:
        scores: the scores of FP32 of each kind of trial.
        frozen: the frozen threshold.
    """
    found = {frozen}
    for each in scores:
        ordered = np.unique(each[np.isfinite(each)])
        if not len(ordered):
            continue
        half = max(len(ordered) // 2, 1)
        ranks = np.geomspace(1, half, max(POINTS // (2 * len(scores)), 2)).astype(np.int64) - 1
        found |= set(ordered[ranks].tolist()) | set(ordered[-1 - ranks].tolist())
    thresholds = sorted(found)
    return thresholds, thresholds.index(frozen)


def point(threshold: float, x: Rate | float, y: Rate) -> OperatingPoint:
    """Both rates at one threshold; a plain number on the horizontal axis has no bounds."""
    if isinstance(x, Rate):
        return OperatingPoint(threshold, x.value, x.lower, x.upper, y.value, y.lower, y.upper)
    return OperatingPoint(threshold, x, None, None, y.value, y.lower, y.upper)


def points(
    thresholds: Iterable[float], rates: Callable[[float], tuple[Rate | float, Rate]]
) -> tuple[OperatingPoint, ...]:
    """The operating points at some thresholds, given a function from a threshold to both rates."""
    return tuple(point(each, *rates(each)) for each in thresholds)
