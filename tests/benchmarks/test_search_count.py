"""The search benchmark counts float operators by one rule, whichever tool made the model."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.search.judging import count_operators

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SCALE, ZERO = ["s", "z"], np.uint8(0)


def graph(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    """A graph with constants: w in float, wq in integers, their scale and zero point."""
    constants = {
        "w": np.ones((2, 2, 1, 1), np.float32),
        "wq": np.ones((2, 2, 1, 1), np.uint8),
        "m": np.ones((2, 2), np.float32),
        "mq": np.ones((2, 2), np.uint8),
        "s": np.float32(0.1),
        "z": ZERO,
        "shape": np.array([1, -1], np.int64),
    }
    return helper.make_model(
        helper.make_graph(
            list(nodes),
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 1, 1])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
        )
    )


def node(kind: str, inputs: list[str], output: str) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output])


def pair(name: str, output: str) -> list[onnx.NodeProto]:
    """A tensor, quantized and dequantized."""
    return [
        node("QuantizeLinear", [name, *SCALE], f"{output}_q"),
        node("DequantizeLinear", [f"{output}_q", *SCALE], output),
    ]


WEIGHTS = node("DequantizeLinear", ["wq", *SCALE], "w_dq")
MATRIX = node("DequantizeLinear", ["mq", *SCALE], "m_dq")


@pytest.mark.parametrize(
    ("nodes", "counted"),
    [
        ([node("Conv", ["x", "w"], "y")], (1, 1)),
        # Weights that become floats when the model is loaded.
        (
            [
                helper.make_node("Cast", ["wq"], ["wf"], to=1),
                node("Mul", ["wf", "s"], "w8"),
                node("Conv", ["x", "w8"], "y"),
            ],
            (1, 1),
        ),
        ([*pair("x", "a"), WEIGHTS, node("Conv", ["a", "w_dq"], "y")], (0, 1)),
        # Only one of data and weights in integers: the kernel computes in float.
        ([*pair("x", "a"), node("Conv", ["a", "w"], "y")], (1, 1)),
        ([WEIGHTS, node("Conv", ["x", "w_dq"], "y")], (1, 1)),
        # Weights that are quantized when the model is loaded, as NNCF writes them.
        ([*pair("x", "a"), *pair("w", "b"), node("Conv", ["a", "b"], "y")], (0, 1)),
        # A reshape moves integers; a Relu computes in float.
        (
            [
                *pair("x", "a"),
                node("Reshape", ["a", "shape"], "r"),
                MATRIX,
                node("MatMul", ["r", "m_dq"], "y"),
            ],
            (0, 1),
        ),
        (
            [*pair("x", "a"), node("Relu", ["a"], "r"), WEIGHTS, node("Conv", ["r", "w_dq"], "y")],
            (1, 1),
        ),
        # Integer operators, as Neural Compressor writes them.
        (
            [
                node("QuantizeLinear", ["x", *SCALE], "a"),
                node("QLinearConv", ["a", *SCALE, "wq", *SCALE, *SCALE], "b"),
                node("DequantizeLinear", ["b", *SCALE], "y"),
            ],
            (0, 1),
        ),
        # A product of two activations has no weights.
        ([node("MatMul", ["x", "x"], "y")], (0, 0)),
        ([node("Conv", ["x", "w"], "h"), node("Conv", ["h", "w"], "y")], (2, 2)),
    ],
)
def test_count(nodes: list[onnx.NodeProto], counted: tuple[int, int]) -> None:
    assert count_operators(graph(*nodes)) == counted
