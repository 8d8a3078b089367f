"""Bias correction: subtract the mean error that quantized weights cause from the bias.

Rounding moves every weight a little. With inputs whose mean is not zero, this gives a constant
error of the output, `(Wq - W) E[x]`. Nagel et al., "Data-Free Quantization Through Weight
Equalization and Bias Correction" (arXiv 1906.04721, section 4.2), subtract it from the bias. Here
`E[x]` is measured on the calibration images and includes the zeros of the padding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .graph import (
    attributes,
    consumers,
    drop_unused_initializers,
    initializers,
    numbers,
    producers,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto, TensorProto

_CORRECTED = ("Conv", "Gemm")  # a MatMul has no bias
_INT32 = np.iinfo(np.int32)


def give_own_biases(proto: ModelProto, op_types: Collection[str], kept: Collection[str]) -> None:
    """Give every Conv and Gemm that will be quantized a bias of its own, in place.

    Args:
        proto: the model to be quantized.
        op_types: operator types to quantize.
        kept: names of the operators that stay in FP32; they are not changed.
    """
    from onnx import numpy_helper

    graph = proto.graph
    weights, read = initializers(graph), consumers(graph)
    for node in graph.node:
        if (
            node.op_type not in set(_CORRECTED).intersection(op_types)
            or node.name in kept
            or node.input[1] not in weights
        ):
            continue
        given = node.input[2] if len(node.input) > 2 else ""
        size = _outputs(node, weights[node.input[1]])
        if not given:
            bias = np.zeros(size)
        elif given in weights and len(read[given]) > 1 and tuple(weights[given].dims) == (size,):
            bias = numbers(weights[given])
        else:
            continue
        own = f"{node.name}_own_bias"
        graph.initializer.append(numpy_helper.from_array(bias.astype(np.float32), own))
        node.input[:] = [*node.input[:2], own]


def correct_biases(
    before: ModelProto, after: ModelProto, means: Mapping[str, NDArray[np.float64]]
) -> tuple[str, ...]:
    """Correct the biases of a quantized model, in place; return the names of their operators.

    Operators whose weights are not quantized keep their bias, and so does a Gemm unless its bias
    has the size of its output.

    Args:
        before: the model before quantization, with FP32 weights.
        after: the quantized model, with the same operator names.
        means: means as in `ChannelStatistics`, of `before`.
    """
    originals, weights = initializers(before.graph), initializers(after.graph)
    written = producers(after.graph)
    quantized = {node.name: node for node in after.graph.node}
    corrected = []
    for node in before.graph.node:
        if node.name not in means or node.name not in quantized or len(node.input) < 3:
            continue
        rounded = dequantized(quantized[node.name].input[1], written, weights)
        bias, size = originals.get(node.input[2]), _outputs(node, originals[node.input[1]])
        given = attributes(node)
        if rounded is None or bias is None or tuple(bias.dims) != (size,):
            continue
        error = _mean_output(node, rounded - numbers(originals[node.input[1]]), means[node.name])
        wanted = numbers(bias) - error * given.get("alpha", 1.0)
        store(quantized[node.name].input[2], wanted, written, weights)
        corrected.append(node.name)
    return tuple(corrected)


def correct_stored(
    before: ModelProto,
    after: ModelProto,
    means: Mapping[str, NDArray[np.float64]],
    restored: Mapping[str, NDArray[np.float64]],
) -> int:
    """Correct the biases of FP32 operators whose weights were rounded for storage, in place.

    Each operator gets a bias of its own. A Gemm whose bias does not have the size of its output
    keeps it.

    Args:
        before: the model with its original weights.
        after: the model with the same operators and the rounded weights.
        means: means as in `ChannelStatistics`, of `before`.
        restored: operator -> the weights that it computes with in `after`.

    Returns:
        The number of corrected biases.
    """
    from onnx import numpy_helper

    originals, weights = initializers(before.graph), initializers(after.graph)
    nodes = {node.name: node for node in after.graph.node}
    corrected = 0
    for node in before.graph.node:
        if node.name not in restored or node.name not in means:
            continue
        given = attributes(node)
        tensor = originals[node.input[1]]
        size = _outputs(node, tensor)
        bias = np.zeros(size)
        beta = given.get("beta", 1.0)
        if len(node.input) > 2 and node.input[2]:
            known = weights.get(node.input[2])
            if known is None or tuple(known.dims) != (size,) or beta == 0:
                continue
            bias = numbers(known)
        error = _mean_output(node, restored[node.name] - numbers(tensor), means[node.name])
        wanted = bias - error * given.get("alpha", 1.0) / beta
        name = f"{node.name}_own_bias"
        after.graph.initializer.append(numpy_helper.from_array(wanted.astype(np.float32), name))
        own = nodes[node.name]
        own.input[:] = [*own.input[:2], name]
        corrected += 1
    drop_unused_initializers(after.graph)
    return corrected


def _mean_output(
    node: NodeProto, weight: NDArray[np.float64], mean: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean of an operator's output without its bias, float64, `[channels]`."""
    if node.op_type == "Gemm":
        return (weight if attributes(node).get("transB") else weight.T) @ mean
    groups = attributes(node).get("group", 1)
    per_group = weight.reshape(groups, weight.shape[0] // groups, -1)
    return np.asarray(np.einsum("gok,gk->go", per_group, mean.reshape(groups, -1)).reshape(-1))


def dequantized(
    name: str, written: Mapping[str, NodeProto], weights: Mapping[str, TensorProto]
) -> NDArray[np.float64] | None:
    """Return the values that a quantized weight or bias represents; None if it is in float."""
    node = written.get(name)
    if node is None or node.op_type != "DequantizeLinear" or node.input[0] not in weights:
        return None
    stored, scale = (numbers(weights[key]) for key in node.input[:2])
    zero = numbers(weights[node.input[2]]) if len(node.input) > 2 else np.zeros(())
    if scale.size > 1:
        shape = [1] * stored.ndim
        shape[attributes(node).get("axis", 1)] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return (stored - zero) * scale


def store(
    name: str,
    values: NDArray[np.float64],
    written: Mapping[str, NodeProto],
    weights: Mapping[str, TensorProto],
) -> None:
    """Write a bias as the quantized model stores it: in float32, or in int32 with a scale."""
    from onnx import numpy_helper

    node = written.get(name)
    if node is None:
        target, array = weights[name], values.astype(np.float32)
    else:
        target = weights[node.input[0]]
        steps = np.round(values / numbers(weights[node.input[1]]))
        array = np.clip(steps, _INT32.min, _INT32.max).astype(np.int32)
    target.CopyFrom(numpy_helper.from_array(array, target.name))


def _outputs(node: NodeProto, weight: TensorProto) -> int:
    by_rows = node.op_type == "Conv" or attributes(node).get("transB")
    return int(weight.dims[0 if by_rows else 1])
