"""A detector of two classes that ends in its own suppression: case 01 of issue 17.

Its 1 x 300 x 6 rows hold x1, y1, x2, y2, score and class. In INT8 the score of class 1 is lost,
because it is the difference of two large activations.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from tests.worlds.graph_writer import Writer

SIDE, ROWS = 64, 300
MEAN = 110 / 255
GATE = """
from pytest_kycquant import (
    AgreementGates, DetectionLimits, KycModel, ObjectDetection, Preprocess, Recipe
)

class TestDetector(AgreementGates):
    model = KycModel(
        "model.onnx",
        preprocess=Preprocess(size=(64, 64), scale=1 / 255),
        calibration="calibration.npz",
        task=ObjectDetection(
            "scenes.npz", classes=("document", "portrait"), labelled=False, confidence=0.5
        ),
    )
    limits = DetectionLimits(latency_ratio=1000.0, size_ratio=5.0)
    precisions = (Recipe("int8", name="int8-conv", op_types=("Conv",)),)
    fallback = None
"""


def pictures(count: int, seed: int) -> NDArray[np.uint8]:
    """Red tells the score of class 0, green that of class 1; blue cancels out in class 1."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(110, 25, (count, 8, 8, 3)).repeat(8, 1).repeat(8, 2)
    pixels = coarse + rng.normal(0, 8, (count, SIDE, SIDE, 3))
    signs = rng.choice([-1, 1], count)
    pixels[..., 0] += (rng.uniform(20, 60, count) * signs)[:, None, None]
    pixels[..., 1:] += rng.uniform(-60, 60, (count, 1, 1, 2))
    return np.clip(pixels, 0, 255).round().astype(np.uint8)


def detector() -> onnx.ModelProto:
    """Class 0 scores 20 (red - mean), class 1 (b + 20 (green - mean)) - b, b = 10000 blue."""
    w = Writer()
    kernels = {"red": [[20, 0, 0]], "pair": [[0, 0, 10000], [0, 20, 10000]], "minus": [[-1, 1]]}
    for name, rows in kernels.items():
        w.const(name, np.array(rows, np.float32)[..., None, None])
    w.const("red_bias", np.array([-20 * MEAN], np.float32))
    w.const("pair_bias", np.array([-10000 * MEAN, -10020 * MEAN], np.float32))
    w.const("boxes", np.array([[[4, 6, 60, 44], [10, 14, 30, 40]]], np.float32))
    w.const("class", np.array([[[0], [1]]], np.float32))
    w.const("padding", np.zeros((1, ROWS - 2, 6), np.float32))
    w.const("shape", np.array([1, 2, 1], np.int64))
    w.node("GlobalAveragePool", ["images"], "mean")
    w.node("Conv", ["mean", "red", "red_bias"], "first")
    w.node("Conv", ["mean", "pair", "pair_bias"], "large")
    w.node("Conv", ["large", "minus"], "second")
    w.node("Concat", ["first", "second"], "logits", axis=1)
    w.node("Reshape", ["logits", "shape"], "flat")
    w.node("Sigmoid", ["flat"], "score")
    w.node("Concat", ["boxes", "score", "class"], "rows", axis=2)
    w.node("Concat", ["rows", "padding"], "output0", axis=1)
    for index, node in enumerate(w.nodes):
        node.name = f"node{index}"
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        w.nodes,
        "suppressed",
        [onnx.helper.make_tensor_value_info("images", kind, [1, 3, SIDE, SIDE])],
        [onnx.helper.make_tensor_value_info("output0", kind, [1, ROWS, 6])],
        w.stored,
    )
    opset = onnx.helper.make_opsetid("", 17)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)


def write_suppressed(root: Path, count: int = 400) -> None:
    """Write the model, its images and a gate file below `root`."""
    onnx.save(detector(), root / "model.onnx")
    for name, number, seed in (("scenes", count, 1), ("calibration", 100, 2)):
        np.savez(root / f"{name}.npz", images=pictures(number, seed))
    (root / "test_gate.py").write_text(GATE)
