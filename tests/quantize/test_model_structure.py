"""Files made to crash or hang what reads them are refused before any library sees them."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import load_model
from tests.worlds import monsters
from tests.worlds.zoo import save, tiny_embedder


def refused(path: Path, problem: str) -> str:
    began = time.monotonic()
    with pytest.raises(ModelError, match=problem) as caught:
        load_model(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert len(text) < 700 + len(str(path))
    assert text.isprintable()
    assert time.monotonic() - began < 20
    return text


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (monsters.recursive, "its function 'F' calls itself"),
        (monsters.mutually_recursive, "its function 'F0' calls itself"),
        (lambda: monsters.mutually_recursive(500), "its function 'F0' calls itself"),
        (monsters.recursive_in_branch, "its function 'F' calls itself"),
        (monsters.recursive_unused, "its function 'F' calls itself"),
        (lambda: monsters.chain(3000), "its functions call each other 3001 deep"),
        (monsters.doubling, "has more than 250,000 operators"),
        (monsters.nested, "its subgraphs are nested 30 deep"),
        (lambda: monsters.nested_functions(8), "its subgraphs are nested 16 deep"),
        (monsters.cyclic, "not a valid ONNX model"),
    ],
)
def test_graphs_without_end(
    tmp_path: Path, make: Callable[[], onnx.ModelProto], problem: str
) -> None:
    refused(save(tmp_path, make()), problem)


def test_modest_functions_and_branches_are_legitimate(tmp_path: Path) -> None:
    load_model(save(tmp_path, monsters.chain(10)))
    load_model(save(tmp_path, monsters.doubling(8)))
    load_model(save(tmp_path, monsters.nested(4)))
    load_model(save(tmp_path, monsters.nested_functions(2)))


def test_two_functions_of_one_name(tmp_path: Path) -> None:
    proto = monsters.chain(2)
    proto.functions.append(proto.functions[0])
    refused(save(tmp_path, proto), "defines the function 'F0' twice")


def test_a_long_graph_is_no_crash(tmp_path: Path) -> None:
    assert load_model(save(tmp_path, monsters.long_graph(20_000))).output_names == ("output",)


# Sizes


def with_tensor(change: Callable[[onnx.TensorProto], None], name: str = "w1") -> onnx.ModelProto:
    proto = tiny_embedder()
    change(next(tensor for tensor in proto.graph.initializer if tensor.name == name))
    return proto


def dims(*given: int) -> Callable[[onnx.TensorProto], None]:
    def change(tensor: onnx.TensorProto) -> None:
        tensor.dims[:] = given

    return change


def shorter(tensor: onnx.TensorProto) -> None:
    tensor.raw_data = tensor.raw_data[:-1]


def longer(tensor: onnx.TensorProto) -> None:
    tensor.raw_data += b"\0" * 4


def of_type(kind: int) -> Callable[[onnx.TensorProto], None]:
    def change(tensor: onnx.TensorProto) -> None:
        tensor.data_type = kind

    return change


def in_other_field(tensor: onnx.TensorProto) -> None:
    tensor.int32_data[:] = [1] * 216
    tensor.ClearField("raw_data")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (dims(8, 3, 3, 2), r"'w1' is damaged: its shape \(8x3x3x2\) does not fit 864 bytes"),
        (dims(2**20, 2**20, 2**20), "'w1' is damaged"),
        (dims(*[2**30] * 30), "'w1' is damaged"),
        (dims(*[1] * 100_000), "'w1' is damaged: it has 100000 dimensions"),
        (dims(2**62, 8), "negative or very large"),
        (dims(-8, 3, 3, 3), "negative or very large"),
        (dims(0, 3, 3, 3), "'w1' is damaged"),
        (dims(), r"its shape \(one value\) does not fit"),
        (shorter, "does not fit 863 bytes"),
        (longer, "does not fit 868 bytes"),
        (of_type(TensorProto.DOUBLE), "does not fit"),
        (of_type(99), "has the unknown type 99"),
        (of_type(0), "has no type"),
        (of_type(TensorProto.STRING), "does not fit 0 values"),
        (in_other_field, "does not fit 0 values"),
    ],
)
def test_a_constant_whose_size_is_wrong(
    tmp_path: Path, change: Callable[[onnx.TensorProto], None], problem: str
) -> None:
    refused(save(tmp_path, with_tensor(change)), problem)


@pytest.mark.parametrize("place", ["branch", "function", "Constant"])
def test_also_in_other_places(tmp_path: Path, place: str) -> None:
    tensor = numpy_helper.from_array(np.ones(4, np.float32), "short")
    tensor.dims[:] = [5]
    node = helper.make_node("Constant", [], ["short"], value=tensor)
    proto = tiny_embedder()
    if place == "function":
        opsets = [helper.make_opsetid("", 17)]
        proto.functions.append(helper.make_function("own", "F", [], ["short"], [node], opsets))
    elif place == "branch":
        graph = helper.make_graph([], "inner", [], [], [tensor])
        proto.graph.node.append(
            helper.make_node("If", ["output"], ["x"], then_branch=graph, else_branch=graph)
        )
    else:
        proto.graph.node.append(node)
    refused(save(tmp_path, proto), "'short' is damaged")


# Names


@pytest.mark.parametrize("name", ["stem", "w1", "input", "c1", "Conv", "zoo", "kernel_shape"])
def test_a_name_that_is_not_utf8(tmp_path: Path, name: str) -> None:
    content = tiny_embedder().SerializeToString()
    assert name.encode() in content
    broken = name.encode()[:-1] + b"\xff"
    path = tmp_path / "face.onnx"
    path.write_bytes(content.replace(name.encode(), broken))
    refused(path, "is not UTF-8")


@pytest.mark.parametrize("letters", ["\x1b[2J", "\0", "\n\n", "\u202e", "x" * 1_600_000])
def test_names_are_shown_short_and_escaped(tmp_path: Path, letters: str) -> None:
    for number, change in enumerate((dims(5), of_type(TensorProto.FLOAT16))):
        proto = with_tensor(change)
        proto.graph.initializer[0].name = f"w{letters}"
        refused(save(tmp_path, proto, f"{number}.onnx"), "weight")
    proto = tiny_embedder()
    proto.graph.node[0].op_type = f"Conv{letters}"
    refused(save(tmp_path, proto), "not a valid ONNX model")
    proto = tiny_embedder()
    proto.graph.input[0].name = f"input{letters}"
    proto.graph.node[0].input[0] = f"input{letters}"
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    refused(save(tmp_path, proto), "not float32|not a valid")


def test_names_that_are_used_twice(tmp_path: Path) -> None:
    proto = tiny_embedder()
    proto.graph.node[4].output[0] = "c1"
    refused(save(tmp_path, proto), "not a valid ONNX model")


def test_outputs_that_are_not_tensors(tmp_path: Path) -> None:
    proto = tiny_embedder()
    proto.graph.node.append(helper.make_node("SequenceConstruct", ["output"], ["list"]))
    proto.graph.output.append(
        helper.make_tensor_sequence_value_info("list", TensorProto.FLOAT, None)
    )
    refused(save(tmp_path, proto), "output 'list' is not a tensor")


# Files


@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "socket"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "face.onnx"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    refused(path, "is not a regular file|cannot be read")


def test_a_file_beyond_all_models(tmp_path: Path) -> None:
    path = tmp_path / "face.onnx"
    path.touch()
    os.truncate(path, 2**40)
    refused(path, "is larger than 2 GB")


def test_a_path_with_a_nul() -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(Path("face\0.onnx"))
