"""With few errors the design effect has a floor, because it cannot be estimated."""

import numpy as np
import pytest

from pytest_kycquant.statistics import (
    Counts,
    design_effect,
    rate,
    small_sample_floor,
    worst_case,
)
from tests.worlds.statistics_examples import counts_of, worked_example


def genuine(errors: int, images: int = 5, subjects: int = 40) -> Counts:
    trials = [((g,), g * images + i < errors) for g in range(subjects) for i in range(images)]
    return counts_of(trials, subjects)


def test_is_the_design_effect_at_thirty_errors():
    reference = genuine(30)
    floor = small_sample_floor(genuine(3), reference, per_subject=False)
    assert floor == design_effect(reference) > 1


def test_is_half_way_between_the_nearest_trials_and_the_worst_case():
    assert small_sample_floor(genuine(0), None, per_subject=True) == 5.0
    mild = counts_of([((g,), g < 30) for g in range(300)], 300)
    assert design_effect(mild) == pytest.approx(1.0, abs=0.01)
    assert small_sample_floor(genuine(0), mild, per_subject=True) == pytest.approx(3.0, abs=0.01)


def test_one_subject_with_most_of_the_trials_is_hardly_more_than_one():
    """Kish: the number of trials of a subject, seen from a trial."""
    counts = Counts(0, 109, np.zeros(10, np.int64), np.array([100, *[1] * 9]))
    assert worst_case(counts) == pytest.approx((100**2 + 9) / 109)
    assert rate(counts, deff_floor=worst_case(counts)).n_eff < 2


def test_counts_only_subjects_that_have_trials():
    counts = Counts(0, 10, np.array([0, 0, 0]), np.array([5, 5, 0]))
    assert small_sample_floor(counts, None, per_subject=True) == 5.0


def test_the_nearest_trials_count_if_they_are_worse_than_the_worst_case():
    floor = small_sample_floor(genuine(9, images=2), worked_example(), per_subject=True)
    assert floor == design_effect(worked_example())


@pytest.mark.parametrize("per_subject", [False, True])
def test_ends_at_ten_errors(per_subject):
    assert small_sample_floor(genuine(9), genuine(30), per_subject=per_subject) > 1
    assert small_sample_floor(genuine(10), genuine(30), per_subject=per_subject) == 1.0


def test_is_one_without_anything_to_go_by():
    assert small_sample_floor(worked_example(), None, per_subject=False) == 1.0
    unknown = Counts(0, 5, np.array([]), np.array([]))
    assert small_sample_floor(unknown, None, per_subject=True) == 1.0


def test_duplicated_genuine_pairs_without_errors_gain_nothing():
    once, often = genuine(0, images=2), genuine(0, images=20)
    floors = [small_sample_floor(c, None, per_subject=True) for c in (once, often)]
    bounds = [rate(c, deff_floor=f).upper for c, f in zip((once, often), floors, strict=True)]
    assert bounds[0] == pytest.approx(bounds[1], rel=1e-9)
