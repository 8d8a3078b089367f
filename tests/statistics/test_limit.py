"""A limit has three outcomes, judges in its declared direction, and never passes on doubt."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kycquant.results import GateResult
from pytest_kycquant.spec.limits import CustomLimits, DetectionLimits, FaceLimits
from pytest_kycquant.statistics import rate
from pytest_kycquant.verdicts import Check, Direction, Estimate, Limit, Unit, Verdict
from tests.worlds.limits import at_least, below
from tests.worlds.statistics_examples import independent, worked_example

UNDECIDED = Verdict.INCONCLUSIVE
BELOW_ONE = Limit("x", 1.0, Direction.BELOW, Unit.METRIC)
BUDGETED = (Unit.RATE, Unit.SHARE, Unit.METRIC)


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
    found = independent(errors, 10_000)
    assert below(0.001).check("FAR", found).verdict is verdict
    right = Estimate.complement(found)
    assert at_least(0.999).check("TAR", right).verdict is verdict


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [(0.0004, Verdict.FAIL), (0.007, Verdict.INCONCLUSIVE), (0.01, Verdict.PASS)],
)
def test_shared_subjects_widen_the_doubt(limit, verdict):
    assert below(limit).check("FAR", rate(worked_example())).verdict is verdict


@pytest.mark.parametrize("errors", [0, 10_000])
def test_too_few_subjects_decide_nothing(errors):
    decided = independent(errors, 10_000)
    few = replace(decided, subjects=19)
    for limit in (below(0.001), at_least(0.001)):
        assert limit.check("FAR", decided).verdict is not UNDECIDED
        assert limit.check("FAR", few).verdict is UNDECIDED
        assert limit.check("TAR", Estimate.complement(few)).verdict is UNDECIDED


def test_no_trials_decide_nothing():
    empty = replace(independent(0, 10_000), trials=0)
    assert below(0.001).check("FAR", empty).verdict is UNDECIDED


def test_below_does_not_hold_at_the_limit_itself():
    assert below(0.5).judge(0.0, 0.5) is UNDECIDED
    assert below(0.5).judge(0.5, 0.5) is Verdict.FAIL
    assert below(0.5).judge(0.0, math.nextafter(0.5, 0)) is Verdict.PASS


def test_at_least_holds_at_the_limit_itself():
    assert at_least(0.5).judge(0.5, 1.0) is Verdict.PASS
    assert at_least(0.5).judge(0.0, 0.5) is UNDECIDED
    assert at_least(0.5).judge(0.0, math.nextafter(0.5, 0)) is Verdict.FAIL


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("bounds", [(0.0, 0.1, 0.5), (0.6, 0.7, 0.5)])
@pytest.mark.parametrize("limit", [below, at_least])
def test_nan_decides_nothing(place, bounds, limit):
    values = [*bounds]
    values[place] = math.nan
    lower, upper, value = values
    assert limit(value).judge(lower, upper) is UNDECIDED


def test_infinite_bounds_are_bounds():
    for limit, inside, outside in (
        (below(0.5), (-math.inf, 0.1), (0.6, math.inf)),
        (at_least(0.5), (0.6, math.inf), (-math.inf, 0.1)),
    ):
        assert limit.judge(*inside) is Verdict.PASS
        assert limit.judge(-math.inf, math.inf) is UNDECIDED
        assert limit.judge(*outside) is Verdict.FAIL


@pytest.mark.parametrize("limit", [below(0.5), at_least(0.5)])
def test_swapped_bounds_are_refused(limit):
    with pytest.raises(ValueError, match=r"lower bound 0\.6 is above upper bound 0\.1"):
        limit.judge(0.6, 0.1)


@given(*[st.floats(allow_nan=False)] * 3)
def test_passes_only_inside_and_fails_only_outside(first, second, limit):
    lower, upper = sorted((first, second))
    verdict = below(limit).judge(lower, upper)
    assert (verdict is Verdict.PASS) == (upper < limit)
    assert (verdict is Verdict.FAIL) == (lower >= limit)
    verdict = at_least(limit).judge(lower, upper)
    assert (verdict is Verdict.PASS) == (lower >= limit)
    assert (verdict is Verdict.FAIL) == (upper < limit)


@given(*[st.floats(allow_nan=False)] * 3)
def test_reversed_passes_what_failed(first, second, value):
    lower, upper = sorted((first, second))
    turned = {Verdict.PASS: Verdict.FAIL, Verdict.FAIL: Verdict.PASS, UNDECIDED: UNDECIDED}
    for limit in (below(value), at_least(value)):
        assert limit.reversed.direction is limit.direction.opposite is not limit.direction
        assert limit.reversed.judge(lower, upper) is turned[limit.judge(lower, upper)]
        assert limit.reversed.reversed == limit


def test_reversed_knows_no_best():
    """The best figure in one direction is not the best in the other."""
    psnr = CustomLimits(metric=25.0)["metric"].reversed
    assert (psnr.name, psnr.value, psnr.unit) == ("metric", 25.0, Unit.METRIC)
    assert psnr.direction is Direction.AT_LEAST
    assert psnr.best is None


# In 64ths, which 1 - x keeps exactly.
@given(*[st.integers(-64, 128)] * 3)
def test_the_complement_says_the_same_of_what_is_left(first, second, limit):
    """Except at the limit itself, which fails "below" and passes "at least"."""
    lower, upper = (value / 64 for value in sorted((first, second)))
    for this in (below(limit / 64), at_least(limit / 64)):
        left = this.complement
        assert left.value == 1 - this.value
        assert left.direction is not this.direction
        assert left.complement == this
        if limit not in (first, second):
            assert left.judge(1 - upper, 1 - lower) is this.judge(lower, upper)


def test_the_complement_of_recall_is_a_budget_of_misses():
    recall = DetectionLimits(recall=0.75)["recall"]
    assert (recall.best, recall.complement.best) == (1.0, 0.0)
    assert recall.complement.value == 0.25
    for value in (0.8125, 0.9375):
        assert recall.half_left(value) is recall.complement.half_left(1 - value)
    assert replace(recall, best=None).complement.best is None


def test_an_estimate_of_what_is_left_swaps_its_bounds():
    wrong = Estimate(0.25, 0.125, 0.5, supported=False)
    assert Estimate.complement(wrong) == Estimate(0.75, 0.5, 0.875, supported=False)


def test_a_check_keeps_what_was_measured():
    limit = FaceLimits()["far"]
    found = limit.check("FAR", Estimate(0.0004, 0.0001, 0.0009), "4 errors")
    assert found == Check("FAR", Verdict.PASS, limit, 0.0004, 0.0001, 0.0009, "4 errors")
    assert found.describe() == "PASS FAR = 0.04 % [0.01 %, 0.09 %] must be below 0.1 %: 4 errors"


@pytest.mark.parametrize(
    ("estimate", "detail"),
    [
        (Estimate(0.1, 0.0, 0.2), "counts"),
        (Estimate(0.7, 0.6, 0.8), "counts"),
        (Estimate(0.5, 0.4, 0.6), "counts; more people"),
        (Estimate(0.1, 0.0, 0.2, supported=False), "counts; more people"),
        (Estimate(math.nan, math.nan, math.nan), "counts; more people"),
    ],
)
@pytest.mark.parametrize("limit", [below(0.5), at_least(0.5)])
def test_only_what_is_undecided_says_what_it_lacks(estimate, detail, limit):
    found = limit.check("x", estimate, "counts", lacking=lambda: "more people")
    assert found.detail == detail
    assert limit.check("x", estimate, "counts").detail == "counts"


@pytest.mark.parametrize(
    ("limit", "value", "verdict"),
    [
        (below(0.5), 0.4, Verdict.PASS),
        (below(0.5), 0.5, Verdict.FAIL),
        (below(0.5), math.nan, Verdict.FAIL),
        (at_least(0.5), 0.5, Verdict.PASS),
        (at_least(0.5), 0.4, Verdict.FAIL),
        (at_least(0.5), math.nan, Verdict.FAIL),
    ],
)
def test_a_point_is_decided(limit, value, verdict):
    found = limit.point("x", value, "counts")
    assert (found.name, found.verdict, found.limit) == ("x", verdict, limit)
    assert (found.lower, found.upper, found.detail) == (None, None, "counts")
    assert found.value is value


def test_an_undecided_check_is_decided_on_these_images_alone():
    for limit, value, verdict in (
        (below(0.5), 0.4, Verdict.PASS),
        (below(0.5), 0.6, Verdict.FAIL),
        (at_least(0.5), 0.6, Verdict.PASS),
        (at_least(0.5), 0.4, Verdict.FAIL),
    ):
        check = limit.check("x", Estimate(value, 0.0, 1.0), "counts")
        assert check.verdict is UNDECIDED
        assert check.as_point() == limit.point("x", value, "on these images alone")
        assert check.as_point().verdict is verdict
    for nothing in (Check("x", UNDECIDED), Check("x", UNDECIDED, below(0.5))):
        assert nothing.as_point() is nothing


# Half of the budget


@pytest.mark.parametrize("unit", Unit)
@pytest.mark.parametrize(
    ("direction", "best", "inside", "outside"),
    [
        (Direction.BELOW, 0.0, (-0.1, 0.0, 0.24), (0.25, 0.4, 0.6)),
        (Direction.AT_LEAST, 1.0, (0.76, 1.0, 1.1), (0.75, 0.6, 0.4)),
        (Direction.BELOW, 0.25, (0.0, 0.374), (0.375, 0.6)),
    ],
)
def test_half_of_the_budget_is_left(unit, direction, best, inside, outside):
    """The budget is from the best figure to the limit; some units have no budget."""
    limit = Limit("x", 0.5, direction, unit, best=best)
    for value in inside:
        assert limit.half_left(value) is (unit in BUDGETED)
    for value in (*outside, math.nan):
        assert not limit.half_left(value)
    for value in (*inside, *outside):
        assert not replace(limit, best=None).half_left(value)


@pytest.mark.parametrize("unit", Unit)
@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("best", [0.0, 1.0, None])
def test_what_passes_is_promising_and_what_fails_is_not(unit, direction, best):
    limit = Limit("x", 0.5, direction, unit, best=best)
    good, bad = (0.1, 0.9) if direction is Direction.BELOW else (0.9, 0.1)
    assert limit.point("x", good).promising
    assert not limit.point("x", bad).promising
    # For any figure.
    for value in (good, bad, None):
        assert Check("x", Verdict.PASS, limit, value).promising
        assert not Check("x", Verdict.FAIL, limit, value).promising


@pytest.mark.parametrize("unit", Unit)
def test_the_undecided_is_promising_if_half_of_its_budget_is_left(unit):
    low = Limit("x", 0.5, Direction.BELOW, unit, best=0.0)
    high = Limit("x", 0.5, Direction.AT_LEAST, unit, best=1.0)
    for limit, good, bad in ((low, 0.2, 0.3), (high, 0.8, 0.7)):
        found = {value: limit.check("x", Estimate(value, 0.0, 1.0)) for value in (good, bad)}
        assert {check.verdict for check in found.values()} == {UNDECIDED}
        assert found[good].promising is (unit in BUDGETED)
        assert not found[bad].promising
    assert not Check("x", UNDECIDED, low).promising
    assert not Check("x", UNDECIDED, None, 0.0).promising


def test_a_metric_whose_best_nobody_knows_is_not_promising():
    """Once, half of the limit counted as promising, or 1 was taken as the best."""
    limit = CustomLimits(metric=25.0)["metric"].reversed
    check = limit.check("PSNR", Estimate(13.1, 5.0, 25.1))
    assert check.verdict is UNDECIDED
    assert not check.promising


@pytest.mark.parametrize(
    ("limits", "best"),
    [
        (FaceLimits(), {Unit.RATE: 0.0, Unit.COSINE: None, Unit.RATIO: None}),
        (FaceLimits(certified=0.9, latency_ms=9, size_mb=9), {Unit.SHARE: 1.0, Unit.MS: None}),
        (DetectionLimits(), {Unit.RATE: 0.0, Unit.SHARE: 1.0}),
        (CustomLimits(metric=1, degradation=1, agreement=1), {Unit.METRIC: 0.0}),
    ],
)
def test_declared_limits_know_the_best_figure_of_their_unit(limits, best):
    given = [limits.given(name) for name in type(limits).__dataclass_fields__]
    for unit, expected in best.items():
        found = [limit.best for limit in given if limit is not None and limit.unit is unit]
        assert found
        assert set(found) == {expected}


def test_a_best_figure_beyond_the_limit_leaves_no_budget():
    """Once, -3 with a limit of -5 counted as promising, because it is nearer to 0."""
    low = Limit("metric", -5.0, Direction.BELOW, Unit.METRIC, best=0.0)
    high = Limit("far", 0.001, Direction.AT_LEAST, Unit.RATE, best=0.0)
    for limit, value in ((low, -3.0), (low, -6.0), (high, 0.0007), (high, 0.1)):
        assert not limit.half_left(value)
        assert not Check("x", UNDECIDED, limit, value).promising


@pytest.mark.parametrize("value", [0.5, -0.5, 2.0])
def test_one_bound_alone_decides_what_only_one_bound_is_about(value):
    below = Limit("x", value, Direction.BELOW, Unit.MS)
    above = replace(below, direction=Direction.AT_LEAST)
    low, high = value - 0.1, value + 0.1
    assert below.judge_bound(low, high) is above.judge_bound(low, high) is Verdict.FAIL
    assert below.judge_bound(low, low) is above.judge_bound(high, high) is Verdict.PASS


@pytest.mark.parametrize("value", [0.5, -0.5, 0.0])
@pytest.mark.parametrize("direction", Direction)
def test_excess_has_the_sign_of_the_verdict(value, direction):
    limit = Limit("x", value, direction, Unit.METRIC)
    found = {figure: limit.excess(figure) for figure in (value - 1, value - 0.1, value + 0.1)}
    for figure, excess in found.items():
        assert (excess > 0) is (limit.point("x", figure).verdict is Verdict.FAIL)
    order = sorted(found, key=found.get)
    assert order == sorted(found, reverse=direction is Direction.AT_LEAST)


@pytest.mark.parametrize("direction", Direction)
def test_the_stricter_of_two_limits(direction):
    stricter = direction.stricter(0.1, 0.2)
    limits = [Limit("x", value, direction, Unit.RATE) for value in (0.1, 0.2)]
    strict = Limit("x", stricter, direction, Unit.RATE)
    for figure in (0.05, 0.15, 0.25):
        verdicts = [limit.point("x", figure).verdict for limit in limits]
        assert strict.point("x", figure).verdict is Verdict.worst(verdicts)


def test_nan_is_further_beyond_than_any_figure():
    broken = Check("x", Verdict.FAIL, BELOW_ONE, math.nan)
    worst = GateResult("gate", (Check("y", Verdict.FAIL, BELOW_ONE, 1e9), broken), "").worst_check()
    assert worst is broken
    assert Check("x", Verdict.FAIL, BELOW_ONE).excess == -math.inf
