"""The number of trials that would decide an undecided rate."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_kycquant.statistics import (
    MIN_SUBJECTS,
    Counts,
    Rate,
    rate,
    trials_to_decide,
)
from pytest_kycquant.verdicts import Verdict
from tests.worlds.limits import below
from tests.worlds.statistics_examples import brief, independent, worked_example


def verdict(found: Rate, limit: float) -> Verdict:
    return below(limit).check("rate", found).verdict


@pytest.mark.parametrize(
    ("limit", "trials"), [(0.001, 2995), (0.0001, 29956), (0.05, 59), (0.1, 29), (0.01, 299)]
)
def test_agrees_with_the_table_for_independent_trials(limit, trials):
    assert trials_to_decide(independent(0, 10), below(limit)) == trials


def test_students_t_costs_a_few_more():
    one_subject_each = independent(0, 100, subjects=100)
    assert trials_to_decide(one_subject_each, below(0.001)) == 2997


def scaled(seen: Rate, trials: int) -> Rate:
    """Return the same rate, design effect and trials per subject for other trials."""
    from scipy.stats import beta, norm, t

    subjects = seen.subjects * trials / seen.trials
    n = trials / seen.deff * (norm.ppf(0.95) / t.ppf(0.95, subjects - 1)) ** 2
    k = seen.value * n
    lower = beta.ppf(0.05, k, n - k + 1) if k > 0 else 0.0
    upper = beta.ppf(0.95, k + 1, n - k) if k < n else 1.0
    return Rate(0, trials, int(subjects), seen.value, lower, upper, seen.deff, n)


@brief
@given(
    st.integers(1, 5000),
    st.floats(0, 1),
    st.integers(1, 400),
    st.floats(1, 50),
    st.sampled_from([0.0005, 0.001, 0.01, 0.05]),
)
def test_is_the_first_number_that_decides(trials, share, subjects, deff, limit):
    errors = int(share * trials)
    seen = Rate(errors, trials, subjects, errors / trials, 0.0, 1.0, deff, 1.0)
    assume(abs(seen.value - limit) > limit / 100)
    needed = trials_to_decide(seen, below(limit))
    assert needed is not None
    assert verdict(scaled(seen, needed), limit) is not Verdict.INCONCLUSIVE
    if (needed - 1) * subjects >= MIN_SUBJECTS * trials:
        assert verdict(scaled(seen, needed - 1), limit) is Verdict.INCONCLUSIVE


def test_carrying_out_the_plan_decides():
    seen = rate(worked_example())
    assert verdict(seen, 0.005) is Verdict.INCONCLUSIVE
    needed = trials_to_decide(seen, below(0.005))
    assert needed is not None
    assert needed > seen.trials
    times = -(-needed // seen.trials)
    counts = worked_example()
    more = Counts(
        counts.errors * times,
        counts.trials * times,
        np.tile(counts.subject_errors, times),
        np.tile(counts.subject_trials, times),
    )
    assert verdict(rate(more), 0.005) is Verdict.PASS


def test_counts_the_subjects_that_are_missing():
    each = np.full(10, 1000)
    few = rate(Counts(0, 10_000, each * 0, each))
    assert verdict(few, 0.05) is Verdict.INCONCLUSIVE
    assert trials_to_decide(few, below(0.05)) == 20_000


def test_is_at_most_the_present_number_once_decided():
    decided = independent(0, 10_000)
    assert verdict(decided, 0.001) is Verdict.PASS
    assert trials_to_decide(decided, below(0.001)) == 2995


def test_more_confidence_costs_more_trials():
    seen = independent(0, 10)
    assert trials_to_decide(seen, below(0.001), confidence=0.99) == 4603


@pytest.mark.parametrize(
    ("seen", "limit"),
    [
        (independent(1, 1000), 0.001),
        (independent(1_000_001, 1_000_000_000), 0.001),
        (independent(0, 10), 0.0),
        (independent(0, 10), float("nan")),
        (rate(Counts(0, 0, np.array([]), np.array([]))), 0.001),
        (rate(Counts(0, 10, np.array([]), np.array([]))), 0.001),
        (independent(0, 10**10, subjects=1), 0.001),
    ],
    ids=["at the limit", "too near", "zero", "nan", "no trials", "no subjects", "one subject"],
)
def test_nothing_would_decide(seen, limit):
    assert trials_to_decide(seen, below(limit)) is None
