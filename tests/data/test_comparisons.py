"""Comparisons count their pairs without writing all of them out."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kycquant.data.pairs import Comparisons, all_pairs, check_comparable
from pytest_kycquant.errors import DataError
from tests.worlds.pictures import npz_faces

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=12)


def numbered(labels: list[int]) -> np.ndarray:
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def written_out(subjects: np.ndarray) -> Comparisons:
    pairs = np.array(list(combinations(range(len(subjects)), 2)), dtype=np.int64).reshape(-1, 2)
    return Comparisons(subjects, pairs[:, 0], pairs[:, 1])


def brute_force(subjects: np.ndarray, genuine: bool) -> list[int]:
    trials = [0] * (max(subjects) + 1)
    for one, other in combinations(subjects, 2):
        if (one == other) == genuine:
            for subject in {one, other}:
                trials[subject] += 1
    return trials


@given(labels=LABELS, genuine=st.booleans())
def test_subject_trials_against_brute_force(labels: list[int], genuine: bool) -> None:
    subjects = numbered(labels)
    expected = brute_force(subjects, genuine)
    for comparisons in (Comparisons(subjects), written_out(subjects)):
        trials = comparisons.subject_trials(genuine)
        assert trials.dtype == np.int64
        assert trials.tolist() == expected
        assert comparisons.n_genuine == sum(brute_force(subjects, True))
        assert comparisons.n_impostor * 2 == sum(brute_force(subjects, False))


@given(labels=LABELS, data=st.data())
def test_restricting_all_pairs_is_restricting_the_list(
    labels: list[int], data: st.DataObject
) -> None:
    subjects = numbered(labels)
    keep = data.draw(st.permutations(range(len(subjects))))
    keep = keep[: data.draw(st.integers(1, len(keep)))]
    lazy, dropped = Comparisons(subjects).restrict(keep)
    listed, dropped_from_list = written_out(subjects).restrict(keep)
    assert dropped == dropped_from_list
    assert dropped == lazy_size(Comparisons(subjects)) - lazy_size(lazy)
    np.testing.assert_array_equal(lazy.subjects, listed.subjects)
    for genuine in (True, False):
        np.testing.assert_array_equal(lazy.subject_trials(genuine), listed.subject_trials(genuine))


def lazy_size(comparisons: Comparisons) -> int:
    return comparisons.n_genuine + comparisons.n_impostor


def test_restricting_renumbers_as_the_faces_do(tmp_path: Path) -> None:
    faces = npz_faces(tmp_path / "a.npz", ["c", "a", "b", "b", "c"])
    keep = np.array([0, 2, 3])
    comparisons = Comparisons(faces.subjects, np.array([0, 2, 1]), np.array([2, 3, 3]))
    part, dropped = comparisons.restrict(keep)
    assert dropped == 1
    assert part.left is not None
    assert part.right is not None
    assert part.left.tolist() == [0, 1]
    assert part.right.tolist() == [1, 2]
    assert part.subjects.tolist() == faces.subset(keep).subjects.tolist() == [1, 0, 0]


def test_pairs_whose_identities_nobody_knows() -> None:
    comparisons = Comparisons(
        np.arange(4), np.array([0, 1]), np.array([2, 3]), np.array([True, False]), False
    )
    assert (comparisons.n_genuine, comparisons.n_impostor) == (1, 1)
    check_comparable(comparisons, Path("pairs.csv"))
    assert not comparisons.restrict([0, 2])[0].has_subjects
    with pytest.raises(ValueError, match="have no subjects"):
        comparisons.subject_trials(True)


def test_descriptions_that_contradict_themselves() -> None:
    subjects, index = np.arange(2), np.array([0])
    with pytest.raises(ValueError, match="all pairs"):
        Comparisons(subjects, left=index)
    with pytest.raises(ValueError, match="all pairs"):
        Comparisons(subjects, same=np.array([True]))
    with pytest.raises(ValueError, match="all pairs"):
        Comparisons(subjects, has_subjects=False)
    with pytest.raises(ValueError, match="need `same`"):
        Comparisons(subjects, index, index + 1, has_subjects=False)


def refuse(comparisons: Comparisons, problem: str, remedy: str) -> None:
    with pytest.raises(DataError) as caught:
        check_comparable(comparisons, Path("data/faces"))
    assert caught.value.where == "data/faces"
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy


def test_comparable(tmp_path: Path) -> None:
    faces = npz_faces(tmp_path / "a.npz", ["a", "a", "b"])
    check_comparable(all_pairs(faces), tmp_path)


def test_one_identity() -> None:
    refuse(Comparisons(np.zeros(3, np.int64)), "fewer than two identities", "other identities")


def test_one_image_per_identity() -> None:
    refuse(Comparisons(np.arange(3)), "no genuine pairs", "add a second image")


def test_list_without_genuine_or_impostor_pairs() -> None:
    subjects = np.array([0, 0, 1])
    genuine = Comparisons(subjects, np.array([0]), np.array([1]))
    impostor = Comparisons(subjects, np.array([0]), np.array([2]))
    refuse(genuine, "no impostor pairs", "list pairs of different identities")
    refuse(impostor, "no genuine pairs", "list pairs of the same identity")
