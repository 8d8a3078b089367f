"""Newly wrong decisions bounded by how far scores move and how many are near the threshold."""

import math

import numpy as np
import pytest

from pytest_kycquant.statistics import (
    Moves,
    MovesBound,
    Rate,
    bound_by_moves,
    noninferiority,
    people_needed,
    rate_with,
)


def moves(distance, shift, each=5, subjects=None, trials=None, people=None) -> Moves:
    distance, shift = np.asarray(distance, float), np.asarray(shift, float)
    if subjects is None:
        subjects = np.arange(len(distance)) // each
    people = len(np.unique(subjects)) if people is None else people
    return Moves(distance, shift, subjects, len(distance) if trials is None else trials, people)


def counted(errors: int, trials: int, people: int = 200) -> Rate:
    return rate_with(errors, trials, people, 2.0, min(errors, 1))


def even(count=1000, reach=1.0) -> np.ndarray:
    """Distances with a constant density."""
    return (np.random.default_rng(0).permutation(count) + 0.5) / count * reach


def test_is_near_the_truth_where_the_density_is_constant():
    """Of 1,000 distances below 1, those below .002 are crossed: 2 of 1,000."""
    found = bound_by_moves(moves(even(), np.full(1000, 0.002)), counted(2, 1000))
    assert found is not None
    assert found.estimate == pytest.approx(0.002, rel=0.1)
    assert 0.002 < found.upper < 0.004
    assert found.upper < counted(2, 1000).upper / 2


def test_a_rising_density_makes_it_larger_than_the_truth():
    distance = np.sqrt(even())
    found = bound_by_moves(moves(distance, np.full(1000, 0.02)), counted(0, 1000))
    assert found is not None
    assert found.estimate > np.mean(distance < 0.02)


def test_half_the_shift_is_half_the_rate():
    one, half = (
        bound_by_moves(moves(even(), np.full(1000, shift)), counted(0, 1000))
        for shift in (0.002, 0.001)
    )
    assert one is not None
    assert half is not None
    assert half.upper == pytest.approx(one.upper / 2)


def test_nothing_moves_nothing_goes_wrong():
    found = bound_by_moves(moves(even(), np.zeros(1000)), counted(0, 1000))
    assert found == MovesBound(0.0, 0.0, 0.0, 200)
    assert found.upper == 0.0


def test_moves_away_from_the_threshold_do_not_offset_moves_towards_it():
    shift = np.where(np.arange(1000) % 2 == 0, -5.0, 0.002)
    found = bound_by_moves(moves(even(), shift), counted(0, 1000))
    assert found is not None
    assert 0.0005 < found.estimate < 0.002


def test_decisions_that_went_wrong_from_afar_count_as_they_are():
    distance = np.sort(even())
    shift = np.zeros(1000)
    shift[-4:] = math.inf  # lost: the variant gave no score
    found = bound_by_moves(moves(distance, shift), counted(4, 1000))
    assert found is not None
    assert found.estimate >= 4 / 1000
    assert found.room >= 2 * 4 / 1000  # all four are of one person


def test_people_who_move_further_count_though_they_are_not_the_nearest():
    distance, shift = np.sort(even()), np.full(1000, 0.001)
    shift[500:] = 0.05
    tame = bound_by_moves(moves(distance, np.full(1000, 0.001)), counted(0, 1000))
    wild = bound_by_moves(moves(distance, shift), counted(0, 1000))
    assert tame is not None
    assert wild is not None
    assert wild.estimate > 5 * tame.estimate


def test_one_person_behind_everything_widens_the_bound():
    distance = np.sort(even())
    alike = bound_by_moves(moves(distance, np.full(1000, 0.002)), counted(0, 1000))
    subjects = np.where(np.arange(1000) < 600, 0, np.arange(1000))
    one = bound_by_moves(
        moves(distance, np.full(1000, 0.002), subjects=subjects, people=200), counted(0, 1000)
    )
    assert alike is not None
    assert one is not None
    assert one.error > 0.99
    assert one.upper > 3 * alike.upper


def test_a_pair_counts_for_both_of_its_people():
    distance = np.sort(even())
    pairs = np.stack([np.zeros(1000, np.int64), np.arange(1, 1001)], axis=1)
    found = bound_by_moves(
        moves(distance, np.full(1000, 0.002), subjects=pairs, people=1001), counted(0, 1000)
    )
    assert found is not None
    assert found.error >= 1.0  # everything hangs on person 0


@pytest.mark.parametrize(
    ("errors", "believed"), [(0, True), (3, True), (5, True), (6, False), (29, False), (30, False)]
)
def test_more_wrong_decisions_than_moves_explain_are_counted(errors, believed):
    """Two are expected: five or more go wrong in 5.3 % of samples, six in 1.7 %."""
    found = bound_by_moves(moves(even(), np.full(1000, 0.002)), counted(errors, 1000))
    assert (found is not None) is believed


