"""Static INT8: activations and weights as QuantizeLinear and DequantizeLinear pairs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import QuantizationError
from ..files import temporary_folder
from ..runtimes import library
from .activation_bias import correct_shifts
from .bias import correct_biases, correct_stored, give_own_biases
from .clipping import guard, spans_within
from .folding import untouched
from .fused_activations import drop_pairs, fused
from .graph import WEIGHTED, copy_with_own_weights, float_tensors, producers
from .integer_options import integer_options
from .masks import masked
from .mixed import FullyQuantized, corrections, keep_in_float
from .ranges import DEFAULT_PERCENTILE
from .recipe_kind import Draft, Machine, RecipeKind, Scalar, library_errors
from .weight_only import store_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnx import ModelProto

    from ..spec.recipe import CalibrationMethod, Recipe
    from ..spec.runtime import Runtime
    from .preparation import PreparedModel
    from .ranges import Ranges
    from .recipe_kind import Request

_WIDE = ("uint16", "int16")
_FUSED = {
    "QLinearConv": "Conv",
    "QGemm": "Gemm",
    "QLinearMatMul": "MatMul",
    "MatMulIntegerToFloat": "MatMul",
}


class Static(RecipeKind):
    """Activations and weights quantized with onnxruntime's quantizer; some operators in FP32."""

    def options(self, recipe: Recipe, machine: Machine) -> tuple[dict[str, Scalar], str]:
        """Types, range, and how operators in FP32 store their weights."""
        options, reason = integer_options(recipe, machine, "uint8", "int8", per_channel=True)
        return options | {"float_weights": recipe.float_weights or "float32"}, reason

    def calibration(self, recipe: Recipe) -> tuple[CalibrationMethod, float | None]:
        """Method and percentile of its ranges."""
        # 16 bits have steps so fine that cutting off values gains nothing.
        default: CalibrationMethod = "minmax" if recipe.activation_type in _WIDE else "mse"
        method = recipe.calibration_method or default
        if method == "percentile":
            return method, recipe.percentile or DEFAULT_PERCENTILE
        return method, None

    def equalizes(self, recipe: Recipe) -> bool:
        """By default, equalize if activations have 8 bits and weights a scale per channel.

        The factors are chosen for this case.
        """
        if recipe.equalize is not None:
            return recipe.equalize
        return recipe.activation_type not in _WIDE and recipe.per_channel is not False

    def operator_types(self, present: Sequence[str]) -> tuple[str, ...]:
        """Operator types that onnxruntime's `quantize_static` quantizes by default."""
        return static_types()

    def whole(self, recipe: Recipe) -> Recipe:
        """The same recipe with all operators quantized."""
        return replace(recipe, precision="int8", name="", keep_fp32=(), float_weights=None)

    def quantize_whole(self, request: Request) -> FullyQuantized:
        """Quantize every operator that can be; exclude the kept ones only if that fails."""
        kept, added = request.kept_parts, request.source.added
        try:
            with library_errors(request.where):
                return quantize_fully(request, added)
        except QuantizationError as error:
            if not kept or error.__cause__ is None:
                raise
        with library_errors(request.where):
            return quantize_fully(request, request.excluded)

    def make(self, request: Request) -> Draft:
        """Put the operators kept in FP32 back into the fully quantized model."""
        whole = request.whole or self.quantize_whole(request)
        made = Draft(keep_in_float(whole, request.kept), facts=corrections(whole, request.kept))
        stored = request.recipe.float_weights
        if stored in ("float16", "int8"):
            operators = {node.name for node in made.proto.graph.node}
            restored = store_weights(made.proto, operators, stored)
            correct_stored(request.source.proto, made.proto, request.means, restored)
        return made

    def changed(self, proto: ModelProto, source: PreparedModel) -> set[str]:
        """Names of the operators whose float inputs are all dequantized."""
        from onnx import TensorProto

        written = producers(proto.graph)
        floats = TensorProto.FLOAT
        integers = {t.name for t in proto.graph.initializer if t.data_type != floats}
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

    def notes(
        self, model: PreparedModel, content: bytes, counts: Mapping[str, int], runtime: Runtime
    ) -> tuple[str, ...]:
        """Quantized operators that still run in float, then the notes of all kinds."""
        found = integer_kernels(content, counts, runtime)
        return found + super().notes(model, content, counts, runtime)


STATIC = Static()


