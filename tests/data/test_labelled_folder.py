"""A folder for each class: labels are folder names, or indices of the gate file's classes."""

from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.data.labelled import load_labelled, split_labelled
from pytest_kycquant.errors import DataError
from tests.worlds.pictures import write_captures, write_image

CLASSES = ("passport", "card")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_captures(tmp_path, {"card": 2, "passport": 1}, people=3)


def refuse(root: Path, problem: str, classes: tuple[str, ...] | None = None) -> None:
    with pytest.raises(DataError) as caught:
        load_labelled(root, classes=classes)
    assert caught.value.where == str(root)
    assert problem in caught.value.problem
    assert "\n" not in str(caught.value)


def test_labels_are_names(root: Path) -> None:
    found = load_labelled(root)
    assert found.labels.tolist() == ["card"] * 6 + ["passport"] * 3
    assert found.subject_names == ("person00", "person01", "person02")
    assert found.subjects.tolist() == [0, 0, 1, 1, 2, 2, 0, 1, 2]


def test_labels_are_indices_of_classes(root: Path) -> None:
    found = load_labelled(root, classes=CLASSES)
    assert found.labels.tolist() == [1] * 6 + [0] * 3
    assert found.labels.dtype == np.int64


def test_without_people_every_image_is_a_subject(tmp_path: Path) -> None:
    found = load_labelled(write_captures(tmp_path, {"a": 2, "b": 1}))
    assert not found.knows_subjects
    assert found.subjects.tolist() == [0, 1, 2]


def test_split_keeps_people_together(root: Path) -> None:
    evaluation, selection = split_labelled(load_labelled(root, classes=CLASSES), 0.34)
    assert len(evaluation.images) == 6
    assert set(evaluation.subject_names) & set(selection.subject_names) == set()
    assert sorted(evaluation.subject_names + selection.subject_names) == [
        "person00",
        "person01",
        "person02",
    ]
    assert selection.labels.tolist() == [1, 1, 0]


def test_split_into_nothing(root: Path) -> None:
    with pytest.raises(DataError, match="3 subjects cannot be split with a share of"):
        split_labelled(load_labelled(root), 0.01)


def test_digest_ignores_the_order_and_covers_labels(root: Path) -> None:
    found = load_labelled(root)
    order = [8, 3, 0, 1, 2, 4, 5, 6, 7]
    assert found.subset(order).digest == found.digest
    assert load_labelled(root, classes=CLASSES).digest != found.digest
    assert load_labelled(root, classes=("card", "passport")).digest not in (
        found.digest,
        load_labelled(root, classes=CLASSES).digest,
    )


def test_missing(tmp_path: Path) -> None:
    refuse(tmp_path / "gone", "does not exist")


def test_another_file(tmp_path: Path) -> None:
    refuse(write_image(tmp_path / "a.png", 0), "is neither a folder nor a file ending in .npz")


def test_empty(tmp_path: Path) -> None:
    refuse(tmp_path, "contains no images")


def test_stray_image(root: Path) -> None:
    write_image(root / "x.png", 99)
    refuse(root, "contains images outside any class: x.png")


def test_one_class_only(tmp_path: Path) -> None:
    refuse(write_captures(tmp_path, {"card": 2}), "has only one sub-folder: card")


def test_empty_class(root: Path) -> None:
    (root / "licence").mkdir()
    refuse(root, "has folders without images: licence")


def test_unknown_class(root: Path) -> None:
    write_image(root / "visa" / "person00" / "1.png", 99)
    refuse(root, "not among the classes passport, card: visa/person00/1.png (visa)", CLASSES)


def test_class_without_images(root: Path) -> None:
    refuse(root, "has no images of the classes licence", (*CLASSES, "licence"))


def test_people_of_some_images_only(root: Path) -> None:
    write_image(root / "card" / "x.png", 99)
    refuse(root, "has a folder of a person for some images, but not for card/x.png")


def test_same_image_twice(root: Path) -> None:
    content = (root / "card" / "person00" / "0001.png").read_bytes()
    (root / "passport" / "person00" / "copy.png").write_bytes(content)
    refuse(
        root,
        "the same image appears twice: card/person00/0001.png = passport/person00/copy.png",
    )
