"""The gradient of a model as an ONNX graph: how far each activation reaches the outputs.

onnxruntime runs models forward only. Here each operator is followed by its adjoint, in reverse
(reverse-mode differentiation: Griewank and Walther, "Evaluating Derivatives", 2008), for the
operators that networks of convolutions are made of. Where another operator reads an activation,
the gradient starts there instead of at the output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .graph import (
    attributes,
    float_tensors,
    initializers,
    numbers,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import GraphProto, ModelProto, NodeProto


class Backward(NamedTuple):
    """A model with its gradient.

    Args:
        proto: the model; it has an input more for each seed.
        seeds: activation that gradients start from -> the input that takes its gradient.
        gradients: activation -> the tensor that holds its gradient. All have their shape.
    """

    proto: ModelProto
    seeds: dict[str, str]
    gradients: dict[str, str]


def backward(model: ModelProto) -> Backward:
    """Append to a model the gradient of what it computes.

    Args:
        model: with inferred shapes; all but the batch must be known where an adjoint needs them.
    """
    from onnx import TensorProto, helper

    proto = type(model)()
    proto.CopyFrom(model)
    tape = _Tape(proto.graph)
    for info in model.graph.output:
        tape.seed(info.name)
    for node in reversed(model.graph.node):
        tape.reverse(node)
    inputs = [info.name for info in model.graph.input]
    written = [name for node in model.graph.node for name in node.output]
    gradients = {name: tape.total(name) for name in (*inputs, *written) if tape.reaches(name)}
    for seed in tape.seeds.values():
        proto.graph.input.append(helper.make_tensor_value_info(seed, TensorProto.FLOAT, None))
    proto.graph.node.extend(tape.nodes)
    return Backward(proto, tape.seeds, gradients)


class _Tape:
    """Adjoint operators in the making, and the parts of each activation's gradient."""

    def __init__(self, graph: GraphProto) -> None:
        self.nodes: list[NodeProto] = []
        self.seeds: dict[str, str] = {}
        self.weights = initializers(graph)
        self._activations = set(float_tensors(graph))
        self.shapes = {
            info.name: [d.dim_value for d in info.type.tensor_type.shape.dim]
            for info in (*graph.value_info, *graph.input, *graph.output)
            if info.type.tensor_type.HasField("shape")
        }
        self._graph = graph
        self._parts: dict[str, list[str]] = {}

    def seed(self, name: str) -> None:
        """Start a gradient at an activation."""
        if name not in self.seeds:
            self.seeds[name] = f"{name}/seed"
            self.pass_on(name, self.seeds[name])

    def reaches(self, name: str) -> bool:
        return bool(self._parts.get(name))

    def total(self, name: str) -> str:
        """The gradient of an activation whose readers have all been reversed."""
        parts = self._parts[name]
        if len(parts) > 1:
            self._parts[name] = [self.op("Sum", *parts)]
        return self._parts[name][0]

    def pass_on(self, name: str, part: str) -> None:
        """Add a part to the gradient of an activation."""
        self._parts.setdefault(name, []).append(part)

    def op(self, op_type: str, *inputs: str, **given: object) -> str:
        from onnx import helper

        name = f"adjoint/{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], name, **given))
        return name

    def split(self, name: str, sizes: list[int], axis: int) -> list[str]:
        from onnx import helper, numpy_helper

        first = f"adjoint/{len(self.nodes)}"
        parts = [f"{first}/{index}" for index in range(len(sizes))]
        lengths = f"{first}/sizes"
        self._graph.initializer.append(numpy_helper.from_array(np.array(sizes, np.int64), lengths))
        self.nodes.append(helper.make_node("Split", [name, lengths], parts, first, axis=axis))
        return parts

    def constant(self, values: float | NDArray[np.float64]) -> str:
        from onnx import numpy_helper

        name = f"adjoint/constant{len(self._graph.initializer)}"
        self._graph.initializer.append(numpy_helper.from_array(np.array(values, np.float32), name))
        return name

    def reverse(self, node: NodeProto) -> None:
        """Pass the gradient of an operator's output on to its inputs, or start it there."""
        reached = [name for name in node.output if self.reaches(name)]
        if not reached:
            return
        adjoint = _ADJOINTS.get(node.op_type)
        known = len(reached) == 1 or node.op_type == "Split"
        if adjoint is None or not known or not adjoint(self, node, self.total(reached[0])):
            for name in node.input:
                if name in self._activations:
                    self.seed(name)


