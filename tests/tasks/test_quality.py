"""The figures that compare two preprocessings: right, and never a false alarm."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pytest_kycquant.tasks.custom.quality import merit
from pytest_kycquant.tasks.face.measures import normalise
from pytest_kycquant.tasks.face.quality import separation
from pytest_kycquant.tasks.liveness.quality import ranking
from pytest_kycquant.tasks.outputs import Outputs
from pytest_kycquant.tasks.quality import Quality, is_better, standard_errors

LIMIT = 0.01


def outputs(values: NDArray[Any]) -> Outputs:
    return Outputs(values.astype(np.float32), np.isfinite(values).all(axis=1))


def faces(rng: np.random.Generator, people: int, noise: float) -> NDArray[np.float64]:
    """Embeddings of three images of each person."""
    centres = rng.normal(size=(people, 1, 32))
    found: NDArray[np.float64] = centres + noise * rng.normal(size=(people, 3, 32))
    return found.reshape(-1, 32)


def owners(people: int) -> NDArray[np.int64]:
    return np.repeat(np.arange(people), 3)


def found_on(values: NDArray[Any], people: int) -> Quality:
    found = separation(outputs(values), owners(people), LIMIT, 0.05)
    assert found is not None
    return found


def captures(species: NDArray[Any], subjects: NDArray[Any]) -> Any:
    names = tuple(str(kind) for kind in range(int(species.max()) + 1))
    return SimpleNamespace(
        live=species < 0, species=species, species_names=names, subjects=subjects
    )


def test_separation_is_what_its_definition_says() -> None:
    rng = np.random.default_rng(0)
    values = faces(rng, 6, 1.0)
    found, unit = found_on(values, 6), normalise(values.astype(np.float32)).astype(np.float64)
    whose, scores = owners(6), unit @ unit.T
    impostors = [scores[i, j] for i in range(18) for j in range(i) if whose[i] != whose[j]]

    def value(kept: set[int]) -> float:
        pairs = [(i, j) for i in range(18) for j in range(i) if {whose[i], whose[j]} <= kept]
        impostors = [scores[i, j] for i, j in pairs if whose[i] != whose[j]]
        mean, deviation = np.mean(impostors), np.std(impostors)
        each = [
            np.mean([scores[i, j] for i, j in pairs if whose[i] == whose[j] == person])
            for person in kept
        ]
        return float((np.mean(each) - mean) / deviation)

    everybody = set(range(6))
    assert found.value == pytest.approx(value(everybody), rel=1e-5)
    for person, without in enumerate(found.without):
        assert without == pytest.approx(value(everybody - {person}), rel=1e-5)
    genuine = [scores[i, j] for i in range(18) for j in range(i) if whose[i] == whose[j]]
    allowed = sorted(impostors, reverse=True)[int(LIMIT * len(impostors))]
    assert found.errors == pytest.approx(np.mean(np.array(genuine) <= allowed))


@given(st.integers(0, 2**32 - 1))
def test_area_without_a_person_is_the_area_without_their_captures(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(6, 30))
    species = np.concatenate([[-1, -1, 0, 0], rng.integers(-1, 3, count)])
    species[species > 0] = 0
    subjects = np.unique(rng.integers(0, 8, len(species)), return_inverse=True)[1]
    scores = rng.integers(0, 6, len(species)) / 5  # many ties
    found = ranking(scores, captures(species, subjects), 0.1, 0.9)
    assert found is not None

    def area(kept: NDArray[np.bool_]) -> float:
        ones, others = scores[kept & (species < 0)], scores[kept & (species >= 0)]
        wins = (ones[:, None] > others).mean() + (ones[:, None] == others).mean() / 2
        return float(wins)

    assert found.value == pytest.approx(area(subjects >= 0))
    for person, without in enumerate(found.without):
        kept = subjects != person
        if (species[kept] < 0).any() and (species[kept] >= 0).any():
            assert without == pytest.approx(area(kept))
        else:
            assert np.isnan(without)


def test_what_cannot_be_told_is_not_told() -> None:
    one = np.zeros((3, 4))
    assert separation(outputs(one), np.arange(3), LIMIT, 0.05) is None  # nobody has two images
    assert separation(outputs(one + np.nan), np.array([0, 0, 1]), LIMIT, 0.05) is None
    only = captures(np.array([-1, -1]), np.array([0, 1]))
    assert ranking(np.array([0.5, 0.6]), only, 0.1, 0.9) is None
    both = captures(np.array([-1, 0]), np.array([0, 1]))
    assert ranking(np.array([0.5, np.nan]), both, 0.1, 0.9) is None


@pytest.mark.parametrize("people", [12, 40, 120])
def test_no_false_alarm_in_two_hundred_worlds(people: int) -> None:
    """Another preprocessing that is as good, but whose every score differs, is never better."""
    rng = np.random.default_rng(people)
    for _ in range(200):
        known = faces(rng, people, 0.6)
        one, other = (known + 0.3 * rng.normal(size=known.shape) for _ in range(2))
        assert not is_better(found_on(one, people), found_on(other, people))


def test_no_false_alarm_among_rankings() -> None:
    rng = np.random.default_rng(1)
    species, subjects = np.tile([-1, 0, 1], 40), np.repeat(np.arange(40), 3)
    for _ in range(200):
        known = np.where(species < 0, 1.5, 0.0) + rng.normal(size=120)
        one, other = (
            ranking(known + 0.5 * rng.normal(size=120), captures(species, subjects), 0.1, 0.9)
            for _ in range(2)
        )
        assert one is not None
        assert other is not None
        assert not is_better(one, other)


def test_a_preprocessing_that_loses_a_little_of_everybody_is_found() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        known = faces(rng, 60, 0.6)
        worse = known + 0.35 * rng.normal(size=known.shape)
        now, other = found_on(worse, 60), found_on(known, 60)
        assert is_better(now, other)
        assert not is_better(other, now)
        assert standard_errors(other, now) < -5


def quality(
    value: float, without: Any, *, least: float = 0.0, errors: float = 0.0, sound: bool = True
) -> Quality:
    return Quality(value, np.asarray(without, np.float64), least, errors, sound, "")


def test_better_by_nothing_that_matters_is_not_better() -> None:
    many = np.full(20, 1.0)
    assert is_better(quality(1.0, many), quality(1.1, many + 0.1))
    assert not is_better(quality(1.0, many, least=0.2), quality(1.1, many + 0.1))
    assert not is_better(quality(1.0, many), quality(1.1, many + 0.1, errors=0.01))
    assert not is_better(quality(1.0, many), quality(1.1, many + 0.1, sound=False))
    assert not is_better(quality(1.0, many[:9]), quality(1.1, many[:9] + 0.1))
    assert standard_errors(quality(1.0, many), quality(1.0, many)) == 0.0
    assert standard_errors(quality(1.0, many), quality(np.nan, many)) == 0.0
    assert standard_errors(quality(1.0, many), quality(2.0, many[1:])) == 0.0


@pytest.mark.parametrize("higher", [True, False])
def test_a_metric_counts_in_its_own_direction(higher: bool) -> None:
    def measured(value: float) -> Any:
        return SimpleNamespace(
            finite=np.ones(12, np.bool_), form="figure", value=value,
            without=np.full(12, value), metric=SimpleNamespace(name="m", higher=higher),
        )  # fmt: skip

    low, high = merit(measured(1.0), 1.5), merit(measured(2.0), 1.5)
    assert low is not None
    assert high is not None
    assert is_better(low, high) is higher
    assert is_better(high, low) is not higher


def test_a_metric_of_errors_is_their_rate() -> None:
    wrong = np.array([True, False, False, True])
    truth = SimpleNamespace(subjects=np.array([0, 0, 1, 2]))
    found = merit(
        SimpleNamespace(
            finite=np.ones(4, np.bool_), form="errors", errors=wrong, truth=truth,
            metric=SimpleNamespace(name="m", higher=False),
        ),  # type: ignore[arg-type]
        0.6,
    )  # fmt: skip
    assert found is not None
    assert found.sound
    assert found.value == -0.5
    assert np.allclose(found.without, [-1 / 2, -2 / 3, -1 / 3])
