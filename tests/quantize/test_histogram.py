import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kycquant.quantize.histogram import Histogram

numbers = st.floats(-(2.0**127), 2.0**127, width=32)
parts = st.lists(st.lists(numbers, max_size=20), min_size=1, max_size=6)


def filled(lists):
    histogram = Histogram()
    for values in lists:
        histogram.add(np.array(values, np.float32))
    return histogram


@given(parts, st.randoms())
@settings(max_examples=60)
def test_the_order_of_the_data_does_not_matter(lists, random):
    shuffled = random.sample(lists, len(lists))
    first, second = filled(lists), filled(shuffled)
    np.testing.assert_array_equal(first.counts, second.counts)
    assert first.percentile_range(99) == second.percentile_range(99)


@given(parts)
@settings(max_examples=60)
def test_nothing_is_lost_and_memory_is_constant(lists):
    histogram = filled(lists)
    assert histogram.counts.sum() == sum(map(len, lists))
    assert histogram.counts.size == Histogram().counts.size


@given(parts)
@settings(max_examples=60)
def test_ranges_lie_within_the_extremes(lists):
    values = np.array([v for part in lists for v in part] or [0.0], np.float32)
    for low, high in (filled(lists).percentile_range(99.9), filled(lists).entropy_range()):
        assert values.min() <= low <= high <= values.max()


def test_a_first_image_of_tiny_values_costs_no_memory():
    histogram = filled([[1e-20], [1.0] * 999])
    assert histogram.percentile_range(100) == (np.float32(1e-20), 1.0)


def test_entropy_cuts_a_lonely_outlier():
    values = np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
    values[0] = 60.0
    histogram = Histogram()
    histogram.add(values)
    low, high = histogram.entropy_range()
    assert -30 <= low < -3
    assert 3 < high < 30
