"""Weights that are stored in few bits and computed with in FP32.

The operators that turn the stored numbers into weights (Cast, Mul and the like) read only
constants, so onnxruntime computes them once, when it loads the model. The file is small, and
inference is as fast as in FP32. DequantizeLinear, which other tools write here, is never computed
in advance: it runs for every image and takes a fifth to half of the time of these models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from .bias import correct_stored
from .graph import (
    WEIGHTED,
    attributes,
    copy_with_own_weights,
    initializers,
)
from .recipe_kind import Draft, Machine, RecipeKind, Scalar

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

    from ..spec.recipe import Recipe
    from .preparation import PreparedModel
    from .recipe_kind import Request

StoredType = Literal["float16", "int8", "int4"]
_BLOCK = 64  # maximum number of weights that share a scale in 4 bits
_SHORTEST = 16  # minimum; weights that only fit shorter blocks get 8 bits
_FACTORS = np.linspace(0.5, 1.0, 26)  # of the largest weight, to try as the 4-bit range
_STORED = "/stored"  # suffix of the name of an operator that writes a weight
_LARGEST_HALF = float(np.finfo(np.float16).max)


class WeightsOnly(RecipeKind):
    """Weights in 8 or 4 bits; everything else stays as it is.

    8 bits: symmetric, with one scale for each output channel. 4 bits: one scale for each block of
    at most 64 weights of an output channel, with the range of least squared error. If an output has
    fewer than 16 weights or they cannot be divided into equal blocks, they get 8 bits.

    Args:
        stored: type in which weights are stored.
    """

    def __init__(self, stored: StoredType) -> None:
        self._stored = stored

    def options(self, recipe: Recipe, machine: Machine) -> tuple[dict[str, Scalar], str]:
        """Type of the stored weights, the types of their operators, and the reason."""
        types = ", ".join(recipe.op_types or WEIGHTED)
        return (
            {"weight_type": self._stored, "op_types": types},
            "computed in FP32: loading the model turns the stored weights into floats",
        )

    def operator_types(self, present: Sequence[str]) -> tuple[str, ...]:
        """Operator types that hold weights."""
        return WEIGHTED

    def make(self, request: Request) -> Draft:
        """Store the weights of a model; biases are corrected if the request has means."""
        excluded = request.excluded
        proto = copy_with_own_weights(request.source.proto, excluded)
        operators = {
            node.name
            for node in proto.graph.node
            if node.op_type in request.op_types and node.name not in excluded
        }
        restored = store_weights(proto, operators, self._stored)
        facts: dict[str, int] = {}
        if request.options["bias_correction"]:
            facts["biases_corrected"] = correct_stored(
                request.source.proto, proto, request.means, restored
            )
        # onnxruntime infers these itself, and they would make the file larger.
        del proto.graph.value_info[:]
        return Draft(proto, facts=facts)

    def changed(self, proto: ModelProto, source: PreparedModel) -> set[str]:
        """Names of the operators whose weights are stored in fewer bits."""
        written = {name for n in proto.graph.node if n.name.endswith(_STORED) for name in n.output}
        return {n.name for n in proto.graph.node if n.op_type in WEIGHTED and n.input[1] in written}

    def must_change(self, node: NodeProto, weights: Mapping[str, TensorProto]) -> bool:
        """Whether the operator has constant weights."""
        return node.op_type in WEIGHTED and node.input[1] in weights


EIGHT_BITS = WeightsOnly("int8")
FOUR_BITS = WeightsOnly("int4")


def store_weights(
    proto: ModelProto, operators: Collection[str], kind: StoredType
) -> dict[str, NDArray[np.float64]]:
    """Store the constant weights of some operators in fewer bits, in place.

    For "float16", weights with values beyond its range (65504) are left as they are.

    Args:
        proto: a model; its operators need not be sorted afterwards.
        operators: names of the operators. Those without constant float32 weights are left alone,
            and so are biases.
        kind: type to store the weights in.

    Returns:
        Operator -> the weights that it now computes with.
    """
    from onnx import TensorProto, numpy_helper

    graph = proto.graph
    weights = initializers(graph)
    restored: dict[str, NDArray[np.float64]] = {}  # by weight
    for node in list(graph.node):
        if node.name not in operators or node.op_type not in WEIGHTED:
            continue
        tensor = weights.get(node.input[1])
        if tensor is None or tensor.data_type != TensorProto.FLOAT:
            continue
        if tensor.name in restored:
            continue  # already stored: operators share it
        array = numpy_helper.to_array(tensor)
        if kind == "float16" and np.abs(array).max(initial=0.0) > _LARGEST_HALF:
            continue
        graph.initializer.remove(tensor)
        restored[tensor.name] = _Writer(graph, tensor.name).store(array, _output_axis(node), kind)
    return {
        node.name: restored[node.input[1]]
        for node in graph.node
        if node.op_type in WEIGHTED and node.input[1] in restored
    }


def _output_axis(node: NodeProto) -> int:
    """Axis of the output channels of an operator's weights."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "Gemm":
        return 0 if attributes(node).get("transB") else 1
    return -1 if node.op_type == "MatMul" else 1


