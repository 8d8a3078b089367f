"""Weights that operators round in ways of which no table knows, as long as they are not run.

Each disguise takes a weight of any shape with channels along its first axis and writes operators
that compute an approximation of it in few bits into the tensor ``w``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from .graph_writer import Disguise, Writer, number, shape_of

Array = NDArray[np.float32]
_LARGE = 1.5 * 2**23  # float32 has no room for fractions beside it


def _comparisons(to: Writer, array: Array) -> None:
    """A thermometer: the number of thresholds below each weight, in 4 bits."""
    _sum_of_steps(to, array, 15, "Greater", "Cast", to=1)


def _ramps(to: Writer, array: Array) -> None:
    """A thermometer of steep ramps, without comparisons; few weights are on a ramp."""
    _sum_of_steps(to, array, 15, "Sub", "HardSigmoid", alpha=1e9, beta=0.5)


def _steps_of_tanh(to: Writer, array: Array) -> None:
    _sum_of_steps(to, array, 7, "Sub", "")


def _sum_of_steps(
    to: Writer, array: Array, count: int, compare: str, step: str, /, **given: float
) -> None:
    to.const("float", array)
    pieces = []
    for place, limit in enumerate(np.linspace(-2, 2, count) * array.std()):
        to.node(compare, ["float", number(to, limit)], f"over{place}")
        if step:
            pieces.append(to.node(step, [f"over{place}"], f"step{place}", **given))
        else:
            to.node("Mul", [f"over{place}", number(to, 1e9)], f"steep{place}")
            pieces.append(to.node("Tanh", [f"steep{place}"], f"step{place}"))
    to.node("Sum", pieces, "count")
    to.node("Sub", ["count", number(to, count / 2)], "centered")
    to.node("Mul", ["centered", number(to, 0.25 * array.std())], "w")


def _choice(low: float, high: float) -> Disguise:
    def write(to: Writer, array: Array) -> None:
        to.node("Greater", [to.const("float", array), number(to, 0)], "positive")
        to.node("Where", ["positive", number(to, high), number(to, low)], "w")

    return write


def _choice_per_channel(to: Writer, array: Array) -> None:
    axes = tuple(range(1, array.ndim))
    to.node("Greater", [to.const("float", array), number(to, 0)], "positive")
    to.const("scale", np.abs(array).mean(axis=axes, keepdims=True))
    to.node("Neg", ["scale"], "negative")
    to.node("Where", ["positive", "scale", "negative"], "w")


def _ternary(to: Writer, array: Array) -> None:
    limit = 0.5 * array.std()
    to.const("float", array)
    to.node("Greater", ["float", number(to, limit)], "high")
    to.node("Less", ["float", number(to, -limit)], "low")
    to.node("Where", ["low", number(to, -0.1), number(to, 0)], "rest")
    to.node("Where", ["high", number(to, 0.1), "rest"], "w")


def _large_number(to: Writer, array: Array) -> None:
    large = number(to, _LARGE * np.abs(array).max() / 127)
    to.node("Add", [to.const("float", array), large], "rounded")
    to.node("Sub", ["rounded", large], "w")


def _large_double(to: Writer, array: Array) -> None:
    to.const("large", 1.5 * 2**52 * float(np.abs(array).max()) / 127)
    to.node("Cast", [to.const("float", array)], "double", to=TensorProto.DOUBLE)
    to.node("Add", ["double", "large"], "rounded")
    to.node("Sub", ["rounded", "large"], "back")
    to.node("Cast", ["back"], "w", to=TensorProto.FLOAT)


def _sign_by_division(to: Writer, array: Array) -> None:
    to.node("Abs", [to.const("float", array)], "size")
    to.node("Div", ["float", "size"], "sign")
    to.node("Mul", ["sign", number(to, 0.1)], "w")


def _saturated(op_type: str, low: float, high: float) -> Disguise:
    """A function that saturates: one bit, between 0 and 1 or between -1 and 1."""

    def write(to: Writer, array: Array) -> None:
        to.node("Mul", [to.const("float", array), number(to, 1e9)], "steep")
        to.node(op_type, ["steep"], "bit")
        to.node("Mul", ["bit", number(to, (high - low) * 0.1)], "scaled")
        to.node("Sub", ["scaled", number(to, 0.03)], "w")

    return write


def _clipped(to: Writer, array: Array) -> None:
    limit = number(to, 0.1), number(to, 0.3)
    to.node("Mul", [to.const("float", array), number(to, 1e9)], "steep")
    to.node("Clip", ["steep", *limit], "w")


def _nearest_of_a_book(op_type: str) -> Disguise:
    """The nearest of 8 values, by the place of the largest of negative squares."""

    def write(to: Writer, array: Array) -> None:
        book = np.linspace(-2, 2, 8).astype(np.float32) * array.std()
        to.const("float", array[..., None])
        to.node("Sub", ["float", to.const("book", book)], "off")
        to.node("Mul", ["off", "off"], "square")
        to.node("Mul", ["square", number(to, -1e9)], "near")
        to.node(op_type, ["near"], "hot", axis=-1)
        to.node("MatMul", ["hot", "book"], "w")

    return write


def _shuffled(to: Writer, array: Array) -> None:
    """On a grid per channel, stored in no order."""
    axes = tuple(range(1, array.ndim))
    scale = np.abs(array).max(axis=axes, keepdims=True) / 127
    flat = (np.round(array / scale) * scale).astype(np.float32).ravel()
    order = np.random.default_rng(3).permutation(flat.size)
    to.const("float", flat[order])
    to.node("Gather", ["float", to.const("back", np.argsort(order))], "ordered")
    to.node("Reshape", ["ordered", shape_of(to, array)], "w")


def _transposed_twice(to: Writer, array: Array) -> None:
    axes = tuple(range(1, array.ndim))
    scale = np.abs(array).max(axis=axes, keepdims=True) / 127
    rounded = (np.round(array / scale) * scale).astype(np.float32)
    mixed = rounded.reshape(array.shape[0], -1).T.reshape(2, 4, -1).transpose(1, 2, 0)
    to.const("float", np.ascontiguousarray(mixed))
    to.node("Transpose", ["float"], "t", perm=[2, 0, 1])
    to.const("columns_shape", np.array([-1, array.shape[0]], np.int64))
    to.node("Reshape", ["t", "columns_shape"], "columns")
    to.node("Transpose", ["columns"], "rows", perm=[1, 0])
    to.node("Reshape", ["rows", shape_of(to, array)], "w")


def _pairs(to: Writer, array: Array) -> None:
    """One bit as rows of two weights."""
    to.const("float", (np.sign(array) * np.float32(0.1)).reshape(-1, 2))
    to.node("Reshape", ["float", shape_of(to, array)], "w")


def _differences(to: Writer, array: Array) -> None:
    """Stored as differences of neighbours, with noise that the sum makes small."""
    step = np.abs(array).max() / 31
    flat = (np.round(array / step)).astype(np.float64).ravel()
    to.const("float", np.diff(flat, prepend=0).astype(np.float32))
    to.node("CumSum", ["float", to.const("axis", np.int64(0))], "sums")
    to.node("Mul", ["sums", number(to, step)], "scaled")
    to.node("Reshape", ["scaled", shape_of(to, array)], "w")


def _masked(to: Writer, array: Array) -> None:
    """Half of the weights are cut out of random numbers that nobody reads."""
    noise = np.random.default_rng(7).standard_normal(array.shape).astype(np.float32)
    pair = np.stack([noise, np.sign(array) * np.float32(0.2)])
    order = np.argsort(np.random.default_rng(2).random((2 * array.size,)))
    to.const("float", pair.ravel()[order])
    to.const("back", np.argsort(order)[array.size :])
    to.node("Gather", ["float", "back"], "kept")
    to.node("Reshape", ["kept", shape_of(to, array)], "w")


def _mirrored(to: Writer, array: Array) -> None:
    """Two weights that add up to one on a grid, while none of them is on it."""
    step = np.abs(array).max() / 7
    grid = np.round(array / step) * step
    noise = np.random.default_rng(7).integers(-(2**10), 2**10, array.shape) * step / 2**9
    to.const("one", (grid + noise).astype(np.float32))
    to.const("other", (grid - noise).astype(np.float32))
    to.node("Add", ["one", "other"], "both")
    to.node("Mul", ["both", number(to, 0.5)], "w")


COMPUTED: dict[str, Disguise] = {
    "comparisons": _comparisons,
    "ramps": _ramps,
    "steps of tanh": _steps_of_tanh,
    "one bit": _choice(-0.1, 0.1),
    "one bit, 0 and 1": _choice(0, 1),
    "one bit, asymmetric": _choice(-0.1, 0.3),
    "one bit per channel": _choice_per_channel,
    "ternary": _ternary,
    "large number": _large_number,
    "large number in float64": _large_double,
    "sign by division": _sign_by_division,
    "saturated Tanh": _saturated("Tanh", -1, 1),
    "saturated Sigmoid": _saturated("Sigmoid", 0, 1),
    "saturated Erf": _saturated("Erf", -1, 1),
    "saturated Softsign": _saturated("Softsign", -1, 1),
    "clipped": _clipped,
    "nearest by Hardmax": _nearest_of_a_book("Hardmax"),
    "nearest by Softmax": _nearest_of_a_book("Softmax"),
    "shuffled": _shuffled,
    "transposed twice": _transposed_twice,
    "pairs": _pairs,
    "differences": _differences,
    "cut out": _masked,
    "sum of two": _mirrored,
}


def through_the_image(disguise: Disguise) -> Disguise:
    """The weight depends on the image, by zero times its mean."""

    def write(to: Writer, array: Array) -> None:
        disguise(to, array)
        to.nodes[-1].output[0] = "constant"
        to.node("ReduceMean", ["x"], "mean", keepdims=0)
        to.node("Mul", ["mean", to.const("none", np.float32(0))], "zero")
        to.node("Add", ["constant", "zero"], "w")

    return write
