"""A paired difference of error rates is bounded from the bounds of its two parts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kycquant.statistics import noninferiority
from tests.worlds.statistics_examples import brief, independent


@pytest.mark.parametrize(
    ("b", "c", "trials", "upper"),
    [
        (0, 0, 3000, 9.9808e-4),
        (1, 1, 3000, 1.2864e-3),
        (3, 3, 10_000, 5.229e-4),
        (10, 10, 10_000, 8.3252e-4),
    ],
)
def test_published_upper_bounds(b, c, trials, upper):
    result = noninferiority(independent(b, trials), independent(c, trials))
    assert result.value == 0
    assert result.upper == pytest.approx(upper, rel=5e-5)


def test_positive_is_worse():
    result = noninferiority(worse=independent(4, 100), better=independent(0, 100))
    assert result.value == pytest.approx(0.04)
    assert result.upper > 0.04 > result.lower > 0


@brief
@given(st.integers(1, 10_000), st.data())
def test_bounds_contain_the_value_and_mirror_when_swapped(trials, data):
    b = data.draw(st.integers(0, trials))
    c = data.draw(st.integers(0, trials - b))
    result = noninferiority(independent(b, trials), independent(c, trials))
    assert -1 - 1e-12 <= result.lower <= result.value <= result.upper <= 1 + 1e-12
    swapped = noninferiority(independent(c, trials), independent(b, trials))
    assert (swapped.lower, swapped.upper) == pytest.approx((-result.upper, -result.lower))


@brief
@given(st.integers(2, 10_000), st.data())
def test_upper_bound_rises_with_worse_decisions(trials, data):
    b = data.draw(st.integers(0, trials - 1))
    c = data.draw(st.integers(0, trials - b - 1))
    bounds = [
        noninferiority(independent(k, trials), independent(c, trials)).upper for k in (b, b + 1)
    ]
    assert bounds[0] < bounds[1]


def test_needs_support_of_both_parts():
    known, unknown = independent(1, 100), replace(independent(1, 100), subjects=19)
    assert noninferiority(known, known).supported
    assert not noninferiority(known, unknown).supported
    assert not noninferiority(unknown, known).supported


def test_unpaired_rates_are_refused():
    with pytest.raises(ValueError, match="not paired"):
        noninferiority(independent(1, 100), independent(1, 101))
