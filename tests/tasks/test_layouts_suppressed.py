"""Boxes that the model itself has suppressed: rows, and the outputs of operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pytest_kycquant.errors import ModelError
from pytest_kycquant.tasks.detection.decode import Decoder, Detections
from tests.tasks.test_detection_decode import SIZE, decoder, table

BOXES = [[1, 2, 9, 12], [2, 2, 9, 12], [4, 0, 20, 8]]  # the first two overlap by more than .7
SCORES = [0.3, 0.9, 0.6]
CLASSES = [0, 0, 1]
PADDING = {"zeros": 0.0, "-1": -1.0}


def rows(*columns: list[Any], padding: float | None = None) -> NDArray[np.float32]:
    found = np.concatenate([np.reshape(column, (3, -1)) for column in columns], 1)
    found = found.astype(np.float32)
    if padding is not None:
        found = np.concatenate([found, np.full((5, found.shape[1]), padding, np.float32)])
    return found


def check(found: Detections, classes: list[int] = CLASSES) -> None:
    """Best first, and without a suppression of our own."""
    order = [1, 2, 0]
    np.testing.assert_allclose(found.boxes, np.array(BOXES)[order])
    np.testing.assert_allclose(found.scores, np.array(SCORES)[order], rtol=1e-6)
    assert found.classes.tolist() == [classes[i] for i in order]


@pytest.mark.parametrize("padding", PADDING.values(), ids=PADDING)
@pytest.mark.parametrize("batch", [True, False])
def test_rows_of_six(batch: bool, padding: float) -> None:
    output = rows(BOXES, SCORES, CLASSES, padding=padding)
    output = output[None] if batch else output
    assert decoder().choose([[output]]).name == "rows"
    check(decoder()([output]))


@pytest.mark.parametrize("classes", [1, 3])
def test_rows_of_six_where_no_other_layout_fits(classes: int) -> None:
    one = [0, 0, 0] if classes == 1 else CLASSES
    check(decoder(classes)([rows(BOXES, SCORES, one)[None]]), one)


def test_rows_with_keypoints() -> None:
    points = np.arange(18).reshape(3, 6)
    found = decoder(keypoints=2)([rows(BOXES, SCORES, CLASSES, points)[None]])
    check(found)
    assert found.keypoints is not None
    assert found.keypoints[0].tolist() == [[6, 7], [9, 10]]


def test_rows_of_one_class() -> None:
    output = rows(BOXES, SCORES, padding=0.0)[None]
    assert decoder(1).choose([[output]]).name == "rows-of-one-class"
    check(decoder(1)([output]), [0, 0, 0])


@pytest.mark.parametrize("classes", [2, 3])  # three have a table of seven columns, too
@pytest.mark.parametrize("batch", [True, False])
def test_rows_of_seven(batch: bool, classes: int) -> None:
    output = rows([0, 0, 0], BOXES, CLASSES, SCORES)
    output = output[None] if batch else output
    if batch and classes == 3:
        output = np.concatenate([output, 0 * output], axis=1)
    assert decoder(classes).choose([[output]]).name == "rows-of-batch"
    check(decoder(classes)([output]))


def raw(count: int = 40, seed: int = 1) -> NDArray[np.float32]:
    """Candidates of YOLOv8 for two classes, one a row."""
    rng = np.random.default_rng(seed)
    centres, sizes = rng.uniform(0, 24, (count, 2)), rng.uniform(0, 10, (count, 2))
    return np.concatenate([centres, sizes, rng.random((count, 2))], 1).astype(np.float32)[None]


def test_raw_boxes_of_two_classes_are_no_rows() -> None:
    assert decoder().choose([[raw()], [raw(seed=2)]]).name == "yolov8"
    dead = raw()
    dead[..., 5] = 0.0
    assert decoder().choose([[dead]]).name == "yolov8"


def test_an_image_without_a_detection_says_nothing() -> None:
    output = rows(BOXES, SCORES, CLASSES, padding=0.0)[None]
    assert decoder().choose([[0 * output], [output]]).name == "rows"
    assert decoder().choose([[0 * output]]).name == "rows"  # a raw box is never all zeros


def test_what_the_values_do_not_tell_is_refused_with_what_to_write() -> None:
    output = np.array([[[2, 2, 9, 12, 0.9, 0]]], np.float32)
    with pytest.raises(ModelError) as caught:
        decoder()([output])
    assert "(1, 1, 6) can be read in 2 ways" in caught.value.problem
    assert 'layout="yolov8" for' in caught.value.remedy
    assert 'layout="rows" for' in caught.value.remedy
    for layout, box in (("yolov8", [-2.5, -4, 6.5, 8]), ("rows", [2, 2, 9, 12])):
        found = Decoder(2, 0, "probabilities", 0.7, SIZE, layout=layout)([output])
        assert found.boxes.tolist() == [box]


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        (5, 0.5, "the classes are not whole numbers"),
        (5, 7.0, "class 7 occurs, but classes= names 3, counted from 0"),
        (5, -1.0, "class -1 occurs"),
        (4, 1.5, "the scores are not between 0 and 1"),
        (2, -5.0, "not in the order x1, y1, x2, y2"),
    ],
)
def test_rows_that_are_none_are_refused(column: int, value: float, why: str) -> None:
    output = rows(BOXES, SCORES, CLASSES)
    output[1, column] = value
    with pytest.raises(ModelError) as caught:
        decoder(3)([output])
    assert "cannot be read" in caught.value.problem
    assert why in caught.value.problem


def test_probabilities_are_no_logits() -> None:
    with pytest.raises(ModelError, match="leave out scores"):
        decoder(3, scores="logits")([rows(BOXES, SCORES, CLASSES)])


def test_a_class_that_quantization_moved() -> None:
    """What FP32 said about the layout holds for a variant: a class is rounded, or unknown."""
    read = Decoder(2, 0, "probabilities", 0.7, SIZE, layout="rows")
    output = rows(BOXES, SCORES, CLASSES)
    output[:, 5] = [0.004, 2.6, 0.98]
    found = read([output])
    assert found.classes.tolist() == [1, 0]
    np.testing.assert_allclose(found.scores, [0.6, 0.3], rtol=1e-6)


def lists(kind: type = np.float32) -> dict[str, NDArray[Any]]:
    return {
        "number": np.array([[3]], np.int32),
        "boxes": rows(BOXES, padding=0.0)[None],
        "scores": rows(SCORES, padding=0.0)[None, :, 0],
        "classes": rows(CLASSES, padding=0.0)[None, :, 0].astype(kind),
    }


@pytest.mark.parametrize(
    ("order", "kind"),
    [
        ("number boxes scores classes", np.int32),
        ("number boxes scores classes", np.float32),
        ("boxes scores classes", np.float32),
        ("boxes classes scores", np.int64),
        ("scores boxes number classes", np.int64),
    ],
)
@pytest.mark.parametrize("batch", [True, False])
def test_lists_of_operators(order: str, kind: type, batch: bool) -> None:
    outputs = [lists(kind)[name] for name in order.split()]
    if not batch:
        outputs = [output[0] for output in outputs]
    assert decoder().choose([outputs]).name == "lists"
    check(decoder()(outputs))


def test_only_as_many_as_there_are() -> None:
    given = lists(np.int32) | {"number": np.array([[2]], np.int32)}
    assert len(decoder()(list(given.values())).scores) == 2


def test_boxes_that_hold_their_scores() -> None:
    outputs = [rows(BOXES, SCORES)[None], np.array([CLASSES], np.int64)]
    check(decoder()(outputs))


def test_classes_that_count_a_background() -> None:
    given = lists(np.int64)
    given["classes"][:, :3] += 1
    outputs = [given[name] for name in ("boxes", "classes", "scores")]
    with pytest.raises(ModelError, match="class 2 occurs"):
        decoder()(outputs)
    check(decoder(3)(outputs), [1, 1, 2])


def test_indices_of_nonmaxsuppression() -> None:
    scores = np.zeros((1, 2, 3), np.float32)
    scores[0, CLASSES, range(3)] = SCORES
    indices = np.array([[0, CLASSES[i], i] for i in range(3)], np.int64)
    flipped = np.array(BOXES, np.float32)[:, [2, 3, 0, 1]][None]  # any opposite corners
    outputs = [indices, scores, flipped]
    assert decoder().choose([outputs]).name == "selected"
    check(decoder()(outputs))
    check(decoder(scores="logits")([indices, np.log(scores / (1 - scores) + 1e-30), flipped]))
    with pytest.raises(ModelError, match="name boxes or classes that do not exist"):
        decoder()([indices + np.array([0, 0, 1]), scores, flipped])


def test_the_other_orientation_is_still_raw() -> None:
    assert decoder().choose([[table((8, 6, 4, 2, 0.9, 0.1))]]).name == "yolov8"
