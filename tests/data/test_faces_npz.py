"""An .npz file with images and subjects becomes labelled faces."""

from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.data.faces import load_faces
from pytest_kycquant.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 5, 5, 3), dtype=np.uint8)


def saved(tmp_path: Path, **arrays: object) -> Path:
    path = tmp_path / "faces.npz"
    np.savez(path, **arrays)
    return path


def refuse(path: Path, problem: str, remedy: str) -> None:
    with pytest.raises(DataError) as caught:
        load_faces(path)
    assert caught.value.where == str(path)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("subjects", "names", "numbers"),
    [
        (["b", "a", "b", "c"], ("a", "b", "c"), [1, 0, 1, 2]),
        ([7, 10, 7, 2], ("10", "2", "7"), [2, 0, 2, 1]),
        (np.array([1, 0, 1, 2], np.uint8), ("0", "1", "2"), [1, 0, 1, 2]),
    ],
)
def test_subjects(tmp_path: Path, subjects: object, names: tuple, numbers: list) -> None:
    faces = load_faces(saved(tmp_path, images=IMAGES, subjects=subjects))
    assert faces.subject_names == names
    assert faces.subjects.tolist() == numbers
    assert faces.images.names[1] == "faces.npz[1]"
    np.testing.assert_array_equal(faces.images.pixels(3), IMAGES[3])


@pytest.mark.parametrize("subjects", [["a", "b"], [["a"], ["b"], ["c"], ["d"]], "a"])
def test_other_number_of_subjects(tmp_path: Path, subjects: object) -> None:
    path = saved(tmp_path, images=IMAGES, subjects=subjects)
    refuse(path, "contains 4 images but subjects of shape", "one subject per image")


@pytest.mark.parametrize("subjects", [[0.0, 1.0, 1.0, 2.0], [True] * 4, [b"a"] * 4])
def test_subjects_of_another_type(tmp_path: Path, subjects: object) -> None:
    path = saved(tmp_path, images=IMAGES, subjects=subjects)
    refuse(path, f"subjects are {np.array(subjects).dtype}", "integers or as unicode strings")


def test_unlabelled_rows(tmp_path: Path) -> None:
    path = saved(tmp_path, images=IMAGES, subjects=["a", "b", " ", ""])
    refuse(path, "whose subject is empty", "label them or leave them out")


def test_subject_that_would_spoil_a_message(tmp_path: Path) -> None:
    path = saved(tmp_path, images=IMAGES, subjects=["a", "b\nc", "d", "e"])
    refuse(path, r"the subject name 'b\nc' contains control characters", "rename it")


def test_missing_subjects(tmp_path: Path) -> None:
    refuse(saved(tmp_path, images=IMAGES), "lacks 'subjects'", "save it with 'images', 'subjects'")


def test_missing_file(tmp_path: Path) -> None:
    refuse(tmp_path / "gone.npz", "does not exist", "check the path")


def test_float_images(tmp_path: Path) -> None:
    path = saved(tmp_path, images=IMAGES / 255, subjects=[1, 2, 3, 4])
    refuse(path, "images are float64, not uint8", "save raw pixels 0..255 as uint8")


def test_copies_are_named_with_their_subjects(tmp_path: Path) -> None:
    images = IMAGES[[0, 1, 2, 0]]
    path = saved(tmp_path, images=images, subjects=["a", "b", "c", "d"])
    refuse(path, "two identities: faces.npz[0] (a) = faces.npz[3] (d)", "that it shows")
    path = saved(tmp_path, images=images, subjects=["a", "b", "c", "a"])
    refuse(path, "appears twice: faces.npz[0] (a) = faces.npz[3] (a)", "keep one copy of each")
