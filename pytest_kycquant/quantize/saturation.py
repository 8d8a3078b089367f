"""Which integer operators of a model can saturate on x86 CPUs without VNNI.

On these CPUs onnxruntime's kernels multiply unsigned activations by signed weights with PMADDUBSW,
which adds two neighbouring products in 16 bits: 255 * 127 + 255 * 127 becomes 32767. Neighbours are
weights 0 and 1, 2 and 3, ... of the sum for one output, in the order of the inner dimension of the
matrix product. In a convolution this dimension runs over the positions of the kernel and,
innermost, the input channels of the group. tests/quantize/test_saturation.py compares this with the
kernels of the CPU that it runs on. Depthwise convolutions have their own kernels, which do not
saturate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .graph import attributes, initializers, producers

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto, TensorProto

_MOST, _LEAST = 32767, -32768
_ACTIVATION = 255  # largest uint8, which int8 activations become when a model is loaded

# Operators that take integers, by the place of the weight among their inputs.
_WEIGHT = {
    "ConvInteger": 1,
    "DynamicQuantizeMatMul": 1,
    "MatMulInteger": 1,
    "MatMulIntegerToFloat": 1,
    "QGemm": 3,
    "QLinearConv": 3,
    "QLinearMatMul": 3,
}


@dataclass(frozen=True)
class Exposure:
    """How much of a model can saturate if both activations of a pair are large enough.

    Args:
        operators: number of integer operators with constant signed weights.
        saturable: number of these with a pair of weights that can saturate.
        pairs: number of pairs of neighbouring weights in all of these operators.
        saturable_pairs: number of these pairs that can saturate.
    """

    operators: int = 0
    saturable: int = 0
    pairs: int = 0
    saturable_pairs: int = 0

    def __add__(self, other: Exposure) -> Exposure:
        mine, theirs = vars(self).values(), vars(other).values()
        return Exposure(*(one + another for one, another in zip(mine, theirs, strict=True)))


def exposure_of(proto: ModelProto) -> Exposure:
    """Count what can saturate in a quantized model; all counts are 0 for a float model.

    Args:
        proto: the model as stored, with QuantizeLinear and DequantizeLinear, or with operators
            that take integers.
    """
    found = Exposure()
    weights, written = initializers(proto.graph), producers(proto.graph)
    for node in proto.graph.node:
        rows = _products(node, weights, written)
        if rows is not None:
            saturable = saturable_pairs(rows)
            found += Exposure(
                1, int(saturable > 0), rows.shape[0] * (rows.shape[1] // 2), saturable
            )
    return found


def saturable_pairs(rows: NDArray[np.integer[Any]]) -> int:
    """Count pairs of neighbouring weights whose products can leave 16 bits.

    Args:
        rows: weights of each output, (N, K), in the order in which they are summed.
    """
    even = rows[:, : rows.shape[1] // 2 * 2].astype(np.int64)
    pairs = even.reshape(len(rows), -1, 2)
    high = _ACTIVATION * np.maximum(pairs, 0).sum(axis=2) > _MOST
    low = _ACTIVATION * np.minimum(pairs, 0).sum(axis=2) < _LEAST
    return int(np.count_nonzero(high | low))


def _products(
    node: NodeProto, weights: dict[str, TensorProto], written: dict[str, NodeProto]
) -> NDArray[np.int8] | None:
    """Weights (N, K) of each output of an integer operator, in summation order; or None."""
    from onnx import numpy_helper

    if node.op_type in _WEIGHT:
        place = _WEIGHT[node.op_type]
        tensor = weights.get(node.input[place]) if len(node.input) > place else None
    elif node.op_type in ("Conv", "Gemm", "MatMul"):
        activation, weight = (_dequantized(written.get(name), weights) for name in node.input[:2])
        tensor = weights.get(weight) if activation and weight else None
    else:
        return None
    if tensor is None:
        return None
    array: NDArray[Any] = numpy_helper.to_array(tensor)
    if array.dtype != np.int8:
        return None  # unsigned weights have kernels that do not saturate
    if "Conv" in node.op_type:
        return _of_convolution(array, int(attributes(node).get("group", 1)))
    if "Gemm" in node.op_type and attributes(node).get("transB", 0):
        return array
    return np.moveaxis(array, -2, -1).reshape(-1, array.shape[-2])


def _dequantized(node: NodeProto | None, weights: dict[str, TensorProto]) -> str | None:
    """Name of the 8-bit tensor that an operator dequantizes; None for any other operator."""
    from onnx import TensorProto

    if node is None or node.op_type != "DequantizeLinear":
        return None
    types = (TensorProto.UINT8, TensorProto.INT8)
    # The type of a zero point is that of the tensor; without one it is uint8.
    zero = weights.get(node.input[2]) if len(node.input) > 2 else None
    return node.input[0] if zero is None or zero.data_type in types else None


def _of_convolution(array: NDArray[np.int8], groups: int) -> NDArray[np.int8] | None:
    """Weights (M, positions * channels) of a convolution (M, channels, ...); None if depthwise."""
    if array.shape[1] == 1 and array.shape[0] == groups:
        return None
    return np.moveaxis(array, 1, -1).reshape(len(array), -1)
