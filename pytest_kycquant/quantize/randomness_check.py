"""Operators that draw random numbers: a model with them is not a function of its image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..runtimes.model_files import parts
from ..spec.coerce import shown
from .weight_sources import STANDARD

if TYPE_CHECKING:
    from onnx import FunctionProto, GraphProto, ModelProto, NodeProto

_ALWAYS = frozenset(
    {
        "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial",
        "Bernoulli", "Sampling", "BiasDropout", "BitmaskDropout", "BitmaskBiasDropout",
    }
)  # fmt: skip


def check_deterministic(path: Path, proto: ModelProto) -> None:
    """Refuse operators that draw random numbers, also in subgraphs.

    A seed does not help: it makes runs of the program equal, not runs of the session.

    Raises:
        ModelError: the model has such an operator.
    """
    for part in parts(proto):
        constants = None
        for node in part.node:
            random = node.op_type in _ALWAYS
            if node.op_type == "Dropout" and node.domain in STANDARD:
                constants = _constants(part) if constants is None else constants
                random = _drops(node, constants)
            if random:
                named = f" {shown(node.name)}" if node.name else ""
                raise ModelError(
                    path,
                    f"is not a function of its image: {node.op_type}{named} draws random numbers",
                    "export the model in evaluation mode",
                )


def foreign_operators(proto: ModelProto) -> tuple[str, ...]:
    """Types of operators that ONNX does not define: only their runtime knows what they do."""
    local = {(function.domain, function.name) for function in proto.functions}
    found = {
        f"{node.domain}:{node.op_type}"
        for part in parts(proto)
        for node in part.node
        if node.domain not in STANDARD and (node.domain, node.op_type) not in local
    }
    return tuple(sorted(found))


def _drops(node: NodeProto, constants: dict[str, bool]) -> bool:
    """Whether a Dropout drops values: since opset 12 by its third input, before 7 unless told."""
    if any(a.name == "is_test" for a in node.attribute):  # opsets 1 and 6
        return not next(a.i for a in node.attribute if a.name == "is_test")
    training = node.input[2] if len(node.input) > 2 else ""
    return bool(training) and constants.get(training, True)


def _constants(part: GraphProto | FunctionProto) -> dict[str, bool]:
    """Constants of a graph or function that are one value, as truth values."""
    from onnx import TensorProto, numpy_helper

    found = {tensor.name: tensor for tensor in getattr(part, "initializer", ())}
    for node in part.node:
        if node.op_type == "Constant" and node.output:
            found.update((node.output[0], a.t) for a in node.attribute if a.name == "value")
    return {
        name: bool(numpy_helper.to_array(tensor).reshape(-1)[0])
        for name, tensor in found.items()
        if tensor.data_type == TensorProto.BOOL and list(tensor.dims) in ([], [1])
    }
