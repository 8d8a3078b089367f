"""Masks: constants of -inf, or far below zero, that keep values out of a Softmax or MaxPool.

Such a constant is sound, but a range that includes it has no steps for the scores, and -inf has no
range at all. While preparing, masks end at -30000, of which the exponential is zero all the same
and which float16 holds. What adds a mask, up to the Softmax, is never quantized.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .graph import read_by_subgraphs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from onnx import GraphProto, NodeProto, TensorProto

LOWEST = -30000.0
_LARGE = -1e4  # masks of finite numbers go from here down
_TAKING = ("Add", "Sum", "Where", "Max", "Softmax", "LogSoftmax")
"""Operators that may read -inf: what they make of it is sound."""
_ENDING = ("Softmax", "LogSoftmax", "MaxPool", "Attention")
"""Operators behind which nothing of a mask is left."""
_PLACES = {"Pad": 2, "Attention": 3}
"""Operator type -> the only input that may be a mask."""
_MOVING = frozenset(
    ("Cast", "Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split",
     "Squeeze", "Tile", "Transpose", "Trilu", "Unsqueeze")
)  # fmt: skip
"""Operators that move values of their first input."""
_WRITING = ("Add", "Sum", "Where", "Pad", "Attention")
"""Operators whose results, or numbers inside, may be as low as the mask."""
_FOLLOWING = ("Mul", "Div", "Sub", "Min", "Clip")
"""Operators that may stand between a mask that was added and the Softmax."""


class _Mask(NamedTuple):
    """A constant that is a mask.

    Args:
        tensor: its content, in place.
        readers: operators from the one that reads it to the Softmax, which is included.
        ends: whether all of these ways end in a Softmax.
    """

    tensor: TensorProto
    readers: tuple[NodeProto, ...]
    ends: bool


def infinite_masks(parts: Sequence[GraphProto]) -> set[str]:
    """Names of the constants with -inf that only operators read which -inf does not break."""
    from onnx import numpy_helper

    return {
        name
        for name, tensor in _constants(parts)
        if _is_float(tensor)
        and np.isneginf(array := numpy_helper.to_array(tensor)).any()
        and not np.isposinf(array).any()
        and _readers(name, parts)
    }


def masked(graph: GraphProto) -> frozenset[str]:
    """Names of the operators through which masks pass, each Softmax included."""
    return frozenset(node.name for mask in _masks(graph) for node in mask.readers)


def masked_tensors(graph: GraphProto) -> frozenset[str]:
    """Names of the tensors that a mask has entered."""
    nodes = (node for mask in _masks(graph) for node in mask.readers)
    return frozenset(n for node in nodes if node.op_type not in _ENDING for n in node.output if n)


def limit_masks(graph: GraphProto) -> None:
    """End masks at -30000, in place: those of -inf, and others if only a Softmax reads them."""
    from onnx import numpy_helper

    for mask in _masks(graph):
        array = numpy_helper.to_array(mask.tensor)
        limited: NDArray[np.floating] = np.where(np.isneginf(array), LOWEST, array)
        if mask.ends:
            limited = np.maximum(limited, LOWEST)
        if not np.array_equal(array, limited):
            new = numpy_helper.from_array(limited.astype(array.dtype), mask.tensor.name)
            mask.tensor.CopyFrom(new)


def _masks(graph: GraphProto) -> Iterator[_Mask]:
    from onnx import numpy_helper

    inside = read_by_subgraphs(graph)
    for name, tensor in _constants([graph]):
        if not _is_float(tensor) or name in inside:
            continue
        array = numpy_helper.to_array(tensor)
        if not array.min(initial=0.0) <= _LARGE:
            continue
        readers = _readers(name, [graph])
        if readers and any(node.op_type in _WRITING for node in readers):
            last = _last(readers, graph)
            yield _Mask(tensor, readers, all(node.op_type in _ENDING for node in last))


def _last(readers: Sequence[NodeProto], graph: GraphProto) -> list[NodeProto]:
    """Those whose results others read."""
    among = {name for node in readers if node.op_type not in _ENDING for name in node.output}
    own = {id(node) for node in readers}
    outside = {n for node in graph.node if id(node) not in own for n in node.input}
    outside |= {info.name for info in graph.output}
    return [
        node
        for node in readers
        if node.op_type in _ENDING or among.intersection(node.output) & outside
    ]


def _constants(parts: Sequence[GraphProto]) -> Iterator[tuple[str, TensorProto]]:
    for part in parts:
        yield from ((tensor.name, tensor) for tensor in part.initializer)
        for node in part.node:
            if node.op_type in ("Constant", "ConstantOfShape") and node.output:
                yield from ((node.output[0], a.t) for a in node.attribute if a.HasField("t"))


def _is_float(tensor: TensorProto) -> bool:
    from onnx import TensorProto as Types

    return bool(tensor.data_type in (Types.FLOAT, Types.DOUBLE, Types.FLOAT16))


def _readers(name: str, parts: Sequence[GraphProto]) -> tuple[NodeProto, ...] | None:
    """Operators through which a constant passes; None if one is no place for a mask."""
    found: dict[int, NodeProto] = {}
    nodes = [node for part in parts for node in part.node]
    waiting, seen = [name], {name}
    entered: set[str] = set()  # behind an operator that takes a mask, anything may follow
    while waiting:
        each = waiting.pop()
        for node in nodes:
            if each not in node.input or id(node) in found:
                continue
            moving = node.op_type in _MOVING and (each == node.input[0] or node.op_type == "Concat")
            taking = node.op_type in _TAKING and (node.op_type, each) != ("Where", node.input[0])
            place = _PLACES.get(node.op_type)
            taking |= place is not None and each in node.input[place : place + 1]
            following = each in entered and node.op_type in (*_FOLLOWING, *_ENDING)
            if not (moving or taking or following):
                if each in entered:
                    continue
                return None
            found[id(node)] = node
            if node.op_type in _ENDING:
                continue
            new = set(node.output) - seen - {""}
            if taking or each in entered:
                entered |= new
            seen |= new
            waiting += sorted(new)
    return tuple(found.values())
