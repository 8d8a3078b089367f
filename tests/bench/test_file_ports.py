"""What evidence and terminal say of the inputs and outputs of a file, word for word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from pytest_kycquant.bench.file_ports import FilePort, FilePorts, ports_of
from pytest_kycquant.quantize.built import ModelFile
from pytest_kycquant.runtimes import Port
from pytest_kycquant.runtimes.formats import identify
from pytest_kycquant.runtimes.interface import InputFit, Interface, OutputFit
from pytest_kycquant.runtimes.litert import _Tensor
from tests.worlds.population import embedder

INPUT = FilePort("x", "input", "int8", "float32", (1, 16, 16, 3), (0, 2, 3, 1), 0.0078, -1)
OUTPUT = FilePort("y", "output", "uint8", "float32", (1, 96), (), 0.5, 128)


def test_how_to_fill_an_input() -> None:
    assert INPUT.as_input() == (
        "x takes int8 1x16x16x3, FP32's dimensions in the order 0, 2, 3, 1, "
        "round(x / 0.0078) -1, clipped to -128..127, where FP32 takes x"
    )
    free = replace(INPUT, shape=(None, 3), axes=(), scale=0.0, dtype="uint8")
    assert free.as_input() == "x takes uint8 ?x3"


def test_how_to_read_an_output() -> None:
    assert OUTPUT.as_output() == "y gives output in uint8 1x96, (q -128) * 0.5"
    turned = replace(OUTPUT, scale=0.0, dtype="float16", shape=(1, 4, 4, 2), axes=(0, 3, 1, 2))
    assert turned.as_output() == (
        "y gives output in float16 1x4x4x2, its dimensions in the order 0, 3, 1, 2"
    )


def test_only_what_differs_is_said() -> None:
    same = FilePort("input", "input", "uint8", "uint8", (1, 8))
    more = FilePort("loss", "", "float32", "float32", (1,))
    assert FilePorts((same,), (more,)).lines("face") == []
    assert [line.split(":")[0] for line in FilePorts((INPUT,), (OUTPUT,)).lines("face")] == [
        "feed face", "read face",
    ]  # fmt: skip
    other = replace(same, dtype="float32")  # FP32 takes uint8, and this file does not
    (line,) = FilePorts((other,), ()).lines("face")
    assert line == "feed face: input takes float32 1x8"


@pytest.fixture
def file(tmp_path: Path) -> ModelFile:
    """A file with an output of its own beside the one that stands for FP32's."""
    model = embedder()
    result = model.graph.output[0].name
    model.graph.node.append(onnx.helper.make_node("Neg", [result], ["more"], "negate_"))
    model.graph.output.append(onnx.helper.make_tensor_value_info("more", 1, [1, 96]))
    onnx.save(model, tmp_path / "m.onnx")
    found = identify(tmp_path / "m.onnx")
    return ModelFile(tmp_path / "m.onnx", found.digest, found.size, {}, {})


def test_an_output_that_stands_for_none(file: ModelFile) -> None:
    (name,) = {port.name for port in file.open_as_it_is().input_ports}
    interface = Interface((InputFit(name, "input", "float32"),), (OutputFit(1, "output"),))
    found = ports_of(replace(file, interface=interface), {"input": "uint8"})
    assert [(port.name, port.of) for port in found.outputs] == [("output", ""), ("more", "output")]
    assert [(port.of, port.fp32) for port in found.inputs] == [("input", "uint8")]
    assert [line.split(",")[0] for line in found.lines("m")] == [
        f"feed m: {name} takes float32 {'x'.join(map(str, found.inputs[0].shape or ()))}".replace(
            "None", "?"
        ),
        "read m: more gives output in float32 1x96",
    ]


@pytest.mark.parametrize("seed", range(3))
def test_what_is_said_is_what_is_done(seed: int) -> None:
    """Whoever follows the words gets the integers that a gate feeds, clipped ones included."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1.5, 1000).astype(np.float32)
    low, high = (
        int(end) for end in INPUT.as_input().split("clipped to ")[1].split(",")[0].split("..")
    )
    said = np.clip(np.round(values / INPUT.scale) + INPUT.zero, low, high).astype(np.int8)
    port = Port("x", (1000,), "float32", "int8", INPUT.scale, INPUT.zero)
    done = _Tensor(0, port, "int8", INPUT.scale, INPUT.zero).quantized(values)
    assert (said == done).mean() > 0.999  # halves may be rounded otherwise in float32
    assert np.abs(said.astype(int) - done).max() <= 1
