"""Small operations on ONNX graphs that several modules of the package need."""

from __future__ import annotations

import contextlib
import itertools
import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtimes.model_files import within

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operator types that account for nearly all weights and nearly all the work of a network."""

_OF_CONSTANT = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


def producers(graph: GraphProto) -> dict[str, NodeProto]:
    """Map each tensor to the operator that writes it; inputs and weights are not included."""
    return {name: node for node in graph.node for name in node.output if name}


def consumers(graph: GraphProto) -> dict[str, list[NodeProto]]:
    """Map each tensor to the operators that read it, in graph order."""
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in dict.fromkeys(node.input):
            if name:
                readers.setdefault(name, []).append(node)
    return readers


def initializers(graph: GraphProto) -> dict[str, TensorProto]:
    """Map each initializer's name to the initializer."""
    return {tensor.name: tensor for tensor in graph.initializer}


def constant_of(node: NodeProto) -> TensorProto | None:
    """Return the numbers that a Constant operator holds; None for any other operator."""
    from onnx import helper, numpy_helper

    given = node.attribute[0] if node.op_type == "Constant" and len(node.attribute) == 1 else None
    if given is None:
        return None
    if given.name == "value":
        return given.t
    kind = _OF_CONSTANT.get(given.name)
    if kind is None:
        return None
    return numpy_helper.from_array(np.array(helper.get_attribute_value(given), kind))


def attributes(node: NodeProto) -> dict[str, Any]:
    """Map the names of an operator's attributes to their values."""
    from onnx import helper

    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def numbers(tensor: TensorProto) -> NDArray[np.float64]:
    """Return an initializer's content as float64, for arithmetic that is rounded at the end."""
    from onnx import numpy_helper

    return np.asarray(numpy_helper.to_array(tensor), np.float64)


def float_tensors(graph: GraphProto) -> tuple[str, ...]:
    """Names of the float32 activations: graph inputs, then outputs of operators in their order.

    Tensors are left out if shape inference could not determine their type, as in onnxruntime.
    """
    from onnx import TensorProto

    infos = (*graph.value_info, *graph.output, *graph.input)
    known = {
        info.name for info in infos if info.type.tensor_type.elem_type == TensorProto.FLOAT
    } - set(initializers(graph))
    written = [info.name for info in graph.input]
    written += [name for node in graph.node for name in node.output]
    return tuple(name for name in dict.fromkeys(written) if name in known)


def has_subgraphs(graph: GraphProto) -> bool:
    """Whether an operator such as If or Loop has a subgraph, which may read tensors of this one."""
    return any(a.HasField("g") or a.graphs for node in graph.node for a in node.attribute)


def read_by_subgraphs(graph: GraphProto) -> set[str]:
    """Names that occur in subgraphs; those of tensors of this graph are read there."""
    found: set[str] = set()
    for part in itertools.islice(within(graph), 1, None):
        found.update(info.name for info in part.output)
        found.update(name for node in part.node for name in node.input)
    return found


def drop_unused_initializers(graph: GraphProto) -> None:
    """Remove initializers that are not read, not even within a subgraph."""
    used = {info.name for info in graph.output} | read_by_subgraphs(graph)
    used.update(name for node in graph.node for name in node.input)
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    if len(kept) < len(graph.initializer):
        del graph.initializer[:]
        graph.initializer.extend(kept)


def copy_with_own_weights(model: ModelProto, kept: Collection[str]) -> ModelProto:
    """Copy a model for a tool that changes it, and separate the kept operators' weights.

    A kept operator that shares a weight with one that is not kept gets a copy of it. Otherwise it
    would read the weight that the tool changed.
    """
    copy = type(model)()
    copy.CopyFrom(model)
    weights = initializers(copy.graph)
    for name, readers in consumers(copy.graph).items():
        sharing = [node for node in readers if node.name in kept]
        if name not in weights or not sharing or len(sharing) == len(readers):
            continue
        own = copy.graph.initializer.add()
        own.CopyFrom(weights[name])
        own.name = f"{name}_kept"
        for node in sharing:
            node.input[:] = [own.name if read == name else read for read in node.input]
    return copy


def sort_nodes(graph: GraphProto) -> None:
    """Sort the operators topologically, keeping their order where it is already correct."""
    writer = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    nodes = list(graph.node)
    state = [0] * len(nodes)  # 0 unseen, 1 waits for its inputs, 2 placed
    placed: list[int] = []
    for start in range(len(nodes)):
        stack = [start]
        while stack:
            index = stack[-1]
            if state[index] == 0:
                state[index] = 1
                waiting = {writer[name] for name in nodes[index].input if name in writer}
                stack.extend(sorted((i for i in waiting if state[i] == 0), reverse=True))
                continue
            if state[index] == 1:
                state[index] = 2
                placed.append(index)
            stack.pop()
    ordered = [nodes[i] for i in placed]
    del graph.node[:]
    graph.node.extend(ordered)


def type_name(data_type: int) -> str:
    """Name of a type of tensors, such as "FLOAT"; a damaged file may have any number."""
    from onnx import TensorProto

    try:
        return str(TensorProto.DataType.Name(data_type))
    except ValueError:
        return f"TYPE {data_type}"


def serialize(model: ModelProto) -> bytes:
    """Serialize a model so that equal models have equal bytes."""
    return bytes(model.SerializeToString(deterministic=True))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep onnxruntime's tools from logging advice about other workflows.

    They log through the root logger, whose first use would install a handler on standard error.
    Adding our own handler prevents that.
    """
    root, handler, before = logging.getLogger(), logging.NullHandler(), logging.root.manager.disable
    root.addHandler(handler)
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)
        root.removeHandler(handler)
