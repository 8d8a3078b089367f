"""Parts of a graph in float64: computed in float32 in all that recipes start from.

Constants of numpy are float64, and so is what an exporter lets them touch: a normalisation, or the
whole head of a model. No quantizer takes float64. In float32 these operators are layers like any
others; `prepare` compares the outputs with those of the file. What no pixel reaches, such as sizes,
stays float64: a product that is rounded otherwise may be another number of pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ..runtimes.model_files import subgraphs, tensors, within
from .graph import drop_unused_initializers, initializers, read_by_subgraphs, sort_nodes
from .weight_sources import scopes_within

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto


def computes_in_double(parts: Iterable[GraphProto]) -> bool:
    """Whether graphs have float64: constants, or casts to it."""
    from onnx import TensorProto

    found = tuple(parts)
    double = TensorProto.DOUBLE
    return any(tensor.data_type == double for _, tensor in tensors(found)) or any(
        _target(node) == double for part in found for node in part.node
    )


def narrow(proto: ModelProto) -> tuple[str, ...]:
    """Compute in float32 what depends on the image in float64, in place.

    Outputs keep their type. A model with float64 within a subgraph is left alone.

    Args:
        proto: a model whose constants are initializers.

    Returns:
        First outputs of the operators that computed in float64 and now compute in float32; casts
        are left out.
    """
    from onnx import TensorProto, shape_inference

    graph = proto.graph
    inside = [part for node in graph.node for each in subgraphs(node) for part in within(each)]
    if not computes_in_double([graph]) or computes_in_double(inside):
        return ()
    try:
        inferred = shape_inference.infer_shapes(proto).graph
    except Exception:
        return ()  # `_infer_types` says what is wrong
    infos = (*inferred.value_info, *inferred.output, *inferred.input)
    types = {info.name: info.type.tensor_type.elem_type for info in infos}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    doubles = {name for name, kind in types.items() if kind == TensorProto.DOUBLE}
    if doubles & read_by_subgraphs(graph):
        return ()
    singles = {name for name, kind in types.items() if kind == TensorProto.FLOAT}
    return _narrowed(graph, doubles, singles)


def _narrowed(graph: GraphProto, doubles: set[str], singles: set[str]) -> tuple[str, ...]:
    """Narrow a graph, given the names of its float64 and of its float32 tensors."""
    from onnx import TensorProto, helper

    of_image = next(scopes_within(graph, None, None)).of_image
    touched = [
        node
        for node in graph.node
        if of_image.intersection(node.output) and doubles.intersection([*node.input, *node.output])
    ]
    written = {name for node in touched for name in node.output}
    taken = {name for node in graph.node for name in (*node.input, *node.output, node.name)}
    taken |= {tensor.name for tensor in graph.initializer}
    copies = {
        name: _free(f"{name}/single", taken)
        for node in touched
        for name in node.input
        if name in doubles and name not in written
    }
    outputs = {
        info.name: _free(f"{info.name}/single", taken)
        for info in graph.output
        if info.name in doubles & written
    }
    ours = (*copies.values(), *outputs.values())
    for node in touched:
        node.input[:] = [copies.get(name) or outputs.get(name, name) for name in node.input]
        node.output[:] = [outputs.get(name, name) for name in node.output]
        if _target(node) == TensorProto.DOUBLE:
            node.attribute[0].i = TensorProto.FLOAT
    found = tuple(node.output[0] for node in touched if _target(node) is None)
    stored = initializers(graph)
    casts = []
    for name, copy in copies.items():
        if name in stored:
            graph.initializer.append(_single(stored[name], copy))
        else:
            casts.append(helper.make_node("Cast", [name], [copy], copy, to=TensorProto.FLOAT))
    for name, copy in outputs.items():
        label = _free(f"{name}/double", taken)
        casts.append(helper.make_node("Cast", [copy], [name], label, to=TensorProto.DOUBLE))
    infos = [info for info in graph.value_info if info.name not in doubles]
    del graph.value_info[:]
    graph.value_info.extend(infos)
    graph.node.extend(casts)
    sort_nodes(graph)
    _drop_casts(graph, {*singles, *(doubles & written), *ours})
    drop_unused_initializers(graph)
    return found


def _drop_casts(graph: GraphProto, singles: set[str]) -> None:
    """Remove casts from float32 to float32, in place."""
    from onnx import TensorProto

    outputs = {info.name for info in graph.output}
    inside = read_by_subgraphs(graph)
    alias: dict[str, str] = {}
    kept = []
    for node in graph.node:
        node.input[:] = [alias.get(name, name) for name in node.input]
        source = node.input[0] if node.input else ""
        if _target(node) == TensorProto.FLOAT and source in singles:
            if node.output[0] not in outputs | inside:
                alias[node.output[0]] = source
                continue
            node.op_type = "Identity"
            del node.attribute[:]
        kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


def _single(tensor: TensorProto, name: str) -> TensorProto:
    """A constant in float32, under another name."""
    from onnx import numpy_helper

    with np.errstate(over="ignore"):  # a bound beyond float32 becomes infinite
        array = numpy_helper.to_array(tensor).astype(np.float32)
    return numpy_helper.from_array(array, name)


def _target(node: NodeProto) -> int | None:
    """The type that a Cast casts to; None for any other operator."""
    if node.op_type != "Cast":
        return None
    return next((int(a.i) for a in node.attribute if a.name == "to"), None)


def _free(name: str, taken: set[str]) -> str:
    """A name that nothing has, which is taken from now on."""
    while name in taken:
        name += "."
    taken.add(name)
    return name
