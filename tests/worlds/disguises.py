"""Models whose weights are quantized, stored in ways that do not show in any weight's own type.

Each disguise takes a weight of shape (16, 8, 3, 3) and writes operators that compute an
approximation of it into the tensor ``w``.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .graph_writer import Disguise, Writer, codes, weight, written


def _cast_mul(kind: type, bits: int = 8) -> Disguise:
    def write(to: Writer, array: NDArray[np.float32]) -> None:
        numbers, scale = codes(array, bits)
        to.const("q", numbers.astype(kind))
        to.node("Cast", ["q"], "f", to=1)
        to.node("Mul", ["f", to.const("s", scale)], "w")

    return write


def _reduced(kind: int) -> Disguise:
    def write(to: Writer, array: NDArray[np.float32]) -> None:
        to.const("q", array, kind)
        to.node("Cast", ["q"], "w", to=1)

    return write


def _zero_point(to: Writer, array: NDArray[np.float32]) -> None:
    numbers, scale = codes(array)
    to.const("q", (numbers + 128).astype(np.uint8))
    to.node("Cast", ["q"], "f", to=1)
    to.node("Sub", ["f", to.const("z", np.float32(128))], "c")
    to.node("Mul", ["c", to.const("s", scale)], "w")


def _constant_operator(to: Writer, array: NDArray[np.float32]) -> None:
    numbers, scale = codes(array)
    to.node("Constant", [], "q", value=numpy_helper.from_array(numbers.astype(np.int8)))
    to.node("Cast", ["q"], "f", to=1)
    to.node("Mul", ["f", to.const("s", scale)], "w")


def _half_constant_operator(to: Writer, array: NDArray[np.float32]) -> None:
    to.node("Constant", [], "q", value=numpy_helper.from_array(array.astype(np.float16)))
    to.node("Cast", ["q"], "w", to=1)


def _constant_ints(to: Writer, array: NDArray[np.float32]) -> None:
    numbers, scale = codes(array)
    to.node("Constant", [], "q", value_ints=numbers.ravel().tolist())
    to.node("Cast", ["q"], "f", to=1)
    to.node("Reshape", ["f", to.const("shape", np.array(array.shape, np.int64))], "r")
    to.node("Mul", ["r", to.const("s", scale)], "w")


def _reshaped(to: Writer, array: NDArray[np.float32]) -> None:
    numbers, scale = codes(array)
    to.const("q", numbers.astype(np.int8).reshape(array.shape[0], -1).T.copy())
    to.node("Transpose", ["q"], "t", perm=[1, 0])
    to.node("Reshape", ["t", to.const("shape", np.array(array.shape, np.int64))], "r")
    to.node("Cast", ["r"], "f", to=1)
    to.node("Mul", ["f", to.const("s", scale)], "w")


def _shifted_bits(to: Writer, array: NDArray[np.float32]) -> None:
    """Two 4-bit codes in each byte, taken apart by bit operations."""
    numbers, scale = codes(array, 4)
    flat = (numbers.ravel() + 8).astype(np.uint8)
    half = len(flat) // 2
    to.const("q", flat[:half] | flat[half:] << 4)
    to.const("four", np.array(4, np.uint8))
    to.const("fifteen", np.array(15, np.uint8))
    to.node("BitShift", ["q", "four"], "high", direction="RIGHT")
    to.node("BitwiseAnd", ["q", "fifteen"], "low")
    to.node("Concat", ["low", "high"], "both", axis=0)
    to.node("Cast", ["both"], "f", to=1)
    to.node("Sub", ["f", to.const("z", np.float32(8))], "c")
    to.node("Mul", ["c", to.const("s", scale)], "m")
    to.node("Reshape", ["m", to.const("shape", np.array(array.shape, np.int64))], "w")


def _packed_words(to: Writer, array: NDArray[np.float32]) -> None:
    """Eight 4-bit codes in each int32, as GPTQ packs them, taken apart by arithmetic."""
    numbers, scale = codes(array, 4)
    flat = (numbers.ravel() + 8).astype(np.int64).reshape(8, -1)
    words = sum(row << (4 * place) for place, row in enumerate(flat)).astype(np.uint32)
    to.const("q", words.astype(np.int64))
    pieces = []
    for place in range(8):
        to.node("Div", ["q", to.const(f"d{place}", np.int64(16**place))], f"a{place}")
        pieces.append(
            to.node("Mod", [f"a{place}", to.const(f"m{place}", np.int64(16))], f"b{place}")
        )
    to.node("Concat", pieces, "both", axis=0)
    to.node("Cast", ["both"], "f", to=1)
    to.node("Sub", ["f", to.const("z", np.float32(8))], "c")
    to.node("Mul", ["c", to.const("s", scale)], "m")
    to.node("Reshape", ["m", to.const("shape", np.array(array.shape, np.int64))], "w")


def _palette(index: type, kind: str = "Gather") -> Disguise:
    def write(to: Writer, array: NDArray[np.float32]) -> None:
        book = np.linspace(array.min(), array.max(), 16).astype(np.float32)
        found = np.abs(array[..., None] - book).argmin(-1)
        to.const("book", book)
        to.const("i", found.astype(index))
        if index is np.int64:
            to.node("Identity", ["i"], "index")
        else:
            to.node("Cast", ["i"], "index", to=7)
        to.node(kind, ["book", "index"], "w")

    return write


def _one_hot(to: Writer, array: NDArray[np.float32]) -> None:
    book = np.linspace(array.min(), array.max(), 16).astype(np.float32)
    to.const("book", book)
    to.const("i", np.abs(array[..., None] - book).argmin(-1))
    to.const("depth", np.int64(16))
    to.const("values", np.array([0, 1], np.float32))
    to.node("OneHot", ["i", "depth", "values"], "hot")
    to.node("MatMul", ["hot", "book"], "w")


def _signs(to: Writer, array: NDArray[np.float32]) -> None:
    to.const("q", array > 0)
    to.const("plus", np.float32(0.7))
    to.const("minus", np.float32(-0.7))
    to.node("Where", ["q", "plus", "minus"], "w")


def _slices(to: Writer, array: NDArray[np.float32]) -> None:
    numbers, scale = codes(array)
    to.const("q", numbers.astype(np.int8))
    for part, (low, high) in enumerate([(0, 8), (8, 16)]):
        ends = [to.const(f"{n}{part}", np.array([v])) for n, v in (("lo", low), ("hi", high))]
        to.node("Slice", ["q", *ends], f"p{part}")
    to.node("Concat", ["p0", "p1"], "j", axis=0)
    to.node("Cast", ["j"], "f", to=1)
    to.node("Mul", ["f", to.const("s", scale)], "w")


def _branch(to: Writer, array: NDArray[np.float32]) -> None:
    numbers, scale = codes(array)

    def inner(name: str) -> onnx.GraphProto:
        stored = numpy_helper.from_array(numbers.astype(np.int8))
        nodes = [
            helper.make_node("Constant", [], ["q"], value=stored),
            helper.make_node("Cast", ["q"], ["f"], to=1),
            helper.make_node("Mul", ["f", "s"], [name]),
        ]
        info = helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape)
        return helper.make_graph(nodes, name, [], [info])

    to.const("s", scale)
    to.const("yes", np.array(True))
    to.node("If", ["yes"], "w", then_branch=inner("then_w"), else_branch=inner("else_w"))


def _scanned(to: Writer, array: NDArray[np.float32]) -> None:
    """A Scan over the stored rows, whose body turns each of them into floats."""
    numbers, scale = codes(array)
    to.const("q", numbers.astype(np.int8))
    to.const("s", scale)
    row = helper.make_tensor_value_info("row", TensorProto.INT8, array.shape[1:])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, array.shape[1:])
    nodes = [
        helper.make_node("Cast", ["row"], ["f"], to=1),
        helper.make_node("Mul", ["f", "s"], ["out"]),
    ]
    body = helper.make_graph(nodes, "body", [row], [out])
    to.node("Scan", ["q"], "w", body=body, num_scan_inputs=1)


def _sparse(to: Writer, array: NDArray[np.float32]) -> None:
    numbers, scale = codes(array)
    flat = numbers.ravel()
    places = np.flatnonzero(flat)
    values = numpy_helper.from_array(flat[places].astype(np.int8), "q")
    indices = numpy_helper.from_array(places.astype(np.int64), "q_indices")
    to.sparse.append(helper.make_sparse_tensor(values, indices, array.shape))
    to.node("Cast", ["q"], "f", to=1)
    to.node("Mul", ["f", to.const("s", scale)], "w")


def _rounded_at_load(to: Writer, array: NDArray[np.float32]) -> None:
    _, scale = codes(array)
    to.const("float", array)
    to.const("s", scale)
    to.node("Div", ["float", "s"], "d")
    to.node("Round", ["d"], "r")
    to.node("Mul", ["r", "s"], "w")


def _cast_at_load(kind: int) -> Disguise:
    def write(to: Writer, array: NDArray[np.float32]) -> None:
        to.const("float", array)
        to.node("Cast", ["float"], "c", to=kind)
        to.node("Cast", ["c"], "w", to=1)

    return write


def _through_the_image(to: Writer, array: NDArray[np.float32]) -> None:
    """The weight depends on the image, by zero times its mean."""
    numbers, scale = codes(array)
    to.const("q", numbers.astype(np.int8))
    to.node("Cast", ["q"], "f", to=1)
    to.node("Mul", ["f", to.const("s", scale)], "m")
    to.node("ReduceMean", ["x"], "mean", keepdims=0)
    to.node("Mul", ["mean", to.const("none", np.float32(0))], "zero")
    to.node("Add", ["m", "zero"], "w")


def _letters(to: Writer, array: NDArray[np.float32]) -> None:
    """Codes as text."""
    numbers, scale = codes(array)
    to.node("Constant", [], "q", value_strings=[str(code) for code in numbers.ravel()])
    to.node("Cast", ["q"], "f", to=1)
    to.node("Reshape", ["f", to.const("shape", np.array(array.shape, np.int64))], "r")
    to.node("Mul", ["r", to.const("s", scale)], "w")


def _encoded(to: Writer, array: NDArray[np.float32]) -> None:
    """Codes that a LabelEncoder turns into floats."""
    numbers, scale = codes(array, 4)
    to.const("q", numbers)
    values = [float(code * scale) for code in range(-8, 8)]
    to.node(
        "LabelEncoder", ["q"], "w", domain="ai.onnx.ml",
        keys_int64s=list(range(-8, 8)), values_floats=values,
    )  # fmt: skip


def _float_codes(to: Writer, array: NDArray[np.float32]) -> None:
    numbers, scale = codes(array)
    to.const("q", numbers.astype(np.float32))
    to.node("Mul", ["q", to.const("s", scale)], "w")


DISGUISES: dict[str, Disguise] = {
    **{kind.__name__: _cast_mul(kind) for kind in (
        np.int8, np.int16, np.int32, np.int64, np.uint32
    )},
    "int3 in int8": _cast_mul(np.int8, 3),
    "int2 in int8": _cast_mul(np.int8, 2),
    "float16": _reduced(TensorProto.FLOAT16),
    "bfloat16": _reduced(TensorProto.BFLOAT16),
    "float8": _reduced(TensorProto.FLOAT8E4M3FN),
    "float8 e5m2": _reduced(TensorProto.FLOAT8E5M2),
    "zero point": _zero_point,
    "Constant operator": _constant_operator,
    "float16 in a Constant operator": _half_constant_operator,
    "value_ints": _constant_ints,
    "transposed": _reshaped,
    "bit operations": _shifted_bits,
    "packed words": _packed_words,
    "palette": _palette(np.int64),
    "palette by uint8": _palette(np.uint8),
    "one-hot palette": _one_hot,
    "signs": _signs,
    "slices": _slices,
    "branch": _branch,
    "scan": _scanned,
    "sparse": _sparse,
    "rounded at load": _rounded_at_load,
    "int32 at load": _cast_at_load(TensorProto.INT32),
    "float16 at load": _cast_at_load(TensorProto.FLOAT16),
    "through the image": _through_the_image,
    "letters": _letters,
    "encoded": _encoded,
    "codes as floats": _float_codes,
}  # fmt: skip


def disguised(name: str, seed: int = 0) -> onnx.ModelProto:
    """A model with one of the `DISGUISES`."""
    return written(DISGUISES[name], weight(seed=seed))
