"""Are activations rounded inside the model? That is what fake quantization leaves.

Rounding alone says nothing: positions, sizes and indices are rounded in sound models. Refused is
only what a layer with weights computes, if it is rounded and then reaches such a layer as numbers,
through operators that scale, shift, limit or move them, by constants or by their largest value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..runtimes.model_files import subgraphs
from ..spec.coerce import shown
from .graph import type_name
from .weight_sources import KERNEL_INPUTS, PRODUCT_INPUTS, STANDARD, data_inputs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnx import GraphProto, ModelProto, NodeProto

_ROUNDING = frozenset({"Round", "Floor", "Ceil", "CastLike"})  # the last to an unknown type
_FLOATS = frozenset({"FLOAT", "DOUBLE"})
_NO_NUMBERS = frozenset({"BOOL", "STRING"})  # a choice or a text
_NO_VALUES = frozenset(
    {
        "ArgMax", "ArgMin", "NonZero", "NonMaxSuppression", "Shape", "Size", "Greater", "Less",
        "GreaterOrEqual", "LessOrEqual", "Equal", "And", "Or", "Xor", "Not", "IsNaN", "IsInf",
        "OneHot", "Unique",
    }
)  # fmt: skip
"""Operator types whose outputs are indices, sizes or truth values."""
_REDUCTIONS = frozenset({"ReduceMax", "ReduceMin"})
_ARITHMETIC = frozenset({"Mul", "Div", "Add", "Sub", "Min", "Max", "Sum", "Mean", "Pow"})
_ALONE = frozenset(
    {
        "Identity", "Cast", "CastLike", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze",
        "Slice", "Pad", "Split", "Concat", "Expand", "Tile", "Gather", "Dropout", "Resize",
        "Upsample", "DepthToSpace", "SpaceToDepth", "Neg", "Abs", "Relu", "LeakyRelu", "PRelu",
        "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "MaxPool", "AveragePool",
        "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "BatchNormalization", "Reciprocal",
        "Elu", "Selu", "Celu", "ThresholdedRelu", "Softplus", "Softsign", "Gelu", "Mish", "Erf",
        "LpPool", "GlobalLpPool", "LRN", "InstanceNormalization", "LayerNormalization",
        "GroupNormalization", "MeanVarianceNormalization", "LpNormalization",
    }
)  # fmt: skip
"""Operator types that pass numbers on, each for itself or normalized."""


@dataclass(frozen=True)
class _Rounded:
    """A tensor of rounded activations.

    Args:
        by: what rounds them.
        of: the tensor that is rounded.
        rest: whether it is what rounding takes away instead of what it leaves.
    """

    by: str
    of: str
    rest: bool = False


@dataclass
class _State:
    """What is known of tensors.

    Args:
        of_image: those that depend on the image.
        activations: those that are computed from what layers with weights compute.
        extremes: those that only hold largest or smallest values, or are computed from them.
        rounded: activations that are rounded.
    """

    of_image: set[str] = field(default_factory=set)
    activations: set[str] = field(default_factory=set)
    extremes: set[str] = field(default_factory=set)
    rounded: dict[str, _Rounded] = field(default_factory=dict)

    def forget(self, names: Iterable[str]) -> None:
        """Names that are written now; a subgraph may use those of another one again."""
        for name in names:
            for known in (self.of_image, self.activations, self.extremes):
                known.discard(name)
            self.rounded.pop(name, None)


@dataclass(frozen=True)
class _Result:
    """What is known of an output of a subgraph."""

    of_image: bool
    activation: bool
    rounded: _Rounded | None


def check_activations(path: Path, proto: ModelProto) -> None:
    """Refuse activations that are rounded on their way from one layer with weights to another.

    Args:
        path: the file, for messages.
        proto: a valid model without local functions.

    Raises:
        ModelError: the model rounds activations.
    """
    stored = {tensor.name for tensor in proto.graph.initializer}
    state = _State(of_image={info.name for info in proto.graph.input} - stored)
    _follow(path, proto.graph, state)


def _follow(path: Path, part: GraphProto, state: _State) -> None:
    for node in part.node:
        names = [name for _, name in data_inputs(node)]
        layer = node.op_type in KERNEL_INPUTS or node.op_type in PRODUCT_INPUTS
        for name in names if layer else ():
            if (found := state.rounded.get(name)) and not found.rest:
                raise ModelError(
                    path,
                    f"is already quantized: {found.by} rounds activations that {_named(node)} "
                    "reads",
                    "give the FP32 model from which it was made",
                )
        inner = [_inside(path, subgraph, node, state) for subgraph in subgraphs(node)]
        results = [result for made in inner for result in made]
        outputs = [name for name in node.output if name]
        state.forget(outputs)
        if any(name in state.of_image for name in names) or any(r.of_image for r in results):
            state.of_image.update(outputs)
        computed = layer and any(name in state.of_image for name in names)
        computed |= any(name in state.activations for name in names)
        computed |= any(result.activation for result in results)
        if computed and node.op_type not in _NO_VALUES and not _cast_to(node):
            state.activations.update(outputs[:1] if node.op_type == "TopK" else outputs)
        if found := _rounded(node, state):
            state.rounded.update(dict.fromkeys(outputs, found))
        for made in inner:
            for name, result in zip(node.output, made, strict=False):
                if result.rounded:
                    state.rounded[name] = result.rounded
        if node.op_type in _REDUCTIONS or (
            node.op_type in _ARITHMETIC | _ALONE
            and any(name in state.extremes for name in names)
            and all(name in state.extremes or name not in state.of_image for name in names)
        ):
            state.extremes.update(outputs)


def _inside(path: Path, part: GraphProto, owner: NodeProto, state: _State) -> list[_Result]:
    """Follow a subgraph; what it is given may come from any input of its operator."""
    given = [info.name for info in part.input]
    state.forget([*given, *(tensor.name for tensor in part.initializer)])
    names = [name for _, name in data_inputs(owner)]
    if any(name in state.of_image for name in names):
        state.of_image.update(given)
    if any(name in state.activations for name in names):
        state.activations.update(given)
    if found := next((state.rounded[name] for name in names if name in state.rounded), None):
        state.rounded.update(dict.fromkeys(given, found))
    _follow(path, part, state)
    made = [output.name for output in part.output][owner.op_type == "Loop" :]  # no condition
    return [
        _Result(name in state.of_image, name in state.activations, state.rounded.get(name))
        for name in made
    ]


def _rounded(node: NodeProto, state: _State) -> _Rounded | None:
    """What rounds the outputs of an operator; None if nothing does."""
    if node.domain not in STANDARD:
        return None
    names = [name for _, name in data_inputs(node)]
    first = names[0] if names else ""
    found = [state.rounded[name] for name in names if name in state.rounded]
    if not found:
        if first not in state.activations:
            return None
        if node.op_type in _ROUNDING:
            return _Rounded(_named(node), first)
        if (kind := _cast_to(node)) and kind not in _NO_NUMBERS:
            return _Rounded(f"{_named(node)} to {kind.lower()}", first)
        if node.op_type == "Mod":
            return _Rounded(_named(node), first, rest=True)
        return None
    known = found[0]
    others = [name for name in names if state.rounded.get(name) != known]
    if node.op_type in ("Add", "Sub") and others == [known.of]:  # as in x + (round(x) - x)
        rest = node.op_type == "Sub" and not known.rest
        return _Rounded(known.by, known.of, rest) if rest or known.rest else None
    if node.op_type in _ALONE:  # where what is rounded is not only an index or a factor
        passes = known.rest is False or node.op_type in ("Identity", "Cast")
        return known if passes and (node.op_type == "Concat" or first in state.rounded) else None
    if known.rest or node.op_type not in _ARITHMETIC | _ROUNDING | {"Mod"}:
        return None
    harmless = (
        name not in state.of_image or name in state.extremes or name in state.rounded
        for name in others
    )
    return known if all(harmless) else None


def _cast_to(node: NodeProto) -> str:
    """Type that floats are cast to; "" if they stay as exact as they are."""
    if node.op_type != "Cast":
        return ""
    kind = type_name(next((a.i for a in node.attribute if a.name == "to"), 1))
    return "" if kind in _FLOATS else kind


def _named(node: NodeProto) -> str:
    return f"{node.op_type} {shown(node.name)}" if node.name else node.op_type
