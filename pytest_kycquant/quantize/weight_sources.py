"""Follow each weight back to the constants that it is computed from.

A file may store weights in few bits and turn them into floats by operators of any kind. What counts
is therefore not the type of the tensor that an operator reads, but the constants from which its
values come. Inputs that only say where values go, such as the shape of a Reshape, are not followed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..runtimes.model_files import subgraphs, within

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

_ALL = tuple(range(64))
KERNEL_INPUTS = {
    "Conv": (1,), "ConvTranspose": (1,), "DeformConv": (1,), "LSTM": (1, 2), "GRU": (1, 2),
    "RNN": (1, 2), "FusedConv": (1,), "NhwcConv": (1,), "NhwcFusedConv": (1,),
    "ConvTransposeWithDynamicPads": (1,),
}  # fmt: skip
"""Operator types with inputs that are weights even if they are computed from the image."""
PRODUCT_INPUTS = {
    "Gemm": (0, 1), "MatMul": (0, 1), "Einsum": _ALL, "FusedMatMul": (0, 1), "FusedGemm": (0, 1),
    "TransposeMatMul": (0, 1), "FusedMatMulActivation": (0, 1), "GemmFastGelu": (1,),
    "Attention": (1,),
}  # fmt: skip
"""Operator types whose factors are weights unless both are computed from the image."""
_SCALE_INPUTS = {
    "Mul": (0, 1), "Div": (0, 1), "PRelu": (1,), "BatchNormalization": (1, 2, 3, 4),
    "InstanceNormalization": (1, 2), "LayerNormalization": (1, 2), "GroupNormalization": (1, 2),
}  # fmt: skip
"""Operator types that can do the work of weights with a constant input."""
_NOT_DATA = {
    "Reshape": (1,), "Expand": (1,), "Slice": (1, 2, 3, 4), "Squeeze": (1,), "Unsqueeze": (1,),
    "Tile": (1,), "Pad": (1, 3), "Split": (1,), "ConstantOfShape": (0,), "Resize": (1, 2, 3),
    "Upsample": (1,), "TopK": (1,), "CumSum": (1,), "Trilu": (1,), "Shape": (0,), "Size": (0,),
    "OneHot": (1,), "SequenceAt": (1,), "SplitToSequence": (1,), "Loop": (0,), "EyeLike": (0,),
    "ScatterND": (1,), "ScatterElements": (1,), "Scatter": (1,), "Dropout": (1, 2),
    "Compress": (1,), "ReduceSum": (1,), "ReduceMean": (1,), "ReduceMax": (1,), "ReduceMin": (1,),
    "ReduceProd": (1,), "ReduceL1": (1,), "ReduceL2": (1,), "ReduceSumSquare": (1,),
    "ReduceLogSum": (1,), "ReduceLogSumExp": (1,),
}  # fmt: skip
"""Operator type -> inputs whose values are not among those of its outputs."""
_LOOKUPS = {"Gather": 1, "GatherElements": 1, "GatherND": 1, "OneHot": 0}
"""Operator type -> the input with indices; these repeat values of a table."""
STANDARD = ("", "ai.onnx")


@dataclass(frozen=True)
class Source:
    """A constant from which values of a weight come.

    Args:
        name: name of the constant.
        tensor: its content.
        rows: number of entries of the table that it is an index into; None if it is not an index.
    """

    name: str
    tensor: TensorProto
    rows: int | None = None


@dataclass(frozen=True)
class Weight:
    """An input of an operator that is a weight.

    Args:
        name: name of the tensor.
        node: the operator that reads it.
        sources: constants from which its values come.
        steps: operators through which they come; those that compute indices are left out.
        certain: whether the input can only be a weight; otherwise some of the constants may shape
            an activation, such as an attention mask.
        scope: the graph or subgraph with that operator.
    """

    name: str
    node: NodeProto
    sources: tuple[Source, ...]
    steps: tuple[NodeProto, ...]
    certain: bool
    scope: Scope


def weights_of(proto: ModelProto) -> Iterator[Weight]:
    """Yield the weights of a valid model without local functions, those of subgraphs included."""
    for scope in scopes_within(proto.graph, None, None):
        for node in scope.part.node:
            yield from _weights(scope, node)


@dataclass(eq=False)
class Scope:
    """A graph or subgraph: who writes each of its tensors.

    Args:
        part: the graph.
        parent: the one with the operator that it belongs to; None for the graph of the model.
        owner: that operator.
        written: tensor -> the operator that writes it.
        stored: initializer -> its content.
        given: inputs without a value of their own.
        of_image: tensors whose values depend on the image.
    """

    part: GraphProto
    parent: Scope | None
    owner: NodeProto | None
    written: dict[str, NodeProto] = field(default_factory=dict)
    stored: dict[str, list[TensorProto]] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    of_image: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.stored = {tensor.name: [tensor] for tensor in self.part.initializer}
        for sparse in self.part.sparse_initializer:
            self.stored[sparse.values.name] = [sparse.values]
        self.given = {info.name for info in self.part.input} - self.stored.keys()
        if self.parent is None or self.owner is None or self.parent.reads_image(self.owner):
            self.of_image = set(self.given)

    def find(self, name: str) -> Scope | None:
        """The scope in which a name is defined."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.written or name in scope.stored or name in scope.given:
                return scope
            scope = scope.parent
        return None

    def is_of_image(self, name: str) -> bool:
        """Whether values of a tensor depend on the image."""
        scope = self.find(name)
        return scope is not None and name in scope.of_image

    def reads_image(self, node: NodeProto) -> bool:
        """Whether values that an operator computes depend on the image."""
        names = [name for _, name in data_inputs(node)]
        inside = (part for graph in subgraphs(node) for part in within(graph))
        names += [name for part in inside for inner in part.node for name in inner.input]
        return any(self.is_of_image(name) for name in names)


