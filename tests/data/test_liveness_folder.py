"""A folder per class becomes labelled captures; the errors name whatever does not fit."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.data.liveness import LIVE
from pytest_kycquant.data.liveness_files import load_liveness
from pytest_kycquant.errors import DataError
from tests.worlds.pictures import write_captures, write_image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_captures(tmp_path / "data", {"live": 2, "print": 1, "mask": 3})


def refuse(path: Path, problem: str, remedy: str) -> None:
    with pytest.raises(DataError) as caught:
        load_liveness(path)
    assert caught.value.where == str(path)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert "\n" not in str(caught.value)


def test_species_are_the_folders(root: Path) -> None:
    captures = load_liveness(root)
    assert captures.species_names == ("mask", "print")
    assert captures.species.dtype == np.int64
    assert captures.images.names[2] == "mask/0001.png"
    assert captures.species.tolist() == [LIVE, LIVE, 0, 0, 0, 1]
    assert captures.live.tolist() == [True, True, False, False, False, False]


def test_without_people_each_capture_is_its_own(root: Path) -> None:
    captures = load_liveness(root)
    assert not captures.knows_subjects
    assert captures.subjects.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", ["live", "Live", "real", "bona_fide", "Bona-Fide", "bonafide"])
def test_spellings_of_live(tmp_path: Path, name: str) -> None:
    captures = load_liveness(write_captures(tmp_path, {name: 1, "print": 2}))
    assert captures.live.sum() == 1
    assert captures.species_names == ("print",)


def test_people_are_the_folders_below(tmp_path: Path) -> None:
    root = write_captures(tmp_path, {"live": 1, "print": 2}, people=2)
    shutil.move(root / "print" / "person01", root / "print" / "zoe")
    write_image(root / "print" / "zoe" / "2024" / "1.png", 99)
    captures = load_liveness(root)
    assert captures.subject_names == ("person00", "person01", "zoe")
    assert captures.subjects.tolist() == [0, 1, 0, 0, 2, 2, 2]
    assert captures.knows_subjects


def test_subset_renumbers(tmp_path: Path) -> None:
    captures = load_liveness(write_captures(tmp_path, {"live": 1, "mask": 1, "print": 1}, 3))
    part = captures.subset([8, 0])
    assert part.species_names == ("print",)
    assert part.species.tolist() == [0, LIVE]
    assert part.subject_names == ("person00", "person02")
    assert part.subjects.tolist() == [1, 0]
    assert part.images.names == ("print/person02/0001.png", "live/person00/0001.png")


def test_digest_ignores_the_order(root: Path) -> None:
    captures = load_liveness(root)
    assert captures.subset([5, 0, 1, 3, 2, 4]).digest == captures.digest


def test_digest_covers_labels_and_people(tmp_path: Path) -> None:
    """The same names and contents, with other labels, are other data."""
    root = write_captures(tmp_path / "a", {"live": 1, "print": 1}, people=2)
    rows = [
        (f"{kind}/person0{i}/0001.png", kind, f"person0{i}")
        for kind in ("live", "print")
        for i in (0, 1)
    ]
    digests = set()
    for change in (
        lambda row: row,
        lambda row: (row[0], {"print": "screen"}.get(row[1], row[1]), row[2]),
        lambda row: (row[0], row[1], {"person01": "zoe"}.get(row[2], row[2])),
        lambda row: (row[0], row[1], ""),
        lambda row: (row[0], "print" if row[0].startswith("live/person00") else row[1], row[2]),
    ):
        lines = ["file,label,species,subject"]
        for file, kind, subject in map(change, rows):
            label, species = ("live", "") if kind == "live" else ("attack", kind)
            lines.append(f"{file},{label},{species},{subject}")
        (root / "labels.csv").write_text("\n".join(lines))
        digests.add(load_liveness(root / "labels.csv").digest)
    assert len(digests) == 5
    (root / "labels.csv").unlink()
    assert load_liveness(root).digest in digests


def test_missing_path(tmp_path: Path) -> None:
    refuse(tmp_path / "gone", "does not exist", "check the path")


def test_neither_folder_nor_list(tmp_path: Path) -> None:
    problem = "is neither a folder nor a file ending in .csv or .npz"
    refuse(write_image(tmp_path / "a.png", 0), problem, "give a folder")


def test_empty_folder(tmp_path: Path) -> None:
    refuse(tmp_path, "contains no images", "add a sub-folder live and one for each")


def test_images_outside_of_any_class(root: Path) -> None:
    write_image(root / "x.png", 98)
    refuse(root, "outside any class: x.png", "named after its attack species")


def test_empty_species(root: Path) -> None:
    (root / "screen" / "deep").mkdir(parents=True)
    refuse(root, "has folders without images: screen", "fill or remove")


@pytest.mark.parametrize("name", ["live", "print"])
def test_one_folder_only(tmp_path: Path, name: str) -> None:
    root = write_captures(tmp_path, {name: 2})
    refuse(root, f"has only one sub-folder: {name}", "one for each attack species")


def test_no_live_images(tmp_path: Path) -> None:
    root = write_captures(tmp_path, {"print": 2, "screen": 2})
    refuse(root, "contains no live captures", "BPCER is measured on them")


def test_two_live_folders(root: Path) -> None:
    write_image(root / "real" / "x.png", 98)
    refuse(root, "several live folders: live, real", "merge them")


@pytest.mark.parametrize("name", ["attack", "Spoof", "fake", "presentation_attack"])
def test_pooled_attacks_are_no_species(root: Path, name: str) -> None:
    write_image(root / name / "print" / "x.png", 98)
    refuse(
        root, f"has the folder {name}, which does not name an attack species", "one folder for each"
    )


def test_people_of_some_captures_only(root: Path) -> None:
    write_image(root / "print" / "anna" / "x.png", 98)
    refuse(root, "but not for live/0001.png, live/0002.png", "named after its person")


def test_unknown_files(root: Path) -> None:
    (root / "print" / "clip.mp4").write_bytes(b"x")
    refuse(root, "unknown kind: print/clip.mp4", "convert images")


def test_same_image_under_two_labels(root: Path) -> None:
    shutil.copy(root / "live/0001.png", root / "print/9.png")
    refuse(root, "under two labels: live/0001.png = print/9.png", "under what it shows")


def test_same_image_twice_under_one_label(root: Path) -> None:
    shutil.copy(root / "mask/0001.png", root / "mask/9.png")
    refuse(root, "appears twice: mask/0001.png = mask/9.png", "keep one copy of each")