def _conv(tape: _Tape, node: NodeProto, gradient: str) -> bool:
    given = attributes(node)
    x, weight = node.input[:2]
    rank = len(tape.weights[weight].dims) - 2 if weight in tape.weights else 0
    sizes = [tape.shapes.get(name, [])[2:] for name in (x, node.output[0])]
    if not rank or not all(len(s) == rank and all(s) for s in sizes):
        return False
    if given.pop("auto_pad", b"NOTSET") != b"NOTSET":
        return False
    kernel = given.pop("kernel_shape", None) or list(tape.weights[weight].dims[2:])
    given = {"strides": [1] * rank, "dilations": [1] * rank, "pads": [0] * 2 * rank, **given}
    rest = [
        before - ((after - 1) * s - low - high + (k - 1) * d + 1)
        for before, after, s, d, k, low, high in zip(
            *sizes,
            given["strides"],
            given["dilations"],
            kernel,
            given["pads"][:rank],
            given["pads"][rank:],
            strict=True,
        )
    ]
    tape.pass_on(x, tape.op("ConvTranspose", gradient, weight, output_padding=rest, **given))
    return True


def _slopes(tape: _Tape, node: NodeProto, gradient: str) -> bool:
    """Relu, LeakyRelu, PRelu."""
    x = node.input[0]
    if node.op_type == "PRelu":
        slope = node.input[1]
    else:
        alpha = attributes(node).get("alpha", 0.01) if node.op_type == "LeakyRelu" else 0.0
        slope = tape.constant(alpha)
    zero, one = tape.constant(0.0), tape.constant(1.0)
    factor = tape.op("Where", tape.op("Greater", x, zero), one, slope)
    tape.pass_on(x, tape.op("Mul", gradient, factor))
    return True


def _clip(tape: _Tape, node: NodeProto, gradient: str) -> bool:
    from onnx import TensorProto

    x, ends = node.input[0], [*node.input[1:], "", ""][:2]
    inside = [tape.op(o, x, end) for o, end in zip(("Greater", "Less"), ends, strict=True) if end]
    for mask in inside:
        gradient = tape.op("Mul", gradient, tape.op("Cast", mask, to=TensorProto.FLOAT))
    tape.pass_on(x, gradient)
    return True


def _sum(tape: _Tape, node: NodeProto, gradient: str) -> bool:
    data = [(i, name) for i, name in enumerate(node.input) if name not in tape.weights]
    shape = tape.shapes.get(node.output[0])
    if shape is None or any(tape.shapes.get(name) != shape for _, name in data):
        return False
    for index, name in data:
        negative = node.op_type == "Sub" and index == 1
        tape.pass_on(name, tape.op("Neg", gradient) if negative else gradient)
    return True


def _product(tape: _Tape, node: NodeProto, gradient: str) -> bool:
    shape = tape.shapes.get(node.output[0])
    if shape is None:
        return False
    pairs = list(zip(node.input, reversed(node.input), strict=True))
    data = [(name, other) for name, other in pairs if name not in tape.weights]
    if any(tape.shapes.get(name) != shape for name, _ in data):
        return False
    for name, other in data:
        tape.pass_on(name, tape.op("Mul", gradient, other))
    return True


def _sigmoid(tape: _Tape, node: NodeProto, gradient: str) -> bool:
    y = node.output[0]
    slope = tape.op("Mul", y, tape.op("Sub", tape.constant(1.0), y))
    tape.pass_on(node.input[0], tape.op("Mul", gradient, slope))
    return True


def _batch_norm(tape: _Tape, node: NodeProto, gradient: str) -> bool:
    shape = tape.shapes.get(node.output[0], ())
    if not all(name in tape.weights for name in node.input[1:]) or len(shape) < 2:
        return False
    scale, _, _, variance = (numbers(tape.weights[name]) for name in node.input[1:])
    factor = scale / np.sqrt(variance + attributes(node).get("epsilon", 1e-5))
    factor = factor.reshape(-1, *[1] * (len(shape) - 2))
    tape.pass_on(node.input[0], tape.op("Mul", gradient, tape.constant(factor)))
    return True


