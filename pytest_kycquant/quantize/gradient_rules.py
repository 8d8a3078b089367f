"""How a gradient passes through an operator: a table with one rule for each type of operator.

A rule writes operators that compute the gradients of the inputs from those of the outputs, and
returns the names of the results. It does nothing else: `gradient.py` adds up the gradients from the
readers of an activation, and starts a gradient where no rule gives one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from .graph import attributes, numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import NodeProto, TensorProto

Gradients = Mapping[int, str]
"""Index of an operator's input -> the tensor that holds its gradient, which has the same shape.

The keys are indices, since an operator may read one tensor twice.
"""


class Known(NamedTuple):
    """What is known about a model's tensors before it runs.

    Args:
        shapes: activation -> its dimensions; an unknown dimension is 0.
        weights: name of a constant tensor -> the tensor.
    """

    shapes: Mapping[str, tuple[int, ...]]
    weights: Mapping[str, TensorProto]


class Writer:
    """Collects new operators, in the order of computation, and the constants that they read."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def op(self, op_type: str, *inputs: str, **given: object) -> str:
        """Write an operator with one output and return the output's name."""
        from onnx import helper

        name = f"gradient/{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], name, **given))
        return name

    def split(self, name: str, sizes: Sequence[int], axis: int) -> list[str]:
        """Write a Split and return the names of its outputs, which have these sizes."""
        from onnx import helper

        first = f"gradient/{len(self.nodes)}"
        parts = [f"{first}/{index}" for index in range(len(sizes))]
        inputs = [name, self._constant(np.array(sizes, np.int64))]
        self.nodes.append(helper.make_node("Split", inputs, parts, first, axis=axis))
        return parts

    def constant(self, values: float | NDArray[np.float64]) -> str:
        """Write a float32 constant and return its name."""
        return self._constant(np.array(values, np.float32))

    def _constant(self, array: NDArray[np.float32] | NDArray[np.int64]) -> str:
        from onnx import numpy_helper

        name = f"gradient/constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name


class Rule(Protocol):
    """How a gradient passes through the operators of one type."""

    def __call__(
        self, node: NodeProto, gradients: Sequence[str | None], known: Known, write: Writer, /
    ) -> Gradients:
        """Write the gradients of an operator's inputs.

        Args:
            node: the operator.
            gradients: for each output, the tensor that holds its gradient, or None if no gradient
                reaches the output. At least one is not None.
            known: shapes and constants of the model.
            write: collects the new operators.

        Returns:
            Gradients of the inputs that are not constant. If the rule does not cover this operator,
            nothing is written and the result is empty.
        """


def _of_one_output(rule: Callable[[NodeProto, str, Known, Writer], Gradients]) -> Rule:
    """Make a rule from a function that handles only an operator's first output.

    The rule does not cover an operator if a gradient reaches another output.
    """

    @functools.wraps(rule)
    def checked(
        node: NodeProto, gradients: Sequence[str | None], known: Known, write: Writer, /
    ) -> Gradients:
        first, *others = gradients
        return {} if first is None or any(others) else rule(node, first, known, write)

    return checked


@_of_one_output
def _conv(node: NodeProto, gradient: str, known: Known, write: Writer) -> Gradients:
    given = attributes(node)
    x, weight = node.input[:2]
    rank = len(known.weights[weight].dims) - 2 if weight in known.weights else 0
    sizes = [known.shapes.get(name, ())[2:] for name in (x, node.output[0])]
    if not rank or not all(len(s) == rank and all(s) for s in sizes):
        return {}
    if given.pop("auto_pad", b"NOTSET") != b"NOTSET":
        return {}
    kernel = given.pop("kernel_shape", None) or list(known.weights[weight].dims[2:])
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
    return {0: write.op("ConvTranspose", gradient, weight, output_padding=rest, **given)}


@_of_one_output
def _slopes(node: NodeProto, gradient: str, known: Known, write: Writer) -> Gradients:
    """Relu, LeakyRelu and PRelu."""
    x = node.input[0]
    if node.op_type == "PRelu":
        slope = node.input[1]
    else:
        alpha = attributes(node).get("alpha", 0.01) if node.op_type == "LeakyRelu" else 0.0
        slope = write.constant(alpha)
    zero, one = write.constant(0.0), write.constant(1.0)
    factor = write.op("Where", write.op("Greater", x, zero), one, slope)
    return {0: write.op("Mul", gradient, factor)}


@_of_one_output
def _clip(node: NodeProto, gradient: str, known: Known, write: Writer) -> Gradients:
    from onnx import TensorProto

    x, ends = node.input[0], [*node.input[1:], "", ""][:2]
    inside = [write.op(o, x, end) for o, end in zip(("Greater", "Less"), ends, strict=True) if end]
    for mask in inside:
        gradient = write.op("Mul", gradient, write.op("Cast", mask, to=TensorProto.FLOAT))
    return {0: gradient}


@_of_one_output
def _sum(node: NodeProto, gradient: str, known: Known, write: Writer) -> Gradients:
    return {
        index: write.op("Neg", gradient) if (node.op_type, index) == ("Sub", 1) else gradient
        for index in _of_one_shape(node, known)
    }


