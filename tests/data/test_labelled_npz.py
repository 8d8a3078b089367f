"""An npz file of labelled images: labels of any shape, and perhaps subjects."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_kycquant.data.labelled import LabelledSet, load_labelled
from pytest_kycquant.errors import DataError

IMAGES = np.arange(3 * 2 * 2 * 3, dtype=np.uint8).reshape(3, 2, 2, 3)


def load(root: Path, classes: tuple[str, ...] | None = None, **arrays: Any) -> LabelledSet:
    np.savez(root / "data.npz", **{"images": IMAGES, **arrays})
    return load_labelled(root / "data.npz", classes=classes)


def test_landmarks(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).random((3, 5, 2))
    found = load(tmp_path, labels=labels, subjects=np.array([7, 9, 7]))
    assert np.array_equal(found.labels, labels)
    assert found.subject_names == ("7", "9")
    part = found.subset([2, 1])
    assert np.array_equal(part.labels, labels[[2, 1]])
    assert part.subjects.tolist() == [0, 1]


@pytest.mark.parametrize("labels", [["b", "a", "b"], [1, 0, 1]])
def test_classes_by_name_or_index(tmp_path: Path, labels: list[Any]) -> None:
    assert load(tmp_path, ("a", "b"), labels=np.array(labels)).labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({}, "lacks 'labels'"),
        ({"labels": [1, 2]}, "contains 3 images but labels of shape (2,)"),
        ({"labels": 1}, "contains 3 images but labels of shape ()"),
        ({"labels": np.zeros((3, 0))}, "labels are float64 of shape (3, 0)"),
        ({"labels": [1j, 1, 1]}, "labels are complex128 of shape (3,)"),
        ({"labels": [["a"], ["b"], ["c"]]}, "labels are <U1 of shape (3, 1)"),
        ({"labels": ["a", " ", "c"]}, "data.npz[1] has an empty label"),
        (
            {"labels": [[0.0, 1.0], [np.nan, 0.0], [0.0, np.inf]]},
            "has labels that are not finite: data.npz[1], data.npz[2]",
        ),
        ({"labels": [1, 2, 3], "subjects": ["a", "b"]}, "subjects are <U1 of shape (2,)"),
        ({"labels": [1, 2, 3], "subjects": [0.5, 1, 2]}, "subjects are float64 of shape"),
        ({"labels": [1, 2, 3], "subjects": ["a", "", "b"]}, "but not for data.npz[1]"),
        ({"labels": [1, 2, 3], "subjects": ["", "", ""]}, "has subjects that are all empty"),
        (
            {"labels": [1, 2, 3], "images": IMAGES[[0, 1, 0]]},
            "the same image appears twice: data.npz[0] (1) = data.npz[2] (3)",
        ),
    ],
)
def test_arrays_that_cannot_be_right(tmp_path: Path, changed: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, **{key: np.array(value) for key, value in changed.items()})
    assert caught.value.where == str(tmp_path / "data.npz")
    assert problem in caught.value.problem
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ([0.0, 1.0, 0.0], "labels are float64 of shape (3,), not one class for each image"),
        ([[0], [1], [0]], "labels are int64 of shape (3, 1), not one class for each image"),
        ([0, 1, 2], "not among the classes a, b: data.npz[2] (2)"),
        ([0, 1, -1], "not among the classes a, b: data.npz[2] (-1)"),
        ([1, 1, 1], "has no images of the classes a"),
    ],
)
def test_no_classes(tmp_path: Path, labels: list[Any], problem: str) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, ("a", "b"), labels=np.array(labels))
    assert problem in caught.value.problem