def _matmul(tape: _Tape, node: NodeProto, gradient: str) -> bool:
    x, weight = node.input[:2]
    if weight not in tape.weights or x in tape.weights or len(tape.weights[weight].dims) != 2:
        return False
    given = attributes(node)
    if given.get("transA"):
        return False
    matrix = numbers(tape.weights[weight]) * given.get("alpha", 1.0)
    matrix = matrix if given.get("transB") else matrix.T
    constant = tape.constant(matrix)
    tape.pass_on(x, tape.op("MatMul", gradient, constant))
    return True


def _reshape(tape: _Tape, node: NodeProto, gradient: str) -> bool:
    x = node.input[0]
    tape.pass_on(x, tape.op("Reshape", gradient, tape.op("Shape", x)))
    return True


def _transpose(tape: _Tape, node: NodeProto, gradient: str) -> bool:
    order = attributes(node).get("perm")
    inverse = {} if order is None else {"perm": [int(i) for i in np.argsort(order)]}
    tape.pass_on(node.input[0], tape.op("Transpose", gradient, **inverse))
    return True


def _global_mean(tape: _Tape, node: NodeProto, gradient: str) -> bool:
    x = node.input[0]
    size = math.prod(tape.shapes.get(x, [])[2:])
    if not size:
        return False
    share = tape.op("Div", gradient, tape.constant(size))
    tape.pass_on(x, tape.op("Expand", share, tape.op("Shape", x)))
    return True


def _concat(tape: _Tape, node: NodeProto, gradient: str) -> bool:
    axis = attributes(node)["axis"]
    shapes = [
        list(tape.weights[name].dims) if name in tape.weights else tape.shapes.get(name, [])
        for name in node.input
    ]
    sizes = [shape[axis] if -len(shape) <= axis < len(shape) else 0 for shape in shapes]
    if not all(sizes):
        return False
    parts = tape.split(gradient, sizes, axis)
    for name, part in zip(node.input, parts, strict=True):
        if name not in tape.weights:
            tape.pass_on(name, part)
    return True


def _split(tape: _Tape, node: NodeProto, gradient: str) -> bool:
    zero = tape.constant(0.0)
    parts = [
        tape.total(name) if tape.reaches(name) else tape.op("Mul", name, zero)
        for name in node.output
    ]
    axis = attributes(node).get("axis", 0)
    tape.pass_on(node.input[0], tape.op("Concat", *parts, axis=axis))
    return True


def _enlarge(tape: _Tape, node: NodeProto, gradient: str) -> bool:
    """Resize that repeats each value a whole number of times."""
    given = attributes(node)
    x, y = (tape.shapes.get(name, []) for name in (node.input[0], node.output[0]))
    if (
        given.get("mode", b"nearest") != b"nearest"
        or given.get("coordinate_transformation_mode") != b"asymmetric"
        or given.get("nearest_mode") != b"floor"
        or not (len(x) == len(y) > 2 and x[:2] == y[:2] and all((*x[2:], *y[2:])))
        or any(after % before for before, after in zip(x[2:], y[2:], strict=True))
    ):
        return False
    times = [after // before for before, after in zip(x[2:], y[2:], strict=True)]
    mean = tape.op("AveragePool", gradient, kernel_shape=times, strides=times)
    tape.pass_on(node.input[0], tape.op("Mul", mean, tape.constant(math.prod(times))))
    return True


_ADJOINTS: Mapping[str, Callable[[_Tape, NodeProto, str], bool]] = {
    "Add": _sum,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Flatten": _reshape,
    "Gemm": _matmul,
    "GlobalAveragePool": _global_mean,
    "Identity": _reshape,
    "LeakyRelu": _slopes,
    "MatMul": _matmul,
    "Mul": _product,
    "PRelu": _slopes,
    "Relu": _slopes,
    "Reshape": _reshape,
    "Resize": _enlarge,
    "Sigmoid": _sigmoid,
    "Split": _split,
    "Squeeze": _reshape,
    "Sub": _sum,
    "Sum": _sum,
    "Transpose": _transpose,
    "Unsqueeze": _reshape,
}
"""Operator type -> what passes a gradient on, or False (and nothing passed) if it cannot."""
