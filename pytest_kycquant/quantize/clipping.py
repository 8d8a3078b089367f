"""What of a Relu or Clip a range of integers can stand for.

Integers end where their range ends, so onnxruntime's quantizer removes a Relu or Clip if nothing
else reads its input, and gives the range of its output to the input. It assumes that the range ends
where the operator cuts off.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from .graph import initializers, numbers, read_by_subgraphs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnx import GraphProto, NodeProto, TensorProto

    from .ranges import Ranges

    Spans = dict[str, tuple[float, float]]

_CLIPPING = ("Relu", "Clip")


def spans_within(graph: GraphProto, ranges: Ranges) -> Spans:
    """Ends of the ranges by tensor; those behind a Relu or Clip lie within its bounds.

    A range that was widened would let values pass that the removed operator cuts off.
    """
    weights = initializers(graph)
    ends = zip(ranges.low.tolist(), ranges.high.tolist(), strict=True)
    spans: Spans = dict(zip(ranges.names, ends, strict=True))
    bounds: Spans = {}
    for node in graph.node:
        if node.op_type not in _CLIPPING:
            continue
        least, most = _bounds(node, weights)
        if least <= 0 <= most:
            before, after = bounds.get(node.input[0], (-np.inf, np.inf)), node.output[0]
            bounds[after] = least, most = max(least, before[0]), min(most, before[1])
            if after in spans:
                low, high = spans[after]
                spans[after] = max(low, least), min(high, most)
    return spans


def guard(graph: GraphProto, spans: Spans) -> tuple[str, ...]:
    """Give the input of each Relu and Clip that must stay a second reader, in place.

    The quantizer overlooks graph outputs and what subgraphs read by name. A range always includes
    zero, which a Clip may cut off, and if all values are zero, it includes more.

    Args:
        graph: the graph to quantize.
        spans: ends of the ranges by tensor.

    Returns:
        Names of the operators that were added; they must be neither quantized nor kept.
    """
    weights = initializers(graph)
    outside = read_by_subgraphs(graph)  # reads floats, where the range stands for nothing
    outputs = {info.name for info in graph.output}
    guarded = set()
    for node in graph.node:
        if node.op_type in _CLIPPING:
            least, most = _bounds(node, weights)
            empty = spans.get(node.output[0]) == (0, 0)
            read = node.input[0] in outputs or outside.intersection([node.input[0], *node.output])
            if read or empty or not least <= 0 <= most:
                guarded.add(node.input[0])
    taken = {node.name for node in graph.node} | {n for node in graph.node for n in node.output}
    names = []
    for read in sorted(guarded):
        names.append(next(n for i in itertools.count() if (n := f"{read}/guard{i}") not in taken))
        graph.node.add(op_type="Identity", name=names[-1], input=[read], output=[names[-1]])
    return tuple(names)


def _bounds(node: NodeProto, weights: Mapping[str, TensorProto]) -> tuple[float, float]:
    """Bounds of a Relu or Clip; NaN for one that is not constant."""
    if node.op_type == "Relu":
        return 0.0, np.inf
    ends = [-np.inf, np.inf]
    for index, name in enumerate(node.input[1:3]):
        if name:
            ends[index] = float(numbers(weights[name]).item()) if name in weights else np.nan
    return ends[0], ends[1]
