"""Quantized files as others make them: other tools, other inputs, other names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, shape: tuple[int, ...], images: np.ndarray) -> None:
        self._feeds = iter([{name: image.reshape(shape)} for image in images])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def by_onnxruntime(
    fp32: Path, target: Path, tensors: np.ndarray, *, qdq: bool = True, reduce_range: bool = True
) -> Path:
    """Static INT8 by onnxruntime's own tool, as QDQ or as integer operators."""
    model = onnx.load(fp32)
    (given,) = model.graph.input
    shape = (1, *tensors.shape[1:])
    quantize_static(
        fp32, target, _Reader(given.name, shape, tensors),
        quant_format=QuantFormat.QDQ if qdq else QuantFormat.QOperator,
        per_channel=True, reduce_range=reduce_range, weight_type=QuantType.QInt8,
    )  # fmt: skip
    return target


def dynamic(fp32: Path, target: Path) -> Path:
    """Dynamic INT8 by onnxruntime's own tool."""
    quantize_dynamic(fp32, target, op_types_to_quantize=["Gemm", "MatMul"])
    return target


def renamed(path: Path, target: Path, *, inputs: str = "image", outputs: str = "out") -> Path:
    """The same model with other names of its input and output."""
    model = onnx.load(path)
    old = {model.graph.input[0].name: inputs, model.graph.output[0].name: outputs}
    for value in (*model.graph.input, *model.graph.output):
        value.name = old.get(value.name, value.name)
    for node in model.graph.node:
        node.input[:] = [old.get(name, name) for name in node.input]
        node.output[:] = [old.get(name, name) for name in node.output]
    onnx.save(model, target)
    return target


def of_pixels(
    path: Path, target: Path, *, mean: float, scale: float, channels_last: bool = True
) -> Path:
    """The same model for uint8 pixels, which it normalizes itself; channels last or first."""
    model = onnx.load(path)
    graph = model.graph
    (given,) = graph.input
    dims = [d.dim_value or d.dim_param for d in given.type.tensor_type.shape.dim]
    shape = [dims[0], *dims[2:], dims[1]] if channels_last else dims
    name = given.name
    graph.input.remove(given)
    graph.input.append(helper.make_tensor_value_info("pixels", TensorProto.UINT8, shape))
    last = "scaled" if channels_last else name
    nodes = [
        helper.make_node("Cast", ["pixels"], ["as_float"], "as_float_", to=TensorProto.FLOAT),
        helper.make_node("Sub", ["as_float", "own_mean"], ["centred"], "centred_"),
        helper.make_node("Mul", ["centred", "own_scale"], [last], "scaled_"),
    ]
    if channels_last:
        nodes.append(helper.make_node("Transpose", [last], [name], "nchw_", perm=[0, 3, 1, 2]))
    for constant, value in (("own_mean", mean), ("own_scale", scale)):
        graph.initializer.append(numpy_helper.from_array(np.float32(value), constant))
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    onnx.save(model, target)
    return target


def with_raw_output(path: Path, target: Path) -> Path:
    """The same QDQ model without the last dequantization: its output is a tensor of integers."""
    model = onnx.load(path)
    graph = model.graph
    (result,) = graph.output
    last = next(node for node in graph.node if result.name in node.output)
    graph.node.remove(last)
    before = next(node for node in graph.node if last.input[0] in node.output)
    (zero,) = (tensor for tensor in graph.initializer if tensor.name == before.input[2])
    result.name, result.type.tensor_type.elem_type = last.input[0], zero.data_type
    onnx.save(model, target)
    return target


def with_doubles(path: Path, target: Path) -> Path:
    """The same model, whose output is cast to float64."""
    model = onnx.load(path)
    (result,) = model.graph.output
    for node in model.graph.node:
        node.output[:] = ["single" if name == result.name else name for name in node.output]
    double = helper.make_node("Cast", ["single"], [result.name], "widen_", to=TensorProto.DOUBLE)
    model.graph.node.append(double)
    result.type.tensor_type.elem_type = TensorProto.DOUBLE
    onnx.save(model, target)
    return target
