"""What a recipe asks for, what came out, and the check that both agree."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import QuantizationError
from .graph import WEIGHTED, initializers, producers
from .saturation import Exposure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

    from ..spec.recipe import Recipe
    from .preparation import PreparedModel

STORED = "/stored"
"""Ends the name of the operator that writes a weight which is stored in fewer bits."""
Scalar = str | int | float | bool | None
_FUSED = {
    "QLinearConv": "Conv",
    "QGemm": "Gemm",
    "QLinearMatMul": "MatMul",
    "MatMulIntegerToFloat": "MatMul",
}


@dataclass(frozen=True)
class Variant:
    """A model derived from the FP32 model.

    Args:
        content: the serialized model; the same request gives the same bytes.
        resolved: every option as it was finally used, and the "reason" of what was decided here.
        quantized: operator type -> number of operators that were changed.
        kept: names of the operators that the recipe keeps in FP32.
        notes: what a reader of a report should know.
        exposure: of its integer operators to saturation on CPUs without VNNI.
    """

    content: bytes
    resolved: dict[str, Scalar]
    quantized: dict[str, int]
    kept: tuple[str, ...]
    notes: tuple[str, ...]
    exposure: Exposure = field(default_factory=Exposure)


class Draft(NamedTuple):
    """What one recipe's module made, before it is checked.

    Args:
        proto: the model; its operators need not be sorted.
        notes: as in `Variant`.
        facts: to be added to the resolved options.
    """

    proto: ModelProto
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Scalar] = {}


@dataclass(frozen=True)
class Request:
    """One recipe, resolved for one model.

    Args:
        where: model and recipe, for messages.
        recipe: the recipe.
        options: every option resolved.
        kept: names of the operators kept in FP32.
        op_types: operator types to quantize.
        means: as in `ChannelStatistics`, for bias correction; empty without it.
        images: to measure with what quantized activations add to biases.
    """

    where: str
    recipe: Recipe
    options: dict[str, Scalar]
    kept: tuple[str, ...]
    op_types: tuple[str, ...]
    means: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    images: Sequence[NDArray[np.float32]] = ()

    def count(
        self, prepared: PreparedModel, proto: ModelProto, parts: Mapping[str, tuple[str, ...]]
    ) -> dict[str, int]:
        """Count the operators that were changed.

        Args:
            prepared: the model, before any rewrite.
            proto: what was made of it.
            parts: what became of its operators, as in `PreparedModel`.

        Raises:
            QuantizationError: an operator with weights that should have been changed was not, one
                that should not have been was, or none was.
        """
        if self.recipe.precision == "fp32-optimized":
            changed = set(parts)
        else:
            changed = _CHANGED[self.recipe.precision](proto)
            changed |= {name for name, became in parts.items() if changed.issuperset(became)}
        asked = [
            node
            for node in prepared.proto.graph.node
            if node.name not in self.kept and node.op_type in self.op_types
        ]
        missed = [n for n in asked if self._must_change(prepared, n) and n.name not in changed]
        if missed:
            raise QuantizationError(
                self.where,
                f"{missed[0].op_type} {missed[0].name!r} and {len(missed) - 1} other operators "
                "were not quantized",
                "add them to keep_fp32 if that is intended",
            )
        weights = initializers(prepared.proto.graph)
        for node in prepared.proto.graph.node:
            # Without weights of its own, an operator between quantized ones reads what they write.
            has_weights = node.op_type in WEIGHTED and node.input[1] in weights
            if has_weights and node.name in self.kept and node.name in changed:
                raise QuantizationError(
                    self.where,
                    f"{node.op_type} {node.name!r} was not kept in FP32",
                    "report this as a bug",
                )
        counts = Counter(node.op_type for node in asked if node.name in changed)
        if not counts:
            raise QuantizationError(
                self.where,
                "nothing in the model was quantized",
                "keep fewer operators in FP32, or name other op_types",
            )
        return dict(sorted(counts.items()))

    def _must_change(self, prepared: PreparedModel, node: NodeProto) -> bool:
        if node.op_type not in WEIGHTED or self.recipe.precision == "fp32-optimized":
            return False
        if self.recipe.stores_weights:
            return node.input[1] in initializers(prepared.proto.graph)
        if self.recipe.precision == "int8-dynamic":
            # onnxruntime has integer kernels for Conv and for MatMul with constant weights only.
            weights = initializers(prepared.proto.graph)
            return node.op_type == "Conv" or (node.op_type == "MatMul" and node.input[1] in weights)
        return True


def integer_kernels(content: bytes, quantized: dict[str, int]) -> tuple[str, ...]:
    """Note which quantized operators onnxruntime computes in float all the same.

    An operator whose neighbours are not quantized, or whose types have no kernel, is computed
    between a dequantization and a quantization: exact, but slower than FP32.
    """
    import onnx
    import onnxruntime as ort

    with tempfile.TemporaryDirectory(prefix="kycquant-") as folder:
        target = Path(folder) / "optimized.onnx"
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        options.optimized_model_filepath = str(target)
        ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        graph = onnx.load(target).graph
    fused = Counter(_FUSED[node.op_type] for node in graph.node if node.op_type in _FUSED)
    return tuple(
        f"{asked - fused[kind]} of {asked} quantized {kind} run in float: no integer kernel fits"
        for kind, asked in quantized.items()
        if kind in WEIGHTED and fused[kind] < asked
    )


def _dequantized(proto: ModelProto) -> set[str]:
    """Names of the operators all of whose float inputs are dequantized."""
    from onnx import TensorProto

    written = producers(proto.graph)
    integers = {
        tensor.name for tensor in proto.graph.initializer if tensor.data_type != TensorProto.FLOAT
    }
    changed = set()
    for node in proto.graph.node:
        inputs = [name for name in node.input if name and name not in integers]
        sources = [written[name].op_type if name in written else "" for name in inputs]
        if (
            sources
            and node.op_type not in ("QuantizeLinear", "DequantizeLinear")
            and all(source == "DequantizeLinear" for source in sources)
        ):
            changed.add(node.name)
    return changed


def _integer(proto: ModelProto) -> set[str]:
    """Names of the operators that became integer operators; the quantizer adds a suffix."""
    names = {
        node.name.removesuffix("_quant")
        for node in proto.graph.node
        if node.name.endswith("_quant")
    }
    return names | {name.removesuffix("_MatMul") for name in names}


def _half(proto: ModelProto) -> set[str]:
    """Names of the operators that read or write float16."""
    from onnx import TensorProto

    graph = proto.graph
    half = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    for info in (*graph.value_info, *graph.output, *graph.input):
        if info.type.tensor_type.elem_type == TensorProto.FLOAT16:
            half.add(info.name)
    return {
        node.name
        for node in graph.node
        if node.op_type != "Cast" and half.intersection([*node.input, *node.output])
    }


def _stored(proto: ModelProto) -> set[str]:
    """Names of the operators whose weights are stored in fewer bits."""
    written = {name for n in proto.graph.node if n.name.endswith(STORED) for name in n.output}
    return {n.name for n in proto.graph.node if n.op_type in WEIGHTED and n.input[1] in written}


_CHANGED = {
    "int8": _dequantized,
    "mixed": _dequantized,
    "int8-dynamic": _integer,
    "fp16": _half,
    "int8-weights": _stored,
    "int4-weights": _stored,
}