def _symmetric(
    blocks: NDArray[np.float64], axes: tuple[int, ...], bits: int, factors: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Round numbers to integers around zero, with one scale for each block.

    Args:
        blocks: numbers to round.
        axes: axes along which the numbers share a scale.
        bits: number of bits of the integers.
        factors: fractions of the largest magnitude to try as the end of the range.

    Returns:
        Integers as float64, and scales that broadcast against them, for the factors with the least
        squared error.
    """
    largest = 2 ** (bits - 1) - 1
    reach = np.abs(blocks).max(axis=axes, keepdims=True)
    best = np.full(reach.shape, np.inf)
    scale = np.ones(reach.shape)
    for factor in factors:
        tried = np.where(reach > 0, reach * factor / largest, 1.0)
        # The scale is stored in single precision.
        tried = np.maximum(tried, np.finfo(np.float32).tiny).astype(np.float32).astype(np.float64)
        rounded = np.clip(np.round(blocks / tried), -largest - 1, largest)
        error = np.square(rounded * tried - blocks).sum(axis=axes, keepdims=True)
        scale = np.where(error < best, tried, scale)
        best = np.minimum(error, best)
    return np.clip(np.round(blocks / scale), -largest - 1, largest), scale


class _Writer:
    """Writes the operators that turn stored numbers into one weight."""

    def __init__(self, graph: GraphProto, weight: str) -> None:
        self._graph = graph
        self._weight = weight

    def store(self, array: NDArray[np.float32], axis: int, kind: StoredType) -> NDArray[np.float64]:
        """Replace the weight, float32 of any shape, with its output channels along `axis`.

        Returns:
            The weights that the session will compute with.
        """
        if kind == "float16":
            half = array.astype(np.float16)
            self._node("Cast", [self._constant("half", half)], to=1)
            return half.astype(np.float64)
        shape = self._blocks(array.shape, axis) if kind == "int4" else None
        if shape is None:
            axis %= array.ndim
            others = tuple(i for i in range(array.ndim) if i != axis)
            numbers, scale = _symmetric(array.astype(np.float64), others, 8, np.ones(1))
            stored = self._constant("integers", numbers.astype(np.int8))
            self._node("Mul", [self._float(stored), self._constant("scale", scale)])
            return numbers * scale
        numbers, scale = _symmetric(array.astype(np.float64).reshape(shape), (1,), 4, _FACTORS)
        self._unpack(numbers, scale, array.shape)
        return (numbers * scale).reshape(array.shape)

    def _unpack(
        self, numbers: NDArray[np.float64], scale: NDArray[np.float64], shape: tuple[int, ...]
    ) -> None:
        """Store two 4-bit integers per byte: the first half in the low bits, the second high."""
        flat = (numbers + 8).astype(np.uint8).ravel()
        half = len(flat) // 2
        both = self._float(self._constant("packed", flat[:half] | flat[half:] << 4))
        sixteenth = self._node("Mul", [both, self._shared("sixteenth", np.float32(1 / 16))], "a")
        high = self._node("Floor", [sixteenth], "high")
        shifted = self._node("Mul", [high, self._shared("sixteen", np.float32(16))], "b")
        low = self._node("Sub", [both, shifted], "low")
        joined = self._node("Concat", [low, high], "joined", axis=0)
        centred = self._node("Sub", [joined, self._shared("eight", np.float32(8))], "c")
        blocks = np.array(numbers.shape, np.int64)
        cut = self._node("Reshape", [centred, self._constant("blocks", blocks)], "d")
        scaled = self._node("Mul", [cut, self._constant("scale", scale)], "e")
        self._node("Reshape", [scaled, self._constant("shape", np.array(shape, np.int64))])

    def _blocks(self, shape: tuple[int, ...], axis: int) -> tuple[int, ...] | None:
        """Shape in which the weights of a block lie along axis 1; None if no block fits."""
        outputs = shape[axis]
        length = int(np.prod(shape)) // max(outputs, 1)
        sizes = [size for size in range(_SHORTEST, _BLOCK + 1, 2) if length % size == 0]
        if not sizes:
            return None
        if axis == 0:
            return (outputs * (length // sizes[-1]), sizes[-1], 1)
        return (length // sizes[-1], sizes[-1], outputs) if len(shape) == 2 else None

    def _float(self, stored: str) -> str:
        return self._node("Cast", [stored], "float", to=1)

    def _constant(self, what: str, array: NDArray[np.generic]) -> str:
        from onnx import numpy_helper

        if array.dtype == np.float64:
            array = array.astype(np.float32)
        name = f"{self._weight}/{what}"
        self._graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def _shared(self, what: str, value: np.float32) -> str:
        from onnx import numpy_helper

        name = f"kycquant/{what}"
        if name not in initializers(self._graph):
            self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _node(self, op_type: str, inputs: list[str], what: str = "", **given: int) -> str:
        """Add an operator; the last one, without `what`, writes the weight."""
        from onnx import helper

        output = f"{self._weight}/{what}" if what else self._weight
        name = output if what else self._weight + _STORED
        self._graph.node.append(helper.make_node(op_type, inputs, [output], name, **given))
        return output
