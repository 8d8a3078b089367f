"""What a jackknife counts twice in trials of two subjects."""

import itertools

import numpy as np
import pytest

from pytest_kycquant.data.pairs import Comparisons
from pytest_kycquant.statistics import Counts, Couples, design_effect, rate, room_of
from pytest_kycquant.tasks.face.scores import counts_of

PEOPLE, IMAGES = 60, 3
SUBJECTS = np.repeat(np.arange(PEOPLE, dtype=np.int64), IMAGES)
ALL = Comparisons(SUBJECTS)
IMPOSTORS = np.array(
    [i * len(SUBJECTS) + j for i, j in itertools.combinations(range(len(SUBJECTS)), 2)]
)
LEFT, RIGHT = SUBJECTS[IMPOSTORS // len(SUBJECTS)], SUBJECTS[IMPOSTORS % len(SUBJECTS)]
IMPOSTORS, LEFT, RIGHT = (each[LEFT != RIGHT] for each in (IMPOSTORS, LEFT, RIGHT))


def counted(wrong: np.ndarray, pairs: Comparisons = ALL) -> Counts:
    """False accepts among the impostor pairs, given whether each is one."""
    return counts_of(pairs, IMPOSTORS[wrong], genuine=False)


def jackknifed(counts: Counts) -> float:
    return design_effect(Counts(counts.errors, counts.trials, *subjects(counts)))


def subjects(counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    return counts.subject_errors, counts.subject_trials


def test_trials_that_do_not_depend_on_each_other_have_no_design_effect() -> None:
    rng = np.random.default_rng(0)
    draws = [counted(rng.random(len(IMPOSTORS)) < 0.02) for _ in range(40)]
    assert np.mean([design_effect(one) for one in draws]) == pytest.approx(1.0, abs=0.25)
    assert np.mean([jackknifed(one) for one in draws]) == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize("every", [2, 4, 6])
def test_twins_are_wrong_in_all_of_their_pairs(every: int) -> None:
    """Also if everybody has a twin: leaving out any of them then changes nothing."""
    twins = counted((LEFT % every == 0) & (RIGHT == LEFT + 1))
    assert design_effect(twins) == pytest.approx(IMAGES**2, rel=0.1)


def test_one_person_whom_everybody_resembles_keeps_the_whole_design_effect() -> None:
    wolf = counted((LEFT == 0) | (RIGHT == 0))
    assert design_effect(wolf) == pytest.approx(jackknifed(wolf), rel=0.05)
    assert design_effect(wolf) > 100


@pytest.mark.parametrize("seed", range(5))
def test_the_estimate_is_the_sum_over_trials_that_share_a_person(seed: int) -> None:
    """Aronow, Samii and Assenova, written out: residuals of trials with a common subject."""
    rng = np.random.default_rng(seed)
    lamb = rng.random(PEOPLE) ** 4
    wrong = rng.random(len(IMPOSTORS)) < 0.1 * (lamb[LEFT] + lamb[RIGHT])
    found = counted(wrong)
    p = wrong.mean()
    by_couple = np.zeros((PEOPLE, PEOPLE))
    np.add.at(by_couple, (LEFT, RIGHT), wrong - p)
    by_couple += by_couple.T
    within = np.square(by_couple).sum() / 2
    # The jackknife has this factor for its finite number of people.
    finite = (PEOPLE - 1) / PEOPLE / (1 - 2 / PEOPLE) ** 2
    variance = finite * np.square(by_couple.sum(axis=0)).sum() - within
    assert design_effect(found) == pytest.approx(variance / len(wrong) / (p * (1 - p)), rel=1e-6)


def test_a_list_of_pairs_knows_its_couples() -> None:
    rng = np.random.default_rng(1)
    chosen = np.sort(rng.choice(len(IMPOSTORS), 4000, replace=False))
    one, other = np.divmod(IMPOSTORS[chosen], len(SUBJECTS))
    swapped = rng.random(len(one)) < 0.5
    listed = Comparisons(SUBJECTS, np.where(swapped, other, one), np.where(swapped, one, other))
    wrong = rng.random(len(chosen)) < 0.05
    found = counts_of(listed, np.flatnonzero(wrong), genuine=False).couples
    trials = np.zeros((PEOPLE, PEOPLE), np.int64)
    errors = np.zeros_like(trials)
    np.add.at(trials, (LEFT[chosen], RIGHT[chosen]), 1)
    np.add.at(errors, (LEFT[chosen], RIGHT[chosen]), wrong)
    assert found is not None
    assert found.squares == np.square(trials).sum()
    assert sorted(zip(found.errors, found.trials, strict=True)) == sorted(
        zip(errors[errors > 0], trials[errors > 0], strict=True)
    )
    wanted = np.square(errors - 0.05 * trials).sum() / 4000**2
    assert found.variance(0.05, 4000) == pytest.approx(wanted)


def test_all_pairs_know_their_couples() -> None:
    uneven = np.array([0, 0, 0, 1, 2, 2, 3], np.int64)
    pairs = Comparisons(uneven)
    assert pairs.couple_squares == sum(
        (a * b) ** 2 for a, b in itertools.combinations([3, 1, 2, 1], 2)
    )
    assert pairs.couple_trials(np.array([[0, 2], [1, 3]])).tolist() == [6, 1]


def test_with_fewer_than_ten_errors_nothing_is_subtracted() -> None:
    """Too few errors to tell couples from people: the larger design effect is the safer one."""
    rng = np.random.default_rng(2)
    order = rng.permutation(len(IMPOSTORS))
    few, many = (counted(np.isin(np.arange(len(order)), order[:n])) for n in (9, 10))
    assert design_effect(few) == jackknifed(few)
    assert design_effect(many) < jackknifed(many)


def test_genuine_pairs_have_no_couples() -> None:
    assert counts_of(ALL, np.array([1, 2]), genuine=True).couples is None


def test_the_bound_leaves_room_for_one_and_a_half_subjects_like_the_worst() -> None:
    wrong = np.zeros(len(IMPOSTORS), np.bool_)
    wrong[np.flatnonzero(LEFT == 0)[:7]] = True
    wrong[np.flatnonzero((LEFT > 5) & (RIGHT > 9))[::900]] = True
    found = counted(wrong)
    assert room_of(found, per_subject=False) == 11  # 1.5 x 7
    assert rate(found, room=11).upper > rate(found).upper


def test_couples_without_errors_count_by_their_trials() -> None:
    none = Couples(np.zeros(0, np.int64), np.zeros(0, np.int64), 50.0)
    assert none.variance(0.1, 10) == pytest.approx(0.005)
