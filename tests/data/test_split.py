"""The choice for selection follows from the names alone and never changes."""

from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.data.detections import DetectionSet, split_scenes
from pytest_kycquant.data.faces import FaceSet, selection_mask, split_subjects
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.labelled import LabelledSet, split_labelled
from pytest_kycquant.data.liveness import LIVE, LivenessSet, split_captures
from pytest_kycquant.data.split import names_for_selection
from pytest_kycquant.data.unlabelled import selected_images

PEOPLE = ("7", "Zoe", "ann", "bob", "d'Arc", "eve", "jürgen", "陳")
EACH = np.arange(len(PEOPLE), dtype=np.int64)

# Recorded once. A change here would move users' people to the other side.
SELECTED_PEOPLE = {
    0.2: ["Zoe", "jürgen"],
    0.5: ["Zoe", "ann", "d'Arc", "jürgen"],
    0.8: ["7", "Zoe", "ann", "bob", "d'Arc", "jürgen"],
}
SELECTED_ROWS = {0.2: [2, 7], 0.5: [0, 2, 6, 7], 0.8: [0, 1, 2, 3, 6, 7]}
SELECTED_CAPTURED = {
    0.2: ["Zoe", "jürgen"],
    0.5: ["Zoe", "ann", "bob", "jürgen"],
    0.8: ["Zoe", "ann", "bob", "d'Arc", "eve", "jürgen"],
}
SELECTED_CAPTURES = {
    0.2: [2, 9, 11, 12],
    0.5: [0, 1, 2, 6, 7, 9, 11, 12],
    0.8: [0, 1, 2, 3, 6, 7, 8, 9, 11, 12, 13, 14],
}

shares = pytest.mark.parametrize("share", [0.2, 0.5, 0.8])


def pictures(count: int = len(PEOPLE)) -> ImageSet:
    """Rows of an array, named ``a.npz[0]`` and so on."""
    return ImageSet.from_array(np.arange(count, dtype=np.uint8).reshape(-1, 1, 1), Path("a.npz"))


def rows(images: ImageSet) -> list[int]:
    return [int(name[6:-1]) for name in images.names]


@shares
def test_names(share: float) -> None:
    chosen = names_for_selection(PEOPLE, share)
    assert chosen.dtype == np.bool_
    assert [name for name, one in zip(PEOPLE, chosen, strict=True) if one] == SELECTED_PEOPLE[share]
    assert names_for_selection(PEOPLE[::-1], share).tolist() == chosen[::-1].tolist()


@pytest.mark.parametrize(
    ("share", "count"), [(0.0, 0), (0.06, 0), (0.0625, 1), (0.18, 1), (0.95, 8), (1.0, 8)]
)
def test_as_many_as_the_share_makes_after_rounding(share: float, count: int) -> None:
    assert names_for_selection(PEOPLE, share).sum() == count


def test_nobody() -> None:
    assert names_for_selection([], 0.5).tolist() == []


@shares
def test_faces(share: float) -> None:
    faces = FaceSet(pictures(), EACH, PEOPLE)
    evaluation, selection = split_subjects(faces, share)
    assert list(selection.subject_names) == SELECTED_PEOPLE[share]
    assert sorted((*evaluation.subject_names, *selection.subject_names)) == sorted(PEOPLE)
    chosen = [name in SELECTED_PEOPLE[share] for name in PEOPLE]
    assert selection_mask(faces, share).tolist() == chosen


@shares
def test_labelled_images(share: float) -> None:
    known = split_labelled(LabelledSet(pictures(), EACH, EACH, PEOPLE), share)[1]
    assert list(known.subject_names) == SELECTED_PEOPLE[share]
    unknown = split_labelled(LabelledSet(pictures(), EACH, EACH, ()), share)[1]
    assert rows(unknown.images) == SELECTED_ROWS[share]


@shares
def test_images_and_scenes(share: float) -> None:
    assert np.flatnonzero(selected_images(pictures(), share)).tolist() == SELECTED_ROWS[share]
    boxes = np.tile([0.0, 0.0, 1.0, 1.0], (len(EACH), 1))
    scenes = DetectionSet(pictures(), boxes, EACH * 0, EACH, EACH < 0, ("face",))
    assert rows(split_scenes(scenes, share)[1].images) == SELECTED_ROWS[share]


@shares
def test_captures(share: float) -> None:
    species = np.array([LIVE, LIVE, 0, 0] * 4, dtype=np.int64)
    known = LivenessSet(pictures(16), species, ("print",), EACH.repeat(2), PEOPLE)
    assert list(split_captures(known, share)[1].subject_names) == SELECTED_CAPTURED[share]
    unknown = LivenessSet(pictures(16), species, ("print",), np.arange(16), ())
    assert rows(split_captures(unknown, share)[1].images) == SELECTED_CAPTURES[share]
