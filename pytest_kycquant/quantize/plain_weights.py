"""Brings constants into the one form that quantizers recognize: dense initializers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .folding import fold_constants, inline_branches
from .graph import constant_of, has_subgraphs, initializers, read_by_subgraphs

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto


def plain_weights(proto: ModelProto) -> None:
    """Turn constants of all forms, copies of weights and computed constants into initializers.

    The quantizer recognizes only these as weights and treats all else as activations. The model
    is changed in place.
    """
    graph = proto.graph
    for sparse in graph.sparse_initializer:
        graph.initializer.append(_dense(sparse))
    del graph.sparse_initializer[:]
    _constants_to_initializers(graph)
    fold_constants(proto)
    while inline_branches(graph):
        _constants_to_initializers(graph)
        fold_constants(proto)


def _dense(sparse: SparseTensorProto) -> TensorProto:
    from onnx import numpy_helper

    values = numpy_helper.to_array(sparse.values)
    places = numpy_helper.to_array(sparse.indices)
    array = np.zeros(tuple(sparse.dims), values.dtype)
    if places.ndim == 1:
        array.reshape(-1)[places] = values
    else:
        array[tuple(places.T)] = values
    return numpy_helper.from_array(array, sparse.values.name)


def _content(node: NodeProto) -> TensorProto | None:
    """What a Constant operator holds; None for any other operator."""
    constant = constant_of(node)
    if constant is None and node.op_type == "Constant" and node.attribute[0].name == "sparse_value":
        return _dense(node.attribute[0].sparse_tensor)
    return constant


def _constants_to_initializers(graph: GraphProto) -> None:
    outputs = {info.name for info in graph.output}
    weights = initializers(graph)
    alias: dict[str, str] = {}
    kept = []
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = alias.get(name, name)
        constant = _content(node)
        if constant is not None and node.output[0] not in outputs:
            tensor = graph.initializer.add()
            tensor.CopyFrom(constant)
            tensor.name = node.output[0]
            weights[tensor.name] = tensor
        elif (
            node.op_type == "Identity"
            and node.input[0] in weights
            and node.output[0] not in outputs
            and not has_subgraphs(graph)  # a subgraph may read the copy by its name
        ):
            alias[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    if len(kept) < len(graph.node):
        del graph.node[:]
        graph.node.extend(kept)


def keep_outputs(graph: GraphProto) -> None:
    """Let an Identity write each output that is an initializer, in place.

    Quantizers rename outputs, or leave weights alone that are also outputs.
    """
    from onnx import helper

    weights = initializers(graph)
    taken = {name for node in graph.node for name in (*node.input, *node.output, node.name)}
    taken |= set(weights)
    inside = read_by_subgraphs(graph)
    for info in graph.output:
        if info.name not in weights or info.name in inside:
            continue
        name = f"{info.name}/constant"
        while name in taken:
            name += "."
        taken.add(name)
        weights[info.name].name = name
        for node in graph.node:
            node.input[:] = [name if read == info.name else read for read in node.input]
        graph.node.append(helper.make_node("Identity", [name], [info.name], f"{name}/output"))