@_of_one_output
def _product(node: NodeProto, gradient: str, known: Known, write: Writer) -> Gradients:
    indices = _of_one_shape(node, known)
    return {index: write.op("Mul", gradient, node.input[1 - index]) for index in indices}


def _of_one_shape(node: NodeProto, known: Known) -> list[int]:
    """Indices of the inputs that are not constant; none if one of them is broadcast."""
    shape = known.shapes.get(node.output[0])
    data = [index for index, name in enumerate(node.input) if name not in known.weights]
    shapes = [known.shapes.get(node.input[index]) for index in data]
    return data if shape is not None and all(each == shape for each in shapes) else []


@_of_one_output
def _sigmoid(node: NodeProto, gradient: str, known: Known, write: Writer) -> Gradients:
    y = node.output[0]
    slope = write.op("Mul", y, write.op("Sub", write.constant(1.0), y))
    return {0: write.op("Mul", gradient, slope)}


@_of_one_output
def _batch_norm(node: NodeProto, gradient: str, known: Known, write: Writer) -> Gradients:
    shape = known.shapes.get(node.output[0], ())
    if not all(name in known.weights for name in node.input[1:]) or len(shape) < 2:
        return {}
    scale, _, _, variance = (numbers(known.weights[name]) for name in node.input[1:])
    factor = scale / np.sqrt(variance + attributes(node).get("epsilon", 1e-5))
    factor = factor.reshape(-1, *[1] * (len(shape) - 2))
    return {0: write.op("Mul", gradient, write.constant(factor))}


@_of_one_output
def _matmul(node: NodeProto, gradient: str, known: Known, write: Writer) -> Gradients:
    x, weight = node.input[:2]
    if weight not in known.weights or x in known.weights or len(known.weights[weight].dims) != 2:
        return {}
    given = attributes(node)
    if given.get("transA"):
        return {}
    matrix = numbers(known.weights[weight]) * given.get("alpha", 1.0)
    matrix = matrix if given.get("transB") else matrix.T
    return {0: write.op("MatMul", gradient, write.constant(matrix))}


@_of_one_output
def _reshape(node: NodeProto, gradient: str, known: Known, write: Writer) -> Gradients:
    return {0: write.op("Reshape", gradient, write.op("Shape", node.input[0]))}


@_of_one_output
def _transpose(node: NodeProto, gradient: str, known: Known, write: Writer) -> Gradients:
    order = attributes(node).get("perm")
    inverse = {} if order is None else {"perm": [int(i) for i in np.argsort(order)]}
    return {0: write.op("Transpose", gradient, **inverse)}


@_of_one_output
def _global_mean(node: NodeProto, gradient: str, known: Known, write: Writer) -> Gradients:
    x = node.input[0]
    size = math.prod(known.shapes.get(x, ())[2:])
    if not size:
        return {}
    share = write.op("Div", gradient, write.constant(size))
    return {0: write.op("Expand", share, write.op("Shape", x))}


@_of_one_output
def _concat(node: NodeProto, gradient: str, known: Known, write: Writer) -> Gradients:
    axis = attributes(node)["axis"]
    shapes = [
        tuple(known.weights[name].dims) if name in known.weights else known.shapes.get(name, ())
        for name in node.input
    ]
    sizes = [shape[axis] if -len(shape) <= axis < len(shape) else 0 for shape in shapes]
    if not all(sizes):
        return {}
    parts = enumerate(write.split(gradient, sizes, axis))
    return {index: part for index, part in parts if node.input[index] not in known.weights}


def _split(
    node: NodeProto, gradients: Sequence[str | None], known: Known, write: Writer
) -> Gradients:
    parts = [
        write.op("Mul", name, write.constant(0.0)) if gradient is None else gradient
        for name, gradient in zip(node.output, gradients, strict=True)
    ]
    return {0: write.op("Concat", *parts, axis=attributes(node).get("axis", 0))}


@_of_one_output
def _enlarge(node: NodeProto, gradient: str, known: Known, write: Writer) -> Gradients:
    """Resize that repeats each value a whole number of times."""
    given = attributes(node)
    x, y = (known.shapes.get(name, ()) for name in (node.input[0], node.output[0]))
    if (
        given.get("mode", b"nearest") != b"nearest"
        or given.get("coordinate_transformation_mode") != b"asymmetric"
        or given.get("nearest_mode") != b"floor"
        or not (len(x) == len(y) > 2 and x[:2] == y[:2] and all((*x[2:], *y[2:])))
        or any(after % before for before, after in zip(x[2:], y[2:], strict=True))
    ):
        return {}
    times = [after // before for before, after in zip(x[2:], y[2:], strict=True)]
    mean = write.op("AveragePool", gradient, kernel_shape=times, strides=times)
    return {0: write.op("Mul", mean, write.constant(math.prod(times)))}


RULES: Mapping[str, Rule] = {
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
"""Operator type -> its rule. A new operator takes one function above and one line here."""
