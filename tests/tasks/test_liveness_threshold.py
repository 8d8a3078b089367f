"""The threshold is the smallest whose upper bound of every species' APCER is below the limit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pytest_kycquant.errors import DataError
from pytest_kycquant.tasks.liveness.scores import Decisions, select_threshold
from tests.worlds.scores import captures, of_kind

LIMIT = 0.05
ALL = captures(150)


def scores(seed: int, levels: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    found = rng.beta(2, 6, len(ALL.images))
    found[ALL.species == 1] = rng.beta(2, 4, 150)  # screens are harder than prints
    found[ALL.live] = rng.beta(6, 2, 150)
    return np.round(found * levels) / levels if levels else found


def largest_bound(found: NDArray[np.float64], threshold: float) -> float:
    return max(rate.upper for rate in Decisions(found, ALL, threshold).species_rates.values())


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), levels=st.sampled_from([0, 3, 10, 40]))
def test_the_bound_holds_at_the_threshold(seed: int, levels: int) -> None:
    found = scores(seed, levels)
    assert largest_bound(found, select_threshold(found, ALL, LIMIT)) < LIMIT


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), levels=st.sampled_from([0, 10, 40]))
def test_it_does_not_at_the_next_lower_score(seed: int, levels: int) -> None:
    """Equal scores go together: to accept one of them is to accept all."""
    found = scores(seed, levels)
    threshold = select_threshold(found, ALL, LIMIT)
    assert threshold > 0.5
    attacks = found[~ALL.live]
    assert largest_bound(found, float(attacks[attacks < threshold].max())) >= LIMIT


def test_the_hardest_species_decides() -> None:
    """2 of 150 screens may pass below 5 %; the prints, all at zero, do not matter."""
    found = np.zeros(len(ALL.images))
    found[of_kind(ALL, 1, 150)] = np.linspace(0.6, 0.75, 150)
    threshold = select_threshold(found, ALL, LIMIT)
    accepted = Decisions(found, ALL, threshold).rate(1).errors
    assert accepted == 2
    assert threshold == np.nextafter(np.linspace(0.6, 0.75, 150)[-3], np.inf)


def test_broken_attacks_are_accepted_at_any_threshold() -> None:
    found = scores(0)
    found[of_kind(ALL, 0, 2)] = np.nan
    threshold = select_threshold(found, ALL, LIMIT)
    assert Decisions(found, ALL, threshold).rate(0).errors >= 2
    assert largest_bound(found, threshold) < LIMIT
    found[of_kind(ALL, 0, 10)] = np.nan
    with pytest.raises(DataError, match="10 errors in 150 attacks of the species print on 150"):
        select_threshold(found, ALL, LIMIT)
    found[~ALL.live] = np.nan
    with pytest.raises(DataError, match="150 errors in 150 attacks"):
        select_threshold(found, ALL, LIMIT)


def test_too_few_people() -> None:
    few = captures(15, each=50)
    with pytest.raises(
        DataError, match=r"unknown \(a claim needs at least 20 subjects\), not below 50"
    ):
        select_threshold(np.zeros(len(few.images)), few, 0.5)


def test_too_few_attacks_of_a_species() -> None:
    few = ALL.subset(np.flatnonzero((ALL.species != 1) | (ALL.subjects < 40)))
    with pytest.raises(DataError) as caught:
        select_threshold(np.zeros(len(few.images)), few, LIMIT)
    assert "0 errors in 40 attacks of the species screen on 40 subjects" in caught.value.problem
    assert (
        "give more attacks of this species (about 62 subjects would do), raise `selection_apcer`"
        in caught.value.remedy
    )


def test_what_is_more_probably_an_attack_is_never_accepted() -> None:
    """All attacks score below .15: a threshold among them would meet the limit but be useless."""
    found = scores(0)
    found[~ALL.live] *= 0.15
    assert select_threshold(found, ALL, LIMIT) == 0.5
    found[of_kind(ALL, 0, 3)] = 0.5
    assert select_threshold(found, ALL, LIMIT) == np.nextafter(0.5, 1)
