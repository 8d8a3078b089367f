"""Selection and evaluation share no identity, and the split depends on the names alone."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kycquant.data.faces import FaceSet, selection_mask, split_subjects
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.leakage import check_disjoint, check_disjoint_subjects
from pytest_kycquant.data.names import plain_name
from pytest_kycquant.data.pairs import all_pairs
from pytest_kycquant.errors import DataError
from tests.worlds.pictures import npz_faces

NAMES = st.lists(
    st.text("abcdeé 0", min_size=1, max_size=4), min_size=2, max_size=12, unique_by=plain_name
).map(set)


def faces_of(names: list[str], per_subject: int = 2) -> FaceSet:
    ordered = sorted(names)
    count = len(ordered) * per_subject
    array = np.arange(count, dtype=np.uint8).repeat(3).reshape(count, 1, 1, 3)
    images = ImageSet.from_array(array, Path("faces.npz"))
    subjects = np.arange(len(ordered)).repeat(per_subject)
    return FaceSet(images, subjects.astype(np.int64), tuple(ordered))


@given(names=NAMES, share=st.floats(0.01, 0.99), order=st.randoms())
def test_split_is_disjoint_complete_and_independent_of_order(
    names: set[str], share: float, order
) -> None:
    faces = faces_of(list(names))
    try:
        evaluation, selection = split_subjects(faces, share)
    except DataError as error:
        assert not 0.5 <= share * len(names) < len(names) - 0.5
        assert "add identities" in error.remedy  # noqa: PT017
        return
    check_disjoint(evaluation.images, "evaluation", selection.images, "selection")
    check_disjoint_subjects(evaluation, "evaluation", selection, "selection")
    assert set(evaluation.subject_names) | set(selection.subject_names) == names
    assert len(evaluation.images) + len(selection.images) == len(faces.images)
    assert abs(len(selection.subject_names) - share * len(names)) <= 0.5 + 1e-9
    for part in (evaluation, selection):
        for index, name in enumerate(part.images.names):
            row = faces.images.names.index(name)
            subject = part.subject_names[part.subjects[index]]
            assert subject == faces.subject_names[faces.subjects[row]]
    shuffled = order.sample(range(len(faces.images)), len(faces.images))
    again = split_subjects(faces.subset(shuffled), share)
    assert [part.subject_names for part in again] == [
        evaluation.subject_names,
        selection.subject_names,
    ]


@given(names=NAMES, share=st.floats(0.3, 0.7), newcomer=st.text("xyz", min_size=1, max_size=4))
def test_a_new_identity_moves_at_most_one_other(
    names: set[str], share: float, newcomer: str
) -> None:
    try:
        before = split_subjects(faces_of(list(names)), share)[1].subject_names
        after = split_subjects(faces_of([*names, newcomer]), share)[1].subject_names
    except DataError:
        return
    assert len((set(before) ^ set(after)) - {newcomer}) <= 1


def test_split_is_the_same_forever(tmp_path: Path) -> None:
    faces = npz_faces(tmp_path / "a.npz", [1, 2, 3, 4, 5, 6, 6])
    evaluation, selection = split_subjects(faces, 0.5)
    assert selection.subject_names == ("1", "3", "4")
    assert evaluation.subject_names == ("2", "5", "6")
    assert evaluation.subjects.tolist() == [0, 1, 2, 2]


def test_mask_splits_comparisons_as_it_splits_faces(tmp_path: Path) -> None:
    faces = npz_faces(tmp_path / "a.npz", [1, 2, 3, 4, 5, 6, 6])
    mask = selection_mask(faces, 0.5)
    for keep, part in zip((~mask, mask), split_subjects(faces, 0.5), strict=True):
        comparisons, _ = all_pairs(faces).restrict(keep)
        assert comparisons.subjects.tolist() == part.subjects.tolist()


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_one_side_empty(tmp_path: Path, share: float) -> None:
    faces = npz_faces(tmp_path / "a.npz", [1, 1, 2])
    with pytest.raises(DataError, match=rf"a\.npz: 2 identities .* share of {share}.*; add iden"):
        split_subjects(faces, share)
