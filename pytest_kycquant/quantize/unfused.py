"""Takes apart what onnxruntime fused when it saved a model: quantizers know only the parts.

A file that onnxruntime saved with its optimizations has operators of its own in place of a Conv and
its activation, and no recipe would quantize them. The parts compute the same; when a variant is
loaded, onnxruntime fuses what is left in FP32 again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .graph import attributes, drop_unused_initializers, initializers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

_DOMAIN = "com.microsoft"
_OF_CONV: Mapping[str, tuple[str, ...]] = {
    "Relu": (), "Sigmoid": (), "Tanh": (), "HardSwish": (), "LeakyRelu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"), "Clip": ("min", "max"),
}  # fmt: skip
"""Activations of FusedConv -> what its parameters are, in their order."""
_OF_GEMM = (
    "Relu", "LeakyRelu", "Sigmoid", "Tanh", "Elu", "Selu", "HardSigmoid", "Softplus", "Softsign",
    "ThresholdedRelu",
)  # fmt: skip
"""Activations of FusedGemm; their parameters are attributes with a prefix."""
_PREFIX = "activation_"


def unfuse(proto: ModelProto) -> None:
    """Replace fused operators by their parts, in place; the first one keeps the name.

    An operator whose parts are not known, or whose parts need a rank that is not, stays as it is.
    """
    from onnx import shape_inference

    while any(n.domain == _DOMAIN and n.op_type in _RULES for n in proto.graph.node):
        try:
            inferred = shape_inference.infer_shapes(proto).graph
        except Exception:
            return  # `_infer_types` says what is wrong
        parts = _Parts(proto.graph, (*inferred.value_info, *inferred.input, *inferred.output))
        nodes = []
        for node in proto.graph.node:
            rule = _RULES.get(node.op_type) if node.domain == _DOMAIN else None
            made = rule(node, attributes(node), parts) if rule else None
            nodes += [node] if made is None else made
        if not parts.used:
            return
        del proto.graph.node[:]
        proto.graph.node.extend(nodes)
        drop_unused_initializers(proto.graph)


class _Parts:
    """Makes parts with names that nothing else has."""

    def __init__(self, graph: GraphProto, infos: Iterable[ValueInfoProto]) -> None:
        self.used = False
        self.weights: dict[str, TensorProto] = initializers(graph)
        self.ranks = {
            info.name: len(info.type.tensor_type.shape.dim)
            for info in infos
            if info.type.tensor_type.HasField("shape")
        }
        self._graph = graph
        self._taken = {n for node in graph.node for n in (*node.input, *node.output, node.name)}
        self._taken |= set(self.weights)

    def name(self, wanted: str) -> str:
        """A name that nothing has, which is taken from now on."""
        while wanted in self._taken:
            wanted += "."
        self._taken.add(wanted)
        return wanted

    def store(self, wanted: str, array: Any) -> str:
        """Name of a new float32 constant."""
        from onnx import numpy_helper

        name = self.name(wanted)
        self._graph.initializer.append(numpy_helper.from_array(np.float32(array), name))
        return name

    def node(
        self, op_type: str, inputs: list[str], output: str, name: str, **given: Any
    ) -> NodeProto:
        """A part; operators that have no name get none."""
        from onnx import helper

        self.used = True
        return helper.make_node(op_type, inputs, [output], name, **given)

    def label(self, node: NodeProto, what: str) -> str:
        """Name of a further part of an operator."""
        return self.name(f"{node.name}/{what}") if node.name else ""


def _conv(node: NodeProto, given: dict[str, Any], parts: _Parts) -> list[NodeProto] | None:
    """A Conv, the addition of a fourth input if there is one, and an activation."""
    activation = _text(given.pop("activation", ""))
    values = given.pop("activation_params", ())
    wanted = _OF_CONV.get(activation)
    if activation and (wanted is None or len(values) < len(wanted)):
        return None
    inputs, last = list(node.input), node.output[0]
    added = inputs.pop() if len(inputs) > 3 else ""
    steps = [step for step, there in (("sum", added), ("activation", activation)) if there]
    names = [parts.name(f"{last}/{step}") for step in steps]
    made = [parts.node("Conv", inputs, [*names, last][0], node.name, **given)]
    if added:
        output = [*names, last][1]
        made.append(parts.node("Add", [names[0], added], output, parts.label(node, "sum")))
    if activation:
        options = dict(zip(wanted or (), values, strict=False))
        read = [names[-1]]
        if activation == "Clip":
            read += [parts.store(f"{last}/{end}", options.pop(end)) for end in ("min", "max")]
        label = parts.label(node, "activation")
        made.append(parts.node(activation, read, last, label, **options))
    return made


def _gemm(node: NodeProto, given: dict[str, Any], parts: _Parts) -> list[NodeProto] | None:
    """A Gemm and an activation."""
    activation = _text(given.pop("activation", ""))
    if activation not in _OF_GEMM:
        return None
    options = {n.removeprefix(_PREFIX): v for n, v in given.items() if n.startswith(_PREFIX)}
    own = {n: v for n, v in given.items() if not n.startswith(_PREFIX)}
    between = parts.name(f"{node.output[0]}/activation")
    label = parts.label(node, "activation")
    return [
        parts.node("Gemm", list(node.input), between, node.name, **own),
        parts.node(activation, [between], node.output[0], label, **options),
    ]


def _matmul(node: NodeProto, given: dict[str, Any], parts: _Parts) -> list[NodeProto] | None:
    """Transposed factors, their product, and a factor for it."""
    from onnx import numpy_helper

    made, read, last = [], list(node.input), node.output[0]
    if given.get("transBatchA") or given.get("transBatchB"):
        return None
    turned = [i for i, flag in enumerate(("transA", "transB")) if given.get(flag)]
    if any(read[i] not in parts.weights and parts.ranks.get(read[i], 0) < 2 for i in turned):
        return None
    for index in turned:
        name = f"{last}/transposed{index}"
        if read[index] in parts.weights:
            array = numpy_helper.to_array(parts.weights[read[index]])
            read[index] = parts.store(name, array.swapaxes(-1, -2) if array.ndim > 1 else array)
            continue
        axes = list(range(parts.ranks[read[index]]))
        axes[-2:] = axes[:-3:-1]
        output = parts.name(name)
        label = parts.label(node, f"transposed{index}")
        made.append(parts.node("Transpose", [read[index]], output, label, perm=axes))
        read[index] = output
    alpha = given.get("alpha", 1.0)
    product = last if alpha == 1 else parts.name(f"{last}/product")
    made.append(parts.node("MatMul", read, product, node.name))
    if alpha != 1:
        factor = parts.store(f"{last}/alpha", alpha)
        made.append(parts.node("Mul", [product, factor], last, parts.label(node, "alpha")))
    return made


def _quick_gelu(node: NodeProto, given: dict[str, Any], parts: _Parts) -> list[NodeProto]:
    """The input times its Sigmoid, of which the input may have a factor."""
    (read,), last = node.input, node.output[0]
    alpha, made, scaled = given.get("alpha", 1.702), [], read
    if alpha != 1:
        scaled = parts.name(f"{last}/scaled")
        factor = parts.store(f"{last}/alpha", alpha)
        made.append(parts.node("Mul", [read, factor], scaled, parts.label(node, "scaled")))
    gate = parts.name(f"{last}/gate")
    made.append(parts.node("Sigmoid", [scaled], gate, parts.label(node, "gate")))
    made.append(parts.node("Mul", [read, gate], last, node.name))
    return made


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


_RULES: dict[str, Callable[[NodeProto, dict[str, Any], _Parts], list[NodeProto] | None]] = {
    "FusedConv": _conv,
    "FusedGemm": _gemm,
    "FusedMatMul": _matmul,
    "QuickGelu": _quick_gelu,
}
"""Operator type -> function that makes its parts."""
