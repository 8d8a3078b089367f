"""The mean of clustered values has a lower bound that accounts for the clusters."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kycquant.statistics import mean_lower_bound
from tests.worlds.statistics_examples import brief

rows = st.lists(st.tuples(st.floats(-1, 1, width=32), st.integers(0, 6)), min_size=1, max_size=40)


def arrays(rows):
    return np.array([v for v, _ in rows]), np.array([s for _, s in rows])


@brief
@given(rows)
def test_agrees_with_leaving_out_one_subject_at_a_time(rows):
    from scipy.stats import t

    values, subjects = arrays(rows)
    names = sorted(set(subjects.tolist()))
    bound = mean_lower_bound(values, subjects)
    if len(names) < 2:
        assert bound == -math.inf
        return
    means = [np.mean([v for v, s in rows if s != name]) for name in names]
    error = math.sqrt((len(names) - 1) * np.var(means))
    wanted = values.mean() - t.ppf(0.95, len(names) - 1) * error
    assert bound == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@brief
@given(rows)
def test_is_no_higher_than_the_mean(rows):
    values, subjects = arrays(rows)
    assert mean_lower_bound(values, subjects) <= values.mean() + 1e-12


def test_of_one_image_per_subject_is_that_of_student():
    from scipy.stats import sem, t

    values = np.random.default_rng(3).normal(0.99, 0.01, 50)
    wanted = values.mean() - t.ppf(0.95, 49) * sem(values)
    assert mean_lower_bound(values, np.arange(50)) == pytest.approx(wanted, rel=1e-12)


@brief
@given(rows, st.integers(2, 4))
def test_duplicated_images_gain_nothing(rows, times):
    values, subjects = arrays(rows)
    once = mean_lower_bound(values, subjects)
    often = mean_lower_bound(np.tile(values, times), np.tile(subjects, times))
    assert often == pytest.approx(once, rel=1e-9, abs=1e-9)


def test_does_not_depend_on_order_or_on_the_type_of_subjects():
    rng = np.random.default_rng(4)
    values, subjects = rng.random(60), rng.integers(0, 12, 60)
    order = rng.permutation(60)
    wanted = pytest.approx(mean_lower_bound(values, subjects), rel=1e-12)
    assert mean_lower_bound(values[order], subjects[order]) == wanted
    assert mean_lower_bound(values, np.array([f"person {s}" for s in subjects])) == wanted


def test_of_a_constant_is_the_constant():
    values = np.full(30, 0.995, dtype=np.float32)
    assert mean_lower_bound(values, np.arange(30) // 3) == pytest.approx(0.995, abs=1e-7)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_leaves_no_bound(bad):
    assert mean_lower_bound(np.array([1.0, bad, 1.0]), np.arange(3)) == -math.inf


@pytest.mark.parametrize("subjects", [[], [7], [7, 7]])
def test_fewer_than_two_subjects_leave_no_bound(subjects):
    assert mean_lower_bound(np.ones(len(subjects)), np.array(subjects)) == -math.inf


@pytest.mark.parametrize(
    ("values", "subjects"), [(np.ones(3), np.arange(2)), (np.ones((2, 2)), np.ones((2, 2)))]
)
def test_arrays_that_do_not_match_are_refused(values, subjects):
    with pytest.raises(ValueError, match="shape"):
        mean_lower_bound(values, subjects)
