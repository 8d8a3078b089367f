"""Runtimes of one gate: what is made for each must have a label of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_kycquant import FaceLimits, FaceVerification, KycModel, Preprocess, Prequantized
from pytest_kycquant.errors import SpecError
from pytest_kycquant.spec.gates import GateSpec
from pytest_kycquant.spec.prequantized import Asked
from pytest_kycquant.spec.recipe import RUNGS, Recipe, on
from pytest_kycquant.spec.runtime import Runtime

MODEL = KycModel("m.onnx", Preprocess((16, 16)), FaceVerification("f"))
CACHED = Runtime("openvino", options={"CACHE_DIR": "x"})
PARTLY = Runtime(provider="XnnpackExecutionProvider", allow_cpu=True)
WHOLLY = Runtime(provider="XnnpackExecutionProvider")


def gate(*precisions: Asked | str) -> GateSpec:
    given = {"model": MODEL, "limits": FaceLimits(), "precisions": precisions}
    return GateSpec.of(given, "TestFace")


@pytest.mark.parametrize("other", [
    (Recipe("int8", runtime=CACHED), Recipe("fp32", runtime="openvino")),
    (Recipe("fp32", runtime="openvino"), Recipe("int8", runtime=CACHED)),
    (Recipe("int8", runtime=PARTLY), Recipe("fp16", runtime=WHOLLY)),
    (Recipe("int8", runtime="openvino"),
     Prequantized("m.xml", runtime=CACHED, fallback="fp16")),
    (Prequantized("m.xml", runtime=CACHED, fallback="fp16"),
     Recipe("int8-weights", runtime="openvino")),
])  # fmt: skip
def test_two_sets_of_options_of_one_runtime(other: tuple[Asked, ...]) -> None:
    """FP32 with one set would stand in the report, under the label of both."""
    message = r"run on \w+ with different options, .*; give both the same Runtime\(\.\.\.\)"
    with pytest.raises(SpecError, match=message):
        gate(*other)


def test_sets_of_options_for_which_nothing_is_made() -> None:
    gate(Prequantized("m.xml"), Prequantized("n.xml", runtime=CACHED))
    gate(Recipe("int8", runtime=CACHED), Recipe("fp32", runtime=CACHED))
    for fallback in (None, "fp32"):  # FP32 itself runs on onnxruntime
        given = Prequantized("m.xml", runtime=CACHED, fallback=fallback)
        for precision in ("fp32", "int8-weights"):
            gate(Recipe(precision, runtime="openvino"), given)
            gate(given, Recipe(precision, runtime="openvino"))


def test_a_runtime_and_a_provider_of_one_name() -> None:
    provider = Runtime(provider="OpenVINOExecutionProvider")
    gate(Recipe("int8", runtime="openvino"), Recipe("int8", runtime=provider))
    assert Recipe("int8", runtime=provider).name == "int8-openvino-provider"


@pytest.mark.parametrize(("given", "message"), [
    (lambda: Recipe("int8", runtime="tflite"), "'tflite' is unknown; did you mean 'litert'"),
    (lambda: Recipe("int8", runtime="TensorFlow Lite"), "did you mean 'litert'"),
    (lambda: Prequantized("m.onnx", runtime="ort"), "did you mean 'onnxruntime'"),
    (lambda: gate("int8-openvino"), r'label of a recipe; give Recipe\(.int8., runtime=.openvino.'),
    (lambda: gate(Recipe("fp32", runtime="onnxruntime")),
     "fp32 cannot be gated on onnxruntime: it is the baseline; leave it out; on another runtime"),
])  # fmt: skip
def test_what_was_meant(given: Callable[[], object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        given()


def test_another_float_type_is_another_precision_not_another_runtime() -> None:
    gate(Recipe("bf16", runtime="openvino"), Recipe("int8", runtime="openvino"))
    for rung in set(RUNGS) - {"mixed"}:
        assert on(rung, Runtime("openvino", computes="bfloat16")) == on(rung, Runtime("openvino"))
