"""A detector with nine outputs is gated from its file, without labels."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from pytest_kycquant import quantize
from tests.worlds.anchors import write_anchors
from tests.worlds.population import Run


def test_scrfd_without_labels(run: Run, pytester: pytest.Pytester) -> None:
    write_anchors(pytester.path)
    result = run("--kycquant-update-golden", "-v")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        [
            "remark on fp32: outputs are read as SCRFD: * (scrfd); distances of the 5 keypoints *",
            "ship: fp16*",
        ]
    )


def test_landmarks_of_int8_that_are_off(run: Run, pytester: pytest.Pytester) -> None:
    """The boxes agree with FP32's, and one head of landmarks is shifted by a fifth of a face."""
    write_anchors(pytester.path)
    gate = pytester.path / "test_gate.py"
    text = gate.read_text()  # which does not say that there are landmarks: the outputs do
    gate.write_text(text.replace('precisions = ("fp16",)', 'precisions = ("int8-weights",)'))
    run("--kycquant-update-golden", "-k", "finite").assert_outcomes(passed=1, deselected=3)
    result = run("-v", "-k", "agreement")
    result.assert_outcomes(passed=1, deselected=3)
    vendor = 'Prequantized("wrong.onnx")'
    model = onnx.load(pytester.path / "model.onnx")
    for tensor in model.graph.initializer:
        if tensor.name.startswith("b_c_kps"):
            moved = onnx.numpy_helper.to_array(tensor) + np.float32(0.6)
            tensor.CopyFrom(onnx.numpy_helper.from_array(moved, tensor.name))
    onnx.save(model, pytester.path / "moved.onnx")
    quantize(
        pytester.path / "moved.onnx", None, "int8-weights", output=pytester.path / "wrong.onnx"
    )
    gate.write_text(
        gate.read_text()
        .replace('"int8-weights"', vendor)
        .replace("KycModel,", "KycModel, Prequantized,")
    )
    result = run("-k", "agreement")
    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines(
        [
            "FAIL mean keypoint error to FP32, of the distance of the eyes = *",
            "PASS detections of FP32 that the variant has = 99*",
            "  scenes.npz[[]*] keypoints off by *%",
        ]
    )
    gate.write_text(gate.read_text().replace("labelled=False,", "labelled=False, keypoints=0,"))
    run("-k", "agreement").assert_outcomes(passed=1, deselected=3)  # only boxes matter
