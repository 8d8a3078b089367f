"""A face detector of SCRFD's kind, with scores, distances and landmarks of each stride as outputs.

Case 11 of issue 17, with weights from seeds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from tests.worlds.graph_writer import Writer

SIDE = 64
BIASES = {"score": (-2.0,), "bbox": (0.2, 0.2, 1.0, 1.0), "kps": (0.0,)}
GAINS = {"score": 40.0, "bbox": 0.4, "kps": 0.4}
WIDTHS = {"score": 1, "bbox": 4, "kps": 10}
GATE = """
from pytest_kycquant import (
    AgreementGates, DetectionLimits, KycModel, ObjectDetection, Preprocess
)

class TestScrfd(AgreementGates):
    model = KycModel(
        "model.onnx",
        preprocess=Preprocess(size=(64, 64), mean=127.5, scale=1 / 128),
        calibration="calibration.npz",
        task=ObjectDetection(
            "scenes.npz", classes=("face",), labelled=False, confidence=0.5, nms_iou=0.4
        ),
    )
    limits = DetectionLimits(latency_ratio=1000.0, size_ratio=5.0)
    precisions = ("fp16",)
    fallback = None
"""


def detector() -> onnx.ModelProto:
    """Two anchors for each cell of the strides 8, 16 and 32."""
    rng, w, outputs = np.random.default_rng(0), Writer(), []

    def conv(
        given: str,
        output: str,
        shape: tuple[int, ...],
        bias: tuple[float, ...],
        gain: float = 0.4,
        **more: object,
    ) -> str:
        scale = gain / np.sqrt(np.prod(shape[1:]))
        w.const(f"w_{output}", rng.normal(0, scale, shape).astype(np.float32))
        w.const(f"b_{output}", np.resize(np.float32(bias), shape[0]))
        return w.node("Conv", [given, f"w_{output}", f"b_{output}"], output, **more)

    last = conv("input", "stem", (16, 3, 3, 3), (0.1,), pads=[1] * 4, strides=[4, 4])
    for stride in (8, 16, 32):
        down = conv(last, f"d{stride}", (16, 16, 3, 3), (0.1,), pads=[1] * 4, strides=[2, 2])
        last = w.node("Relu", [down], f"r{stride}")
        for name, width in WIDTHS.items():
            place = f"{name}_{stride}"
            found = conv(last, f"c_{place}", (2 * width, 16, 1, 1), BIASES[name], GAINS[name])
            found = w.node("Transpose", [found], f"t_{place}", perm=[2, 3, 0, 1])
            w.const(f"s_{place}", np.array([-1, width], np.int64))
            found = w.node("Reshape", [found, f"s_{place}"], f"p_{place}")
            w.node("Sigmoid" if name == "score" else "Identity", [found], place)
            shape = [2 * (SIDE // stride) ** 2, width]
            outputs.append(onnx.helper.make_tensor_value_info(place, onnx.TensorProto.FLOAT, shape))
    for index, node in enumerate(w.nodes):
        node.name = f"node{index}"
    pixels = onnx.helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    graph = onnx.helper.make_graph(w.nodes, "scrfd", [pixels], outputs, w.stored)
    opset = onnx.helper.make_opsetid("", 13)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)


def write_anchors(root: Path) -> None:
    """Write the model, its images and a gate file below `root`."""
    onnx.save(detector(), root / "model.onnx")
    for name, number, seed in (("scenes", 300, 1), ("calibration", 100, 2)):
        rng = np.random.default_rng(seed)
        cells = rng.integers(0, 256, (number, 8, 8, 3)).repeat(8, 1).repeat(8, 2)
        np.savez(root / f"{name}.npz", images=cells.astype(np.uint8))
    (root / "test_gate.py").write_text(GATE)
