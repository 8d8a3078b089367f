"""The gradient of a model as an ONNX graph: how much each activation affects the outputs.

onnxruntime runs models only forward. Here the gradients of the operators are appended to the model
in reverse order (reverse-mode differentiation: Griewank and Walther, "Evaluating Derivatives",
2008). `gradient_rules.py` covers the usual operators of convolutional networks. At an activation
that any other operator reads, a gradient starts there instead of at the output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .gradient_rules import RULES, Known, Writer
from .graph import float_tensors, initializers

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto


class Backward(NamedTuple):
    """A model with its gradient.

    Args:
        proto: the model, with an additional input for each seed.
        seeds: activation that a gradient starts from -> the input that takes this gradient.
        gradients: activation -> the tensor that holds its gradient, which has the same shape.
    """

    proto: ModelProto
    seeds: dict[str, str]
    gradients: dict[str, str]


def backward(model: ModelProto) -> Backward:
    """Append the gradient of a model to it.

    Args:
        model: model with inferred shapes; a rule does not apply if a dimension that it needs is
            unknown.
    """
    from onnx import TensorProto, helper

    write = Writer()
    sums = _Sums(write)
    known = _known(model.graph)
    activations = set(float_tensors(model.graph))
    for info in model.graph.output:
        sums.start(info.name)
    for node in reversed(model.graph.node):
        if not any(map(sums.reaches, node.output)):
            continue
        rule = RULES.get(node.op_type)
        passed = rule(node, [sums.total(n) for n in node.output], known, write) if rule else {}
        for index, gradient in passed.items():
            sums.add(node.input[index], gradient)
        if not passed:
            for name in node.input:
                if name in activations:
                    sums.start(name)
    tensors = [info.name for info in model.graph.input]
    tensors += [name for node in model.graph.node for name in node.output]
    totals = {name: total for name in tensors if (total := sums.total(name))}

    proto = type(model)()
    proto.CopyFrom(model)
    for seed in sums.seeds.values():
        proto.graph.input.append(helper.make_tensor_value_info(seed, TensorProto.FLOAT, None))
    proto.graph.initializer.extend(write.constants)
    proto.graph.node.extend(write.nodes)
    return Backward(proto, sums.seeds, totals)


def _known(graph: GraphProto) -> Known:
    shapes = {
        info.name: tuple(d.dim_value for d in info.type.tensor_type.shape.dim)
        for info in (*graph.value_info, *graph.input, *graph.output)
        if info.type.tensor_type.HasField("shape")
    }
    return Known(shapes, initializers(graph))


class _Sums:
    """The gradient of each activation: the sum of its readers' gradients and of its seed."""

    def __init__(self, write: Writer) -> None:
        self.seeds: dict[str, str] = {}
        self._parts: dict[str, list[str]] = {}
        self._write = write

    def start(self, name: str) -> None:
        """Start a gradient at an activation."""
        if name not in self.seeds:
            self.seeds[name] = f"{name}/seed"
            self.add(name, self.seeds[name])

    def add(self, name: str, part: str) -> None:
        self._parts.setdefault(name, []).append(part)

    def reaches(self, name: str) -> bool:
        """Whether a gradient reaches an activation."""
        return name in self._parts

    def total(self, name: str) -> str | None:
        """The sum, once all readers have added theirs; None if no gradient reaches this."""
        parts = self._parts.get(name, [])
        if len(parts) > 1:
            parts[:] = [self._write.op("Sum", *parts)]
        return parts[0] if parts else None
