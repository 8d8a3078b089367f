"""Jackknife bounds of any statistic; for a mean they equal Student's bounds."""

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


def test_a_share_is_bounded_on_the_scale_of_its_logit() -> None:
    without = np.array([0.95, 0.9, 0.85])
    plain = jackknife_bounds(0.9, without)
    lower, upper = jackknife_bounds(0.9, without, share=True)
    error = (plain[1] - 0.9) / (0.9 * 0.1)
    assert lower == pytest.approx(1 / (1 + math.exp(error) / 9))
    assert upper == pytest.approx(1 / (1 + math.exp(-error) / 9))
    assert 0 < lower < 0.9 < upper < 1


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_share_at_its_end(value: float) -> None:
    assert jackknife_bounds(value, np.full(20, value), share=True) == (value, value)
