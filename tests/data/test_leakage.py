"""An image or an identity with two purposes is found by what it is, not by its name."""

from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.data.faces import load_faces
from pytest_kycquant.data.files import find_images
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.leakage import (
    check_calibration_subjects,
    check_disjoint,
    check_disjoint_subjects,
)
from pytest_kycquant.errors import DataError, LeakageError
from tests.worlds.pictures import npz_faces, pixels, write_faces, write_image


def files(root: Path, seeds: range) -> ImageSet:
    for seed in seeds:
        write_image(root / f"{root.name}_{seed:02d}.png", seed)
    return ImageSet.from_files(root, find_images(root))


def rows(root: Path, seeds: range) -> ImageSet:
    return ImageSet.from_array(np.stack([pixels(seed) for seed in seeds]), root / "a.npz")


@pytest.mark.parametrize("first", [files, rows])
@pytest.mark.parametrize("second", [files, rows])
def test_disjoint_content(tmp_path: Path, first, second) -> None:
    one, other = first(tmp_path / "cal", range(5)), second(tmp_path / "eval", range(5, 10))
    check_disjoint(one, "calibration", other, "evaluation")


@pytest.mark.parametrize("first", [files, rows])
@pytest.mark.parametrize("second", [files, rows])
def test_same_content_under_another_name(tmp_path: Path, first, second) -> None:
    one, other = first(tmp_path / "cal", range(5)), second(tmp_path / "eval", range(4, 10))
    with pytest.raises(LeakageError) as caught:
        check_disjoint(one, "calibration", other, "evaluation")
    assert isinstance(caught.value, DataError)
    assert caught.value.where == str(one.origin)
    assert "1 of its images for calibration are also used for evaluation" in caught.value.problem
    assert f"({other.origin}): {one.names[4]} = {other.names[0]}" in caught.value.problem
    assert "one purpose only" in caught.value.remedy


def test_ten_are_listed_and_the_others_counted(tmp_path: Path) -> None:
    one, other = files(tmp_path / "cal", range(13)), files(tmp_path / "eval", range(13))
    with pytest.raises(LeakageError, match=r"13 of its .* = eval_09\.png and 3 more; use each"):
        check_disjoint(one, "calibration", other, "evaluation")


def test_disjoint_identities(tmp_path: Path) -> None:
    one = npz_faces(tmp_path / "one.npz", ["a", "b"])
    other = npz_faces(tmp_path / "other.npz", ["c", "d"])
    check_disjoint_subjects(one, "selection", other, "evaluation")


def test_shared_identities(tmp_path: Path) -> None:
    one = load_faces(write_faces(tmp_path / "one", {"bob": 1, "ann": 1, "carl": 1}))
    other = npz_faces(tmp_path / "other.npz", ["ann", "bob", "dora"])
    with pytest.raises(LeakageError) as caught:
        check_disjoint_subjects(one, "selection", other, "evaluation")
    assert caught.value.where == str(tmp_path / "one")
    assert "2 of its identities for selection are also used for evaluation" in caught.value.problem
    assert "other.npz): ann, bob" in caught.value.problem
    assert "different people different names" in caught.value.remedy


def images_of(root: Path, *people: str) -> ImageSet:
    """Images of each person in a folder of that name."""
    for seed, name in enumerate(people):
        write_image(root / name / "0.png", 50 + seed)
    return ImageSet.from_files(root, find_images(root))


def test_calibration_of_other_people(tmp_path: Path) -> None:
    judged = npz_faces(tmp_path / "faces.npz", ["ann", "bob", "0001"])
    check_calibration_subjects(images_of(tmp_path / "a", "dora", "live/carl"), evaluation=judged)
    # Numbers start again in every folder, and files without folders do not name a person.
    check_calibration_subjects(images_of(tmp_path / "b", "0001"), evaluation=judged)
    check_calibration_subjects(files(tmp_path / "ann", range(2)), evaluation=judged)


def test_calibration_of_people_who_are_judged(tmp_path: Path) -> None:
    judged = npz_faces(tmp_path / "faces.npz", ["ann", "bob"])
    folders = images_of(tmp_path / "calibration", "dora", "live/bob")
    np.savez(tmp_path / "c.npz", images=np.stack([pixels(7)]), subjects=np.array(["bob"]))
    array = ImageSet.from_array(np.stack([pixels(7)]), tmp_path / "c.npz")
    for images in (folders, array):
        with pytest.raises(LeakageError, match=r"1 of the people .* calibration images .*: bob;"):
            check_calibration_subjects(images, evaluation=judged)
