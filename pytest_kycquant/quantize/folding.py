"""Computes what no pixel reaches: weights made from constants, and sizes known from the input.

Exporters leave arithmetic of constants in the graph (a transposed weight, weight normalisation) and
read sizes with Shape, to resize one tensor to the size of another. The quantizer takes the results
for activations. A weight is then not found, and a scale of 1 becomes 0.996, so that a Resize makes
63 columns of 64.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ModelError
from ..runtimes.model_files import subgraphs
from ..runtimes.ort import open_session
from .graph import (
    WEIGHTED,
    attributes,
    drop_unused_initializers,
    initializers,
    read_by_subgraphs,
    serialize,
)
from .weight_sources import STANDARD, scopes_within

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from onnx import GraphProto, ModelProto, NodeProto

_CONSTANT_INPUTS = {
    **dict.fromkeys(WEIGHTED, (1, 2)),
    "PRelu": (1,),
    "Clip": (1, 2),
    "BatchNormalization": (1, 2, 3, 4),
}
"""Operator type -> inputs that quantization needs to know, however large they are."""
_SMALL = 1 << 16  # bytes that any other result may have, whatever it is made from
_SEPARATELY = 64  # number of results to try one by one if all together fail


def fold_constants(proto: ModelProto) -> None:
    """Replace operators that compute the same for every image by their results, in place.

    Sizes count as constant if the declared shape of the input fixes them. A result that is larger
    than the constants that it is made from, such as a grid, stays an operator.

    Args:
        proto: a model without Constant operators.
    """
    _resolve_types(proto)
    _fold(proto)
    while _fold_sizes(proto):
        _fold(proto)


def _resolve_types(proto: ModelProto) -> None:
    """Turn CastLike, which reads a tensor for its type alone, into Cast.

    torch's exporter writes biases of zeros with the type of the image; no pixel reaches them.
    """
    from onnx import helper

    graph = proto.graph
    asking = [n for n in graph.node if n.op_type == "CastLike" and n.domain in STANDARD]
    inferred = _inferred(proto) if asking else None
    if inferred is None:
        return
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for info in (*inferred.input, *inferred.value_info, *inferred.output):
        types.setdefault(info.name, info.type.tensor_type.elem_type)
    for node in asking:
        if kind := types.get(node.input[1], 0):
            node.op_type = "Cast"
            del node.input[1], node.attribute[:]
            node.attribute.append(helper.make_attribute("to", kind))


def untouched(graph: GraphProto) -> frozenset[str]:
    """Names of the operators that no pixel reaches: they compute sizes or constants."""
    scope = next(scopes_within(graph, None, None))
    return frozenset(
        node.name
        for node in graph.node
        if not scope.of_image.intersection(filter(None, node.output))
    )


def _fold(proto: ModelProto) -> None:
    """Compute what operators make from constants, as onnxruntime does on loading."""
    from onnx import numpy_helper

    graph = proto.graph
    weights = initializers(graph)
    known = {"", *weights}
    made: dict[str, NodeProto] = {}
    for node in graph.node:
        if any(node.input) and known.issuperset(node.input) and not any(subgraphs(node)):
            known.update(node.output)
            made |= {name: node for name in node.output if name}
    wanted, others = _ends(graph, made)
    results = _results(proto, made, [*wanted, *others])
    for name, array in results.items():
        sources = (weights[each] for each in _origins(name, made) if each in weights)
        room = max(_SMALL, sum(each.ByteSize() for each in sources))
        if name not in wanted and array.nbytes > room:
            continue
        made[name].output[:] = ["" if each == name else each for each in made[name].output]
        graph.initializer.append(numpy_helper.from_array(array, name))
    if results:
        _drop_unread(graph, {"", *made})


def _ends(graph: GraphProto, made: dict[str, NodeProto]) -> tuple[list[str], list[str]]:
    """The computed constants that others read: those that quantization needs, and the rest."""
    outputs = {info.name for info in graph.output}
    inside = read_by_subgraphs(graph)
    makers = {id(node) for node in made.values()}
    wanted: dict[str, None] = {}
    others: dict[str, None] = {name: None for name in made if name in inside}
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name not in made or name in outputs or id(node) in makers:
                continue
            needed = index in _CONSTANT_INPUTS.get(node.op_type, ())
            (wanted if needed else others)[name] = None
    return list(wanted), [name for name in others if name not in wanted and name not in outputs]


def _results(
    proto: ModelProto, made: dict[str, NodeProto], names: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """The computed constants that onnxruntime can compute."""
    if not names:
        return {}
    try:
        return _run(proto, made, names)
    except ModelError:
        found: dict[str, NDArray[Any]] = {}
        for name in names[:_SEPARATELY] if len(names) > 1 else ():
            found |= _results(proto, made, [name])
        return found


def _run(
    proto: ModelProto, made: dict[str, NodeProto], names: Sequence[str]
) -> dict[str, NDArray[Any]]:
    from onnx import helper

    needed = {id(made[each]) for name in names for each in _origins(name, made) if each in made}
    part = type(proto)(ir_version=proto.ir_version, opset_import=proto.opset_import)
    part.graph.name = "constants"
    part.graph.node.extend(node for node in proto.graph.node if id(node) in needed)
    part.graph.initializer.extend(proto.graph.initializer)
    part.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    drop_unused_initializers(part.graph)
    arrays = open_session(serialize(part)).run(list(names), {})
    return {
        name: array
        for name, array in zip(names, arrays, strict=True)
        if isinstance(array, np.ndarray) and array.dtype != object  # no sequence, no text
    }


def _origins(name: str, made: dict[str, NodeProto]) -> Iterator[str]:
    """A computed constant and all tensors that it is made from."""
    seen, waiting = {name}, [name]
    while waiting:
        yield (each := waiting.pop())
        if each in made:
            new = set(made[each].input) - seen
            seen |= new
            waiting += sorted(new)


def _drop_unread(graph: GraphProto, candidates: set[str]) -> None:
    """Remove operators all of whose outputs are candidates, if nothing reads them."""
    read = {info.name for info in graph.output} | read_by_subgraphs(graph)
    kept: list[NodeProto] = []
    for node in reversed(graph.node):
        if not set(node.output) <= candidates or read.intersection(node.output):
            kept.append(node)
            read.update(filter(None, node.input))  # an input that is left out has no name
    stored = initializers(graph)
    infos = [info for info in graph.value_info if info.name not in stored]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(reversed(kept))
    graph.value_info.extend(infos)
    drop_unused_initializers(graph)


def _fold_sizes(proto: ModelProto) -> bool:
    """Replace each Shape and Size of a tensor of known size; tell whether there was one."""
    from onnx import numpy_helper

    graph = proto.graph
    asking = {node.input[0] for node in graph.node if node.op_type in ("Shape", "Size")}
    sizes = _sizes(proto, asking) if asking else {}
    outputs = {info.name for info in graph.output}
    found = [
        node
        for node in graph.node
        if node.op_type in ("Shape", "Size")
        and node.input[0] in sizes
        and node.output[0] not in outputs
    ]
    for node in found:
        size = sizes[node.input[0]]
        if node.op_type == "Shape":
            given = attributes(node)
            array = np.array(size[slice(given.get("start", 0), given.get("end"))], np.int64)
        else:
            array = np.array(math.prod(size), np.int64)
        graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
        graph.node.remove(node)
    if found:
        drop_unused_initializers(graph)
    return bool(found)


def _sizes(proto: ModelProto, names: set[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of those tensors whose shape follows from that of the input."""
    inferred = _inferred(proto)
    if inferred is None:
        return {}  # `_infer_types` says what is wrong
    return {
        info.name: tuple(dimension.dim_value for dimension in info.type.tensor_type.shape.dim)
        for info in (*inferred.value_info, *inferred.input)
        if info.name in names
        and info.type.tensor_type.HasField("shape")
        and all(dimension.dim_value > 0 for dimension in info.type.tensor_type.shape.dim)
    }


