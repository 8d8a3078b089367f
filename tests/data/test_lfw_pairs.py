"""LFW's pairs.txt is read in both its forms and checked line by line."""

from pathlib import Path

import pytest

from pytest_kycquant.data.faces import FaceSet, load_faces
from pytest_kycquant.data.pair_lists import load_pairs
from pytest_kycquant.errors import DataError
from tests.worlds.pictures import npz_faces, write_faces, write_image

VIEW_2 = """2\t2
Ann_Lee\t1\t2
Bob\t1\t2
Ann_Lee\t1\tBob\t1
Ann_Lee\t2\tBob\t2
Ann_Lee\t1\t3
Ann_Lee\t2\t3
Bob\t1\tAnn_Lee\t3
Ann_Lee\t3\tBob\t2
"""
VIEW_1 = """2
Ann_Lee\t1\t2
Bob\t1\t2
Ann_Lee\t1\tBob\t1
Carl\t1\tBob\t2
"""


@pytest.fixture
def faces(tmp_path: Path) -> FaceSet:
    return load_faces(write_faces(tmp_path / "lfw", {"Ann_Lee": 3, "Bob": 2, "Carl": 1}))


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pairs.txt"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", ["\t", " "])
def test_folds(tmp_path: Path, faces: FaceSet, newline: str, separator: str) -> None:
    text = VIEW_2.replace("\n", newline).replace("\t", separator)
    comparisons = load_pairs(written(tmp_path, text), faces)
    assert comparisons.left is not None
    assert comparisons.right is not None
    assert comparisons.same is not None
    assert comparisons.left.tolist() == [0, 3, 0, 1, 0, 1, 3, 2]
    assert comparisons.right.tolist() == [1, 4, 3, 4, 2, 2, 2, 4]
    assert comparisons.same.tolist() == [True, True, False, False] * 2
    assert comparisons.has_subjects
    assert comparisons.subject_trials(False).tolist() == [4, 4, 0]


def test_single_list(tmp_path: Path, faces: FaceSet) -> None:
    comparisons = load_pairs(written(tmp_path, "\ufeff" + VIEW_1 + "\n\n"), faces)
    assert comparisons.same is not None
    assert comparisons.same.tolist() == [True, True, False, False]


def test_any_image_suffix(tmp_path: Path, faces: FaceSet) -> None:
    root = faces.images.origin
    (root / "Bob/Bob_0002.png").rename(root / "Bob/Bob_0002.JPEG")
    assert load_pairs(written(tmp_path, VIEW_1), load_faces(root)).n_genuine == 2


def refuse(path: Path, faces: FaceSet, problem: str, remedy: str) -> None:
    with pytest.raises(DataError) as caught:
        load_pairs(path, faces)
    assert caught.value.where == str(path)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("", "has no entries", "list the pairs"),
        (" \n\n", "has no entries", "list the pairs"),
        ("10\t0\n", "has no entries", "list the pairs"),
        ("left,right,same\n", "line 1 is not an LFW header", "use a .csv file"),
        ("\n1\t2\t3\n", "line 2 is not an LFW header", "LFW's pairs.txt"),
        ("-1\n", "line 1 is not an LFW header", "LFW's pairs.txt"),
        (VIEW_1 + "Bob\t1\t2\n", "has 5 pairs but its header announces 4", "correct the header"),
        (VIEW_2.rsplit("\n", 2)[0], "has 7 pairs but its header announces 8", "download it again"),
        (VIEW_1.replace("Bob\t1\t2", "Bob\t1"), "line 3 is malformed", "LFW's pairs.txt"),
        (VIEW_1.replace("Bob\t1\t2", "Bob\tone\t2"), "line 3 is malformed", "LFW's pairs.txt"),
        (VIEW_1.replace("Bob\t1\t2", "\t1\t2"), "line 3 is malformed", "LFW's pairs.txt"),
        (
            VIEW_1.replace("Bob\t1\t2", "Bob\t1\tCarl\t2"),
            "line 3 is malformed: a matched pair is name<TAB>i<TAB>j",
            "LFW's pairs.txt",
        ),
        (
            VIEW_1.replace("Carl\t1\tBob\t2", "Bob\t1\t2"),
            "line 5 is malformed: a mismatched pair is name<TAB>i<TAB>other<TAB>j",
            "LFW's pairs.txt",
        ),
        (
            VIEW_1.replace("Carl\t1", "Dora\t1").replace("Bob\t1\t2", "Bob\t1\t9"),
            "does not have: Bob/Bob_0009 (line 3), Dora/Dora_0001 (line 5)",
            "correct the list",
        ),
        (
            VIEW_1.replace("Carl\t1\tBob\t2", "Bob\t1\tBob\t2"),
            "identities of the images: line 5 (Bob and Bob are labelled different)",
            "correct the list",
        ),
        (VIEW_1.replace("Bob\t1\t2", "Bob\t2\t2"), "with itself: line 3", "remove these lines"),
        (
            VIEW_1.replace("Bob\t1\t2", "Ann_Lee\t2\t1"),
            "perhaps swapped: line 3 (see line 2)",
            "remove the copies",
        ),
    ],
)
def test_lists_that_cannot_be_right(
    tmp_path: Path, faces: FaceSet, text: str, problem: str, remedy: str
) -> None:
    refuse(written(tmp_path, text), faces, problem, remedy)


def test_first_five_missing_images_are_listed(tmp_path: Path, faces: FaceSet) -> None:
    lines = [f"Ann_Lee\t{number}\t{number + 50}" for number in range(10, 14)]
    lines += [f"Ann_Lee\t{number}\tBob\t1" for number in range(20, 24)]
    path = written(tmp_path, "4\n" + "\n".join(lines))
    refuse(path, faces, "Ann_Lee_0012 (line 4) and 7 more", "add them or correct the list")


def test_two_files_for_one_name(tmp_path: Path, faces: FaceSet) -> None:
    root = faces.images.origin
    write_image(root / "Bob/Bob_0001.bmp", 77)
    path = written(tmp_path, VIEW_1)
    refuse(path, load_faces(root), "several suffixes: Bob/Bob_0001 (line 3)", "keep one file")


def test_array_has_no_such_names(tmp_path: Path) -> None:
    faces = npz_faces(tmp_path / "a.npz", ["Ann_Lee", "Bob", "Carl"])
    refuse(written(tmp_path, VIEW_1), faces, "a.npz does not have: Ann_Lee/", "correct the list")


def test_missing_file(tmp_path: Path, faces: FaceSet) -> None:
    refuse(tmp_path / "gone.txt", faces, "does not exist", "check the path")


def test_not_text(tmp_path: Path, faces: FaceSet) -> None:
    path = tmp_path / "pairs.txt"
    path.write_bytes(b"1\nJos\xe9\t1\t2\n")
    refuse(path, faces, "is not UTF-8 text", "save it as UTF-8")
