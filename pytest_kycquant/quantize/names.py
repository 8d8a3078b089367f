"""Names of tensors and operators that do not get in the way of those that quantizers derive.

onnxruntime's tools name what they add after what is there: the scale of `conv1` is `conv1_scale`.
They do not ask whether the model has a tensor of this name, which Caffe's exporters write. At best
the result cannot be loaded; at worst it computes with a tensor of the model as scale.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..runtimes.model_files import within

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from onnx import GraphProto

_OURS = (
    r"/(?:[a-e]|low|high|joined|float|half|blocks|shape|packed|integers|scale|stored|seed|zero"
    r"|rounded|steps|guard\d+)$"
)
_DERIVED = {
    "tensor": re.compile(
        r"_(?:scale|zero_point|quant|QuantizeLinear|DequantizeLinear|dequantized|output_quantized"
        r"|bias_reshape|MatMul|Transposed|cast_to_fp|ReduceM|Abs|kept|own_bias|folded_|unrounded"
        rf"|guarded)|quant_scaled_output|{_OURS}"
    ),
    "operator": re.compile(
        r"_(?:quant|QuantizeLinear|DequantizeLinear|output_quantized|bias_add|MatMul|Add|Transpose"
        rf"|cast_to_fp|ReduceM|Abs|scale_|zero_point_|guard)|{_OURS}"
    ),
}
"""Suffixes from which derived names go on, after the name of a tensor or operator."""
_FIXED = re.compile(r"graph_(?:input|output)_cast|fixed_|kycquant/|gradient/")
"""Beginnings of names that do not depend on the model's."""


def free_names(graph: GraphProto) -> dict[str, str]:
    """Rename what has a name that a quantizer may derive from another one, in place.

    Inputs and outputs of the model keep their names; if these could be derived, the tensors that
    they could be derived from are renamed. Operators are renamed only if there is no other way,
    because gate files name them.

    Returns:
        Old names of operators -> their new names.
    """
    fixed = {info.name for info in (*graph.input, *graph.output)}
    tensors = set(_tensors(graph))
    operators = {node.name for node in graph.node if node.name}
    known = tensors | operators
    new_tensors: dict[str, str] = {}
    new_operators: dict[str, str] = {}
    taken = set(known)
    for kind, names in (("tensor", tensors), ("operator", operators)):
        for name in sorted(names):
            for origin in _origins(name, kind, known):
                if kind == "tensor" and name not in fixed:
                    new_tensors.setdefault(name, _other(name, kind, taken))
                elif origin in tensors - fixed:
                    new_tensors.setdefault(origin, _other(origin, "tensor", taken))
                elif kind == "operator":
                    new_operators.setdefault(name, _other(name, kind, taken))
    if new_tensors:
        _rename_tensors(graph, new_tensors)
    for node in graph.node:
        node.name = new_operators.get(node.name, node.name)
    return new_operators


def _origins(name: str, kind: str, known: Collection[str]) -> Iterator[str]:
    """Names that a name may be derived from; "" for one that is the same in every model."""
    if _FIXED.match(name):
        yield ""
    for found in _DERIVED[kind].finditer(name):
        if name[: found.start()] in known:
            yield name[: found.start()]


def _other(name: str, kind: str, taken: set[str]) -> str:
    """A similar name that nothing derives, which is taken from now on."""
    other = _FIXED.sub(lambda found: f".{found.group()}", name)
    other = _DERIVED[kind].sub(lambda found: f".{found.group().lstrip('_/')}", other)
    while other in taken:
        other += "."
    taken.add(other)
    return other


def _tensors(graph: GraphProto) -> Iterator[str]:
    for part in within(graph):
        for node in part.node:
            yield from filter(None, (*node.input, *node.output))
        for info in (*part.input, *part.output, *part.initializer):
            yield info.name


def _rename_tensors(graph: GraphProto, names: dict[str, str]) -> None:
    for part in within(graph):
        for node in part.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
        for info in (*part.input, *part.output, *part.value_info, *part.initializer):
            info.name = names.get(info.name, info.name)
