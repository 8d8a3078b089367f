"""The float file for LiteRT: converted or given, compared with FP32, and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from pytest_kycquant.bench.litert_files import LiteRtFiles
from pytest_kycquant.context.scratch import scratch_context
from pytest_kycquant.errors import ModelError, RuntimeUnavailableError, SpecError
from pytest_kycquant.quantize import ModelFile, Quantizer
from pytest_kycquant.quantize.images import TensorImages
from pytest_kycquant.runtimes import onnx2tf
from pytest_kycquant.runtimes.formats import identify
from pytest_kycquant.spec.recipe import Recipe

pytest.importorskip("litert_quantizer", reason="pip install -e .[litert]")

from tests.worlds.litert import embedder, embedder_content

INT8 = Recipe("int8", runtime="litert")


def report(*names: tuple[str, str, str, str]) -> bytes:
    """A report of onnx2tf: operator, its type, its output, and the tensor that stands for it."""
    keys = ("onnx_op_name", "onnx_op_type", "onnx_output_name", "resolved_tflite_tensor_name")
    return json.dumps({"records": [dict(zip(keys, name, strict=True)) for name in names]}).encode()


REPORT = report(
    ("first", "Conv", "a", ""),
    ("relu", "Relu", "b", "b"),
    ("flatten", "Flatten", "c", "c"),
    ("last", "Gemm", "output", "output"),
)


class Converter:
    """Stands in for onnx2tf."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
        self.calls: list[bytes] = []
        self.content = content
        monkeypatch.setattr(onnx2tf, "convert", self.convert)

    def convert(self, content: bytes, name: str) -> onnx2tf.Converted:
        self.calls.append(content)
        return onnx2tf.Converted(self.content, REPORT)


def files(
    root: Path, *, given: Path | None = None, calibrated: bool = True, prelu: bool = False
) -> LiteRtFiles:
    path = embedder(root / "face.onnx")
    if prelu:  # of slope 0, which computes the same
        model = onnx.load(path)
        model.graph.node[1].op_type = "PRelu"
        model.graph.node[1].input.append("slope")
        slope = np.zeros((8, 1, 1), np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(slope, "slope"))
        onnx.save(model, path)
    rng = np.random.default_rng(0)
    images = TensorImages(list(rng.normal(size=(12, 1, 3, 16, 16)).clip(-1, 1).astype("f4")))
    probes = TensorImages(list(rng.normal(size=(3, 1, 3, 16, 16)).clip(-1, 1).astype("f4")))
    context = scratch_context()
    quantizer = Quantizer(path, images, probes=probes, context=context)
    loaded = quantizer.loaded
    fp32 = ModelFile(path, loaded.digest, loaded.size, {}, {})
    return LiteRtFiles(
        context, "face", quantizer, fp32, loaded.feeding,
        lambda: images if calibrated else None, probes, given, {},
    )  # fmt: skip


def test_the_converted_file_is_checked_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converter = Converter(monkeypatch, embedder_content())
    made = files(tmp_path)
    first = made.make(Recipe("fp16", runtime="litert"))
    second = made.make(Recipe("int8-weights", runtime="litert"))
    assert len(converter.calls) == 1
    assert first.resolved["reason"] == "made from the ONNX file, converted by onnx2tf 2.6.9"
    assert second.quantized == {"CONV_2D": 1, "FULLY_CONNECTED": 1}
    assert second.broken == ()
    assert second.path.suffix == ".tflite"
    made.make(INT8)
    assert len(converter.calls) == 2  # from an equalized graph


def test_the_file_is_fed_as_fp32_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Converter(monkeypatch, embedder_content())
    made = files(tmp_path)
    found = made.make(Recipe("fp32", runtime="litert"))
    assert found.interface.inputs[0].axes == (0, 2, 3, 1)
    image = np.random.default_rng(5).normal(size=(1, 3, 16, 16)).astype("f4")
    onnx = tmp_path / "face.onnx"
    fp32 = ModelFile(onnx, identify(onnx).digest, 0, {}, {})
    (ours,), (theirs,) = found.open().run({"input": image}), fp32.open().run({"input": image})
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize(
    ("changed", "layer"),
    [({"seed": 3}, "'relu' (Relu)"), ({"last": 2.0}, "'last' (Gemm)")],
)
def test_a_wrong_conversion_names_its_first_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], layer: str
) -> None:
    from pytest_kycquant.quantize.litert_file import LiteRtFile

    content = embedder_content(changed.get("seed", 0))
    if "last" in changed:
        file = LiteRtFile(content)
        tensors = file.graphs[0].tensors
        at = next(k for k, tensor in enumerate(tensors) if tensor.name == "last.w")
        values = file.constant(tensors[at])
        assert values is not None
        file.replace(0, at, values * np.float32(changed["last"]))
        content = file.content()
    Converter(monkeypatch, content)
    with pytest.raises(ModelError) as raised:
        files(tmp_path).make(INT8)
    text = str(raised.value)
    assert text.startswith("face, converted for LiteRT by onnx2tf 2.6.9: gives other outputs than")
    assert f"first at {layer}; rounding explains 0.001" in text
    assert 'KycModel(litert="model.tflite")' in text


def test_no_converter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    with pytest.raises(RuntimeUnavailableError, match="there is no environment with onnx2tf"):
        files(tmp_path).make(INT8)


def test_a_given_file_is_not_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converter = Converter(monkeypatch, b"")
    given = tmp_path / "given.tflite"
    given.write_bytes(embedder_content())
    found = files(tmp_path, given=given).make(INT8)
    assert found.resolved["reason"] == "made from given.tflite"
    assert not converter.calls


def test_static_precisions_need_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Converter(monkeypatch, embedder_content())
    made = files(tmp_path, calibrated=False)
    with pytest.raises(SpecError, match="'int8-litert' of face: static quantization needs"):
        made.make(INT8)
    assert made.make(Recipe("int8-weights", runtime="litert")).resolved["bias_correction"] is False


def test_without_prelu_is_another_file_with_ranges_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the variant that computes PReLU in float, whose ranges know nothing of the other."""

    class Both(Converter):
        def convert(self, content: bytes, name: str) -> onnx2tf.Converted:
            has = any(
                node.op_type == "PRelu" for node in onnx.load_model_from_string(content).graph.node
            )
            made = embedder_content(prelu=True) if has else embedder_content(hidden="below")
            return onnx2tf.Converted(made, REPORT)

    Both(monkeypatch, b"")
    made = files(tmp_path, prelu=True)
    assert made.make(INT8).notes == ("compute in floating point: 1 PRELU",)
    found = made.make(Recipe("int8", name="integers", runtime="litert", float_fallback=False))
    assert found.notes == ()
    assert found.quantized == {"CONV_2D": 1, "FULLY_CONNECTED": 1, "RESHAPE": 1}


def test_with_onnx2tf_itself(tmp_path: Path) -> None:
    """The real converter, where its environment has been made."""
    try:
        onnx2tf.version_there()
    except RuntimeUnavailableError:
        pytest.skip(f"there is no environment of onnx2tf; run: {onnx2tf.COMMAND}")
    made = files(tmp_path)
    found = made.make(Recipe("int8", runtime="litert", float_fallback=False))
    assert found.resolved["equalize"] is True
    assert "FULLY_CONNECTED" in found.quantized
