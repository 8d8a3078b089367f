"""What is said of the contents of files that somebody else made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize.contents import Contents, contents, require_quantized
from pytest_kycquant.runtimes.formats import identify
from tests.worlds.population import embedder


def _onnx(path: Path) -> None:
    """Weights in float16, cast when they are used."""
    model = embedder()
    for tensor in list(model.graph.initializer):
        users = [node for node in model.graph.node if tensor.name in node.input[1:2]]
        if users and users[0].op_type in ("Conv", "Gemm", "MatMul"):
            half = numpy_helper.to_array(tensor).astype(np.float16)
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
            cast = onnx.helper.make_node("Cast", [f"{name}_half"], [name], to=1)
            model.graph.node.insert(0, cast)
    onnx.save(model, path)


def _ir(path: Path) -> None:
    openvino = pytest.importorskip("openvino", reason="pip install -e .[openvino]")
    onnx.save(embedder(), path.with_suffix(".onnx"))
    read = openvino.Core().read_model(str(path.with_suffix(".onnx")))
    openvino.save_model(read, str(path), compress_to_fp16=True)


def _tflite(path: Path) -> None:
    pytest.importorskip("litert_quantizer", reason="pip install -e .[litert]")
    from pytest_kycquant.quantize.litert_ladder import Rung, Task
    from pytest_kycquant.spec.recipe import Recipe
    from tests.worlds.litert import embedder_content

    task = Task("m", embedder_content(), Recipe("fp16", runtime="litert"), 0, lambda _: iter(()))
    path.write_bytes(Rung("float16").build(task).content)


def _program(path: Path) -> None:
    torch = pytest.importorskip("torch", reason="pip install -e .[torch]")
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()).half()
    images = (torch.zeros(1, 3, 8, 8).half(),)
    torch.export.save(torch.export.export(model.eval(), images), path)


HALF: dict[str, Callable[[Path], None]] = {
    "m.onnx": _onnx,
    "m.xml": _ir,
    "m.tflite": _tflite,
    "m.pt2": _program,
}


@pytest.mark.parametrize("name", HALF)
def test_weights_in_16_bit_floats_are_no_integers(tmp_path: Path, name: str) -> None:
    """A reader must see that such a file is not INT8, in whatever format it comes."""
    HALF[name](tmp_path / name)
    found = contents(tmp_path / name, identify(tmp_path / name).digest)
    said = [note for note in found.notes if "store their weights in 16-bit floats" in note]
    assert len(said) == len(found.quantized) > 0, found
    assert not found.kept


@pytest.mark.parametrize("suffix", [".onnx", ".ort", ".tflite", ".xml", ".pt2"])
def test_a_float_file_is_not_quantized(tmp_path: Path, suffix: str) -> None:
    """The remedy names a recipe only for runtimes on which one makes FP32."""
    with pytest.raises(ModelError, match="is a float file") as raised:
        require_quantized(tmp_path / f"m{suffix}", Contents({}, {"Conv": 5}))
    assert ('Recipe("fp32"' in raised.value.remedy) == (suffix != ".pt2")
    require_quantized(tmp_path / f"m{suffix}", Contents({"Conv": 1}, {"Conv": 5}))
