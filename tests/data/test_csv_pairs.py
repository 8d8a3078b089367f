"""A CSV of comparisons is checked line by line."""

from pathlib import Path

import pytest

from pytest_kycquant.data.faces import FaceSet, load_faces
from pytest_kycquant.data.pair_lists import load_pairs
from pytest_kycquant.errors import DataError
from tests.worlds.pictures import npz_faces, write_faces

A1, A2, B1, B2 = "a/a_0001.png", "a/a_0002.png", "b/b_0001.png", "b/b_0002.png"
PLAIN = f"left,right,same\n{A1},{A2},1\n{A1},{B1},0\n"


@pytest.fixture
def faces(tmp_path: Path) -> FaceSet:
    return load_faces(write_faces(tmp_path / "faces", {"a": 2, "b": 2}))


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pairs.csv"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        "\ufeff" + PLAIN.replace("\n", "\r\n") + "\r\n",
        PLAIN.replace(",1\n", ",TRUE\n").replace(",0\n", ", false\n"),
        PLAIN.replace("a/", "./a/"),
        PLAIN.replace("/", "\\"),
        f'same,right,left\n1,"{A2}",{A1}\n0,{B1},{A1}\n',
        f"left,right,same,left_subject,right_subject\n{A1},{A2},1,a,a\n{A1},{B1},0,a,b\n",
    ],
)
def test_ways_to_write_a_list(tmp_path: Path, faces: FaceSet, text: str) -> None:
    comparisons = load_pairs(written(tmp_path, text), faces)
    assert comparisons.left is not None
    assert comparisons.right is not None
    assert comparisons.same is not None
    assert comparisons.left.tolist() == [0, 0]
    assert comparisons.right.tolist() == [1, 2]
    assert comparisons.same.tolist() == [True, False]
    assert comparisons.has_subjects


def test_rows_of_an_array_have_names_too(tmp_path: Path) -> None:
    faces = npz_faces(tmp_path / "f.npz", ["a", "a", "b"])
    text = "left,right,same\nf.npz[0],f.npz[1],1\nf.npz[2],f.npz[1],0\n"
    assert load_pairs(written(tmp_path, text), faces).n_impostor == 1


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("", "has no entries", "list the pairs"),
        ("left,right,same\n", "has no entries", "list the pairs"),
        ("left,right,same,score\n", "unknown columns: score", "use the columns left,right,same"),
        ("left;right;same\n", "unknown columns: left;right;same", "use the columns"),
        ("left,right\n", "lacks the columns same", "use the columns left,right,same"),
        ("left,right,same,same\n", "the same column twice", "use the columns"),
        (PLAIN + f"{A1},{B2}\n", "line 4 is malformed", "fill in every column"),
        (PLAIN + f"{A1},{B2},0,0\n", "line 4 is malformed", "fill in every column"),
        (PLAIN + f"{A1},{B2},no\n", "line 4 is malformed", "same must be 0, 1, true or false"),
        (PLAIN + f"{A1},,0\n", "line 4 is malformed", "fill in every column"),
        (PLAIN + ",,\n", "line 4 is malformed", "fill in every column"),
        (PLAIN + f'{A1},"{B2},0\n', "line 4 is malformed (", "use the columns"),
        (PLAIN + f"{A1},b/gone.png,0\n", "does not have: b/gone.png (line 4)", "correct the list"),
        (PLAIN + f"../{A1},{B2},0\n", "does not have: ../a/a_0001.png (line 4)", "correct"),
        (PLAIN + f"{A1},{B2},1\n", "line 4 (a and b are labelled same)", "correct the list"),
        (PLAIN + f"{B1},{B2},0\n", "line 4 (b and b are labelled different)", "correct the list"),
        (PLAIN + f"{B1},{B1},1\n", "an image with itself: line 4", "remove these lines"),
        (PLAIN + f"{A1},{B1},0\n", "perhaps swapped: line 4 (see line 3)", "remove the copies"),
        (PLAIN + f"{A2},{A1},1\n", "perhaps swapped: line 4 (see line 2)", "remove the copies"),
        (f"left,right,same\n{A1},{A2},1\n", "no impostor pairs", "pairs of different identities"),
        (f"left,right,same\n{A1},{B1},0\n", "no genuine pairs", "pairs of the same identity"),
        (
            f"left,right,same,left_subject\n{A1},{A2},1,a\n{A1},{B1},0,b\n",
            "line 3 (a/a_0001.png is a, not b)",
            "correct the list or move the images",
        ),
    ],
)
def test_lists_that_cannot_be_right(
    tmp_path: Path, faces: FaceSet, text: str, problem: str, remedy: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(DataError) as caught:
        load_pairs(path, faces)
    assert caught.value.where == str(path)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert "\n" not in str(caught.value)
