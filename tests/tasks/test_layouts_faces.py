"""Face detectors: each layout against a decoder written anew, anchor by anchor."""

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
SIZE = (72, 104)  # 72 is no multiple of 16: the last row of cells is a part of one
STRIDES = (8, 16, 32)


def decoder(
    layout: str | None = None, keypoints: int = 0, scores: Any = "probabilities"
) -> Decoder:
    return Decoder(1, keypoints, scores, 0.7, SIZE, "face.onnx", layout)


def cells(stride: int) -> list[tuple[int, int]]:
    """(column, row) of each cell, row by row."""
    rows, columns = math.ceil(SIZE[0] / stride), math.ceil(SIZE[1] / stride)
    return [(x, y) for y in range(rows) for x in range(columns)]


def read(layout: str, outputs: list[Array], **more: Any) -> tuple[Any, Any, Any]:
    """Boxes, scores and keypoints of all candidates, in the order of the anchors."""
    chosen = decoder(**more).choose([outputs])
    assert chosen.name == layout
    found = LAYOUTS[layout].read(outputs, decoder(**more).told)
    return found.boxes, found.scores, found.keypoints


def heads(widths: list[int], anchors: int, seed: int = 1) -> dict[tuple[int, int], Array]:
    """Random outputs (A, width) in 0..1 by place in `widths` and stride."""
    rng = np.random.default_rng(seed)
    return {
        (place, stride): rng.random((len(cells(stride)) * anchors, width)).astype(np.float32)
        for place, width in enumerate(widths)
        for stride in STRIDES
    }


def scrfd(given: dict[tuple[int, int], Array], anchors: int) -> tuple[Any, Any, Any]:
    boxes, scores, points = [], [], []
    for stride in STRIDES:
        index = 0
        for x, y in cells(stride):
            for _ in range(anchors):
                left, top, right, bottom = (float(v) * stride for v in given[1, stride][index])
                x0, y0 = x * stride, y * stride
                boxes.append([x0 - left, y0 - top, x0 + right, y0 + bottom])
                scores.append([float(given[0, stride][index, 0])])
                if (2, stride) in given:
                    flat = [float(v) * stride for v in given[2, stride][index]]
                    points.append([[x0 + flat[2 * k], y0 + flat[2 * k + 1]] for k in range(5)])
                index += 1
    return boxes, scores, points or None


FORMS = {
    "rows": lambda a, stride, n: a,
    "batch": lambda a, stride, n: a[None],
    "middle": lambda a, stride, n: a[:, None],
    "last": lambda a, stride, n: a.reshape(1, *shape(stride), -1),
    "first": lambda a, stride, n: a.reshape(1, *shape(stride), -1).transpose(0, 3, 1, 2),
}


def shape(stride: int) -> tuple[int, int]:
    return math.ceil(SIZE[0] / stride), math.ceil(SIZE[1] / stride)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("anchors", [1, 2])
@pytest.mark.parametrize("landmarks", [False, True])
@pytest.mark.parametrize("by_stride", [False, True])
def test_scrfd(form: str, anchors: int, landmarks: bool, by_stride: bool) -> None:
    given = heads([1, 4, 10] if landmarks else [1, 4], anchors)
    order = sorted(given, key=lambda key: (key[1], key[0])) if by_stride else list(given)
    outputs = [FORMS[form](given[key], key[1], anchors) for key in order]
    expected = scrfd(given, anchors)
    found = read("scrfd", outputs, keypoints=5 if landmarks else 0)
    for mine, theirs in zip(found, expected, strict=True):
        if theirs is None:
            assert mine is None
        else:
            np.testing.assert_allclose(mine, theirs, rtol=1e-6)


def test_scrfd_without_the_landmarks_that_the_gate_file_names() -> None:
    with pytest.raises(ModelError, match="match no supported layout"):
        decoder(keypoints=5).choose([list(heads([1, 4], 2).values())])


def test_scrfd_of_logits() -> None:
    given = heads([1, 4], 2)
    _, scores, _ = read("scrfd", list(given.values()), scores="logits")
    np.testing.assert_allclose(scores[0, 0], 1 / (1 + math.exp(-given[0, 8][0, 0])), rtol=1e-6)


def test_yunet() -> None:
    given = heads([1, 1, 4, 10], 1)
    boxes, scores, points = [], [], []
    for stride in STRIDES:
        for index, (x, y) in enumerate(cells(stride)):
            cls, obj, box, kps = (given[place, stride][index].astype(float) for place in range(4))
            scores.append([math.sqrt(cls[0] * obj[0])])
            cx, cy = (x + box[0]) * stride, (y + box[1]) * stride
            w, h = math.exp(box[2]) * stride, math.exp(box[3]) * stride
            boxes.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
            points.append(
                [[(kps[2 * k] + x) * stride, (kps[2 * k + 1] + y) * stride] for k in range(5)]
            )
    for mine, theirs in zip(
        read("yunet", [a[None] for a in given.values()]), (boxes, scores, points), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5)


