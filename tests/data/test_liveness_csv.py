"""A CSV of captures is checked line by line."""

from pathlib import Path

import pytest

from pytest_kycquant.data.liveness import LIVE
from pytest_kycquant.data.liveness_files import load_liveness
from pytest_kycquant.errors import DataError
from tests.worlds.pictures import write_captures

PLAIN = "file,label,species\nlive/0001.png,live,\nprint/0001.png,attack,print\n"
SUBJECTS = "file,label,species,subject\nlive/0001.png,live,,anna\nprint/0001.png,attack,print,bob\n"


def written(root: Path, text: str) -> Path:
    write_captures(root, {"live": 2, "print": 2})
    path = root / "labels.csv"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        SUBJECTS,
        "\ufeff" + PLAIN.replace("\n", "\r\n") + "\r\n",
        PLAIN.replace("live,\n", "Real,\n").replace("attack", "SPOOF"),
        PLAIN.replace("live,\n", "bona fide,\n").replace("attack", "presentation-attack"),
        PLAIN.replace("live,\n", "live,live\n"),
        PLAIN.replace("live/", "./live/"),
        PLAIN.replace("/", "\\"),
        "label,species,file\nlive,,live/0001.png\nfake,print,print/0001.png\n",
        SUBJECTS.replace("anna", "").replace("bob", ""),
    ],
)
def test_ways_to_write_a_list(tmp_path: Path, text: str) -> None:
    captures = load_liveness(written(tmp_path, text))
    assert captures.images.names == ("live/0001.png", "print/0001.png")
    assert captures.species.tolist() == [LIVE, 0]
    assert captures.species_names == ("print",)
    assert captures.subject_names == (("anna", "bob") if "anna" in text else ())
    assert captures.images.pixels(1).shape == (8, 6, 3)


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("", "has no entries", "list the captures"),
        ("file,label,species\n", "has no entries", "list the captures"),
        ("file,label,kind\n", "unknown columns: kind", "use the columns file,label and optionally"),
        ("file,species\n", "lacks the columns label", "use the columns file,label"),
        ("file,label,label\n", "the same column twice", "use the columns"),
        (PLAIN + "live/0002.png,live\n", "line 4 is malformed", "fill in file and label"),
        (PLAIN + ",live,\n", "line 4 is malformed", "fill in file and label"),
        (PLAIN + "live/0002.png,,\n", "line 4 is malformed", "fill in file and label"),
        (PLAIN + 'live/0002.png,"live,\n', "line 4 is malformed (", "use the columns"),
        (
            PLAIN + "live/0002.png,1,\n",
            "line 4 (live/0002.png) has the unknown label '1'",
            "write live or attack",
        ),
        (
            PLAIN + "print/0002.png,print,\n",
            "line 4 (print/0002.png) has the unknown label 'print'",
            "write live or attack",
        ),
        (
            PLAIN + "print/0002.png,attack,\n",
            "line 4 (print/0002.png) is an attack without a species",
            "such as print, screen or mask",
        ),
        (
            PLAIN + "print/0002.png,attack,spoof\n",
            "line 4 (print/0002.png) is an attack without a species",
            "such as print, screen or mask",
        ),
        (
            PLAIN + "live/0002.png,live,print\n",
            "line 4 (live/0002.png) is live but has the attack species print",
            "write live or attack",
        ),
        (
            PLAIN + "live/0001.png,live,\n",
            "line 4 lists live/0001.png again (see line 2)",
            "keep one line",
        ),
        (
            PLAIN + "./live/0001.png,attack,print\n",
            "line 4 lists live/0001.png with another label (see line 2)",
            "keep one line",
        ),
        (
            PLAIN + "live/7.png,live,\nlive/8.png,live,\n",
            "files that do not exist: live/7.png (line 4), live/8.png (line 5)",
            "relative to the folder of the CSV",
        ),
        (PLAIN + "../live/1.png,live,\n", "line 4 names ../live/1.png, which is not", "move"),
        (PLAIN + "/live/1.png,live,\n", "line 4 names /live/1.png, which is not", "move"),
        (
            SUBJECTS.replace("bob", ""),
            "but not for print/0001.png",
            "give the subject of every image or of none",
        ),
        ("file,label\nlive/0001.png,live\n", "contains no attacks", "at least one attack species"),
        (
            "file,label,species\nprint/0001.png,attack,print\n",
            "contains no live captures",
            "BPCER is measured",
        ),
    ],
)
def test_lists_that_cannot_be_right(tmp_path: Path, text: str, problem: str, remedy: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(DataError) as caught:
        load_liveness(path)
    assert caught.value.where == str(path)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert "\n" not in str(caught.value)


def test_same_content_under_two_labels(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN)
    (tmp_path / "print/0001.png").write_bytes((tmp_path / "live/0001.png").read_bytes())
    with pytest.raises(DataError, match=r"labels\.csv: the same image appears under two labels"):
        load_liveness(path)


def test_missing_list(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist; check the path"):
        load_liveness(tmp_path / "gone.csv")
