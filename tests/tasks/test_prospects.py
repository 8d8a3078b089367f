"""What data can decide at best, before any model has run on it."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_kycquant import FaceLimits
from pytest_kycquant.data.pairs import Comparisons
from pytest_kycquant.statistics import Counts
from pytest_kycquant.tasks.face.scores import counts_of
from pytest_kycquant.tasks.prospects import Trials
from pytest_kycquant.tasks.rates import chosen_for

LIMITS = FaceLimits()


def frr(people: int, images: int = 4, limit: str = "frr") -> Trials:
    pairs = Comparisons(np.repeat(np.arange(people), images))
    counts = counts_of(pairs, np.empty(0, np.int64), genuine=True)
    rises = limit == "frr_degradation"
    return Trials(LIMITS[limit], "FRR", counts, "people", increase=rises)


def far(people: int, images: int = 4) -> Trials:
    pairs = Comparisons(np.repeat(np.arange(people), images))
    counts = counts_of(pairs, np.empty(0, np.int64), genuine=False)
    return Trials(LIMITS["far"], "FAR", counts, "people", crossed=True, all_pairs=True)


@pytest.mark.parametrize(
    ("trials", "decidable"),
    [
        (frr(300), True),
        (frr(45), True),
        (frr(35), False),
        (frr(19, 100), False),  # many images do not make more people
        (frr(98, limit="frr_degradation"), False),
        (frr(99, limit="frr_degradation"), True),
        (frr(400, 1), False),  # nobody has a second image
        (far(40), True),
        (far(20, 1), False),
    ],
)
def test_decidable(trials: Trials, decidable: bool) -> None:
    assert trials.decidable is decidable
    if not decidable:
        assert not trials.likely


def test_pairs_that_depend_on_each_other_as_they_typically_do_may_be_too_few() -> None:
    few, more = far(40), far(80)
    assert few.decidable
    assert not few.likely
    assert few.typical > few.limit.value > few.best
    assert "40 people may be too few to decide FAR below 0.1 %: typically" in few.describe()
    assert more.likely
    assert frr(45).likely is frr(45).decidable  # nothing about genuine pairs is left open


def test_a_threshold_is_chosen_by_a_bound() -> None:
    asked = Trials(
        chosen_for(5e-4, "selection_far"),
        "FAR",
        far(30).counts,
        "people",
        crossed=True,
        all_pairs=True,
        chooses=True,
    )
    text = asked.describe()
    assert text.startswith("30 people cannot choose a threshold with FAR below 0.05 %: at best")
    assert " or set selection_far=0.00" in text
    assert asked.needed == asked.needed_at_half


def test_more_people_decide_rates_of_half_of_their_limits() -> None:
    for trials in (frr(50), far(50)):
        assert trials.needed is not None
        assert trials.needed_at_half is not None
        assert trials.needed_at_half > trials.needed
    rise = frr(50, limit="frr_degradation")
    assert rise.needed_at_half == rise.needed


@pytest.mark.parametrize("trials", [frr(35), frr(50, limit="frr_degradation"), far(20, 1)])
def test_the_number_that_is_asked_for_is_the_first_that_can_decide(trials: Trials) -> None:
    needed = trials.needed
    assert needed is not None
    images = len(trials.counts.subject_trials) and (1 if trials.crossed else 4)
    make = far if trials.crossed else lambda n, i: frr(n, i, trials.limit.name)
    assert make(needed, images).likely
    assert not make(int(needed * 0.9), images).likely


def test_what_is_said() -> None:
    text = frr(80, limit="frr_degradation").describe()
    assert text.startswith("80 people cannot decide FRR below 1 %: at best 2.212 %")
    assert text.endswith("give about 99 people, or set the limit frr_degradation=0.023")
    few = frr(15).describe()
    assert "any claim needs at least 20; give about" in few
    nobody = Trials(LIMITS["frr"], "FRR", Counts(0, 0, np.array([]), np.array([])), "people")
    assert nobody.describe() == "no people can decide FRR below 5 %: there are no such trials"
    assert not nobody.decidable


def test_the_limit_that_is_proposed_can_be_decided() -> None:
    trials = frr(60, limit="frr_degradation")
    proposed = float(trials.describe().rpartition("=")[2])
    looser = FaceLimits(frr_degradation=proposed)["frr_degradation"]
    assert Trials(looser, "FRR", trials.counts, "people").decidable


def test_one_person_with_most_of_the_images_is_not_many_people() -> None:
    sizes = np.array([1000, *[1] * 99])
    alone = Trials(LIMITS["frr"], "FRR", Counts(0, int(sizes.sum()), sizes * 0, sizes), "people")
    assert not alone.decidable