def probabilities(count: int, seed: int = 2) -> Array:
    share = np.random.default_rng(seed).random(count)
    return np.stack([1 - share, share], 1).astype(np.float32)


def test_retinaface() -> None:
    """`py_cpu_nms`'s usual companions `PriorBox`, `decode` and `decode_landm`, in shares."""
    sides = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
    priors = [
        ((x + 0.5) * s / SIZE[1], (y + 0.5) * s / SIZE[0], side / SIZE[1], side / SIZE[0])
        for s in STRIDES
        for x, y in cells(s)
        for side in sides[s]
    ]
    rng = np.random.default_rng(3)
    loc = rng.normal(0, 1, (len(priors), 4)).astype(np.float32)
    landmarks = rng.normal(0, 1, (len(priors), 10)).astype(np.float32)
    conf = probabilities(len(priors))
    boxes, points = [], []
    for (cx, cy, w, h), raw, marks in zip(
        priors, loc.astype(float), landmarks.astype(float), strict=True
    ):
        x, y = cx + raw[0] * 0.1 * w, cy + raw[1] * 0.1 * h
        wide, high = w * math.exp(raw[2] * 0.2), h * math.exp(raw[3] * 0.2)
        x1, y1 = x - wide / 2, y - high / 2
        box = x1 * SIZE[1], y1 * SIZE[0], (x1 + wide) * SIZE[1], (y1 + high) * SIZE[0]
        boxes.append(box)
        points.append(
            [
                [
                    (cx + marks[2 * k] * 0.1 * w) * SIZE[1],
                    (cy + marks[2 * k + 1] * 0.1 * h) * SIZE[0],
                ]
                for k in range(5)
            ]
        )
    outputs = [loc[None], conf[None], landmarks[None]]
    for given in (outputs, outputs[::-1]):
        found = read("retinaface", given)
        np.testing.assert_allclose(found[0], boxes, rtol=1e-6)
        np.testing.assert_allclose(found[1], conf[:, 1:])
        np.testing.assert_allclose(found[2], points, rtol=1e-6)


def test_retinaface_of_logits() -> None:
    count = sum(2 * len(cells(stride)) for stride in STRIDES)
    rng = np.random.default_rng(3)
    loc, conf, marks = (rng.normal(0, 1, (1, count, w)).astype(np.float32) for w in (4, 2, 10))
    with pytest.raises(ModelError, match="do not add up to 1; set scores="):
        decoder().choose([[loc, conf, marks]])
    _, scores, _ = read("retinaface", [loc, conf, marks], scores="logits")
    x = conf[0].astype(float)
    np.testing.assert_allclose(scores[:, 0], 1 / (1 + np.exp(x[:, 0] - x[:, 1])), rtol=1e-6)


def shares(count: int = 50) -> Array:
    rng = np.random.default_rng(4)
    low = rng.uniform(-0.05, 0.6, (count, 2))
    return np.concatenate([low, low + rng.uniform(0.01, 0.4, (count, 2))], 1).astype(np.float32)


def background() -> Array:
    """Probabilities of 50 candidates, of which ten are a face."""
    found = np.sort(probabilities(50), axis=1)[:, ::-1]
    found[::5] = found[::5, ::-1]
    return np.ascontiguousarray(found)


def test_ultraface() -> None:
    boxes, conf = shares(), background()
    expected = [
        [x1 * SIZE[1], y1 * SIZE[0], x2 * SIZE[1], y2 * SIZE[0]]
        for x1, y1, x2, y2 in boxes.astype(float)
    ]
    for given in ([conf[None], boxes[None]], [boxes[None], conf[None]]):
        found = read("ultraface", given)
        np.testing.assert_allclose(found[0], expected, rtol=1e-6)
        np.testing.assert_allclose(found[1], conf[:, 1:])
        assert found[2] is None


def test_probabilities_are_not_taken_for_logits_of_ultraface() -> None:
    told = Decoder(1, 0, "logits", 0.7, SIZE, "face.onnx")
    with pytest.raises(ModelError, match=r'add up to 1 already; leave out scores="logits"'):
        told.choose([[background()[None], shares()[None]]])
    raw = np.log(background() + 1e-3)[None]
    assert told.choose([[raw, shares()[None]]]).name == "ultraface"


@pytest.mark.parametrize(
    ("boxes", "conf", "why"),
    [
        (shares() * 100, background(), "the boxes are not shares of the input"),
        (shares()[:, ::-1], background(), "the boxes are not corners"),
        (shares(), background() * 2, "do not add up to 1"),
        (shares(), background()[:, ::-1], "few candidates are background, which must be the first"),
    ],
)
def test_what_is_not_ultraface(boxes: Array, conf: Array, why: str) -> None:
    with pytest.raises(ModelError, match=why):
        decoder().choose([[conf[None], boxes[None]]])


def test_a_layout_that_does_not_fit_is_named() -> None:
    told = Decoder(1, 0, "probabilities", 0.7, SIZE, "face.onnx", layout="scrfd")
    with pytest.raises(ModelError, match=r"not fit layout='scrfd': SCRFD.*write 'ultraface'"):
        told.choose([[background()[None], shares()[None]]])
