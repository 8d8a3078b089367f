"""Both layouts of YOLO outputs, with boxes worked out by hand, and suppression."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from pytest_kycquant.errors import ModelError
from pytest_kycquant.tasks.detection.decode import (
    FLOOR,
    MOST,
    Decoder,
    Detections,
    check_scores,
    overlaps,
    suppress,
)

SIZE = (16, 24)  # height, width


def decoder(classes: int = 2, keypoints: int = 0, scores: str = "probabilities") -> Decoder:
    return Decoder(classes, keypoints, scores, 0.7, SIZE, "yolo.onnx")  # type: ignore[arg-type]


def table(*rows: tuple[float, ...]) -> NDArray[np.float32]:
    """One output (1, 4 + C, A) with a column for each anchor."""
    return np.array(rows, np.float32).T[None]


def dfl(stride: int, cells: dict[tuple[int, int], tuple[tuple[int, ...], tuple[float, ...]]]):
    """The head of one stride: the bins of l, t, r, b of cells (row, column), then the rest."""
    extra = len(next(iter(cells.values()))[1])
    output = np.zeros((1, 64 + extra, SIZE[0] // stride, SIZE[1] // stride), np.float32)
    output[0, 64:] = -20.0
    for (row, column), (bins, rest) in cells.items():
        for side, which in enumerate(bins):
            output[0, 16 * side : 16 * side + 16, row, column] = -1000.0
            output[0, 16 * side + which, row, column] = 0.0
        output[0, 64:, row, column] = rest
    return output


ROWS = ((8, 6, 4, 2, 0.9, 0.1), (12, 8, 8, 8, 0.2, 0.6), (3, 3, 2, 2, 0.0, 0.0005))


@pytest.mark.parametrize("transposed", [False, True])
def test_one_output(transposed: bool) -> None:
    output = table(*ROWS)
    found = decoder()([output.transpose(0, 2, 1) if transposed else output])
    np.testing.assert_allclose(found.boxes, [[6, 5, 10, 7], [8, 4, 16, 12]])
    np.testing.assert_allclose(found.scores, [0.9, 0.6], rtol=1e-6)
    assert found.classes.tolist() == [0, 1]  # the third is below the floor


def test_keypoints_are_skipped() -> None:
    rows = [(*row, *[7.0] * 15) for row in ROWS]
    found = decoder(keypoints=5)([table(*rows)])
    assert found.classes.tolist() == [0, 1]


def test_channels_first_where_both_sides_fit() -> None:
    square = table(*ROWS, *ROWS)  # six channels, six anchors
    assert decoder().candidates([square]).boxes.tolist()[0] == [6, 5, 10, 7]


def test_logits() -> None:
    found = decoder(scores="logits")([table((8, 6, 4, 2, 0.0, -3.0))])
    assert found.scores.tolist() == [0.5]


def test_raw_heads() -> None:
    """Cell (0, 1) of stride 8 has its centre at x = 12, y = 4; distances are bins times 8."""
    nothing = np.full((1, 66, 4, 6), -20, np.float32)  # stride 4
    heads = [dfl(8, {(0, 1): ((1, 0, 1, 1), (2.0, -9.0))}), nothing]
    found = decoder(scores="logits")(heads)
    np.testing.assert_allclose(found.boxes, [[4, 4, 20, 12]])
    np.testing.assert_allclose(found.scores, [1 / (1 + np.exp(-2.0))])
    assert found.classes.tolist() == [0]


def test_raw_heads_with_keypoints_in_any_order() -> None:
    one = dfl(8, {(1, 2): ((1, 1, 0, 0), (-9.0, 3.0, 1, 1, 1))})
    other = dfl(4, {(0, 0): ((0, 0, 2, 1), (5.0, -9.0, 1, 1, 1))})
    for heads in ([one, other], [other, one]):
        found = decoder(keypoints=1, scores="logits")(heads)
        np.testing.assert_allclose(found.boxes, [[2, 2, 10, 6], [12, 4, 20, 12]])
        assert found.classes.tolist() == [0, 1]


def test_a_distance_is_the_mean_of_its_distribution() -> None:
    head = dfl(8, {(0, 0): ((0, 0, 0, 0), (5.0,))})
    head[0, 32:48, 0, 0] = -1000.0
    head[0, [34, 35], 0, 0] = np.log([1, 3])  # right: bins 2 and 3 with shares 1/4 and 3/4
    found = decoder(classes=1, scores="logits")([head])
    np.testing.assert_allclose(found.boxes, [[4, 4, 4 + 2.75 * 8, 4]], rtol=1e-6)


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 7, 10)],
        [(2, 6, 10)],
        [(6, 10)],
        [(1, 300, 5)],
        [(1, 66, 2, 3), (1, 6, 10)],
        [(1, 66, 2, 3), (1, 66, 2, 3)],
        [(1, 66, 2, 2)],
        [(1, 66, 3, 3)],
        [(1, 65, 2, 3)],
        [(2, 66, 2, 3)],
        [(1, 64, 2, 3), (1, 2, 2, 3)],
        [],
    ],
)
def test_shapes_that_fit_no_decoder(shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(ModelError) as caught:
        decoder()([np.zeros(shape, np.float32) for shape in shapes])
    assert caught.value.where == "yolo.onnx"
    for shape in shapes:
        assert str(shape) in caught.value.problem
    assert "(1, 6, A)" in caught.value.remedy
    assert "(1, 66, H / stride, W / stride)" in caught.value.remedy


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channel", range(6))
def test_what_is_not_finite_is_dropped(bad: float, channel: int) -> None:
    output = table(*ROWS)
    output[0, channel, 0] = bad
    found = decoder()([output])
    np.testing.assert_allclose(found.boxes, [[8, 4, 16, 12]])


def test_nothing_found() -> None:
    found = decoder()([table((8, 6, 4, 2, 0.0, 0.0))])
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == found.classes.shape == (0,)


@pytest.mark.parametrize(
    ("kind", "values", "problem", "other"),
    [
        ("probabilities", (3.0, 0.5), "has detections with a score of 3", "logits"),
        ("logits", (0.1, 0.9), "between .5 and .731", "probabilities"),
    ],
)
def test_scores_of_the_other_kind(
    kind: str, values: tuple[float, float], problem: str, other: str
) -> None:
    output = table(*[(8, 6, 4, 2, value, 0.0) for value in values])
    check_scores(decoder(scores=other)([output]).scores, other, "yolo.onnx")
    with pytest.raises(ModelError) as caught:
        check_scores(decoder(scores=kind)([output]).scores, kind, "yolo.onnx")
    assert caught.value.where == "yolo.onnx"
    assert problem in caught.value.problem
    assert f'scores="{other}"' in caught.value.remedy


def test_no_detections_say_nothing_about_their_scores() -> None:
    check_scores(np.empty(0), "logits", "yolo.onnx")


def detections(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    array = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(array[:, :4], array[:, 4], array[:, 5].astype(np.int64))


def test_suppression_is_within_a_class_and_strict() -> None:
    found = detections(
        (0, 0, 10, 7, 0.5, 0),  # overlaps the next one by exactly .7, so both stay
        (0, 0, 10, 10, 0.9, 0),
        (0, 0, 10, 8, 0.8, 0),  # by .8
        (0, 0, 10, 8, 0.7, 1),
    )
    assert suppress(found, 0.7).tolist() == [1, 3, 0]


def test_ties_go_to_the_first() -> None:
    found = detections(*[(0, 0, 10, 10, 0.5, 0)] * 3, (20, 0, 30, 10, 0.5, 0))
    assert suppress(found, 0.7).tolist() == [0, 3]


def test_at_most_so_many() -> None:
    found = detections(*[(20.0 * i, 0, 20.0 * i + 10, 10, 0.5, 0) for i in range(MOST + 5)])
    assert suppress(found, 0.7).tolist() == list(range(MOST))


@given(hnp.arrays(np.int64, (12, 6), elements=st.integers(0, 6)), st.sampled_from([0.2, 0.5, 0.7]))
def test_suppression_by_definition(rows: NDArray[np.int64], iou: float) -> None:
    boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4] + 1], axis=1).astype(float)
    found = Detections(boxes, rows[:, 4] / 6, rows[:, 5] % 2)
    kept: list[int] = []
    for i in sorted(range(len(rows)), key=lambda i: (-found.scores[i], i)):
        rivals = [j for j in kept if found.classes[j] == found.classes[i]]
        if all(area_of_both(boxes[i], boxes[j]) <= iou for j in rivals):
            kept.append(i)
    assert suppress(found, iou).tolist() == kept


def area_of_both(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """IoU by counting unit squares."""
    cells = [
        {(x, y) for x in range(int(q[0]), int(q[2])) for y in range(int(q[1]), int(q[3]))}
        for q in (a, b)
    ]
    return len(cells[0] & cells[1]) / len(cells[0] | cells[1])


def test_overlaps() -> None:
    boxes = np.array([[0.0, 0, 4, 4], [2, 0, 6, 4], [5, 5, 5, 9]])
    np.testing.assert_allclose(overlaps(boxes, boxes), [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 0]])
    crowd = np.array([True, False, False])
    np.testing.assert_allclose(overlaps(boxes, boxes, crowd)[1], [0.5, 1, 0])


def test_the_floor_is_included() -> None:
    found = decoder().candidates([np.array([[[8.0], [6], [4], [2], [FLOOR], [0]]])])
    assert len(found.scores) == 1


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200, 900])
@pytest.mark.parametrize("crowded", [False, True])
@pytest.mark.parametrize("iou", [0.3, 0.7])
def test_suppression_is_greedy_however_many_there_are(
    count: int, crowded: bool, iou: float
) -> None:
    rng = np.random.default_rng(count)
    corner = rng.uniform(0, 40 if crowded else 600, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 80, (count, 2))], axis=1)
    scores, classes = rng.random(count).round(2), rng.integers(0, 2, count)
    kept: list[int] = []
    for one in np.argsort(-scores, kind="stable"):
        better = [other for other in kept if classes[other] == classes[one]]
        if len(kept) < MOST and not (overlaps(boxes[[one]], boxes[better]) > iou).any():
            kept.append(int(one))
    assert suppress(Detections(boxes, scores, classes), iou).tolist() == kept