def quantize_fully(request: Request, excluded: tuple[str, ...]) -> FullyQuantized:
    """Insert pairs of quantization and dequantization with onnxruntime's quantizer.

    Args:
        request: the resolved recipe; its source is not changed.
        excluded: names of the operators that the quantizer must not quantize, beside those that no
            pixel reaches, those that add a mask, and activations that the runtime computes together
            with a convolution.

    Raises:
        QuantizationError: the ranges belong to another model.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    prepared, ranges = request.source, request.ranges
    assert ranges is not None
    graph = prepared.proto.graph
    joined = fused(graph, request.recipe.runs_on.line.fuses)
    aside = untouched(graph) | masked(graph) | joined.activations
    excluded = (*excluded, *sorted(aside.difference(excluded)))
    missing = _uncalibrated(prepared, ranges)
    if missing:
        raise QuantizationError(
            request.where,
            f"tensor {missing!r} has no calibrated range: the ranges are those of another model",
            "calibrate this model",
        )
    types = {
        "uint8": QuantType.QUInt8,
        "int8": QuantType.QInt8,
        "uint16": QuantType.QUInt16,
        "int16": QuantType.QInt16,
    }
    spans = spans_within(graph, ranges)
    tensors = TensorsData(
        CalibrationMethod.MinMax,
        {
            name: TensorData(lowest=np.array(low, np.float32), highest=np.array(high, np.float32))
            for name, (low, high) in spans.items()
        },
    )
    source = copy_with_own_weights(prepared.proto, excluded)
    if request.options["bias_correction"]:
        give_own_biases(source, request.op_types, excluded)
    given = type(source)()
    given.CopyFrom(source)  # the quantizer works in place
    guards = guard(given.graph, spans)
    quantizer = QDQQuantizer(
        given,
        request.options["per_channel"],
        request.options["reduce_range"],
        types[str(request.options["weight_type"])],
        types[str(request.options["activation_type"])],
        tensors,
        [],
        [*excluded, *guards],
        list(request.op_types),
        {},
    )
    quantizer.quantize_model()
    made = quantizer.model.model
    nodes = [node for node in made.graph.node if node.name not in guards]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    drop_pairs(made.graph, joined.tensors)
    corrected: tuple[str, ...] | None = None
    shifted = None
    if request.options["bias_correction"]:
        corrected = correct_biases(source, made, request.means)
        if request.images:
            shifted = type(made)()
            shifted.CopyFrom(made)
            correct_shifts(source, shifted, corrected, request.images)
    return FullyQuantized(
        source=prepared.proto,
        made=made,
        shifted=shifted,
        op_types=request.op_types,
        kept=excluded,
        parts=prepared.parts,
        corrected=corrected,
    )


def static_types() -> tuple[str, ...]:
    """Operator types that onnxruntime's `quantize_static` quantizes by default, sorted."""
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    return tuple(sorted({*QDQRegistry, *QLinearOpsRegistry}))


def _uncalibrated(prepared: PreparedModel, ranges: Ranges) -> str | None:
    """Name of an activation without a range; None if all have one."""
    known = {*ranges.names, *prepared.bounds}  # tensors that a rewrite added are not quantized
    return next((n for n in float_tensors(prepared.proto.graph) if n not in known), None)


def integer_kernels(content: bytes, counts: Mapping[str, int], runtime: Runtime) -> tuple[str, ...]:
    """Note which quantized operators the runtime still computes in float.

    If the neighbours of an operator are not quantized, or if no kernel fits its types, it is
    computed between a dequantization and a quantization: exactly, but more slowly than in FP32.
    """
    if not runtime.is_reference:
        asked = sum(number for kind, number in counts.items() if kind in WEIGHTED)
        found = library(runtime).in_float(content)
        return () if not found else (f"{found} of {asked} quantized operators run in float there",)
    import onnx
    import onnxruntime as ort

    with temporary_folder() as folder:
        target = folder / "optimized.onnx"
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        options.optimized_model_filepath = str(target)
        ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        graph = onnx.load(target).graph
    fused = Counter(_FUSED[node.op_type] for node in graph.node if node.op_type in _FUSED)
    return tuple(
        f"{asked - fused[kind]} of {asked} quantized {kind} run in float: no integer kernel fits"
        for kind, asked in counts.items()
        if kind in WEIGHTED and fused[kind] < asked
    )
