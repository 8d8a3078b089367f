"""Activations that a runtime's integer kernels apply before they round: nothing is rounded twice.

onnxruntime computes ``convolution, rounding, activation, rounding``, and its quantizer writes both
roundings. OpenVINO's kernels compute an activation on the accumulator of the convolution. They can
only do so if nothing is rounded in between; otherwise each activation becomes an operator of its
own, which reads and writes memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .graph import WEIGHTED, consumers, producers

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from onnx import GraphProto, NodeProto

_GATES = ("Sigmoid", "HardSigmoid")  # x * gate(x) is SiLU or HardSwish


class Fused(NamedTuple):
    """What is computed together with convolutions and products.

    Args:
        activations: names of the operators that stay in float.
        tensors: names of the tensors before and within them, which are not rounded.
    """

    activations: frozenset[str] = frozenset()
    tensors: frozenset[str] = frozenset()


def fused(graph: GraphProto, types: Collection[str]) -> Fused:
    """Find the activations of convolutions and products whose result nothing else reads.

    Args:
        graph: the float graph; operators have names.
        types: types of activations that the kernels compute.
    """
    readers = consumers(graph) if types else {}
    outputs = {info.name for info in graph.output}
    names: set[str] = set()
    tensors: set[str] = set()
    for node in graph.node:
        written = node.output[0] if node.output else ""
        if not types or node.op_type not in WEIGHTED or written in outputs:
            continue
        after = readers.get(written, [])
        found = _single(written, after, types) or _gated(written, after, types, readers, outputs)
        if found:
            names.update(each.name for each in found)
            tensors.update([written, *(each.output[0] for each in found[:-1])])
    return Fused(frozenset(names), frozenset(tensors))


def drop_pairs(graph: GraphProto, tensors: Collection[str]) -> None:
    """Remove the pairs of quantization and dequantization of some tensors, in place."""
    writers = producers(graph)
    raw: dict[str, str] = {}  # dequantized tensor -> what was rounded
    gone: set[str] = set()
    for node in graph.node:
        first = writers.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if first is not None and first.input[0] in tensors:
            raw[node.output[0]] = first.input[0]
            gone |= {node.name, first.name}
    kept = [node for node in graph.node if node.name not in gone]
    for node in kept:
        node.input[:] = [raw.get(name, name) for name in node.input]
    del graph.node[:]
    graph.node.extend(kept)


def _single(written: str, after: Sequence[NodeProto], types: Collection[str]) -> list[NodeProto]:
    """The only reader of a result, if it is an activation of it."""
    if len(after) != 1 or after[0].op_type not in types or after[0].input[0] != written:
        return []
    return list(after)


def _gated(
    written: str,
    after: Sequence[NodeProto],
    types: Collection[str],
    readers: Mapping[str, Sequence[NodeProto]],
    outputs: Collection[str],
) -> list[NodeProto]:
    """Gate and product of ``x * gate(x)``, if nothing else reads the result or the gate."""
    gates = [node for node in after if node.op_type in _GATES and node.op_type in types]
    products = [node for node in after if node.op_type == "Mul"]
    if len(after) != 2 or len(gates) != 1 or len(products) != 1:
        return []
    (gate,), (product,) = gates, products
    opened = gate.output[0]
    alone = opened not in outputs and [each.name for each in readers[opened]] == [product.name]
    return [gate, product] if alone and set(product.input) == {written, opened} else []
