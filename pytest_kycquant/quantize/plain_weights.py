"""Brings constants into the one form that quantizers recognize: dense initializers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import ModelError
from ..runtimes.model_files import subgraphs
from ..runtimes.ort import open_session
from .graph import (
    WEIGHTED,
    constant_of,
    drop_unused_initializers,
    has_subgraphs,
    initializers,
    read_by_subgraphs,
    serialize,
)

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto

_CONSTANT_INPUTS = {
    **dict.fromkeys(WEIGHTED, (1, 2)),
    "PRelu": (1,),
    "Clip": (1, 2),
    "BatchNormalization": (1, 2, 3, 4),
}
"""Operator type -> inputs that quantization needs to know."""


def plain_weights(proto: ModelProto) -> None:
    """Turn constants of all forms, copies of weights and computed weights into initializers.

    The quantizer recognizes only these as weights and treats all else as activations. The model
    is changed in place.
    """
    graph = proto.graph
    for sparse in graph.sparse_initializer:
        graph.initializer.append(_dense(sparse))
    del graph.sparse_initializer[:]
    _constants_to_initializers(graph)
    _compute_weights(proto)


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


def _compute_weights(proto: ModelProto) -> None:
    """Compute the weights that operators make from constants, as onnxruntime does on loading."""
    from onnx import helper, numpy_helper

    graph = proto.graph
    known = {"", *initializers(graph)}
    made: dict[str, NodeProto] = {}
    for node in graph.node:
        if any(node.input) and known.issuperset(node.input) and not any(subgraphs(node)):
            known.update(node.output)
            made |= dict.fromkeys(node.output, node)
    outputs = {info.name for info in graph.output}
    wanted = [
        name
        for node in graph.node
        for index, name in enumerate(node.input)
        if index in _CONSTANT_INPUTS.get(node.op_type, ()) and name in made.keys() - outputs
    ]
    wanted = list(dict.fromkeys(filter(None, wanted)))
    if not wanted:
        return
    part = type(proto)(ir_version=proto.ir_version, opset_import=proto.opset_import)
    part.graph.name = "weights"
    part.graph.node.extend(node for node in graph.node if made.keys() & {*node.output})
    part.graph.initializer.extend(graph.initializer)
    part.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in wanted)
    drop_unused_initializers(part.graph)
    try:
        arrays = open_session(serialize(part)).run(wanted, {})
    except ModelError:
        return  # they stay in float
    for name, array in zip(wanted, arrays, strict=True):
        made[name].output[:] = ["" if each == name else each for each in made[name].output]
        graph.initializer.append(numpy_helper.from_array(array, name))
    _drop_unread(graph, {"", *made})


def _drop_unread(graph: GraphProto, candidates: set[str]) -> None:
    """Remove operators all of whose outputs are candidates, if nothing reads them."""
    read = {info.name for info in graph.output} | read_by_subgraphs(graph)
    kept: list[NodeProto] = []
    for node in reversed(graph.node):
        if not set(node.output) <= candidates or read.intersection(node.output):
            kept.append(node)
            read.update(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    drop_unused_initializers(graph)
