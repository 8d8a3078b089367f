"""A rate has bounds for the effective number of trials."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kycquant.plain import plain
from pytest_kycquant.statistics import Counts, clopper_pearson, rate
from tests.worlds.statistics_examples import brief, pair_counts, worked_example


def test_worked_example():
    result = rate(worked_example())
    assert (result.errors, result.trials, result.subjects) == (9, 3120, 40)
    assert result.value == pytest.approx(0.00288462, rel=1e-5)
    assert result.n_eff == pytest.approx(619.058, rel=1e-6)
    assert (result.lower, result.upper) == pytest.approx((4.41215e-4, 9.61605e-3), rel=1e-5)
    assert result.supported


@brief
@given(pair_counts(), st.floats(1, 1000))
def test_agrees_with_the_distributions(counts, floor):
    from scipy.stats import beta, norm, t

    result = rate(counts, deff_floor=floor)
    if result.subjects < 2:
        assert (result.n_eff, result.lower, result.upper) == (0.0, 0.0, 1.0)
        return
    ratio = norm.ppf(0.95) / t.ppf(0.95, result.subjects - 1)
    n_eff = counts.trials / result.deff * ratio**2
    assert result.deff >= floor
    assert result.n_eff == pytest.approx(n_eff, rel=1e-9)
    spare = counts.subject_errors.max() - 1 if counts.errors >= 10 else 0
    if counts.errors > 0 and counts.errors + spare < counts.trials:
        k, more = (e / counts.trials * n_eff for e in (counts.errors, counts.errors + spare))
        wanted = (beta.ppf(0.05, k, n_eff - k + 1), beta.ppf(0.95, more + 1, n_eff - more))
        assert (result.lower, result.upper) == pytest.approx(wanted, rel=1e-6, abs=1e-12)


def test_leaves_room_for_one_more_subject_like_the_worst():
    trials = np.full(100, 20)
    alike, unlike = np.zeros((2, 100), np.int64)
    alike[:10] = 3  # ten subjects with three errors each
    unlike[:11] = [20] + [1] * 10  # the same errors, most of them of one subject
    even, uneven = (
        rate(Counts(30, 2000, errors, trials), deff_floor=20) for errors in (alike, unlike)
    )
    assert even.deff == uneven.deff == 20
    assert (even.worst, uneven.worst) == (3, 20)
    assert even.lower == uneven.lower
    assert even.upper == clopper_pearson(32 / 2000 * even.n_eff, even.n_eff)[1]
    assert uneven.upper == clopper_pearson(49 / 2000 * even.n_eff, even.n_eff)[1]


def test_independent_trials_have_the_bounds_of_clopper_and_pearson():
    errors = np.zeros(1_000_000, np.int64)
    errors[:30] = 1
    found = rate(Counts(30, 1_000_000, errors, np.ones_like(errors)))
    bounds = clopper_pearson(30, 1_000_000)
    assert (found.lower, found.upper) == pytest.approx(bounds, rel=1e-5)


@brief
@given(pair_counts())
def test_bounds_contain_the_value_and_the_naive_interval(counts):
    result = rate(counts)
    assert result.lower <= result.value <= result.upper
    naive = clopper_pearson(counts.errors, counts.trials)
    assert result.lower <= naive[0] * (1 + 1e-9)
    assert result.upper >= naive[1] * (1 - 1e-9)


@brief
@given(pair_counts(), st.floats(1, 50), st.floats(1, 50))
def test_a_higher_floor_never_narrows(counts, first, second):
    low, high = sorted((first, second))
    narrow, wide = rate(counts, deff_floor=low), rate(counts, deff_floor=high)
    assert wide.lower <= narrow.lower * (1 + 1e-9)
    assert wide.upper >= narrow.upper * (1 - 1e-9)


@brief
@given(pair_counts())
def test_is_plain_json(counts):
    data = plain(rate(counts))
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert {type(v) for v in data.values()} <= {int, float}


def test_without_trials_says_nothing():
    result = rate(Counts(0, 0, np.array([]), np.array([])))
    assert (result.value, result.lower, result.upper, result.n_eff) == (0.0, 0.0, 1.0, 0.0)
    assert not result.supported


def test_without_subjects_says_nothing():
    result = rate(Counts(0, 10**6, np.array([]), np.array([])))
    assert (result.lower, result.upper) == (0.0, 1.0)
    assert not result.supported


@pytest.mark.parametrize(("subjects", "supported"), [(19, False), (20, True)])
def test_needs_twenty_subjects(subjects, supported):
    each = np.ones(subjects, dtype=np.int64)
    assert rate(Counts(0, subjects, each * 0, each)).supported is supported


@pytest.mark.parametrize("floor", [0.5, math.nan, math.inf])
def test_an_impossible_floor_is_refused(floor):
    with pytest.raises(ValueError, match="deff_floor"):
        rate(worked_example(), deff_floor=floor)


def test_covers_genuine_pairs_of_subjects_that_differ():
    rng = np.random.default_rng(20240229)
    subjects, pairs, runs = 60, 20, 400
    naive = covered = 0
    for _ in range(runs):
        e = rng.binomial(pairs, rng.beta(0.5, 9.5, subjects))
        counts = Counts(int(e.sum()), subjects * pairs, e, np.full(subjects, pairs))
        naive += clopper_pearson(counts.errors, counts.trials)[1] >= 0.05
        covered += rate(counts).upper >= 0.05
    assert naive / runs < 0.88
    assert covered / runs > 0.91


def test_covers_impostor_pairs_of_subjects_that_differ():
    rng = np.random.default_rng(20240301)
    subjects, runs, truth = 60, 300, 0.02
    naive = covered = 0
    first, second = np.triu_indices(subjects, 1)
    for _ in range(runs):
        # A product of factors with mean 1: some faces are easily confused with many others.
        ease = rng.gamma(1.0, 1.0, subjects)
        wrong = rng.random(first.size) < np.minimum(1, truth * ease[first] * ease[second])
        e = np.bincount(first, wrong, subjects) + np.bincount(second, wrong, subjects)
        counts = Counts(
            int(wrong.sum()), first.size, e.astype(np.int64), np.full(subjects, subjects - 1)
        )
        naive += clopper_pearson(counts.errors, counts.trials)[1] >= truth
        covered += rate(counts).upper >= truth
    assert naive / runs < 0.85
    assert covered / runs > 0.9
