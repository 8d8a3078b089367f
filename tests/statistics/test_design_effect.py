"""The design effect measures how much shared subjects widen the interval."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_kycquant.plain import plain
from pytest_kycquant.statistics import Counts, design_effect, rate
from tests.worlds.statistics_examples import brief, counts_of, pair_counts, worked_example


def test_worked_example():
    assert design_effect(worked_example()) == pytest.approx(4.80333, rel=1e-6)


@brief
@given(pair_counts())
def test_agrees_with_leaving_out_one_subject_at_a_time(counts):
    rates = [
        (counts.errors - int(e)) / (counts.trials - int(m))
        for e, m in zip(counts.subject_errors, counts.subject_trials, strict=True)
        if m < counts.trials
    ]
    wanted = 1.0
    if 0 < counts.errors < counts.trials and len(rates) > 1:
        variance = (len(rates) - 1) * np.var(rates)
        p = counts.errors / counts.trials
        wanted = max(1.0, variance * counts.trials / (p * (1 - p)))
    assert design_effect(counts) == pytest.approx(wanted, rel=1e-9)


@brief
@given(pair_counts())
def test_is_at_least_one(counts):
    assert 1 <= design_effect(counts) < np.inf


@brief
@given(pair_counts(), st.randoms(use_true_random=False))
def test_does_not_depend_on_the_order_of_subjects(counts, random):
    order = list(range(counts.subject_trials.size))
    random.shuffle(order)
    shuffled = Counts(
        counts.errors, counts.trials, counts.subject_errors[order], counts.subject_trials[order]
    )
    assert plain(rate(shuffled)) == pytest.approx(plain(rate(counts)), rel=1e-9)


@brief
@given(pair_counts(), st.integers(2, 5))
def test_absorbs_duplicated_trials(counts, times):
    assume(design_effect(counts) > 1)
    copied = Counts(
        counts.errors * times,
        counts.trials * times,
        counts.subject_errors * times,
        counts.subject_trials * times,
    )
    once, often = rate(counts), rate(copied)
    assert often.deff == pytest.approx(once.deff * times, rel=1e-9)
    assert often.upper >= once.upper * (1 - 1e-9)  # the worst subject now has more errors
    assert often.lower == pytest.approx(once.lower, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("images", [2, 5, 10])
def test_of_subjects_that_always_agree_with_themselves_is_their_size(images):
    trials = [((g,), g < 30) for g in range(300) for _ in range(images)]
    assert design_effect(counts_of(trials, 300)) == pytest.approx(images, rel=0.01)


def test_of_independent_trials_is_near_one():
    trials = [((g,), g < 30) for g in range(300)]
    assert design_effect(counts_of(trials, 300)) == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize("errors", [0, 6])
def test_without_variation_is_one(errors):
    counts = Counts(errors, 6, np.array([errors // 2] * 2), np.array([3, 3]))
    assert design_effect(counts) == 1.0


def test_without_subjects_is_one():
    assert design_effect(Counts(2, 6, np.array([]), np.array([]))) == 1.0
    assert design_effect(Counts(2, 6, np.array([2]), np.array([6]))) == 1.0


def test_skips_a_subject_that_holds_all_trials():
    star = [((0, g), g < 4) for g in range(1, 9)]
    p = np.array([(3 - (g < 4)) / 7 for g in range(1, 9)])
    wanted = max(1.0, 7 * p.var() * 8 / (3 / 8 * 5 / 8))
    assert design_effect(counts_of(star, 9)) == pytest.approx(wanted)
