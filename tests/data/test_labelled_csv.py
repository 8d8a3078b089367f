"""A CSV of labels next to a folder of images is checked line by line."""

from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.data.labelled import LabelledSet, load_labelled
from pytest_kycquant.errors import DataError
from tests.worlds.pictures import write_image


def load(root: Path, text: str, classes: tuple[str, ...] | None = None) -> LabelledSet:
    for number in range(3):
        write_image(root / "images" / f"{number}.png", number)
    (root / "labels.csv").write_text(text)
    return load_labelled(root / "images", root / "labels.csv", classes)


def test_one_column_of_integers(tmp_path: Path) -> None:
    found = load(tmp_path, "file,age\n2.png,30\n0.png,-10\n1.png,20\n")
    assert found.labels.tolist() == [-10, 20, 30]
    assert found.labels.dtype == np.int64
    assert not found.knows_subjects


def test_one_column_of_numbers(tmp_path: Path) -> None:
    found = load(tmp_path, "file,age\n0.png,1\n1.png,2.5\n2.png,1e2\n")
    assert found.labels.tolist() == [1.0, 2.5, 100.0]


@pytest.mark.parametrize(
    "texts", [("AB12", "1234", "x"), ("0012", "1234", "9"), ("1234567890123456", "1", "2")]
)
def test_one_column_of_text(tmp_path: Path, texts: tuple[str, ...]) -> None:
    """Document numbers are text: 0012 is not 12."""
    rows = "".join(f"{i}.png,{text}\n" for i, text in enumerate(texts))
    assert load(tmp_path, f"file,number\n{rows}").labels.tolist() == list(texts)


def test_several_columns(tmp_path: Path) -> None:
    text = "file,subject,x,y\n0.png,anna,1,2\n1.png,bob,3,4.5\n2.png,anna,5,6\n"
    found = load(tmp_path, text)
    assert found.labels.tolist() == [[1, 2], [3, 4.5], [5, 6]]
    assert found.subject_names == ("anna", "bob")
    assert found.subjects.tolist() == [0, 1, 0]


@pytest.mark.parametrize("names", [("card", "passport"), ("0", "1")])
def test_classes_by_name(tmp_path: Path, names: tuple[str, str]) -> None:
    text = f"file,kind\n0.png,{names[1]}\n1.png,{names[0]}\n2.png,{names[1]}\n"
    assert load(tmp_path, text, names).labels.tolist() == [1, 0, 1]


ROWS = "0.png,1\n1.png,2\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no entries"),
        ("file,x\n", "has no entries"),
        ("name,x\n0.png,1\n", "lacks the columns file"),
        ("file\n0.png\n", "has no column of labels"),
        ("file,subject\n0.png,anna\n", "has no column of labels"),
        ("file,x,\n0.png,1,\n", "has unknown columns: one without a name"),
        ("file,x,x\n0.png,1,1\n", "has the same column twice"),
        (f"file,x\n{ROWS}2.png,\n", "line 4 is malformed"),
        (f"file,x\n{ROWS}2.png,1,2\n", "line 4 is malformed"),
        (f"file,x\n{ROWS}2.png,nan\n", "not finite numbers: line 4 (nan)"),
        (f"file,x\n{ROWS}2.png,-inf\n", "not finite numbers: line 4 (-inf)"),
        (f"file,x\n{ROWS}2.png,1e999\n", "not finite numbers: line 4 (1e999)"),
        (
            "file,x,y\n0.png,1,2\n1.png,a,3\n2.png,4,5\n",
            "has labels that are not finite numbers: line 3 (a)",
        ),
        (f"file,x\n{ROWS}", "has no label for 1 images in "),
        (f"file,x\n{ROWS}2.png,3\n3.png,4\n", "does not have: 3.png (line 5)"),
        (f"file,x\n{ROWS}./1.png,3\n", "line 4 labels 1.png again (see line 3)"),
        (
            "file,x,subject\n0.png,1,anna\n1.png,2,\n2.png,3,bob\n",
            "has a subject for some images, but not for 1.png",
        ),
    ],
)
def test_lists_that_cannot_be_right(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, text)
    assert caught.value.where == str(tmp_path / "labels.csv")
    assert problem in caught.value.problem
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("file,x,y\n0.png,a,b\n1.png,a,b\n2.png,b,a\n", "has the label columns x, y"),
        ("file,x\n0.png,a\n1.png,b\n2.png,c\n", "not among the classes a, b: 2.png (c)"),
    ],
)
def test_no_classes(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, text, ("a", "b"))
    assert problem in caught.value.problem


def test_one_class_only(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no images of the classes b"):
        load(tmp_path, "file,x\n0.png,a\n1.png,a\n2.png,a\n", ("a", "b"))


def test_no_images(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels.csv").write_text("file,x\n0.png,1\n")
    with pytest.raises(DataError, match="images: contains no images"):
        load_labelled(tmp_path / "images", tmp_path / "labels.csv")


def test_labels_of_an_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((1, 2, 2, 3), np.uint8))
    with pytest.raises(
        DataError, match=r"a\.npz: is not a folder; labels= needs a folder of images"
    ):
        load_labelled(tmp_path / "a.npz", tmp_path / "labels.csv")
