"""Trained weights that operators compute from constants, as exporters and people write them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .graph_writer import Disguise, Writer, number, shape_of

Array = NDArray[np.float32]


def _same(to: Writer, array: Array) -> None:
    to.node("Identity", [to.const("float", array)], "w")


def _standardized(to: Writer, array: Array) -> None:
    """Weight standardization, as in BiT."""
    flat = array.reshape(len(array), -1)
    to.const("axes", np.array([1], np.int64))
    to.node("ReduceMean", [to.const("float", flat), "axes"], "mean")
    to.node("Sub", ["float", "mean"], "centered")
    to.node("ReduceL2", ["centered", "axes"], "length")
    to.node("Div", ["centered", "length"], "scaled")
    to.node("Reshape", ["scaled", shape_of(to, array)], "w")


def _of_low_rank(to: Writer, array: Array) -> None:
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((len(array), 4)).astype(np.float32)
    columns = rng.standard_normal((4, array.size // len(array))).astype(np.float32)
    to.node("MatMul", [to.const("rows", rows), to.const("columns", columns)], "product")
    to.node("Reshape", ["product", shape_of(to, array)], "w")


def _folded_by_hand(to: Writer, array: Array) -> None:
    """A batch normalization that is folded when the model is opened."""
    count = (len(array), *[1] * (array.ndim - 1))
    rng = np.random.default_rng(1)
    to.const("gamma", rng.uniform(0.5, 2, count).astype(np.float32))
    to.node("Sqrt", [to.const("variance", rng.uniform(0.1, 3, count).astype(np.float32))], "std")
    to.node("Div", ["gamma", "std"], "factor")
    to.node("Mul", [to.const("float", array), "factor"], "w")


def _pruned(to: Writer, array: Array) -> None:
    """Small weights are zero, by a comparison."""
    to.node("Abs", [to.const("float", array)], "size")
    to.node("Greater", ["size", number(to, 0.6 * array.std())], "kept")
    to.node("Where", ["kept", "float", number(to, 0)], "w")


def _from_slices(to: Writer, array: Array) -> None:
    """Exported with its halves swapped, as some exporters write the gates of an LSTM."""
    half = len(array) // 2
    to.const("float", np.concatenate([array[half:], array[:half]]))
    ends = [to.const(name, np.array([n], np.int64)) for name, n in (("a", 0), ("b", half))]
    last = to.const("z", np.array([len(array)], np.int64))
    to.node("Slice", ["float", *ends], "late")
    to.node("Slice", ["float", ends[1], last], "early")
    to.node("Concat", ["early", "late"], "w", axis=0)


def _gathered(to: Writer, array: Array) -> None:
    order = np.random.default_rng(3).permutation(len(array))
    to.const("float", array[order])
    to.node("Gather", ["float", to.const("back", np.argsort(order))], "w", axis=0)


def _by_size_of_image(to: Writer, array: Array) -> None:
    """Divided by a size of the image, which is known only from the image."""
    to.node("Shape", ["input"], "sizes")
    to.node("Gather", ["sizes", to.const("second", np.int64(1))], "channels")
    to.node("Cast", ["channels"], "number", to=1)
    to.node("Div", [to.const("float", array), "number"], "w")


def _from_double(to: Writer, array: Array) -> None:
    to.node("Cast", [to.const("float", array.astype(np.float64) / 3)], "w", to=1)


LEGITIMATE: dict[str, Disguise] = {
    "same": _same,
    "standardized": _standardized,
    "of low rank": _of_low_rank,
    "folded by hand": _folded_by_hand,
    "pruned": _pruned,
    "from slices": _from_slices,
    "gathered": _gathered,
    "by the size of the image": _by_size_of_image,
    "from float64": _from_double,
}
