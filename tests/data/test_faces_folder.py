"""A folder per identity becomes labelled faces; the errors name whatever does not fit."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.data.faces import load_faces
from pytest_kycquant.errors import DataError
from tests.worlds.pictures import write_faces, write_image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_faces(tmp_path / "data", {"bob": 2, "Zoe": 1, "ann": 3})


def refuse(path: Path, problem: str, remedy: str) -> None:
    with pytest.raises(DataError) as caught:
        load_faces(path)
    assert caught.value.where == str(path)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert "\n" not in str(caught.value)


def test_identities_are_the_folders(root: Path) -> None:
    faces = load_faces(root)
    assert faces.subject_names == ("Zoe", "ann", "bob")
    assert faces.subjects.dtype == np.int64
    assert faces.subjects.tolist() == [0, 1, 1, 1, 2, 2]
    assert faces.images.names[0] == "Zoe/Zoe_0001.png"


def test_folders_inside_an_identity_belong_to_it(root: Path) -> None:
    write_image(root / "bob" / "2024" / "spring" / "1.png", 99)
    faces = load_faces(root)
    assert faces.subject_names == ("Zoe", "ann", "bob")
    assert faces.images.names[4] == "bob/2024/spring/1.png"
    assert faces.subjects.tolist() == [0, 1, 1, 1, 2, 2, 2]


def test_subset_renumbers_the_identities(root: Path) -> None:
    part = load_faces(root).subset([5, 0, 4])
    assert part.subject_names == ("Zoe", "bob")
    assert part.subjects.tolist() == [1, 0, 1]
    assert part.images.names[1] == "Zoe/Zoe_0001.png"


def test_missing_path(tmp_path: Path) -> None:
    refuse(tmp_path / "gone", "does not exist", "check the path")


def test_neither_folder_nor_archive(tmp_path: Path) -> None:
    problem = "is neither a folder nor a file ending in .npz"
    refuse(write_image(tmp_path / "a.png", 0), problem, "give a folder")


def test_empty_folder(tmp_path: Path) -> None:
    refuse(tmp_path, "contains no images", "one folder per identity")


def test_images_outside_of_any_identity(root: Path) -> None:
    write_image(root / "x.png", 98)
    write_image(root / "y.png", 99)
    refuse(root, "outside any identity: x.png, y.png", "named after its identity")


def test_identity_without_images(root: Path) -> None:
    (root / "carl" / "empty").mkdir(parents=True)
    (root / "dora").mkdir()
    refuse(root, "has folders without images: carl, dora", "fill or remove")


def test_unknown_files(root: Path) -> None:
    (root / "ann" / "clip.mp4").write_bytes(b"x")
    refuse(root, "unknown kind: ann/clip.mp4", "convert images")


def test_hidden_folder_and_companions_are_no_identities(root: Path) -> None:
    (root / ".cache").mkdir()
    (root / "pairs.txt").write_text("")
    assert len(load_faces(root).images) == 6


def test_same_image_under_two_identities(root: Path) -> None:
    shutil.copy(root / "ann/ann_0002.png", root / "bob/other.png")
    refuse(
        root, "under two identities: ann/ann_0002.png = bob/other.png", "the identity that it shows"
    )


def test_same_image_twice_under_one_identity(root: Path) -> None:
    for number in range(1, 4):
        for copy in range(3):
            source = root / f"ann/ann_{number:04d}.png"
            shutil.copy(source, root / f"ann/copy_{number}_{copy}.png")
    refuse(root, "appears twice: ann/ann_0001.png = ann/copy_1_0.png = ", "keep one copy of each")


def test_many_copies_are_counted(tmp_path: Path) -> None:
    root = write_faces(tmp_path, {"ann": 8})
    for path in list((root / "ann").iterdir()):
        shutil.copy(path, path.with_name("x" + path.name))
    refuse(root, "ann/ann_0005.png = ann/xann_0005.png and 3 more", "keep one copy of each")
