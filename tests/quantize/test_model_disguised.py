"""Weights that were quantized are found whatever operators turn them into floats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import load_model
from tests.worlds import graph_writer
from tests.worlds.disguises import DISGUISES, disguised
from tests.worlds.graph_writer import Writer, codes, in_function, weight
from tests.worlds.zoo import save


def runs(proto: onnx.ModelProto) -> None:
    """Make sure that it is a model that onnxruntime accepts."""
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    session.run(None, {"input": np.ones((1, 3, 16, 16), np.float32)})


def refused(folder: Path, proto: onnx.ModelProto) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(save(folder, proto))
    assert any(
        reason in caught.value.problem
        for reason in ("already quantized", "is not FP32", "was quantized and converted back")
    )
    assert caught.value.remedy.startswith("give the FP32 model from which it was made")
    return caught.value.problem


@pytest.mark.parametrize("name", DISGUISES)
def test_disguised_weights_are_refused(tmp_path: Path, name: str) -> None:
    proto = disguised(name)
    runs(proto)
    refused(tmp_path, proto)


@pytest.mark.parametrize("kind", [np.int8, np.int64])
@pytest.mark.parametrize("inside", [False, True])
def test_weights_cast_like_another_tensor(tmp_path: Path, kind: type, inside: bool) -> None:
    to = Writer()
    to.node("Mul", [to.const("float", weight()), to.const("steps", np.float32(100))], "m")
    to.node("CastLike", ["m", to.const("other", kind(0))], "c")
    to.node("CastLike", ["c", "steps"], "f")
    to.node("Div", ["f", "steps"], "w")
    proto = graph_writer.model(to)
    if inside:
        opsets = [helper.make_opsetid("", 21)]
        like = helper.make_node("CastLike", ["a", "b"], ["c"])
        function = helper.make_function("local", "Same", ["a", "b"], ["c"], [like], opsets)
        proto.functions.append(function)
        proto.opset_import.append(helper.make_opsetid("local", 1))
        for node in proto.graph.node:
            if node.op_type == "CastLike":
                node.op_type, node.domain = "Same", "local"
    runs(proto)
    assert "is rounded by Cast to" in refused(tmp_path, proto)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    "name", ["int8", "float16 in a Constant operator", "bit operations", "palette"]
)
def test_also_in_local_functions(tmp_path: Path, name: str, nested: bool) -> None:
    proto = in_function(DISGUISES[name], nested=nested)
    runs(proto)
    refused(tmp_path, proto)


@pytest.mark.parametrize(
    ("reader", "shape"),
    [
        ("Gemm", (8, 16)),
        ("MatMul", (8, 16)),
        ("Einsum", (8, 16)),
        ("depthwise", (8, 1, 3, 3)),
        ("LSTM", (1, 64, 8)),
        ("GRU", (1, 48, 8)),
        ("RNN", (1, 16, 8)),
    ],
)
def test_every_operator_with_weights(tmp_path: Path, reader: str, shape: tuple[int, ...]) -> None:
    plain = Writer()
    plain.node("Identity", [plain.const("float", weight(shape))], "w")
    load_model(save(tmp_path, graph_writer.model(plain, reader=reader)))
    hidden = Writer()
    DISGUISES["int8"](hidden, weight(shape))
    proto = graph_writer.model(hidden, reader=reader)
    runs(proto)
    assert f"of {'Conv' if reader == 'depthwise' else reader} comes from 'q'" in refused(
        tmp_path, proto
    )


def test_a_product_with_the_image_by_hand(tmp_path: Path) -> None:
    """Mul and ReduceSum do the work of a MatMul."""
    writer = Writer()
    numbers, scale = codes(weight((8, 16)))
    writer.const("q", numbers.astype(np.int8))
    writer.node("Cast", ["q"], "f", to=1)
    writer.node("Mul", ["f", writer.const("s", scale)], "w")
    proto = graph_writer.model(writer, reader="Gemm")
    (gemm,) = [node for node in proto.graph.node if node.op_type == "Gemm"]
    gemm.op_type, gemm.output[0] = "Mul", "products"
    gemm.input[0] = "column"
    shape = helper.make_tensor("column_shape", TensorProto.INT64, [2], [8, 1])
    proto.graph.initializer.append(shape)
    proto.graph.initializer.append(helper.make_tensor("axes", TensorProto.INT64, [1], [0]))
    place = list(proto.graph.node).index(gemm)
    proto.graph.node.insert(
        place, helper.make_node("Reshape", ["flat", "column_shape"], ["column"])
    )
    proto.graph.node.insert(
        place + 2, helper.make_node("ReduceSum", ["products", "axes"], ["pooled"])
    )
    runs(proto)
    refused(tmp_path, proto)


def test_constants_that_say_where_and_not_what_are_legitimate(tmp_path: Path) -> None:
    """Shapes, axes, indices, masks of pruned weights, small integer kernels, bounds of slices."""
    writer = Writer()
    array = weight((32, 8, 3, 3))
    writer.const("float", array.reshape(32, -1))
    writer.const("index", np.arange(40, 8, -1, dtype=np.int64) - 9)
    writer.node("Gather", ["float", "index"], "g", axis=0)
    writer.node(
        "Slice", ["g", *(writer.const(n, np.array([v])) for n, v in (("lo", 0), ("hi", 16)))], "h"
    )
    writer.node("Reshape", ["h", writer.const("shape", np.array(graph_writer.SHAPE))], "r")
    mask = np.random.default_rng(1).random(graph_writer.SHAPE) > 0.5
    writer.node(
        "Where", [writer.const("mask", mask), "r", writer.const("zero", np.float32(0))], "m"
    )
    writer.const("kernel", np.array([[1, 2, 1]], np.int64).T @ np.array([[1, 2, 1]], np.int64))
    writer.node("Cast", ["kernel"], "blur", to=1)
    writer.node("Mul", ["m", "blur"], "w")
    proto = graph_writer.model(writer)
    runs(proto)
    load_model(save(tmp_path, proto))


def test_float64_weights_are_legitimate(tmp_path: Path) -> None:
    writer = Writer()
    writer.const("double", weight().astype(np.float64))
    writer.node("Cast", ["double"], "w", to=1)
    load_model(save(tmp_path, graph_writer.model(writer)))


def test_weight_normalization_is_legitimate(tmp_path: Path) -> None:
    writer = Writer()
    writer.const("v", weight())
    writer.const("axes", np.array([1, 2, 3], np.int64))
    writer.node("ReduceL2", ["v", "axes"], "length", keepdims=1)
    writer.node("Div", ["v", "length"], "direction")
    writer.node("Mul", ["direction", writer.const("g", weight((16, 1, 1, 1), 3))], "w")
    load_model(save(tmp_path, graph_writer.model(writer)))


def _conv(name: str, *nodes: onnx.NodeProto) -> onnx.GraphProto:
    conv = helper.make_node("Conv", ["x", "w"], [name], "reader", kernel_shape=[3, 3])
    out = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    return helper.make_graph([*nodes, conv], name, [], [out])


@pytest.mark.parametrize("where", ["outside", "inside"])
def test_an_operator_in_a_branch(tmp_path: Path, where: str) -> None:
    """It reads a weight of the graph outside, or one of its own."""
    writer = Writer()
    DISGUISES["int8"](writer, weight())
    inside, writer.nodes = (writer.nodes, []) if where == "inside" else ([], writer.nodes)
    writer.const("yes", np.array(True))
    proto = graph_writer.model(writer)
    place = next(i for i, node in enumerate(proto.graph.node) if node.name == "reader")
    del proto.graph.node[place]
    other = [onnx.NodeProto.FromString(node.SerializeToString()) for node in inside]
    for node in other:  # names must differ between the branches
        node.output[0] += "2"
        node.input[:] = [f"{n}2" if n in ("f", "w") else n for n in node.input]
    second = _conv("b", *other)
    if inside:
        second.node[-1].input[1] = "w2"
    branches = {"then_branch": _conv("a", *inside), "else_branch": second}
    proto.graph.node.insert(place, helper.make_node("If", ["yes"], ["y"], **branches))
    runs(proto)
    refused(tmp_path, proto)


def _function_model(*nodes: onnx.NodeProto, opset: int = 20, **constants: np.ndarray) -> object:
    """A model whose Conv is in a function: F(x, given) -> y."""
    opsets = [helper.make_opsetid("", opset)]
    conv = helper.make_node("Conv", ["a", "k"], ["b"], kernel_shape=[3, 3])
    function = helper.make_function("local", "F", ["a", "g"], ["b"], [*nodes, conv], opsets)
    writer = Writer()
    for name, array in constants.items():
        writer.const(name, array)
    proto = graph_writer.model(writer, functions=[function], opset=20)
    reader = next(node for node in proto.graph.node if node.name == "reader")
    reader.CopyFrom(helper.make_node("F", ["x", "given"], ["y"], domain="local"))
    return proto


@pytest.mark.parametrize("opset", [20, 19])  # that of the model, and another
def test_a_function_turns_what_it_is_given_into_a_weight(tmp_path: Path, opset: int) -> None:
    cast = helper.make_node("Cast", ["g"], ["k"], to=1)
    proto = _function_model(cast, opset=opset, given=codes(weight())[0].astype(np.int8))
    runs(proto)
    refused(tmp_path, proto)


def test_a_function_that_is_given_floats_is_legitimate(tmp_path: Path) -> None:
    same = helper.make_node("Identity", ["g"], ["k"])
    load_model(save(tmp_path, _function_model(same, given=weight())))
