"""Finds the activations whose channels can be scaled without changing the model's outputs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .graph import attributes, has_subgraphs, initializers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnx import GraphProto, NodeProto, TensorProto

# Channel by channel, f(c * x) = c * f(x) for every c > 0.
_HOMOGENEOUS = (
    "Relu",
    "LeakyRelu",
    "PRelu",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "GlobalMaxPool",
)


@dataclass(frozen=True)
class ChannelGroup:
    """Activations whose channels can be scaled together.

    Args:
        tensors: names of the activations, in graph order.
        writers: names of the Conv and Gemm operators that write them.
        readers: names of the Conv and Gemm operators that read them.
        channels: number of channels.
    """

    tensors: tuple[str, ...]
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    channels: int


def channel_groups(graph: GraphProto) -> tuple[ChannelGroup, ...]:
    """Find all activations whose channels can be scaled without changing any output.

    Each is written and read only by operators that commute with positive factors, or by Conv and
    Gemm with constant weights of their own. Inputs and outputs of the model are never scaled.
    """
    if has_subgraphs(graph):  # they may read any activation by name
        return ()
    weights = initializers(graph)
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(info.name for info in graph.output)
    known = _channels(graph)
    groups = _Partition()
    fixed = {info.name for info in (*graph.input, *graph.output)}
    readers: dict[str, list[NodeProto]] = {}
    writers: dict[str, NodeProto] = {}
    for node in graph.node:
        data = [name for name in node.input if name and name not in weights]
        if _scalable(node, weights, uses):
            readers.setdefault(node.input[0], []).append(node)
            writers[node.output[0]] = node
        elif _homogeneous(node) and data == [node.input[0]]:
            groups.join(data[0], node.output[0])
            fixed.update(node.output[1:])  # such as the indices of MaxPool
        elif node.op_type == "Add" and len({known.get(name, name) for name in node.input}) == 1:
            # Both have the same known number of channels, so no channel is broadcast.
            groups.join(data[0], data[-1])
            groups.join(data[0], node.output[0])
        else:
            fixed.update((*data, *node.output))
    members: dict[str, list[str]] = {}
    written = [info.name for info in graph.input]
    written += [name for node in graph.node for name in node.output if name]
    for name in written:
        members.setdefault(groups.find(name), []).append(name)
    found = []
    for tensors in members.values():
        by = [writers[name] for name in tensors if name in writers]
        to = [node for name in tensors for node in readers.get(name, ())]
        channels = {_size(node, weights, written=True) for node in by}
        if not to or len(channels) != 1 or fixed.intersection(tensors):
            continue
        (count,) = channels
        if all(_size(node, weights, written=False) % count == 0 for node in to):
            by_names, to_names = (tuple(node.name for node in nodes) for nodes in (by, to))
            found.append(ChannelGroup(tuple(tensors), by_names, to_names, count))
    return tuple(found)


def _scalable(node: NodeProto, weights: Mapping[str, TensorProto], uses: Mapping[str, int]) -> bool:
    """Whether a Conv or Gemm has constant weights that nothing else reads."""
    if node.op_type not in ("Conv", "Gemm") or node.input[0] in weights:
        return False
    constants = [name for name in node.input[1:] if name]
    if not all(name in weights and uses[name] == 1 for name in constants):
        return False
    if node.op_type == "Conv":
        return True
    size = _size(node, weights, written=True)
    whole = all(weights[name].dims[-1:] == [size] for name in constants[1:])
    return not attributes(node).get("transA") and whole


def _homogeneous(node: NodeProto) -> bool:
    return node.op_type in _HOMOGENEOUS or (
        node.op_type == "Flatten" and attributes(node).get("axis", 1) == 1
    )


def _size(node: NodeProto, weights: Mapping[str, TensorProto], *, written: bool) -> int:
    """Number of channels, or flattened features, that a Conv or Gemm writes or reads."""
    rows, columns = weights[node.input[1]].dims[:2]
    given = attributes(node)
    if node.op_type == "Conv":
        return int(rows if written else columns * given.get("group", 1))
    return int(rows if bool(given.get("transB")) is written else columns)


def _channels(graph: GraphProto) -> dict[str, tuple[int, int]]:
    """Map each tensor with a known number of channels to its rank and that number."""
    found = {}
    for info in (*graph.value_info, *graph.input, *graph.output):
        shape = info.type.tensor_type.shape.dim
        if len(shape) > 1 and shape[1].HasField("dim_value"):
            found[info.name] = len(shape), shape[1].dim_value
    return found


class _Partition:
    """Disjoint sets of names."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def find(self, name: str) -> str:
        while (parent := self._parent.get(name, name)) != name:
            name = parent
        return name

    def join(self, first: str, second: str) -> None:
        self._parent[self.find(second)] = self.find(first)
