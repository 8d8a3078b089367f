"""Dynamic INT8: weights quantized in the file, activations when they are computed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import QuantizationError
from .graph import copy_with_own_weights
from .variant import Draft

if TYPE_CHECKING:
    from .preparation import PreparedModel
    from .ranges import Ranges
    from .variant import Request


def quantize_dynamic(prepared: PreparedModel, request: Request, ranges: Ranges | None) -> Draft:
    """Replace Conv and MatMul by integer operators with onnxruntime's quantizer.

    Args:
        prepared: the prepared FP32 model; it is not changed.
        request: the resolved recipe.
        ranges: not used; activations are measured at run time.

    Raises:
        QuantizationError: there is no dynamic kernel for the type of weights.
    """
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization import quantize_dynamic as quantize

    types = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}
    weight = str(request.options["weight_type"])
    if weight not in types:
        raise QuantizationError(
            request.where,
            f"weight_type {weight!r} has no dynamic kernel",
            'use "uint8" or "int8"',
        )
    # A Gemm is split into MatMul and Add before names are compared.
    excluded = [*request.kept, *(f"{name}_MatMul" for name in request.kept)]
    with tempfile.TemporaryDirectory(prefix="kycquant-") as folder:
        target = Path(folder) / "dynamic.onnx"
        quantize(
            copy_with_own_weights(prepared.proto, request.kept),
            target,
            op_types_to_quantize=list(request.op_types),
            per_channel=request.options["per_channel"],
            reduce_range=request.options["reduce_range"],
            weight_type=types[weight],
            nodes_to_exclude=excluded,
        )
        proto = onnx.load(target)
    notes: tuple[str, ...] = ()
    if request.options["per_channel"]:
        notes = ("per_channel applies to MatMul only: ConvInteger has one scale per tensor",)
    return Draft(proto, notes)


def dynamic_types() -> tuple[str, ...]:
    """Operator types that onnxruntime's `quantize_dynamic` takes when none are named, sorted.

    Gemm is among them, because it is split into MatMul and Add first.
    """
    from onnxruntime.quantization.registry import IntegerOpsRegistry

    return tuple(sorted({*IntegerOpsRegistry, "Gemm"}))
