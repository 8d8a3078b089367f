"""The threshold is the smallest whose upper bound of FAR stays below the limit."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pytest_kycquant.data.pairs import Comparisons
from pytest_kycquant.errors import DataError
from pytest_kycquant.tasks.face import scores as scoring
from pytest_kycquant.tasks.face.measures import normalise

LIMIT = 0.01


def world(
    seed: int, subjects: int = 60, levels: int = 0
) -> tuple[NDArray[np.float32], Comparisons]:
    rng = np.random.default_rng(seed)
    identity = np.repeat(np.arange(subjects), 2)
    values = rng.normal(size=(subjects, 8))[identity] + 0.3 * rng.normal(size=(2 * subjects, 8))
    if levels:  # coarse embeddings give many equal scores
        values = np.sign(values)
    return normalise(values.astype(np.float32)), Comparisons(identity)


def bound(unit: NDArray[np.float32], comparisons: Comparisons, threshold: float) -> float:
    errors = scoring.errors_at(unit, unit, comparisons, threshold)
    worst = scoring.extremes(unit, unit, comparisons, scoring.RULE_OF_30)
    rate = scoring.error_rate(comparisons, errors.false_accepts, worst.impostor_ids, genuine=False)
    return rate.upper


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), levels=st.sampled_from([0, 1]))
def test_the_bound_holds_at_the_threshold(seed: int, levels: int) -> None:
    unit, comparisons = world(seed, levels=levels)
    try:
        threshold = scoring.select_threshold(unit, comparisons, LIMIT)
    except DataError:
        assert levels  # the highest score is shared by too many pairs
        return
    assert bound(unit, comparisons, threshold) < LIMIT


@pytest.mark.parametrize("seed", range(5))
def test_the_next_lower_threshold_does_not(seed: int) -> None:
    unit, comparisons = world(seed)
    threshold = scoring.select_threshold(unit, comparisons, LIMIT)
    scores = unit @ unit.T
    i, j = np.triu_indices(len(unit), 1)
    different = comparisons.subjects[i] != comparisons.subjects[j]
    below = scores[i, j][different]
    below = below[below < threshold].max()
    assert bound(unit, comparisons, float(below)) >= LIMIT


def test_too_few_identities() -> None:
    unit, comparisons = world(0, subjects=15)
    with pytest.raises(DataError, match="threshold selection: even zero errors in 420 impostor"):
        scoring.select_threshold(unit, comparisons, 0.5)


def test_too_few_comparisons() -> None:
    unit, comparisons = world(0, subjects=30)
    with pytest.raises(
        DataError, match=r"give more identities \(about \d+ would do\), r"
    ) as caught:
        scoring.select_threshold(unit, comparisons, 0.0001)
    needed = int(re.findall(r"about (\d+) would do", str(caught.value))[0])
    scoring.select_threshold(*world(0, subjects=round(1.25 * needed)), 0.0001)
    with pytest.raises(DataError):
        scoring.select_threshold(*world(0, subjects=round(0.6 * needed)), 0.0001)
