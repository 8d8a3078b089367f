"""The numbers of people that the docs call enough if no decision is wrong."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant import Verdict
from pytest_kycquant.statistics import (
    RULE_OF_30,
    Rate,
    noninferiority,
)
from pytest_kycquant.tasks.rates import rate_of
from pytest_kycquant.verdicts import Figure
from tests.worlds.limits import below

DOCS = Path(__file__).parents[2] / "docs"


def faultless(people: int, trials: int = 1) -> Rate:
    """Bound zero errors in that many trials of each person, as the gates do."""
    subjects = np.repeat(np.arange(people), trials)
    worst = np.arange(len(subjects)) < RULE_OF_30
    return rate_of(np.zeros(len(subjects), np.bool_), subjects, worst)


def verdict(found: Figure, limit: float) -> Verdict:
    return below(limit).check("rate", found).verdict


def increase(people: int, trials: int = 1) -> Verdict:
    """Compare two models without any difference with a budget of one point."""
    found = noninferiority(faultless(people, trials), faultless(people, trials))
    return below(0.01).judge(found.lower, found.upper)


def smallest(outcome: Callable[[int], Verdict]) -> int:
    return next(people for people in range(2, 1_000) if outcome(people) is Verdict.PASS)


def test_a_rate_below_five_percent() -> None:
    assert smallest(lambda people: verdict(faultless(people), 0.05)) == 62
    assert "below 5 % takes 62 people" in " ".join((DOCS / "liveness.md").read_text().split())


def test_a_threshold_at_half_the_limit() -> None:
    assert smallest(lambda people: verdict(faultless(people), 0.025)) == pytest.approx(120, abs=3)


@pytest.mark.parametrize("trials", [1, 6])
def test_no_increase_by_one_point(trials: int) -> None:
    """For any number of images per person: face, liveness and detection docs all say about 300."""
    assert smallest(lambda people: increase(people, trials)) == pytest.approx(300, abs=5)
