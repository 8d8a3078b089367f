"""A verdict has three outcomes, and doubt is never a pass."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kycquant.statistics import judge, judge_bounds, rate
from pytest_kycquant.verdicts import Verdict
from tests.worlds.statistics_examples import independent, worked_example


@pytest.mark.parametrize(
    ("errors", "verdict"),
    [
        (0, Verdict.PASS),
        (4, Verdict.PASS),
        (5, Verdict.INCONCLUSIVE),
        (15, Verdict.INCONCLUSIVE),
        (16, Verdict.FAIL),
        (10_000, Verdict.FAIL),
    ],
)
def test_outcomes_at_one_permille_of_ten_thousand(errors, verdict):
    assert judge(independent(errors, 10_000), 0.001) is verdict


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [(0.0004, Verdict.FAIL), (0.007, Verdict.INCONCLUSIVE), (0.01, Verdict.PASS)],
)
def test_shared_subjects_widen_the_doubt(limit, verdict):
    assert judge(rate(worked_example()), limit) is verdict


@pytest.mark.parametrize("errors", [0, 10_000])
def test_too_few_subjects_decide_nothing(errors):
    decided = independent(errors, 10_000)
    assert judge(decided, 0.001) is not Verdict.INCONCLUSIVE
    assert judge(replace(decided, subjects=19), 0.001) is Verdict.INCONCLUSIVE


def test_no_trials_decide_nothing():
    empty = replace(independent(0, 10_000), trials=0)
    assert judge(empty, 0.001) is Verdict.INCONCLUSIVE


def test_the_limit_itself_does_not_pass():
    assert judge_bounds(0.0, 0.5, 0.5) is Verdict.INCONCLUSIVE
    assert judge_bounds(0.5, 0.5, 0.5) is Verdict.FAIL
    assert judge_bounds(0.0, math.nextafter(0.5, 0), 0.5) is Verdict.PASS


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("bounds", [(0.0, 0.1, 0.5), (0.6, 0.7, 0.5)])
def test_nan_decides_nothing(place, bounds):
    values = [*bounds]
    values[place] = math.nan
    assert judge_bounds(*values) is Verdict.INCONCLUSIVE


def test_infinite_bounds_are_bounds():
    assert judge_bounds(-math.inf, 0.1, 0.5) is Verdict.PASS
    assert judge_bounds(-math.inf, math.inf, 0.5) is Verdict.INCONCLUSIVE
    assert judge_bounds(0.6, math.inf, 0.5) is Verdict.FAIL


def test_swapped_bounds_are_refused():
    with pytest.raises(ValueError, match="above"):
        judge_bounds(0.6, 0.1, 0.5)


@given(*[st.floats(allow_nan=False)] * 3)
def test_passes_only_below_and_fails_only_above(first, second, limit):
    lower, upper = sorted((first, second))
    verdict = judge_bounds(lower, upper, limit)
    assert (verdict is Verdict.PASS) == (upper < limit)
    assert (verdict is Verdict.FAIL) == (lower >= limit)
