"""Cross-layer equalization: gives channels that share a scale similar ranges, at no cost.

A channel may be divided by a positive factor where it is written and multiplied by it where it is
read, because the operators between (PRelu, Relu, pooling, a residual Add) commute with positive
factors. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction"
(arXiv 1906.04721), do this for the weights. Here weights have a scale per channel but activations
do not, so the ranges of the activations decide. They are traded off against the reader's weights,
as in Xiao et al., "SmoothQuant" (arXiv 2211.10438). All factors are powers of two, so no product or
sum is rounded differently, and the FP32 outputs do not change by a bit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import QuantizationError
from .channel_groups import ChannelGroup, channel_groups
from .graph import (
    attributes,
    consumers,
    initializers,
    numbers,
)
from .preparation import PreparedModel, verify_equal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from onnx import GraphProto, NodeProto, TensorProto

    from ..runtimes.feeding import Sample
    from .channels import ChannelStatistics

_LARGEST = 64.0  # a channel that is quiet on the calibration images may not be quiet elsewhere
_QUIET = 1e-6  # fraction of the range below which a channel is dead and keeps its scale
_TINY = 1e-30
_CANDIDATES = ((0.0, 0.0), *((a, w) for a in (0.25, 0.5, 0.75, 1.0) for w in (0.0, 1.0 - a)))
"""Exponents of a channel's share of the activation range, and of the toll; (0, 0) is no change."""


def equalize_channels(
    prepared: PreparedModel,
    statistics: ChannelStatistics,
    inputs: Sequence[Sample],
) -> tuple[PreparedModel, ChannelStatistics]:
    """Scale the channels of all groups, and verify that the outputs stay equal.

    Args:
        prepared: the prepared FP32 model; it is not changed.
        statistics: statistics of this model.
        inputs: preprocessed images to verify the result on.

    Returns:
        The equalized model, and the statistics that would be collected on it.

    Raises:
        QuantizationError: the statistics are those of another model, or an output changed.
    """
    proto = type(prepared.proto)()
    proto.CopyFrom(prepared.proto)
    nodes = {node.name: node for node in proto.graph.node}
    weights = initializers(proto.graph)
    low, high, means = dict(statistics.low), dict(statistics.high), dict(statistics.means)
    squares = dict(statistics.squares)
    scaled = 0
    if not statistics.covers(proto.graph):
        raise QuantizationError(
            prepared.path,
            "the statistics lack some tensors: they are those of another model",
            "collect the statistics of this model",
        )
    for group in channel_groups(proto.graph):
        factor = _factors(group, proto.graph, statistics)
        scaled += int(np.count_nonzero(factor != 1))
        for name in group.writers:
            _scale_written(nodes[name], weights, 1 / factor)
        for name in group.readers:
            _scale_read(nodes[name], weights, factor)
            means[name] = _divided(means[name], factor)
        for name in group.tensors:
            low[name], high[name] = _divided(low[name], factor), _divided(high[name], factor)
            squares[name] = _divided(squares[name], factor**2)
    difference = verify_equal(prepared.path, prepared.inputs, prepared.proto, proto, inputs)
    equalized = replace(
        prepared,
        proto=proto,
        equalized=scaled,
        max_difference=prepared.max_difference + difference,
    )
    return equalized, replace(statistics, low=low, high=high, squares=squares, means=means)


def _factors(
    group: ChannelGroup, graph: GraphProto, statistics: ChannelStatistics
) -> NDArray[np.float64]:
    """Powers of two, at most 1, that divide the channels of a group; float64, `[channels]`.

    Each candidate evens out the channels to some degree: a factor is a power of the share of the
    activation range that the channel fills. It may be divided by a toll on the readers' weights,
    whose rows have one scale for all channels. The candidate with the least expected quantization
    noise wins.
    """
    nodes, weights, read = {n.name: n for n in graph.node}, initializers(graph), consumers(graph)
    readers = [_rows(nodes[name], weights, group.channels) for name in group.readers]
    # Values that a Relu cuts off are never quantized.
    tensors = [
        name for name in group.tensors if {n.op_type for n in read.get(name, ())} != {"Relu"}
    ]
    low = np.array([_by_channel(-statistics.low[n], group.channels, np.max) for n in tensors])
    high = np.array([_by_channel(statistics.high[n], group.channels, np.max) for n in tensors])
    squares = [
        _by_channel(statistics.squares[nodes[name].input[0]], group.channels, np.mean)
        for name in group.readers
    ]
    low, high = np.maximum(low, 0), np.maximum(high, 0)
    fill = np.max(
        [side / np.maximum(side.max(axis=1, keepdims=True), _TINY) for side in (low, high)],
        axis=(0, 1),
    )
    live = fill > _QUIET
    toll = np.max([_share_of_rows(rows) for rows in readers], axis=0)
    best, least = np.ones(group.channels), np.inf
    for exponent, weight in _CANDIDATES:
        factor = np.maximum(fill, _QUIET) ** exponent / np.maximum(toll, _QUIET) ** weight
        factor = np.where(live, factor / factor[live].max(initial=_TINY), 1)
        factor = 2.0 ** np.round(np.log2(np.clip(factor, 1 / _LARGEST, 1)))
        steps = (high / factor).max(axis=1) + (low / factor).max(axis=1)
        noise = sum(
            _noise(rows, factor, float(np.square(steps).sum()), square)
            for rows, square in zip(readers, squares, strict=True)
        )
        if noise < least:
            best, least = factor, noise
    return best