@pytest.mark.parametrize("errors", [0, 1, 2, 3, 4, 5])
def test_what_was_counted_beyond_the_expected_raises_the_bound(errors):
    none, some = (
        bound_by_moves(moves(even(), np.full(1000, 0.002)), counted(n, 1000)) for n in (0, errors)
    )
    assert none is not None
    assert some is not None
    excess = max(errors / 1000 - none.estimate, 0.0)
    assert some.upper == pytest.approx(none.upper + excess)
    assert some.upper > errors / 1000
    assert some.upper_with(800) < some.upper  # luck, which evens out


def test_thirty_errors_are_counted_even_if_moves_explain_them():
    found = bound_by_moves(moves(even(), np.full(1000, 0.1)), counted(30, 1000))
    assert found is None


@pytest.mark.parametrize("count", [0, 1, 29])
def test_few_trials_have_no_density(count):
    assert bound_by_moves(moves(even(count), np.zeros(count)), counted(0, max(count, 1))) is None


def test_scores_at_the_threshold_itself_have_no_density():
    assert bound_by_moves(moves(np.zeros(40), np.zeros(40)), counted(0, 40)) is None


@pytest.mark.parametrize(
    ("distance", "shift"), [(-0.1, 0.0), (math.nan, 0.0), (0.1, math.nan)], ids=str
)
def test_impossible_moves_are_refused(distance, shift):
    with pytest.raises(ValueError, match="negative, or"):
        moves([distance] * 40, [shift] * 40)


@pytest.mark.parametrize(
    ("budget", "crossed", "people"),
    [(0.01, False, 99), (0.03, False, 32), (0.0005, True, 76), (0.5, False, 2), (0.0, False, 2)],
)
def test_the_people_needed_would_hardly_miss_a_kind_of_three_budgets(budget, crossed, people):
    assert people_needed(budget, crossed=crossed) == people
    share = 3 * budget if not crossed else math.sqrt(3 * budget)
    if 0 < share < 1:
        assert (1 - share) ** people <= 0.05 < (1 - share) ** (people - 1)


def test_more_people_make_it_sharper():
    found = bound_by_moves(moves(even(), np.full(1000, 0.002)), counted(0, 1000))
    assert found is not None
    assert found.upper_with(found.people) == found.upper
    bounds = [found.upper_with(people) for people in (100, 200, 800, 10**6)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == pytest.approx(found.estimate, rel=0.02)


def test_the_sharper_of_both_bounds_is_used():
    worse, better = counted(0, 1000), counted(0, 1000)
    sharp, blunt = MovesBound(0.001, 0.0, 0.0, 200), MovesBound(0.5, 0.0, 0.0, 200)
    assert noninferiority(worse, better, sharp).upper == 0.001
    assert noninferiority(worse, better, sharp).moves is sharp
    assert noninferiority(worse, better, blunt) == noninferiority(worse, better)


def test_moves_never_push_a_bound_below_what_was_counted():
    worse, better = counted(5, 1000), counted(0, 1000)
    below = MovesBound(0.001, 0.0, 0.0, 200)
    assert noninferiority(worse, better, below) == noninferiority(worse, better)


def test_moves_leave_the_lower_bound_alone():
    worse, better = counted(1, 1000), counted(2, 1000)
    sharp = MovesBound(0.0012, 0.0, 0.0, 200)
    plain, found = noninferiority(worse, better), noninferiority(worse, better, sharp)
    assert found.lower == plain.lower
    assert found.value == plain.value < found.upper < plain.upper


def test_a_lucky_decision_does_not_push_the_bound_below_what_moves_allow():
    """One pair happens to be newly right: the true increase may still be that of the moves."""
    worse, better = counted(0, 1000), counted(1, 1000)
    sharp = MovesBound(0.00001, 0.0, 0.0, 200)
    found = noninferiority(worse, better, sharp)
    assert found.value == -0.001
    assert found.upper == pytest.approx(0.00001 - better.lower)
    assert found.upper > found.value


def test_the_bound_holds_in_simulation_and_counting_is_far_wider():
    """200 people with five pairs each; one in twenty is hard to recognize and moves further."""
    rng = np.random.default_rng(7)

    def draw(people):
        hard = (rng.random(people) < 0.05).repeat(5)
        score = rng.normal(np.where(hard, 2.0, 4.0), 1.0)
        return score, rng.normal(0.0, np.where(hard, 0.1, 0.03))

    score, shift = draw(200_000)
    truth = np.mean((score >= 0) & (score < shift))
    held, uppers = [], []
    for _ in range(200):
        score, shift = draw(200)
        right = score >= 0
        listed = moves(
            score[right],
            shift[right],
            subjects=np.arange(1000)[right] // 5,
            trials=1000,
            people=200,
        )
        found = bound_by_moves(listed, counted(int((right & (score < shift)).sum()), 1000))
        upper = found.upper if found else 1.0
        held.append(upper >= truth)
        uppers.append(upper)
    assert np.mean(held) > 0.93
    assert np.median(uppers) < counted(0, 1000).upper / 3
