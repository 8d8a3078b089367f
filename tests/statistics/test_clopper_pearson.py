"""Clopper-Pearson bounds are exact for independent trials and valid for fractional ones."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kycquant.statistics import clopper_pearson
from tests.worlds.statistics_examples import brief

sizes = st.floats(1e-3, 1e9)
shares = st.just(0.0) | st.floats(1e-9, 1)
confidences = st.floats(0.5, 0.999)


@pytest.mark.parametrize(
    ("errors", "trials", "upper"),
    [
        (0, 3000, 9.98079e-4),
        (4, 10000, 9.15116e-4),
        (5, 10000, 1.05101e-3),
        (30, 50000, 8.13723e-4),
        (3, 300, 0.0256414),
        (9, 3120, 5.02831e-3),
    ],
)
def test_published_upper_bounds(errors, trials, upper):
    assert clopper_pearson(errors, trials)[1] == pytest.approx(upper, rel=1e-5)


@pytest.mark.parametrize(
    ("limit", "row"),
    [
        (0.001, {0: 2995, 1: 4742, 3: 7752, 5: 10511, 10: 16959, 30: 40686, 100: 118071}),
        (0.05, {0: 59, 1: 93, 3: 153, 5: 208, 10: 336, 30: 809, 100: 2353}),
        (
            0.0001,
            {0: 29956, 1: 47437, 3: 77535, 5: 105128, 10: 169619, 30: 406900, 100: 1180784},
        ),
        (0.1, {0: 29}),
        (0.01, {0: 299}),
    ],
)
def test_smallest_number_of_trials_that_passes(limit, row):
    for errors, trials in row.items():
        assert clopper_pearson(errors, trials)[1] < limit
        assert clopper_pearson(errors, trials - 1)[1] >= limit


@pytest.mark.parametrize(
    ("limit", "trials", "passing", "failing"),
    [
        (0.001, 2994, None, 7),
        (0.001, 3000, 0, 7),
        (0.001, 10_000, 4, 16),
        (0.001, 30_000, 20, 40),
        (0.001, 100_000, 83, 118),
        (0.001, 1_000_000, 947, 1053),
        (0.05, 100, 1, 10),
        (0.05, 300, 8, 22),
        (0.05, 1000, 38, 63),
        (0.05, 5000, 224, 277),
    ],
)
def test_largest_passing_and_smallest_failing_number_of_errors(limit, trials, passing, failing):
    if passing is not None:
        assert clopper_pearson(passing, trials)[1] < limit
    assert clopper_pearson(0 if passing is None else passing + 1, trials)[1] >= limit
    assert clopper_pearson(failing, trials)[0] >= limit
    assert clopper_pearson(failing - 1, trials)[0] < limit


@brief
@given(st.integers(1, 60), st.data())
def test_bounds_solve_the_binomial_equations(trials, data):
    errors = data.draw(st.integers(0, trials))

    def tail(first, last, p):
        return sum(
            math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(first, last + 1)
        )

    lower, upper = clopper_pearson(errors, trials)
    if errors:
        assert tail(errors, trials, lower) == pytest.approx(0.05, rel=1e-6)
    if errors < trials:
        assert tail(0, errors, upper) == pytest.approx(0.05, rel=1e-6)


@brief
@given(sizes, shares, confidences)
def test_agrees_with_the_beta_distribution(trials, share, confidence):
    from scipy.stats import beta

    errors = share * trials
    lower, upper = clopper_pearson(errors, trials, confidence)
    if errors > 0:
        wanted = beta.ppf(1 - confidence, errors, trials - errors + 1)
        assert lower == pytest.approx(wanted, rel=1e-6, abs=1e-12)
    if errors < trials:
        wanted = beta.ppf(confidence, errors + 1, trials - errors)
        assert upper == pytest.approx(wanted, rel=1e-6, abs=1e-12)


@brief
@given(sizes, shares, confidences)
def test_bounds_contain_the_estimate(trials, share, confidence):
    errors = share * trials
    lower, upper = clopper_pearson(errors, trials, confidence)
    assert 0 <= lower <= errors / trials * (1 + 1e-9)
    assert errors / trials * (1 - 1e-9) <= upper <= 1


@brief
@given(sizes, shares, st.floats(1, 100))
def test_bounds_fall_with_trials_and_rise_with_errors(trials, share, factor):
    errors = share * trials
    here, more_trials = clopper_pearson(errors, trials), clopper_pearson(errors, trials * factor)
    more_errors = clopper_pearson(errors + (trials - errors) * (1 - 1 / factor), trials)
    for bound in (0, 1):
        assert more_trials[bound] <= here[bound] * (1 + 1e-9) + 1e-12
        assert more_errors[bound] >= here[bound] * (1 - 1e-9) - 1e-12


@brief
@given(sizes, shares)
def test_bounds_are_mirror_images(trials, share):
    errors = share * trials
    lower, upper = clopper_pearson(errors, trials)
    mirrored = clopper_pearson(trials - errors, trials)
    assert (1 - upper, 1 - lower) == pytest.approx(mirrored, rel=1e-6, abs=1e-9)


def test_ends_and_empty_samples():
    assert clopper_pearson(0, 10)[0] == 0.0
    assert clopper_pearson(10, 10)[1] == 1.0
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    assert clopper_pearson(0, -1) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("errors", "trials", "confidence"),
    [(-1, 5, 0.95), (6, 5, 0.95), (math.nan, 5, 0.95), (1, math.nan, 0.95), (1, 5, 0), (1, 5, 95)],
)
def test_impossible_arguments_are_refused(errors, trials, confidence):
    with pytest.raises(ValueError, match="confidence"):
        clopper_pearson(errors, trials, confidence)
