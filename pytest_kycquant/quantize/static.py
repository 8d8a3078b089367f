"""Static INT8: activations and weights as QuantizeLinear and DequantizeLinear pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import QuantizationError
from .graph import (
    WEIGHTED,
    consumers,
    drop_unused_initializers,
    float_tensors,
    initializers,
    producers,
)

if TYPE_CHECKING:
    from onnx import ModelProto

    from .calibrate import Ranges
    from .preparation import PreparedModel
    from .variant import Request


def quantize_static(
    prepared: PreparedModel, request: Request, ranges: Ranges | None
) -> tuple[ModelProto, tuple[str, ...]]:
    """Insert pairs of quantization and dequantization with onnxruntime's quantizer.

    Args:
        prepared: the prepared FP32 model; it is not changed.
        request: the resolved recipe.
        ranges: range of every activation.

    Returns:
        The model and notes on it.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    assert ranges is not None
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
    source = type(prepared.proto)()
    source.CopyFrom(prepared.proto)
    quantizer = QDQQuantizer(
        source,
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
    proto = quantizer.model.model
    if request.kept:
        _reconnect(prepared, proto, request.kept)
    return proto, ()


def static_types() -> tuple[str, ...]:
    """Operator types that onnxruntime's `quantize_static` takes when none are named, sorted."""
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    return tuple(sorted({*QDQRegistry, *QLinearOpsRegistry}))


def _uncalibrated(prepared: PreparedModel, ranges: Ranges) -> str | None:
    """Name an activation without a range, if there is one."""
    known = set(ranges.names)
    return next((n for n in float_tensors(prepared.proto.graph) if n not in known), None)


def _reconnect(prepared: PreparedModel, proto: ModelProto, kept: tuple[str, ...]) -> None:
    """Let operators kept in FP32 read float tensors where that costs no integer kernel.

    onnxruntime's exclusion leaves a kept operator behind the quantization that its neighbours
    need, which loses accuracy for nothing. Where the tensor comes from a quantized operator with
    weights, though, reading its float output would force that operator into float as well.
    """
    written, original = producers(proto.graph), producers(prepared.proto.graph)
    sources = {node.name: node for node in prepared.proto.graph.node}
    weights = initializers(prepared.proto.graph)
    restored: set[str] = set()
    for node in proto.graph.node:
        if node.name not in kept:
            continue
        for index, name in enumerate(node.input):
            dequantize = written.get(name)
            if dequantize is None or dequantize.op_type != "DequantizeLinear":
                continue
            quantize = written.get(dequantize.input[0])
            if quantize is None:
                # A weight or bias that a quantized operator shares.
                tensor = weights[sources[node.name].input[index]]
                node.input[index] = f"{tensor.name}_kept"
                if tensor.name not in restored:
                    restored.add(tensor.name)
                    copy = proto.graph.initializer.add()
                    copy.CopyFrom(tensor)
                    copy.name = node.input[index]
                continue
            producer = written.get(quantize.input[0])
            if producer is not None:
                if producer.op_type in WEIGHTED and producer.name not in kept:
                    continue
                # The quantizer removes Relu and Clip, whose work the quantization does.
                if producer.name != original[_float_name(quantize.input[0])].name:
                    continue
            node.input[index] = quantize.input[0]
    _drop_unread(proto)


def _float_name(name: str) -> str:
    """Undo the renaming of a graph output that is quantized."""
    return name.removesuffix("_QuantizeLinear_Input")


def _drop_unread(proto: ModelProto) -> None:
    """Remove quantizations and dequantizations that no operator reads any more."""
    outputs = {info.name for info in proto.graph.output}
    while True:
        read = consumers(proto.graph)
        kept = [
            node
            for node in proto.graph.node
            if node.op_type not in ("QuantizeLinear", "DequantizeLinear")
            or node.output[0] in read
            or node.output[0] in outputs
        ]
        if len(kept) == len(proto.graph.node):
            break
        del proto.graph.node[:]
        proto.graph.node.extend(kept)
    drop_unused_initializers(proto.graph)
