"""An npz file of captures: arrays that match, with labels in words."""

from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.data.liveness import LIVE
from pytest_kycquant.data.liveness_files import load_liveness
from pytest_kycquant.errors import DataError

IMAGES = np.arange(4 * 12, dtype=np.uint8).reshape(4, 2, 2, 3)
LABELS = ["live", "attack", "attack", "live"]
SPECIES = ["", "screen", "print", ""]


def saved(tmp_path: Path, **changed: object) -> Path:
    arrays = {"images": IMAGES, "labels": LABELS, "species": SPECIES} | changed
    path = tmp_path / "captures.npz"
    np.savez(path, **{k: np.asarray(v) for k, v in arrays.items() if v is not None})
    return path


def refuse(path: Path, problem: str, remedy: str) -> None:
    with pytest.raises(DataError) as caught:
        load_liveness(path)
    assert caught.value.where == str(path)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy


def test_captures(tmp_path: Path) -> None:
    captures = load_liveness(saved(tmp_path))
    assert captures.species_names == ("print", "screen")
    assert captures.species.tolist() == [LIVE, 1, 0, LIVE]
    assert captures.subject_names == ()


@pytest.mark.parametrize("subjects", [[7, 7, 8, 9], ["7", "7", "8", "9"]])
def test_subjects(tmp_path: Path, subjects: list) -> None:
    captures = load_liveness(saved(tmp_path, subjects=subjects))
    assert captures.subject_names == ("7", "8", "9")
    assert captures.subjects.tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("changed", "problem", "remedy"),
    [
        ({"labels": None}, "lacks 'labels'", "save it with"),
        ({"labels": LABELS[:3]}, "4 images but labels of shape (3,)", "one value for each"),
        ({"labels": [1, 0, 0, 1]}, "labels are int64", "as unicode strings"),
        ({"labels": ["live", "attack", "odd", "live"]}, "captures.npz[2] has the unknown", "write"),
        ({"species": ["", "", "print", ""]}, "captures.npz[1] is an attack without", "name its"),
        ({"species": ["mask", "a", "b", ""]}, "captures.npz[0] is live but has", "write live or"),
        ({"subjects": ["a", "b", "", "d"]}, "but not for captures.npz[2]", "of every image or"),
        ({"subjects": [""] * 4}, "subjects that are all empty", "leave out subjects"),
        ({"subjects": [1.0, 2.0, 3.0, 4.0]}, "subjects are float64", "as unicode strings"),
        ({"images": IMAGES / 255}, "images are float64", "save raw pixels"),
        ({"labels": ["live"] * 4, "species": [""] * 4}, "contains no attacks", "at least one"),
        ({"labels": ["fake"] * 4, "species": ["a"] * 4}, "contains no live captures", "BPCER"),
        (
            {"images": IMAGES[[0, 0, 2, 3]]},
            "under two labels: captures.npz[0] (live) = captures.npz[1] (screen)",
            "under what it shows",
        ),
    ],
)
def test_arrays_that_cannot_be_right(
    tmp_path: Path, changed: dict[str, object], problem: str, remedy: str
) -> None:
    refuse(saved(tmp_path, **changed), problem, remedy)