def _noise(
    rows: NDArray[np.float64],
    factor: NDArray[np.float64],
    range_squared: float,
    squares: NDArray[np.float64],
) -> float:
    """Expected power of the error of a reader's output, relative to its signal.

    Rounding to steps of width d adds an error of power d squared / 12. All activations share one
    step, and so do the weights of each row.

    Args:
        rows: weights of the reader, as in `_rows`.
        factor: divisors of the channels of its input, `[channels]`.
        range_squared: sum of the squared ranges of the group's tensors.
        squares: mean square of the channels before scaling, `[channels]`.
    """
    shape = (rows.shape[0], 1, rows.shape[2], 1)
    scaled, power = rows * factor.reshape(shape), squares.reshape(shape)
    activations = range_squared / 255**2 * np.square(scaled).sum()
    step = np.abs(scaled).max(axis=(2, 3), keepdims=True) / 127
    of_weights = (np.square(step) * power / np.square(factor.reshape(shape))).sum() * rows.shape[3]
    signal = (np.square(rows) * power).sum()
    return float((activations + of_weights) / max(signal, _TINY))


def _share_of_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the range of a reader's weights that each channel fills, float64, `[channels]`."""
    largest = np.abs(rows).max(axis=3)
    whole = np.maximum(largest.max(axis=2, keepdims=True), _TINY)
    return np.asarray((largest / whole).max(axis=1).reshape(-1))


def _rows(
    node: NodeProto, weights: Mapping[str, TensorProto], channels: int
) -> NDArray[np.float64]:
    """Weights of a Conv or Gemm, float64, `[groups, outputs / groups, channels / groups, taps]`.

    For a Gemm, the features that were flattened from one channel are the taps of that channel.
    """
    array = numbers(weights[node.input[1]])
    if node.op_type == "Conv":
        groups = attributes(node).get("group", 1)
        return array.reshape(groups, array.shape[0] // groups, array.shape[1], -1)
    matrix = array if attributes(node).get("transB") else array.T
    return matrix.reshape(1, matrix.shape[0], channels, -1)


def _by_channel(
    figures: NDArray[np.float64], channels: int, reduce: Callable[..., NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Reduce statistics of flattened features to one per channel."""
    return reduce(figures.reshape(channels, -1), axis=1)


def _scale_written(
    node: NodeProto, weights: Mapping[str, TensorProto], factor: NDArray[np.float64]
) -> None:
    """Multiply the output channels of a Conv or Gemm, in place."""
    array = numbers(weights[node.input[1]])
    by_rows = node.op_type == "Conv" or attributes(node).get("transB")
    shape = [-1] + [1] * (array.ndim - 1) if by_rows else [1, -1]
    _assign(weights[node.input[1]], array * factor.reshape(shape))
    if len(node.input) > 2 and node.input[2]:
        _assign(weights[node.input[2]], numbers(weights[node.input[2]]) * factor)


def _scale_read(
    node: NodeProto, weights: Mapping[str, TensorProto], factor: NDArray[np.float64]
) -> None:
    """Multiply the weights of a Conv or Gemm for its input channels, in place."""
    array = numbers(weights[node.input[1]])
    if node.op_type == "Conv":
        groups = attributes(node).get("group", 1)
        per_row = np.repeat(factor.reshape(groups, -1), array.shape[0] // groups, axis=0)
        array = array * per_row.reshape(*array.shape[:2], *[1] * (array.ndim - 2))
    else:
        transposed = attributes(node).get("transB")
        features = array.shape[1 if transposed else 0]
        per_feature = np.repeat(factor, features // factor.size)
        array = array * per_feature.reshape([1, -1] if transposed else [-1, 1])
    _assign(weights[node.input[1]], array)


def _divided(figures: NDArray[np.float64], factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide statistics of channels, `[C, ...]`, or of features flattened from channels."""
    each = np.repeat(factor, figures.shape[0] // factor.size)
    return figures / each.reshape(-1, *[1] * (figures.ndim - 1))


def _assign(tensor: TensorProto, array: NDArray[np.float64]) -> None:
    from onnx import numpy_helper

    tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float32), tensor.name))
