"""Dynamic INT8: weights are quantized in the file, activations at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import QuantizationError
from ..files import temporary_folder
from .folding import untouched
from .graph import copy_with_own_weights, initializers
from .integer_options import integer_options
from .model_inputs import batch_of
from .recipe_kind import Draft, Machine, RecipeKind, Scalar
from .weight_sources import STANDARD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnx import ModelProto, NodeProto, TensorProto

    from ..spec.recipe import Recipe
    from .preparation import PreparedModel
    from .recipe_kind import Request


class Dynamic(RecipeKind):
    """Conv and MatMul as integer operators, made by onnxruntime's quantizer."""

    def options(self, recipe: Recipe, machine: Machine) -> tuple[dict[str, Scalar], str]:
        """Types and range of weights; onnxruntime quantizes activations to uint8."""
        return integer_options(recipe, machine, "uint8", "uint8", per_channel=False)

    def operator_types(self, present: Sequence[str]) -> tuple[str, ...]:
        """Operator types that onnxruntime's `quantize_dynamic` quantizes by default, sorted.

        Gemm is included, because it is first split into MatMul and Add.
        """
        from onnxruntime.quantization.registry import IntegerOpsRegistry

        return tuple(sorted({*IntegerOpsRegistry, "Gemm"}))

    def make(self, request: Request) -> Draft:
        """Quantize a model.

        Raises:
            QuantizationError: there is no dynamic kernel for the type of the weights, or the model
                takes several images at once.
        """
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        types = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}
        weight = str(request.options["weight_type"])
        if weight not in types:
            raise QuantizationError(
                request.where,
                f"weight_type {weight!r} has no dynamic kernel",
                'use "uint8" or "int8"',
            )
        graph = request.source.proto.graph
        if (batch := batch_of(graph)) > 1:
            raise QuantizationError(
                request.where,
                f"takes its ranges from all {batch} images of a batch, so the result "
                "for one image depends on its neighbours",
                "export the model for batch 1, or leave this precision out",
            )
        kept = (*request.excluded, *sorted(untouched(graph).difference(request.excluded)))
        weights = initializers(graph)
        # There is no kernel for weights that are computed from the image, nor for the Attention of
        # ONNX, which the quantizer takes for the one of onnxruntime.
        computed = [
            node.name
            for node in graph.node
            if (node.op_type == "Conv" and node.input[1] not in weights)
            or (node.op_type == "Attention" and node.domain in STANDARD)
        ]
        with temporary_folder() as folder:
            target = folder / "dynamic.onnx"
            quantize_dynamic(
                copy_with_own_weights(request.source.proto, kept),
                target,
                op_types_to_quantize=list(request.op_types),
                per_channel=request.options["per_channel"],
                reduce_range=request.options["reduce_range"],
                weight_type=types[weight],
                # A Gemm is split into MatMul and Add before names are compared.
                nodes_to_exclude=[*kept, *(f"{name}_MatMul" for name in kept), *computed],
            )
            proto = onnx.load(target)
        notes: tuple[str, ...] = ()
        if request.options["per_channel"]:
            notes = ("per_channel applies to MatMul only: ConvInteger has one scale per tensor",)
        return Draft(proto, notes)

    def changed(self, proto: ModelProto, source: PreparedModel) -> set[str]:
        """Names of the operators that became integer operators; the quantizer adds a suffix."""
        names = {
            node.name.removesuffix("_quant")
            for node in proto.graph.node
            if node.name.endswith("_quant")
        }
        return names | {name.removesuffix("_MatMul") for name in names}

    def must_change(self, node: NodeProto, weights: Mapping[str, TensorProto]) -> bool:
        """Whether onnxruntime has an integer kernel: for Conv and MatMul with constant weights."""
        return node.op_type in ("Conv", "MatMul") and node.input[1] in weights


DYNAMIC = Dynamic()
