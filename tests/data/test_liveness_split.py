"""Selection and evaluation share no person, and each has live captures and every species."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.leakage import check_disjoint_subjects
from pytest_kycquant.data.liveness import (
    LIVE,
    LivenessSet,
    check_same_species,
    split_captures,
)
from pytest_kycquant.errors import DataError, LeakageError

SPECIES = ("mask", "print", "screen")


def captures_of(species: list[int], subjects: list[int] | None) -> LivenessSet:
    array = np.arange(len(species), dtype=np.uint8).repeat(3).reshape(-1, 1, 1, 3)
    images = ImageSet.from_array(array, Path("captures.npz"))
    kinds = np.array(species, dtype=np.int64)
    used = tuple(SPECIES[i] for i in sorted(set(species) - {LIVE}))
    renumbered = np.array([LIVE if k == LIVE else used.index(SPECIES[k]) for k in kinds])
    if subjects is None:
        return LivenessSet(images, renumbered, used, np.arange(len(species)), ())
    names, index = np.unique([f"person{s}" for s in subjects], return_inverse=True)
    return LivenessSet(images, renumbered, used, index, tuple(map(str, names)))


@given(
    kinds=st.lists(st.tuples(st.integers(LIVE, 2), st.integers(0, 9)), min_size=2, max_size=60),
    known=st.booleans(),
    share=st.floats(0.1, 0.9),
)
def test_split_is_disjoint_and_complete(
    kinds: list[tuple[int, int]], known: bool, share: float
) -> None:
    captures = captures_of([k for k, _ in kinds], [s for _, s in kinds] if known else None)
    try:
        evaluation, selection = split_captures(captures, share)
    except DataError as error:
        assert "would lack" in error.problem  # noqa: PT017
        return
    check_disjoint_subjects(evaluation, "evaluation", selection, "selection")
    check_same_species(evaluation, selection)
    assert evaluation.species_names == captures.species_names
    for part in (evaluation, selection):
        assert part.live.any()
        assert part.knows_subjects == known
    names = [*evaluation.images.names, *selection.images.names]
    assert sorted(names) == sorted(captures.images.names)
    for part in (evaluation, selection):
        for index, name in enumerate(part.images.names):
            assert part.describe(index) == captures.describe(captures.images.names.index(name))


@pytest.mark.parametrize("known", [True, False])
def test_every_species_gets_its_share(known: bool) -> None:
    species = [LIVE] * 40 + [0] * 20 + [1] * 10
    evaluation, selection = split_captures(
        captures_of(species, list(range(70)) if known else None), 0.5
    )
    for part in (evaluation, selection):
        assert np.bincount(part.species + 1).tolist() == [20, 10, 5]


def test_the_order_of_the_captures_does_not_matter() -> None:
    captures = captures_of([LIVE, LIVE, 0, 0, LIVE, 0] * 5, [i // 3 for i in range(30)])
    shuffled = captures.subset(np.random.default_rng(0).permutation(30))
    for one, other in zip(
        split_captures(captures, 0.5), split_captures(shuffled, 0.5), strict=True
    ):
        assert one.subject_names == other.subject_names
        assert one.digest == other.digest


def test_one_side_without_a_species() -> None:
    captures = captures_of([LIVE] * 10 + [0] * 10 + [1], None)
    with pytest.raises(DataError, match=r"evaluation would lack print; add people, change"):
        split_captures(captures, 0.5)


def test_one_side_without_live_captures() -> None:
    captures = captures_of([LIVE] + [0] * 10, None)
    with pytest.raises(DataError, match=r"selection would lack live captures; add people"):
        split_captures(captures, 0.3)


def test_species_must_be_the_same() -> None:
    one, other = captures_of([LIVE, 0, 1], None), captures_of([LIVE, 0], None)
    check_same_species(one, one)
    for first, second in ((one, other), (other, one)):
        with pytest.raises(DataError, match="has no attacks of the species print, which"):
            check_same_species(first, second)


def test_people_must_differ() -> None:
    one, other = captures_of([LIVE, 0], [1, 2]), captures_of([LIVE, 0], [2, 3])
    with pytest.raises(LeakageError, match="person2"):
        check_disjoint_subjects(one, "evaluation", other, "selection")
