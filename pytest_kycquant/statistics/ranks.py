"""Order statistics that bound quantiles.

David and Nagaraja, Order Statistics (2003), chapter 7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .rates import CONFIDENCE

if TYPE_CHECKING:
    from numpy.typing import NDArray


def upper_rank(n: int, q: float, confidence: float = CONFIDENCE) -> int | None:
    """Find which of `n` sorted values bounds the q-quantile of their distribution from above.

    The number of values below the quantile is binomial, so the value of 0-based rank r is such a
    one-sided bound if ``binom.cdf(r, n, q) >= confidence`` (David and Nagaraja). The result is
    the smallest such rank, or None if even the largest value is not such a bound.

    Raises:
        ValueError: if `q` or `confidence` is not inside (0, 1).
    """
    rank = int(np.searchsorted(_binomial_cdf(n, q, confidence), confidence))
    return rank if rank < n else None


def lower_rank(n: int, q: float, confidence: float = CONFIDENCE) -> int | None:
    """Mirror `upper_rank`: the largest 0-based r with ``binom.cdf(r, n, q) <= 1 - confidence``."""
    cdf = _binomial_cdf(n, q, confidence)
    rank = int(np.searchsorted(cdf, 1 - confidence, side="right")) - 1
    return rank if rank >= 0 else None


def order_statistic_interval(n: int, q: float, confidence: float) -> tuple[int, int] | None:
    """Find the ranks of the two-sided equal-tailed interval of a q-quantile; None if too few."""
    one_sided = (1 + confidence) / 2
    low, high = lower_rank(n, q, one_sided), upper_rank(n, q, one_sided)
    return None if low is None or high is None else (low, high)


def _binomial_cdf(n: int, q: float, confidence: float) -> NDArray[np.float64]:
    from scipy.special import bdtr

    if not (0 < q < 1 and 0 < confidence < 1):
        raise ValueError(f"q = {q} or confidence = {confidence} is not inside (0, 1)")
    return np.asarray(bdtr(np.arange(n), n, q), dtype=np.float64)
