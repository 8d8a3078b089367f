"""Jackknife bounds of any statistic: for a mean they are those of Student."""

import math

import numpy as np
import pytest

from pytest_kycquant.statistics import jackknife_bounds, mean_lower_bound


def test_a_mean() -> None:
    values = np.random.default_rng(0).normal(0.3, 0.1, 50)
    without = (values.sum() - values) / 49
    lower, upper = jackknife_bounds(float(values.mean()), without)
    assert lower == pytest.approx(mean_lower_bound(values, np.arange(50)))
    assert upper == pytest.approx(-mean_lower_bound(-values, np.arange(50)))


def test_known_value() -> None:
    """Leave-one-out means of 0, 1, 2 are 1.5, 1, .5: standard error 1/sqrt(3), t(2) = 2.92."""
    lower, upper = jackknife_bounds(1.0, np.array([1.5, 1.0, 0.5]))
    assert upper == pytest.approx(1 + 2.919986 / math.sqrt(3), rel=1e-6)
    assert lower == pytest.approx(2 - upper)


@pytest.mark.parametrize("without", [[], [0.5], [0.5, np.nan], [0.5, np.inf]])
def test_nothing_is_known(without: list[float]) -> None:
    assert jackknife_bounds(0.5, np.array(without)) == (-math.inf, math.inf)