def _inferred(proto: ModelProto) -> GraphProto | None:
    """The graph with the types and shapes of its tensors; None if they contradict each other."""
    from onnx import helper, shape_inference

    graph = proto.graph
    asking = type(proto)(ir_version=proto.ir_version, opset_import=proto.opset_import)
    asking.graph.name = "sizes"
    asking.graph.node.extend(graph.node)
    asking.graph.input.extend(graph.input)
    for info in asking.graph.input:
        for dimension in info.type.tensor_type.shape.dim:
            if dimension.dim_value <= 0:  # some exporters write 0 or -1 for a dynamic one
                dimension.ClearField("value")
    for tensor in graph.initializer:
        if tensor.ByteSize() <= _SMALL:
            asking.graph.initializer.add().CopyFrom(tensor)
        else:
            asking.graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    try:
        return shape_inference.infer_shapes(asking).graph
    except Exception:
        return None


def inline_branches(graph: GraphProto) -> bool:
    """Replace an If with a constant condition by its branch, in place; tell whether there was one.

    Exporters write one for a squeeze of an axis that may have any size.
    """
    from onnx import numpy_helper

    weights = initializers(graph)
    for index, node in enumerate(graph.node):
        if node.op_type != "If" or node.input[0] not in weights:
            continue
        taken = bool(numpy_helper.to_array(weights[node.input[0]]).ravel()[:1].all())
        name = "then_branch" if taken else "else_branch"
        branch = next(a.g for a in node.attribute if a.name == name)
        if branch.sparse_initializer or any(any(subgraphs(inner)) for inner in branch.node):
            continue
        nodes = _own_nodes(graph, branch, node)
        before, after = list(graph.node[:index]), list(graph.node[index + 1 :])
        del graph.node[:]
        graph.node.extend([*before, *nodes, *after])
        drop_unused_initializers(graph)
        return True
    return False


def _own_nodes(graph: GraphProto, branch: GraphProto, node: NodeProto) -> list[NodeProto]:
    """The operators of a branch under names of their own; its constants are added to the graph."""
    from onnx import helper

    prefix = next(filter(None, node.output))
    names = {each.name: f"{prefix}.{each.name}" for each in branch.initializer}
    names |= {n: f"{prefix}.{n}" for inner in branch.node for n in inner.output if n}
    written = {n for inner in branch.node for n in inner.output}
    results = zip(node.output, branch.output, strict=True)
    names |= {own.name: name for name, own in results if name and own.name in written}
    for tensor in branch.initializer:
        graph.initializer.add().CopyFrom(tensor)
        graph.initializer[-1].name = names[tensor.name]
    nodes = []
    for inner in branch.node:
        own = type(inner)()
        own.CopyFrom(inner)
        own.name = f"{prefix}.{inner.name}" if inner.name else ""
        own.input[:] = [names.get(each, each) for each in inner.input]
        own.output[:] = [names.get(each, each) for each in inner.output]
        nodes.append(own)
    for given, made in zip(node.output, branch.output, strict=True):
        read = names.get(made.name, made.name)
        if given and read != given:
            nodes.append(helper.make_node("Identity", [read], [given], f"{given}.branch"))
    return nodes