def scopes_within(
    part: GraphProto, parent: Scope | None, owner: NodeProto | None
) -> Iterator[Scope]:
    """A scope and those of all subgraphs, each complete."""
    scope = Scope(part, parent, owner)
    inner = []
    for node in part.node:
        for subgraph in subgraphs(node):
            inner += list(scopes_within(subgraph, scope, node))
        of_image = scope.reads_image(node)
        for name in filter(None, node.output):
            scope.written[name] = node
            if of_image:
                scope.of_image.add(name)
    yield scope
    yield from inner


def data_inputs(node: NodeProto) -> Iterator[tuple[int, str]]:
    """Index and name of the inputs whose values an operator passes on or computes with."""
    skipped = _NOT_DATA.get(node.op_type, ()) if node.domain in STANDARD else ()
    for index, name in enumerate(node.input):
        if name and index not in skipped:
            yield index, name


def _weights(scope: Scope, node: NodeProto) -> Iterator[Weight]:
    kernels = KERNEL_INPUTS.get(node.op_type, ())
    products = PRODUCT_INPUTS.get(node.op_type, ())
    scales = _SCALE_INPUTS.get(node.op_type, ())
    if not (kernels or products or scales):
        if node.domain in STANDARD:
            return
        scales = _ALL  # an operator of a runtime, which may hold weights anywhere
    if scales and not scope.reads_image(node):
        return  # it computes a constant, which counts where that is read
    for index, name in enumerate(node.input):
        of_image = scope.is_of_image(name)
        if name and (index in kernels or index in products or (index in scales and not of_image)):
            sources, steps = _followed(scope, name)
            certain = index in kernels or (index in products and not of_image)
            if sources or certain:
                yield Weight(name, node, sources, steps, certain, scope)


def _followed(start: Scope, name: str) -> tuple[tuple[Source, ...], tuple[NodeProto, ...]]:
    """The constants from which a tensor's values come, and the operators on the way."""
    sources: list[Source] = []
    steps: list[NodeProto] = []
    seen: set[tuple[int, str]] = set()
    scopes: list[Scope] = []  # kept, because `seen` knows them by identity
    waiting: list[tuple[Scope, str, int | None]] = [(start, name, None)]
    while waiting:
        at, read, rows = waiting.pop()
        scope = at.find(read)
        if scope is None or (id(scope), read) in seen:
            continue
        seen.add((id(scope), read))
        sources += [Source(read, tensor, rows) for tensor in scope.stored.get(read, ())]
        if read in scope.given and scope.owner is not None and scope.parent is not None:
            waiting += [(scope.parent, each, rows) for _, each in data_inputs(scope.owner)]
        node = scope.written.get(read)
        if node is None:
            continue
        sources += [Source(read, tensor, rows) for tensor in _held(node)]
        if ends(node) and read in scope.of_image:
            continue  # an activation
        if rows is None:
            steps.append(node)
        lookup = _LOOKUPS.get(node.op_type) if node.domain in STANDARD else None
        for index, each in data_inputs(node):
            table = _rows(scope, node) if index == lookup else rows
            waiting.append((scope, each, table))
        for subgraph in subgraphs(node):
            inner = next(scopes_within(subgraph, scope, node))
            scopes.append(inner)
            waiting += [(inner, output.name, rows) for output in subgraph.output]
    return tuple(sources), tuple(steps)


def ends(node: NodeProto) -> bool:
    """Whether what an operator computes from an image is an activation for certain."""
    weighted = node.op_type in KERNEL_INPUTS or node.op_type in PRODUCT_INPUTS
    return weighted or node.op_type in ("Softmax", "LogSoftmax")


def _held(node: NodeProto) -> Iterator[TensorProto]:
    """Constants that an operator holds as attributes."""
    from onnx import TensorProto, helper

    if node.op_type == "ConstantOfShape":
        return
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("sparse_tensor"):
            yield attribute.sparse_tensor.values
        if node.op_type in ("Constant", "LabelEncoder"):
            if attribute.floats:
                count = [len(attribute.floats)]
                yield helper.make_tensor("", TensorProto.FLOAT, count, attribute.floats)
            if attribute.ints:
                count = [len(attribute.ints)]
                yield helper.make_tensor("", TensorProto.INT64, count, attribute.ints)
            letters = [*attribute.strings, *([attribute.s] if attribute.HasField("s") else [])]
            if letters:  # a string may hold any number of numbers
                count = [sum(map(len, letters))]
                yield TensorProto(data_type=TensorProto.STRING, dims=count)


def _rows(scope: Scope, node: NodeProto) -> int:
    """Number of entries of the table that a lookup repeats."""
    if node.op_type == "OneHot":
        return 0
    table = node.input[0]
    at = scope.find(table)
    stored = [] if at is None else list(at.stored.get(table, ()))
    if at is not None and not stored and (writer := at.written.get(table)) is not None:
        stored = list(_held(writer))
    if not stored:  # computed, perhaps from more values than it has
        sources, _ = _followed(scope, table)
        return int(max(1, sum(math.prod(source.tensor.dims) for source in sources)))
    dims = stored[0].dims
    if node.op_type != "Gather":
        return int(max(1, math.prod(dims)))
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    return int(dims[axis]) if -len(dims) <= axis < len(dims) else 1
