"""Which operators may overflow inside in half precision: sums of which only the result is recorded.

A tensor below 120 has squares that sum to 116,000 over 64 channels: more than float16 holds, though
no tensor shows it. CPUs sum in float32, accelerators may not. Layers with weights are left out, as
their kernels add up in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .graph import attributes, initializers, numbers

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto

    Extremes = Mapping[str, tuple[float, float]]

_SAFE = 65504.0 / 2  # other images may exceed those that the ranges are from


def wide_sums(graph: GraphProto, extremes: Extremes) -> dict[str, float]:
    """Operators whose sums may come near the largest float16, with a bound of these sums.

    Args:
        graph: a graph with inferred shapes.
        extremes: smallest and largest value of each activation.

    Returns:
        Name of the operator -> bound; infinity where the number of addends is open.
    """
    infos = (*graph.input, *graph.value_info, *graph.output)
    sizes = {
        info.name: tuple(dim.dim_value or None for dim in info.type.tensor_type.shape.dim)
        for info in infos
        if info.type.tensor_type.HasField("shape")
    }
    weights = initializers(graph)
    found = {}
    for node in graph.node:
        rule = _BOUNDS.get(node.op_type)
        if rule is None or not node.input or node.input[0] not in extremes:
            continue
        low, high = extremes[node.input[0]]
        result = max(map(abs, extremes.get(node.output[0], (math.inf, math.inf))))
        addends = _count(node, sizes.get(node.input[0]), weights)
        bound = rule(_Sum(addends, max(-low, high), result, low >= 0 or high <= 0))
        if bound > _SAFE:
            found[node.name] = bound
    return found


@dataclass(frozen=True)
class _Sum:
    """What is known of a sum.

    Args:
        addends: their number; infinity if it is open.
        largest: largest magnitude of a value.
        result: largest magnitude of the result.
        one_sign: whether no two values have opposite signs, so that no part exceeds the whole.
    """

    addends: float
    largest: float
    result: float
    one_sign: bool

    def of_values(self) -> float:
        """Bound of a sum of values."""
        return _times(self.addends, self.largest)

    def of_squares(self) -> float:
        """Bound of a sum of squares."""
        return _times(self.addends, self.largest**2)

    def of_mean(self) -> float:
        """Bound of the sum that a mean is made from."""
        whole = _times(self.addends, self.result)
        return whole if self.one_sign else self.of_values()


def _times(count: float, value: float) -> float:
    return count * value if value else 0.0


_BOUNDS: dict[str, Callable[[_Sum], float]] = {
    **dict.fromkeys(("ReduceL2", "GlobalLpPool", "LpPool"), lambda s: s.result**2),
    **dict.fromkeys(
        ("LpNormalization", "LayerNormalization", "InstanceNormalization", "GroupNormalization",
         "MeanVarianceNormalization", "RMSNormalization", "SimplifiedLayerNormalization"),
        _Sum.of_squares,
    ),
    **dict.fromkeys(("ReduceMean", "GlobalAveragePool", "AveragePool"), _Sum.of_mean),
    "ReduceSum": lambda s: 0.0 if s.one_sign else s.of_values(),  # else the result is recorded
    "ReduceSumSquare": lambda s: s.result,
    "ReduceLogSum": lambda s: math.exp(min(s.result, 700.0)),
    **dict.fromkeys(("Softmax", "LogSoftmax", "ReduceLogSumExp"), lambda s: s.addends),
}  # fmt: skip
"""Operator type -> bound of the largest number that its kernel adds up."""


def _count(
    node: NodeProto, size: tuple[int | None, ...] | None, weights: Mapping[str, TensorProto]
) -> float:
    """Number of addends of each sum of an operator; infinity if it is open."""
    given = attributes(node)
    if node.op_type in ("AveragePool", "LpPool"):
        return float(math.prod(given["kernel_shape"]))
    if size is None:
        return math.inf
    rank = len(size)
    last = given.get("axis", -1)
    if node.op_type.startswith("Reduce"):
        axes = given.get("axes")
        if axes is None and len(node.input) > 1 and node.input[1]:
            if node.input[1] not in weights:
                return math.inf
            axes = [int(axis) for axis in numbers(weights[node.input[1]]).ravel()]
        if not axes:
            axes = [] if given.get("noop_with_empty_axes") else range(rank)
    elif node.op_type in ("LpNormalization", "Softmax", "LogSoftmax"):
        axes = [last]
    elif node.op_type == "MeanVarianceNormalization":
        axes = given.get("axes", [0, 2, 3])
    elif "Layer" in node.op_type or node.op_type.startswith("RMS"):
        axes = range(last % rank if rank else 0, rank)
    else:
        axes = range(2, rank)
    dims = [size[axis] for axis in axes if -rank <= axis < rank]
    if node.op_type == "GroupNormalization":
        channels = size[1]
        groups = given.get("num_groups", 1)
        dims.append(None if channels is None else max(1, channels // groups))
    return math.inf if None in dims else math.prod(each for each in dims if each is not None)
