"""Weights that no check can compute, or should."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from .graph_writer import Disguise, Writer

Array = NDArray[np.float32]


def _graph(name: str, *nodes: onnx.NodeProto) -> onnx.GraphProto:
    info = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    return helper.make_graph(list(nodes), name, [], [info])


def _grown(op_type: str, *constants: object, **given: object) -> Disguise:
    """A weight times the mean of something that an operator makes."""

    def write(to: Writer, array: Array) -> None:
        names = [to.const(f"k{place}", value) for place, value in enumerate(constants)]
        to.node(op_type, names, "grown", **given)
        _times_mean(to, array, "grown")

    return write


def _times_mean(to: Writer, array: Array, name: str) -> None:
    to.node("Cast", [name], "floats", to=1)
    to.node("ReduceMean", ["floats"], "mean", keepdims=0)
    to.node("Mul", [to.const("float", array), "mean"], "w")


def _doubled(to: Writer, array: Array) -> None:
    """Forty times as long as before, each time."""
    name = to.const("start", np.ones(2, np.int64))
    for place in range(40):
        name = to.node("Concat", [name] * 2, f"twice{place}", axis=0)
    _times_mean(to, array, name)


def _shape_doubled(to: Writer, array: Array) -> None:
    """A size that follows only from values, and a huge tensor of that size."""
    name = to.const("start", np.array([2**10], np.int64))
    for place in range(2):
        name = to.node("Mul", [name, name], f"square{place}")
    _times_mean(to, array, to.node("ConstantOfShape", [name], "huge"))


def _many(to: Writer, array: Array) -> None:
    """Many tensors, none of which is too large."""
    to.const("large", np.array([2**25], np.int64))
    to.const("one", np.float32(1))
    names = [to.node("Expand", ["one", "large"], f"e{place}") for place in range(200)]
    to.node("Sum", names, "all")
    _times_mean(to, array, "all")


def _endless(to: Writer, array: Array) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Neg", ["v"], ["n"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, array.shape),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("n", TensorProto.FLOAT, array.shape),
        ],
    )
    to.const("float", array)
    to.node("Loop", ["", to.const("yes", np.array(True)), "float"], "w", body=body)


def _branches(to: Writer, array: Array) -> None:
    to.const("float", array)
    to.const("zero", np.float32(0))
    to.const("plus", np.float32(0.1))
    to.const("minus", np.float32(-0.1))
    graphs = [
        _graph(
            f"out{place}",
            helper.make_node("Greater", ["float", "zero"], [f"b{place}"]),
            helper.make_node("Where", [f"b{place}", "plus", "minus"], [f"out{place}"]),
        )
        for place in range(2)
    ]
    to.const("yes", np.array(True))
    to.node("If", ["yes"], "w", then_branch=graphs[0], else_branch=graphs[1])


def _divided_by_zero(to: Writer, array: Array) -> None:
    to.const("float", array)
    to.node("Div", ["float", to.const("zero", np.float32(0))], "w")


HOSTILE: dict[str, tuple[Disguise, str]] = {
    "terabytes": (_grown("ConstantOfShape", np.array([2**42], np.int64)), "makes it too large"),
    "long range": (_grown("Range", *map(np.int64, (0, 2**42, 1))), "makes it too large"),
    "tiles": (_grown("Tile", np.ones(9, "f4"), np.array([2**40])), "makes it too large"),
    "padded": (_grown("Pad", np.ones(9, "f4"), np.array([0, 2**40])), "makes it too large"),
    "doubled": (_doubled, "makes it too large"),
    "doubled size": (_shape_doubled, "makes it too large"),
    "many": (_many, "makes it too large"),
    "size by value": (_grown("NonZero", np.ones(9, "f4")), "NonZero computes is not known"),
    "endless": (_endless, "Loop computes is not known"),
    "branches": (_branches, "If computes is not known"),
    "not finite": (_divided_by_zero, "it contains NaN or Inf"),
}
"""Name -> what no check can or may compute, and a part of the message."""
