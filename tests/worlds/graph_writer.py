"""Graphs that read a weight ``w``, which tests compute from constants in ways of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SHAPE = (16, 8, 3, 3)
Disguise = Callable[["Writer", NDArray[np.float32]], None]


@dataclass
class Writer:
    """Collects the operators and constants of a graph."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    stored: list[onnx.TensorProto] = field(default_factory=list)
    sparse: list[onnx.SparseTensorProto] = field(default_factory=list)

    def const(self, name: str, array: Any, kind: int | None = None) -> str:
        array = np.asarray(array)
        if kind is None:
            self.stored.append(numpy_helper.from_array(array, name))
        else:
            self.stored.append(helper.make_tensor(name, kind, array.shape, array.ravel()))
        return name

    def node(self, op_type: str, inputs: list[str], output: str, **given: Any) -> str:
        self.nodes.append(helper.make_node(op_type, inputs, [output], **given))
        return output


def model(
    writer: Writer,
    *,
    reader: str = "Conv",
    functions: list[onnx.FunctionProto] | None = None,
    opset: int = 21,
) -> onnx.ModelProto:
    """A model that reads the weight ``w``: Conv, global pooling, Gemm with float weights."""
    rng = np.random.default_rng(5)
    first = rng.standard_normal((8, 3, 3, 3)).astype(np.float32)
    writer.const("first", first)
    nodes = [helper.make_node("Conv", ["input", "first"], ["x"], kernel_shape=[3, 3])]
    nodes += writer.nodes
    if reader == "Conv":
        nodes.append(helper.make_node("Conv", ["x", "w"], ["y"], "reader", kernel_shape=[3, 3]))
        nodes.append(helper.make_node("GlobalAveragePool", ["y"], ["pooled"]))
    elif reader in ("depthwise", "ConvTranspose"):
        given = {"group": 8} if reader == "depthwise" else {}
        kind = "Conv" if reader == "depthwise" else reader
        nodes.append(helper.make_node(kind, ["x", "w"], ["y"], "reader", **given))
        nodes.append(helper.make_node("GlobalAveragePool", ["y"], ["pooled"]))
    else:
        nodes.append(helper.make_node("GlobalAveragePool", ["x"], ["small"]))
        nodes.append(helper.make_node("Flatten", ["small"], ["flat"]))
        if reader == "Einsum":
            nodes.append(
                helper.make_node(
                    "Einsum", ["flat", "w"], ["pooled"], "reader", equation="nc,cd->nd"
                )
            )
        elif reader in ("LSTM", "GRU", "RNN"):
            writer.const("first_axis", np.array([0], np.int64))
            nodes.append(helper.make_node("Unsqueeze", ["flat", "first_axis"], ["steps"]))
            writer.const("again", rng.standard_normal((1, 16 * _GATES[reader], 16)).astype("f4"))
            nodes.append(
                helper.make_node(
                    reader, ["steps", "w", "again"], ["", "pooled"], "reader", hidden_size=16
                )
            )
        else:
            nodes.append(helper.make_node(reader, ["flat", "w"], ["pooled"], "reader"))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["output"]))
    graph = helper.make_graph(
        nodes,
        "disguised",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, None])],
        writer.stored,
        sparse_initializer=writer.sparse,
    )
    opsets = [
        helper.make_opsetid("", opset),
        helper.make_opsetid("local", 1),
        helper.make_opsetid("ai.onnx.ml", 3),
    ]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=functions or [])


_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def weight(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> NDArray[np.float32]:
    """A float weight."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def codes(array: NDArray[np.float32], bits: int = 8) -> tuple[NDArray[np.int64], np.float32]:
    """Symmetric integers and the scale of a weight."""
    largest = 2 ** (bits - 1) - 1
    scale = np.float32(np.abs(array).max() / largest)
    return np.round(array / scale).astype(np.int64), scale


def number(to: Writer, value: float) -> str:
    """Write a constant."""
    return to.const(f"c{len(to.stored)}", np.float32(value))


def shape_of(to: Writer, array: NDArray[np.float32]) -> str:
    """Write the shape of a weight."""
    return to.const("shape", np.array(array.shape, np.int64))


def written(disguise: Disguise, array: NDArray[np.float32], **given: Any) -> onnx.ModelProto:
    """A model with a weight that a disguise writes; for arguments see `model`."""
    writer = Writer()
    disguise(writer, array)
    return model(writer, **given)


def in_function(disguise: Disguise, *, nested: bool = False) -> onnx.ModelProto:
    """A model with a disguise inside a local function, or in one that another function calls."""
    inside = Writer()
    disguise(inside, weight())
    constants = [
        helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in inside.stored
    ]
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("local", 1)]
    functions = [
        helper.make_function("local", "Weight", [], ["w"], constants + inside.nodes, opsets)
    ]
    called = "Weight"
    if nested:
        call = helper.make_node("Weight", [], ["v"], domain="local")
        functions.append(helper.make_function("local", "Outer", [], ["v"], [call], opsets))
        called = "Outer"
    outside = Writer()
    outside.node(called, [], "w", domain="local")
    return model(outside, functions=functions)
