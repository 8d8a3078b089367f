"""Static INT8: activations and weights as QuantizeLinear and DequantizeLinear pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import QuantizationError
from .activation_bias import correct_shifts
from .bias import correct_biases, fold_betas, give_own_biases
from .graph import copy_with_own_weights, float_tensors
from .mixed import FullyQuantized

if TYPE_CHECKING:
    from .preparation import PreparedModel
    from .ranges import Ranges
    from .variant import Request


def quantize_fully(prepared: PreparedModel, request: Request, ranges: Ranges) -> FullyQuantized:
    """Insert pairs of quantization and dequantization with onnxruntime's quantizer.

    Args:
        prepared: the prepared FP32 model; it is not changed.
        request: the resolved recipe.
        ranges: range of every activation.

    Raises:
        QuantizationError: the ranges are not those of this model.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    missing = _uncalibrated(prepared, ranges)
    if missing:
        raise QuantizationError(
            request.where,
            f"tensor {missing!r} has no calibrated range: they are those of another model",
            "calibrate this model",
        )
    types = {
        "uint8": QuantType.QUInt8,
        "int8": QuantType.QInt8,
        "uint16": QuantType.QUInt16,
        "int16": QuantType.QInt16,
    }
    tensors = TensorsData(
        CalibrationMethod.MinMax,
        {
            name: TensorData(lowest=np.array(low), highest=np.array(high))
            for name, low, high in zip(ranges.names, ranges.low, ranges.high, strict=True)
        },
    )
    source = copy_with_own_weights(prepared.proto, request.kept)
    fold_betas(source)
    if request.options["bias_correction"]:
        give_own_biases(source, request.op_types, request.kept)
    given = type(source)()
    given.CopyFrom(source)  # the quantizer works in place
    quantizer = QDQQuantizer(
        given,
        request.options["per_channel"],
        request.options["reduce_range"],
        types[str(request.options["weight_type"])],
        types[str(request.options["activation_type"])],
        tensors,
        [],
        list(request.kept),
        list(request.op_types),
        {},
    )
    quantizer.quantize_model()
    made = quantizer.model.model
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
        kept=request.kept,
        parts=prepared.parts,
        corrected=corrected,
    )


def static_types() -> tuple[str, ...]:
    """Operator types that onnxruntime's `quantize_static` takes when none are named, sorted."""
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    return tuple(sorted({*QDQRegistry, *QLinearOpsRegistry}))


def _uncalibrated(prepared: PreparedModel, ranges: Ranges) -> str | None:
    """Name an activation without a range, if there is one."""
    known = {*ranges.names, *prepared.bounds}  # what a rewrite added is not quantized
    return next((n for n in float_tensors(prepared.proto.graph) if n not in known), None)
