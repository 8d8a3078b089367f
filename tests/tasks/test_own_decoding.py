"""Outputs that a function of the gate file reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pytest_kycquant import DetectionLimits, KycModel, ObjectDetection, Preprocess
from pytest_kycquant.errors import ModelError, SpecError
from pytest_kycquant.tasks.detection.task import BoxTask
from pytest_kycquant.tasks.registry import task_of

BOXES = [[10, 10, 30, 40], [11, 10, 30, 40], [20, 5, 60, 60]]
OUTPUTS = [np.array(BOXES, np.float32), np.array([0.6, 0.8, 0.7], np.float32)]


def model(decode: Any, **options: Any) -> KycModel:
    spec = ObjectDetection("scenes", "labels", ("face", "card"), decode=decode, **options)
    return KycModel("own.onnx", Preprocess((64, 64)), task=spec)


def task(decode: Any, **options: Any) -> BoxTask[Any]:
    made = task_of(model(decode, **options), DetectionLimits(), lambda path, _: path)  # type: ignore[arg-type,return-value]
    assert isinstance(made, BoxTask)
    return made


def plain(outputs: tuple[NDArray[np.float32], ...]) -> Any:
    boxes, scores = outputs
    boxes += 0.5  # in place
    return boxes, scores, np.array([0, 0, 1])


def with_landmarks(outputs: tuple[NDArray[np.float32], ...]) -> Any:
    return [*plain(outputs), np.arange(12).reshape(3, 2, 2)]


def test_what_it_returns_is_suppressed_and_judged() -> None:
    made = task(plain)
    assert made.look([OUTPUTS]) == {"layout": "decode"}
    made.adopt({"layout": "decode"})
    rows = made.read(OUTPUTS)
    np.testing.assert_allclose(rows[:, :4], np.array(BOXES)[[1, 2]] + 0.5)
    np.testing.assert_allclose(rows[:, 4:], [[0.8, 0], [0.7, 1]])
    assert OUTPUTS[0].tolist() == BOXES  # it was given a copy
    assert made.reading_note == "outputs are read by the function plain"


@pytest.mark.parametrize("flat", [False, True])
def test_landmarks(flat: bool) -> None:
    def decode(outputs: Any) -> Any:
        *rest, points = with_landmarks(outputs)
        return *rest, points.reshape(3, 4) if flat else points

    found = task(decode).decoder(OUTPUTS)
    assert found.keypoints is not None
    assert found.keypoints.tolist() == [[[4, 5], [6, 7]], [[8, 9], [10, 11]]]


def test_lists_and_nothing_found() -> None:
    made = task(lambda outputs: ([], [], []))
    assert made.read(OUTPUTS).shape == (0, 6)
    assert task(lambda outputs: (np.empty((0, 4)), [], [], [])).read(OUTPUTS).shape == (0, 6)
    one = task(lambda outputs: ([[1, 2, 3, 4]], [[0.5]], [[1]])).read(OUTPUTS)
    assert one.tolist() == [[1, 2, 3, 4, 0.5, 1]]


def test_its_digest_is_in_the_golden_and_nothing_else_is_new() -> None:
    first, second = task(plain).reading(), task(with_landmarks).reading()
    assert first["decode"] != second["decode"]
    assert first == task(plain).reading()
    assert "decode" not in task(None).reading()


def failing(outputs: Any) -> Any:
    raise KeyError("no such head")


BOX = np.array([[1, 2, 3, 4]])
WRONG: dict[str, tuple[Callable[..., Any], str]] = {
    "raises": (failing, "raised KeyError on line"),
    "skips": (lambda outputs: pytest.skip("no"), "raised Skipped"),
    "none": (lambda outputs: None, "returned None"),
    "dict": (lambda outputs: {"boxes": 1}, "returned {'boxes': 1}"),
    "two": (lambda outputs: (BOX, [0.5]), "returned (array([[1, 2, 3, 4]]), [0.5])"),
    "scalar": (lambda outputs: (BOX, 0.5, [0]), "scores of shape ()"),
    "lengths": (lambda outputs: (BOX, [0.5, 0.6], [0]), "boxes of shape (1, 4), scores of shape"),
    "classes": (lambda outputs: (BOX, [0.5], [0, 1]), "classes of shape (2,)"),
    "columns": (lambda outputs: (BOX[:, :3], [0.5], [0]), "boxes of shape (1, 3)"),
    "ragged": (lambda outputs: ([[1, 2], [3]], [0.5], [0]), "returned boxes [[1, 2], [3]]"),
    "text": (lambda outputs: (BOX, [0.5], ["face"]), "returned classes of <U4, not numbers"),
    "fraction": (lambda outputs: (BOX, [0.5], [0.5]), "returned the classes [0.5]"),
    "unknown": (lambda outputs: (BOX, [0.5], [2]), "returned the classes [2.0]"),
    "landmarks": (lambda outputs: (BOX, [0.5], [0], [1, 2]), "landmarks of shape (2,)"),
    "odd": (lambda outputs: (BOX, [0.5], [0], [[1, 2, 3]]), "landmarks of shape (1, 3)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_is_one_clear_error(name: str) -> None:
    decode, problem = WRONG[name]
    with pytest.raises(ModelError) as caught:
        task(decode).look([OUTPUTS])
    assert caught.value.where == "own.onnx"
    assert caught.value.problem.startswith("ObjectDetection.decode ")
    assert problem in caught.value.problem
    assert caught.value.remedy


def test_randomness_is_refused() -> None:
    numbers = iter(range(100))
    with pytest.raises(ModelError, match="does not return the same for the same outputs"):
        task(lambda outputs: (BOX + next(numbers), [0.5], [0])).look([OUTPUTS])


def test_boxes_outside_the_picture_name_the_function() -> None:
    with pytest.raises(ModelError, match="pixels of the input, or return them so in decode="):
        task(lambda outputs: (BOX / 64, [0.5], [0])).look([OUTPUTS])


@pytest.mark.parametrize(
    ("decode", "options", "message"),
    [
        ("rows", {}, "ObjectDetection.decode: 'rows' is not a function"),
        (lambda: None, {}, "ObjectDetection.decode: cannot be called with 1 arguments"),
        (plain, {"layout": "rows"}, "ObjectDetection.layout: has no effect"),
        (plain, {"scores": "logits"}, "ObjectDetection.scores: has no effect"),
        (plain, {"keypoints": 5}, "ObjectDetection.keypoints: has no effect"),
        (plain, {"boxes": "corners"}, "ObjectDetection.boxes: has no effect"),
    ],
)
def test_what_cannot_be_meant(decode: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        model(decode, **options)
    assert message in str(caught.value)


def test_it_is_a_function_of_the_gate_file() -> None:
    """Its digest is taken right after the import, and its address is in no key."""
    assert model(plain).functions == (("ObjectDetection.decode", plain),)
    assert repr(model(plain)) == repr(model(with_landmarks))
