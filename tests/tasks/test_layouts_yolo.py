"""YOLOv5, YOLOv5-face, YOLOX and sets of queries, each against a decoder written anew."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pytest_kycquant.errors import ModelError
from pytest_kycquant.tasks.detection.decode import Decoder
from pytest_kycquant.tasks.detection.layouts import LAYOUTS

Array = NDArray[np.float32]
SIZE = (64, 96)
CELLS = [(x, y, s) for s in (8, 16, 32) for y in range(64 // s) for x in range(96 // s)]


def decoder(classes: int = 2, keypoints: int = 0, scores: Any = "probabilities") -> Decoder:
    return Decoder(classes, keypoints, scores, 0.7, SIZE, "yolo.onnx")


def read(layout: str, outputs: list[Array], *told: Any) -> tuple[Any, Any, Any]:
    """Boxes, scores and keypoints of all candidates, in the order of the rows."""
    assert decoder(*told).choose([outputs]).name == layout
    found = LAYOUTS[layout].read(outputs, decoder(*told).told)
    return found.boxes, found.scores, found.keypoints


def candidates(*rest: int, count: int = 60, scale: float = 1.0, seed: int = 1) -> Array:
    """Rows of centres, sizes and numbers in 0..1, as many as `rest`."""
    rng = np.random.default_rng(seed)
    parts = [rng.uniform(5, SIZE, (count, 2))[:, ::-1], rng.uniform(1, 40, (count, 2))]
    boxes = np.concatenate(parts, 1) * scale
    return np.concatenate([boxes, rng.random((count, sum(rest)))], 1).astype(np.float32)


def cornered(box: Any, sx: float = 1, sy: float = 1) -> list[float]:
    x, y, w, h = (float(v) for v in box)
    return [(x - w / 2) * sx, (y - h / 2) * sy, (x + w / 2) * sx, (y + h / 2) * sy]


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_yolov5(classes: int) -> None:
    rows = candidates(1, classes)
    boxes, scores, points = read("yolov5", [rows[None]], classes)
    np.testing.assert_allclose(boxes, [cornered(row[:4]) for row in rows], rtol=1e-5, atol=1e-5)
    expected = [[float(row[4]) * float(v) for v in row[5:]] for row in rows]
    np.testing.assert_allclose(scores, expected)
    assert points is None


def test_yolov5_of_logits() -> None:
    rows = candidates(1, 2)
    rows[:, 4:] = rows[:, 4:] * 8 - 4
    _, scores, _ = read("yolov5", [rows[None]], 2, 0, "logits")
    one, two = (1 / (1 + math.exp(-float(rows[0, i]))) for i in (4, 6))
    assert scores[0, 1] == pytest.approx(one * two)


def test_yolov5_face() -> None:
    """x, y, w, h, objectness, five landmarks, class."""
    rows = candidates(1, 10, 1)
    rows[:, 5:15] *= 60
    boxes, scores, points = read("yolov5", [rows[None]], 1, 5)
    np.testing.assert_allclose(boxes, [cornered(row[:4]) for row in rows], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scores[:, 0], rows[:, 4] * rows[:, 15].astype(float))
    np.testing.assert_allclose(points[:, :, 0], rows[:, 5:15:2])
    np.testing.assert_allclose(points[:, :, 1], rows[:, 6:15:2])


def raw_yolox(classes: int = 2) -> Array:
    rng = np.random.default_rng(2)
    return np.concatenate(
        [
            rng.normal(0.5, 1, (len(CELLS), 2)),
            rng.normal(0, 1, (len(CELLS), 2)),
            rng.random((len(CELLS), 1 + classes)),
        ],
        1,
    ).astype(np.float32)


@pytest.mark.parametrize("classes", [1, 2])
def test_yolox(classes: int) -> None:
    rows = raw_yolox(classes)
    expected = [
        cornered([(row[0] + x) * s, (row[1] + y) * s, math.exp(row[2]) * s, math.exp(row[3]) * s])
        for row, (x, y, s) in zip(rows.astype(float), CELLS, strict=True)
    ]
    boxes, scores, _ = read("yolox", [rows[None]], classes)
    np.testing.assert_allclose(boxes, expected, rtol=1e-5)
    np.testing.assert_allclose(scores, rows[:, 4:5].astype(float) * rows[:, 5:])


def test_yolox_that_decodes_in_the_model() -> None:
    rows = candidates(1, 2, count=len(CELLS))
    boxes, _, _ = read("yolov5", [rows[None]])
    np.testing.assert_allclose(boxes[0], cornered(rows[0, :4]), rtol=1e-5)


def test_shares_of_the_input_are_not_read_as_offsets_of_yolox() -> None:
    rows = np.concatenate([queries(len(CELLS)), candidates(1, 2, count=len(CELLS))[:, 4:]], 1)
    with pytest.raises(ModelError, match=r"boxes are shares of the input.*function .* decode="):
        decoder().choose([[rows[None]]])


def test_yolov6_fills_objectness_with_ones() -> None:
    rows = candidates(1, 2)
    rows[:, 4] = 1
    _, scores, _ = read("yolov5", [rows[None]])
    np.testing.assert_allclose(scores, rows[:, 5:])


def test_rows_of_one_class_and_objectness_are_told_apart() -> None:
    """(1, N, 6) with one class: YOLOv5, or suppressed rows."""
    rows = candidates(1, 1)
    assert decoder(1).choose([[rows[None]]]).name == "yolov5"
    rows[:, 2:4] += rows[:, :2]
    rows[:, 5] = 0
    assert decoder(1).choose([[rows[None]]]).name == "rows"


def queries(count: int = 30, seed: int = 3) -> Array:
    rng = np.random.default_rng(seed)
    parts = [rng.uniform(0.1, 0.9, (count, 2)), rng.uniform(0.01, 0.3, (count, 2))]
    return np.concatenate(parts, 1).astype(np.float32)


def logits(classes: int, count: int = 30) -> Array:
    found = np.random.default_rng(4).normal(-1, 2, (count, classes)).astype(np.float32)
    found[:, -1] += 3
    return found


@pytest.mark.parametrize("turned", [False, True])
def test_detr(turned: bool) -> None:
    boxes, scores = queries(), logits(3)
    outputs = [scores[None], boxes[None]]
    found = read("detr", outputs[::-1] if turned else outputs)
    np.testing.assert_allclose(found[0], [cornered(b, 96, 64) for b in boxes], rtol=1e-5)
    for mine, row in zip(found[1], scores.astype(float), strict=True):
        powers = [math.exp(v) for v in row]
        np.testing.assert_allclose(mine, [powers[i] / sum(powers) for i in (0, 1)])


def test_detr_of_sigmoids() -> None:
    boxes, scores = queries(), logits(2)
    found = read("detr-sigmoid", [scores[None], boxes[None]])
    np.testing.assert_allclose(found[0], [cornered(b, 96, 64) for b in boxes], rtol=1e-5)
    np.testing.assert_allclose(found[1], 1 / (1 + np.exp(-scores.astype(float))))


def test_rtdetr_in_one_table() -> None:
    rows = np.concatenate([queries(), candidates(2, count=30)[:, 4:]], 1)
    found = read("rtdetr", [rows[None]])
    np.testing.assert_allclose(found[0], [cornered(r[:4], 96, 64) for r in rows], rtol=1e-5)
    np.testing.assert_allclose(found[1], rows[:, 4:])
    assert decoder().choose([[candidates(2)[None]]]).name == "yolov8"


def test_large_documents_of_detr_are_not_read_as_ultraface() -> None:
    """Wider and higher than their centres are far, like corners; most are 'no object', the last."""
    rng = np.random.default_rng(5)
    boxes = np.concatenate([rng.uniform(0.45, 0.55, (30, 2)), rng.uniform(0.6, 0.9, (30, 2))], 1)
    outputs = [logits(2)[None], boxes[None].astype(np.float32)]
    with pytest.raises(ModelError, match=r'set boxes="corners" as well, or boxes="centres"'):
        decoder(1, 0, "logits").choose([outputs])


def test_queries_are_not_suppressed() -> None:
    boxes = np.tile(queries(1), (3, 1))
    scores = np.array([[2, -3], [3, -3], [1, -3]], np.float32)
    found = decoder()([scores[None], boxes[None]])
    assert len(found.scores) == 3
    assert (np.diff(found.scores) < 0).all()


@pytest.mark.parametrize(
    ("scores", "boxes", "why"),
    [
        (np.full((30, 3), 1 / 3), queries(), "no logits, but add up to 1"),
        (logits(3), queries() * 90, "the boxes are not shares of the input"),
        (logits(3), -queries(), "sizes are negative"),
        (
            logits(3),
            np.add(np.tile(queries()[:, 2:], 2), [0, 0, 0.3, 0.3]),
            "the boxes look like corners",
        ),
        (logits(3)[:, ::-1], queries(), "few candidates are 'no object'"),
        (np.full((30, 2), 0.3), queries(), "no logits, but probabilities"),
    ],
)
def test_what_is_no_set_of_queries(scores: Array, boxes: Array, why: str) -> None:
    with pytest.raises(ModelError, match=why):
        decoder().choose([[scores.astype(np.float32)[None], boxes[None]]])
