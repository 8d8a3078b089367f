"""A sample is spread over subjects, whatever their order."""

import numpy as np

from pytest_kycquant.data.sampling import evenly


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
