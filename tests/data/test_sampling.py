"""A sample is spread over subjects, whatever their order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kycquant.data.sampling import evenly, spread


def test_everything_if_there_is_no_more() -> None:
    assert evenly(np.array([3, 1, 1]), 3).tolist() == [0, 1, 2]


def test_one_of_each_at_even_steps() -> None:
    groups = np.repeat(np.arange(100), 3)
    chosen = evenly(groups, 5)
    assert groups[chosen].tolist() == [0, 24, 49, 74, 99]
    assert len(set(groups[evenly(groups, 64)])) == 64


def test_second_images_only_after_first_ones() -> None:
    groups = np.array([0] * 50 + [1, 2, 3])
    chosen = groups[evenly(groups, 8)]
    assert np.bincount(chosen).tolist() == [5, 1, 1, 1]


def test_order_of_images_does_not_bind_a_sample_to_some_groups() -> None:
    groups = np.random.default_rng(0).permutation(np.repeat(np.arange(20), 10))
    assert np.bincount(groups[evenly(groups, 60)]).tolist() == [3] * 20


@given(st.integers(0, 3000), st.integers(1, 600))
def test_a_spread_is_even(count, most):
    chosen = spread(count, most)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(count, most)
    assert not chosen or (chosen[0] == 0 and chosen[-1] < count)
    if count > most:  # no stretch of the order is left out
        assert max(np.diff([*chosen, count])) <= 2.7 * count / most + 1


@pytest.mark.parametrize("each", range(2, 9))
def test_a_spread_does_not_meet_the_order_of_photographs(each):
    """A constant step took only the first photograph of each person, or none of some lights."""
    for most in (32, 100, 300):
        for people in (50, 300, 1000):
            if people * each <= most:
                continue
            chosen = np.array(spread(people * each, most)) % each
            shares = np.bincount(chosen, minlength=each) / len(chosen)
            assert abs(shares - 1 / each).max() < 2.5 / len(chosen) + 0.02
