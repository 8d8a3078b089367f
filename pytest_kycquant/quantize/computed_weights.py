"""Weights as layers read them, where operators compute them from constants.

What a file stores says little of what the operators behind it make of it, so they are run. A file
may ask for any amount of work: sizes are known before anything is run, and what has no known size,
or too large a one, is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ModelError, one_line
from ..runtimes.model_files import subgraphs
from ..runtimes.ort import open_session
from ..spec.coerce import shown
from .weight_sources import STANDARD, Scope, Weight, data_inputs, ends, scopes_within

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto, ValueInfoProto

    Place = tuple[Scope, str]
    Computed = Sequence[Mapping[str, NDArray[np.floating]]]
    """For each weight, names and values of its computed parts."""

_LEAST_BYTES = 1 << 30
_TIMES_CONSTANTS = 8
"""Most bytes that operators may write: the larger of `_LEAST_BYTES` and so often the constants."""
_ROUNDS = 32  # in each, sizes follow from the values of the one before
_OPEN = (1, 3, 128, 128)  # dimensions of the image where the model leaves them open
_REMEDY = "export the model with its weights stored as they are, with constants folded"


def computed_parts(weight: Weight) -> Iterator[Place]:
    """Yield the tensors of a weight that operators compute from constants alone.

    That is the weight itself or, if it depends on the image, the largest parts of it that do not.
    What the file stores is left out.
    """
    seen: set[Place] = set()
    waiting: list[Place] = [(weight.scope, weight.name)]
    while waiting:
        start, name = waiting.pop()
        scope = start.find(name)
        if scope is None or (scope, name) in seen or name in scope.stored:
            continue
        seen.add((scope, name))
        if name in scope.given:
            if scope.parent is not None and scope.owner is not None:
                waiting += [(scope.parent, each) for _, each in data_inputs(scope.owner)]
            continue
        node = scope.written[name]
        if name not in scope.of_image:
            if node.op_type != "Constant" or node.domain not in STANDARD:
                yield scope, name
        elif not ends(node):
            waiting += [(scope, each) for _, each in data_inputs(node)]
            for subgraph in subgraphs(node):
                inner = next(scopes_within(subgraph, scope, node))
                waiting += [(inner, output.name) for output in subgraph.output]


def computed_weights(path: Path, proto: ModelProto, weights: Sequence[Weight]) -> Computed:
    """The values of all `computed_parts` of weights.

    Args:
        path: the file, for messages.
        proto: a valid model without local functions.
        weights: weights of the model; only those that are certain are computed, and only where a
            layer applies them to what depends on the image.

    Returns:
        For each weight, names and values of its parts, in the shape in which they are read.

    Raises:
        ModelError: a weight cannot be computed, not within the limits, or is not finite.
    """
    places = [
        tuple(computed_parts(weight))
        if weight.certain and weight.scope.reads_image(weight.node)
        else ()
        for weight in weights
    ]
    readers: dict[Scope, dict[str, Weight]] = {}
    for weight, parts in zip(weights, places, strict=True):
        for scope, name in parts:
            readers.setdefault(scope, {}).setdefault(name, weight)
    values: dict[Place, NDArray[np.floating]] = {}
    left = max(_LEAST_BYTES, _TIMES_CONSTANTS * proto.ByteSize()) if readers else 0
    for scope, names in readers.items():
        try:
            arrays, left = _values(proto, _needed(scope, names), tuple(names), left)
            for name, array in arrays.items():
                values[scope, name] = _numbers(name, array)
        except _RefusedError as refused:
            weight = next(
                (names[name] for name in names if refused.tensor in _written(scope, name)),
                next(iter(names.values())),
            )
            raise ModelError(
                path,
                f"weight {shown(weight.name)} of {weight.node.op_type} is computed from constants "
                f"and cannot be checked: {refused}",
                _REMEDY,
            ) from None
    return [{name: values[scope, name] for scope, name in parts} for parts in places]


def _numbers(name: str, array: NDArray[Any]) -> NDArray[np.floating]:
    """A weight as floats."""
    if array.dtype.kind not in "fiub":
        raise _RefusedError("it does not hold real numbers", name)
    if not np.isfinite(array).all():
        raise _RefusedError("it contains NaN or Inf", name)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


class _RefusedError(Exception):
    """Why a weight cannot be computed, and the tensor at which it was seen, if it is known."""

    def __init__(self, problem: str, tensor: str = "") -> None:
        super().__init__(problem)
        self.tensor = tensor


@dataclass
class _Needed:
    """What tensors are computed from.

    Args:
        scopes: name of each tensor -> the scope that defines it.
        nodes: the operators, in an order in which they can run.
    """

    scopes: dict[str, Scope] = field(default_factory=dict)
    nodes: list[NodeProto] = field(default_factory=list)


def _needed(scope: Scope, names: Iterable[str]) -> _Needed:
    """All operators and constants that tensors of a scope are computed from."""
    found = _Needed()
    waiting = [(scope, name) for name in names]
    while waiting:
        start, name = waiting.pop()
        at = start.find(name)
        if at is None or found.scopes.get(name) is at:
            continue
        if name in found.scopes:
            raise _RefusedError(f"two tensors have the name {shown(name)}", name)
        found.scopes[name] = at
        if name in at.given and at.parent is not None:
            raise _RefusedError("it differs from one iteration of a loop to the next", name)
        if (node := at.written.get(name)) is None:
            continue
        if next(iter(subgraphs(node)), None) is not None:
            raise _RefusedError(f"how much {node.op_type} computes is not known before", name)
        waiting += [(at, each) for each in node.input if each]
    chain = [scope]
    while chain[-1].parent is not None:
        chain.append(chain[-1].parent)
    for at in reversed(chain):
        for node in at.part.node:
            if any(found.scopes.get(name) is at for name in node.output):
                found.nodes.append(node)
    return found


def _written(scope: Scope, name: str) -> Iterable[str]:
    """Names of all tensors that one is computed from, as far as that can be told."""
    try:
        return _needed(scope, [name]).scopes
    except _RefusedError as refused:
        return (refused.tensor, name)


def _values(
    proto: ModelProto, needed: _Needed, names: Sequence[str], left: int
) -> tuple[dict[str, NDArray[Any]], int]:
    """Values of tensors, and how many bytes of `left` remain."""
    from onnx import numpy_helper

    model = _model(proto, needed)
    images = {info.name: _zeros(info) for info in model.graph.input}
    left -= model.ByteSize()  # a constant may be copied for each of many subgraphs
    if left < 0:
        raise _RefusedError("all such weights together are too large")
    nodes = list(needed.nodes)
    found: dict[str, NDArray[Any]] = {}
    for _ in range(_ROUNDS):
        del model.graph.node[:], model.graph.output[:]
        model.graph.node.extend(nodes)
        infos = _inferred(model)
        known = set(infos).__contains__
        sized = set(images) | {tensor.name for tensor in model.graph.initializer}
        sized |= {sparse.values.name for sparse in model.graph.sparse_initializer}
        ready, later = [], []
        for node in nodes:
            outputs = [name for name in node.output if name]
            if all(map(known, outputs)) and all(each in sized for each in node.input if each):
                ready.append(node)
                sized.update(outputs)
            else:
                later.append(node)
        if not ready:
            first = later[0]
            raise _RefusedError(
                f"how much {first.op_type} computes is not known before", _output(first)
            )
        for node in ready:
            left -= sum(_bytes(infos[name]) for name in node.output if name)
            if left < 0:
                raise _RefusedError(f"{node.op_type} makes it too large", _output(node))
        wanted = {*names, *(name for node in later for name in node.input)}
        written = [name for node in ready for name in node.output if name in wanted and name]
        del model.graph.node[:]
        model.graph.node.extend(ready)
        arrays = _run(model, [infos[name] for name in written], images)
        found.update((name, array) for name, array in arrays.items() if name in names)
        if not later:
            return found, left
        for name, array in arrays.items():
            model.graph.initializer.append(numpy_helper.from_array(array, name))
        nodes = later
    raise _RefusedError("too many sizes depend on each other")


def _output(node: NodeProto) -> str:
    return next(filter(None, node.output), "")


def _model(proto: ModelProto, needed: _Needed) -> ModelProto:
    """A model with the constants and the image that operators need, without the operators."""
    model = type(proto)(ir_version=proto.ir_version)
    domains = {node.domain for node in needed.nodes} | set(STANDARD)
    model.opset_import.extend(each for each in proto.opset_import if each.domain in domains)
    graph = model.graph
    graph.name = "weights"
    for scope in dict.fromkeys(needed.scopes.values()):
        part = scope.part
        here = {name for name, at in needed.scopes.items() if at is scope}
        graph.initializer.extend(each for each in part.initializer if each.name in here)
        graph.sparse_initializer.extend(
            each for each in part.sparse_initializer if each.values.name in here
        )
        for info in part.input:
            if info.name in here & scope.given:
                image = graph.input.add()
                image.CopyFrom(info)
                for dim, size in zip(image.type.tensor_type.shape.dim, _shape(info), strict=True):
                    dim.dim_value = size
    return model


def _zeros(info: ValueInfoProto) -> NDArray[Any]:
    """An input of zeros, in its type."""
    from onnx import helper

    return np.zeros(_shape(info), helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type))


def _shape(info: ValueInfoProto) -> tuple[int, ...]:
    dims = info.type.tensor_type.shape.dim
    open_sizes = _OPEN if len(dims) == len(_OPEN) else (1,) * len(dims)
    pairs = zip(dims, open_sizes, strict=True)
    return tuple(dim.dim_value if dim.dim_value > 0 else size for dim, size in pairs)


def _inferred(model: ModelProto) -> dict[str, ValueInfoProto]:
    """Types of the tensors whose sizes are known before they are computed."""
    from onnx import shape_inference

    try:
        inferred = shape_inference.infer_shapes(model)
    except Exception as error:
        raise _RefusedError(f"its sizes are not known ({one_line(error)})") from error
    return {
        info.name: info
        for info in inferred.graph.value_info
        if info.type.tensor_type.elem_type
        and info.type.tensor_type.HasField("shape")
        and all(dim.HasField("dim_value") for dim in info.type.tensor_type.shape.dim)
    }


def _bytes(info: ValueInfoProto) -> int:
    from onnx import helper

    kind = info.type.tensor_type
    size = int(helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize)
    return math.prod((int(dim.dim_value) for dim in kind.shape.dim), start=size)


def _run(
    model: ModelProto, outputs: Sequence[ValueInfoProto], images: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    model.graph.output.extend(outputs)
    names = [info.name for info in outputs]
    try:
        # Unoptimized: optimization would run operators while it cannot be stopped.
        session = open_session(model.SerializeToString(), optimize=False)
        arrays = session.run(names, images)
    except ModelError as error:
        raise _RefusedError(error.problem) from error
    except Exception as error:  # more than 2 GB
        raise _RefusedError(one_line(error)) from error
    return dict(zip(names, arrays, strict=True))
