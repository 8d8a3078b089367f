"""Order statistics bound the quantiles of any distribution."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_kycquant.statistics import lower_rank, order_statistic_interval, upper_rank
from tests.worlds.statistics_examples import brief

numbers = st.integers(0, 400)
quantiles = st.floats(0.005, 0.995)
confidences = st.floats(0.5, 0.995)


def cdf(k: int, n: int, q: float) -> float:
    return math.fsum(math.comb(n, i) * q**i * (1 - q) ** (n - i) for i in range(k + 1))


@pytest.mark.parametrize(("q", "smallest"), [(0.95, 59), (0.99, 299), (0.5, 5)])
def test_smallest_sample_of_an_upper_bound(q, smallest):
    assert upper_rank(smallest - 1, q) is None
    assert upper_rank(smallest, q) == smallest - 1


@pytest.mark.parametrize(("q", "smallest"), [(0.05, 59), (0.01, 299), (0.5, 5)])
def test_smallest_sample_of_a_lower_bound(q, smallest):
    assert lower_rank(smallest - 1, q) is None
    assert lower_rank(smallest, q) == 0


@brief
@given(numbers, quantiles, confidences)
def test_upper_rank_is_the_first_that_covers(n, q, confidence):
    rank = upper_rank(n, q, confidence)
    if rank is None:
        assert q**n > 1 - confidence - 1e-9
        return
    assert 0 <= rank < n
    assert cdf(rank, n, q) >= confidence - 1e-9
    assert rank == 0 or cdf(rank - 1, n, q) < confidence + 1e-9


@brief
@given(numbers, quantiles, confidences)
def test_lower_rank_is_the_last_that_covers(n, q, confidence):
    rank = lower_rank(n, q, confidence)
    if rank is None:
        assert (1 - q) ** n > 1 - confidence - 1e-9
        return
    assert 0 <= rank < n
    assert cdf(rank, n, q) <= 1 - confidence + 1e-9
    assert cdf(rank + 1, n, q) > 1 - confidence - 1e-9


@pytest.mark.parametrize("q", [0.05, 0.5, 0.9, 0.95, 0.99])
def test_agrees_with_the_binomial_quantile(q):
    from scipy.stats import binom

    for n in range(1, 700, 7):
        one_based = int(binom.ppf(0.95, n, q)) + 1
        assert upper_rank(n, q) == (one_based - 1 if one_based <= n else None)


@brief
@given(st.integers(0, 40), st.sampled_from([0.125, 0.25, 0.5, 0.75]), confidences)
def test_ranks_are_mirror_images(n, q, confidence):
    # If a tail equals the confidence exactly, rounding may shift either rank by one.
    assume(all(abs(cdf(k, n, q) - confidence) > 1e-9 for k in range(n)))
    upper = upper_rank(n, q, confidence)
    assert lower_rank(n, 1 - q, confidence) == (None if upper is None else n - 1 - upper)


@pytest.mark.parametrize(
    ("n", "ranks"), [(5, None), (6, (0, 5)), (10, (1, 8)), (20, (5, 14)), (100, (39, 60))]
)
def test_interval_of_the_median(n, ranks):
    assert order_statistic_interval(n, 0.5, 0.95) == ranks


@brief
@given(numbers, quantiles, confidences)
def test_interval_misses_with_the_rest_of_the_confidence_at_most(n, q, confidence):
    interval = order_statistic_interval(n, q, confidence)
    if interval is not None:
        low, high = interval
        assert 0 <= low <= high < n
        assert cdf(high, n, q) - cdf(low, n, q) >= confidence - 1e-9


def test_interval_covers_the_median_of_a_skewed_sample():
    sample = np.sort(np.random.default_rng(5).exponential(size=(2000, 50)), axis=1)
    interval = order_statistic_interval(50, 0.5, 0.95)
    assert interval is not None
    low, high = interval
    covered = (sample[:, low] <= math.log(2)) & (math.log(2) <= sample[:, high])
    assert 0.95 <= covered.mean() < 0.98


def test_an_empty_sample_has_no_bounds():
    assert upper_rank(0, 0.5) is lower_rank(0, 0.5) is order_statistic_interval(0, 0.5, 0.9) is None


@pytest.mark.parametrize("function", [upper_rank, lower_rank])
@pytest.mark.parametrize(("q", "confidence"), [(0, 0.9), (1, 0.9), (99, 0.9), (0.5, 0), (0.5, 1)])
def test_impossible_shares_are_refused(function, q, confidence):
    with pytest.raises(ValueError, match="not inside"):
        function(10, q, confidence)
