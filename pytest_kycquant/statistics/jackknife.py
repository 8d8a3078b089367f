"""Bounds of means and of other smooth statistics by leaving out one subject at a time.

Shao and Tu, The Jackknife and Bootstrap (1995): standard errors of any smooth statistic.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .rates import CONFIDENCE, jackknife_variance

if TYPE_CHECKING:
    from numpy.typing import NDArray


def mean_lower_bound(values: NDArray[np.floating], subjects: NDArray[Any]) -> float:
    """Bound the mean of values clustered by subject from below, at `CONFIDENCE`.

    The bound is the mean minus Student's t (G - 1 degrees of freedom) times the jackknife standard
    error over the G subjects.

    Args:
        values: (N,) floating, one value per image, in any unit; the bound has the same unit.
        subjects: (N,) subject of each image, of any sortable type. With fewer than two subjects,
            or if any value is not finite, the bound is -inf.

    Raises:
        ValueError: if the arrays are not one-dimensional and of equal length.
    """
    from scipy.special import stdtrit

    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or x.shape != np.shape(subjects):
        raise ValueError(f"values of shape {x.shape}, subjects of shape {np.shape(subjects)}")
    names, index = np.unique(np.asarray(subjects), return_inverse=True)
    if names.size < 2 or not np.isfinite(x).all():
        return -math.inf
    sums, sizes = np.bincount(index, weights=x), np.bincount(index)
    error = math.sqrt(jackknife_variance(float(x.sum()), x.size, sums, sizes))
    return float(x.mean() - stdtrit(names.size - 1, CONFIDENCE) * error)


def jackknife_bounds(
    value: float, without: NDArray[np.floating], *, share: bool = False
) -> tuple[float, float]:
    """Bound a smooth statistic from below and from above, each at `CONFIDENCE`.

    The bounds are the value minus and plus Student's t (G - 1 degrees of freedom) times the
    delete-a-group jackknife standard error (Shao and Tu, chapter 2).

    Args:
        value: the statistic of all data.
        without: (G,) the statistic, or one with the same standard error, without each group. With
            fewer than two groups, or if any value is not finite, the bounds are infinite.
        share: whether the statistic lies between 0 and 1. The bounds are then computed on the
            logit scale, because near 0 or 1 the distribution is skewed.
    """
    from scipy.special import expit, logit, stdtrit

    groups = len(without)
    if groups < 2 or not np.isfinite([value, *without]).all():
        return -math.inf, math.inf
    variance = (groups - 1) / groups * np.square(without - np.mean(without)).sum()
    error = float(stdtrit(groups - 1, CONFIDENCE) * math.sqrt(variance))
    if not (share and 0 < value < 1):
        return value - error, value + error
    middle, error = float(logit(value)), error / (value * (1 - value))
    return float(expit(middle - error)), float(expit(middle + error))
