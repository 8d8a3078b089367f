"""What a gate file may say of a file that somebody else quantized, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_kycquant.errors import SpecError
from pytest_kycquant.spec.prequantized import Prequantized


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"path": ()}, "path: names no file; give the path of a file"),
        ({"path": ("a.onnx", "a.onnx")}, "names a file twice; give a file for each file"),
        ({"path": "a.bin"}, "in no format that a runtime here opens; .* endings .onnx"),
        ({"path": ("a.onnx", "b.tflite")}, "files for different runtimes; give files of one"),
        ({"path": "a.tflite", "runtime": "openvino"}, r"does not open \.tflite files"),
        ({"path": "a.onnx", "preprocess": "BGR"}, "'BGR' is not a Preprocess"),
        ({"path": "a.onnx", "inputs": {"x": 1}}, "does not name inputs; give a dict"),
        ({"path": "a.onnx", "inputs": {"x": "i", "y": "i"}}, "does not name inputs"),
        ({"path": "a.onnx", "fallback": "fp8"}, "fallback"),
        ({"path": "a.pt2", "fallback": "mixed"}, "torch"),
    ],
)
def test_what_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Prequantized(**given)


def test_files_of_several_formats_that_one_runtime_opens() -> None:
    with pytest.raises(SpecError, match="give runtime='openvino', which opens all of them"):
        Prequantized(("a.onnx", "b.xml"))
    assert Prequantized(("a.onnx", "b.xml"), runtime="openvino").runs_on.name == "openvino"


def test_its_label_is_the_stem_of_its_file() -> None:
    assert Prequantized("models/a_qat.onnx").name == "a_qat"
    assert Prequantized("models/a_qat.onnx", name="vendor").name == "vendor"


def test_and_its_runtime_if_that_is_not_the_usual_one() -> None:
    assert Prequantized("a.onnx", runtime="onnxruntime").name == "a"
    assert Prequantized("a.onnx", runtime="openvino").name == "a-openvino"
    assert Prequantized("a.xml", runtime="openvino").name == "a"
