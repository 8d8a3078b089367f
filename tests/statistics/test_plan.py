"""The number of subjects that would decide an undecided figure."""

import numpy as np
import pytest

from pytest_kycquant.statistics import (
    MIN_SUBJECTS,
    Counts,
    MovesBound,
    Rate,
    clopper_pearson,
    decided_by,
    noninferiority,
    rate,
    rate_with,
    subjects_to_decide,
)
from pytest_kycquant.verdicts import Verdict
from tests.worlds.limits import below


def verdict(found: Rate, limit: float) -> Verdict:
    return below(limit).check("rate", found).verdict


def one_each(errors: int, people: int) -> Rate:
    wrong = np.zeros(people, np.int64)
    wrong[:errors] = 1
    return rate(Counts(errors, people, wrong, np.ones(people, np.int64)))


@pytest.mark.parametrize(("limit", "people"), [(0.001, 2997), (0.05, 61), (0.1, 31), (0.01, 300)])
def test_a_few_more_than_the_table_for_independent_trials(limit, people):
    """Without errors 2,995, 59, 29 and 299 would do; Student's t costs a few more."""
    assert subjects_to_decide(one_each(0, 25), below(limit)) == people
    assert verdict(one_each(0, people), limit) is Verdict.PASS
    assert verdict(one_each(0, people - 1), limit) is Verdict.INCONCLUSIVE


def test_carrying_out_the_plan_decides():
    seen = one_each(30, 700)
    assert verdict(seen, 0.05) is Verdict.INCONCLUSIVE
    needed, expected = decided_by(seen, below(0.05))
    assert needed is not None
    more = one_each(round(30 * needed / 700), needed)
    assert verdict(more, 0.05) is expected is Verdict.PASS


def test_says_that_more_people_would_fail():
    seen = one_each(40, 700)
    assert verdict(seen, 0.05) is Verdict.INCONCLUSIVE
    needed, expected = decided_by(seen, below(0.05))
    assert needed is not None
    assert expected is Verdict.FAIL


def test_counts_people_and_not_their_trials():
    each = np.full(10, 1000)
    few = rate(Counts(0, 10_000, each * 0, each), deff_floor=1000.0)
    needed = subjects_to_decide(few, below(0.05))
    assert needed is not None
    assert 59 < needed < 70  # a thousand trials of each are worth one


def test_pairs_grow_with_the_square_of_the_people():
    """Ten errors in 10,000 crossed pairs of 100 people, each as good as independent."""
    seen = rate_with(5, 10_000, 100, 1.0, 1)
    linear = subjects_to_decide(seen, below(0.001))
    crossed = subjects_to_decide(seen, below(0.001), crossed=True)
    assert linear is not None
    assert crossed is not None
    assert crossed == pytest.approx(100 * np.sqrt(linear / 100), rel=0.05)


def test_a_list_of_pairs_grows_with_its_people_and_not_with_their_square():
    seen = rate_with(5, 10_000, 100, 1.0, 1)
    linear, listed, square = (
        subjects_to_decide(seen, below(0.001), **options)
        for options in ({}, {"crossed": True, "listed": True}, {"crossed": True})
    )
    assert listed == linear
    assert square < listed


def test_the_design_effect_of_crossed_pairs_grows_with_the_people():
    """If a few people cause all errors, information grows with the people, not with the pairs."""
    lambs = rate_with(60, 100_000, 300, 30.0, 10)
    plain = rate_with(60, 100_000, 300, 1.0, 1)
    slow, fast = (subjects_to_decide(one, below(0.001), crossed=True) for one in (lambs, plain))
    assert slow is not None
    assert fast is not None
    assert slow > 2 * fast


def test_from_ten_errors_on_the_caution_for_few_errors_ends():
    """Nine errors with a design effect of 5, chosen with caution, and of 1 if there were more."""
    cautious = rate_with(9, 300, 100, 5.0, 1, 1, 5.0)
    honest = rate_with(9, 300, 100, 5.0, 1, 1, 1.0)
    slow, fast = (subjects_to_decide(one, below(0.05)) for one in (cautious, honest))
    assert slow is not None
    assert fast is not None
    assert fast < slow / 2


@pytest.mark.parametrize(("deff", "room"), [(2.0, 7), (4.0, 7), (6.0, 20)])
def test_an_undecided_verdict_asks_for_more_than_there_are(deff, room):
    """Below ten errors another rule holds, so that fewer people might seem to do."""
    seen = rate_with(13, 504, 104, deff, 3, room, deff)
    assert verdict(seen, 0.05) is Verdict.INCONCLUSIVE
    needed = subjects_to_decide(seen, below(0.05))
    assert needed is None or needed > 104


def test_few_errors_keep_the_design_effect_of_the_nearest_pairs():
    """More people find nearer pairs, in which each person takes part as seldom as before."""
    seen = rate_with(0, 10_000, 50, 5.0, 0)
    needed = subjects_to_decide(seen, below(0.0005), crossed=True)
    assert needed is not None
    wanted = rate_with(0, round(10_000 * (needed / 50) ** 2), needed, 5.0, 0)
    assert verdict(wanted, 0.0005) is Verdict.PASS


def test_is_at_least_what_any_claim_needs():
    assert subjects_to_decide(one_each(0, 10), below(0.5)) == MIN_SUBJECTS
    assert subjects_to_decide(one_each(10, 10), below(0.1)) == MIN_SUBJECTS


def test_moves_decide_from_the_number_on_that_believes_them():
    worse = better = rate_with(0, 250, 50, 3.0, 0)
    found = noninferiority(worse, better)
    counted = subjects_to_decide(found, below(0.01))
    sharp = MovesBound(0.0005, 0.0001, 0.2, 50)
    assert counted is not None
    assert counted > 150
    assert subjects_to_decide(found, below(0.01), moves=sharp) == 99
    blunt = MovesBound(0.009, 0.001, 0.3, 50)
    assert subjects_to_decide(found, below(0.01), moves=blunt) == counted


@pytest.mark.parametrize(
    ("seen", "limit"),
    [
        (one_each(10, 100), 0.1),
        (rate_with(1_000_001, 1_000_000_000, 1_000_000_000, 1.0, 1), 0.001),
        (one_each(0, 100), 0.0),
        (one_each(0, 100), float("nan")),
        (rate(Counts(0, 0, np.array([]), np.array([]))), 0.001),
        (rate(Counts(0, 10, np.array([]), np.array([]))), 0.001),
    ],
    ids=["at the limit", "too near", "zero", "nan", "no trials", "no subjects"],
)
def test_nothing_would_decide(seen, limit):
    assert subjects_to_decide(seen, below(limit)) is None


def test_naive_bounds_would_ask_for_too_few():
    seen = rate_with(0, 500, 100, 5.0, 0)
    needed = subjects_to_decide(seen, below(0.01))
    assert needed is not None
    assert clopper_pearson(0, needed * 5)[1] < 0.01 / 4
