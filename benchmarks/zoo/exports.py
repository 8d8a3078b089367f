"""Small models as exporters of many years write them, with weights from seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .case import CLOSE, Case, drifting
from .public import ROOT

SIZE = 48
PREPROCESS = f"size=({SIZE}, {SIZE}), mean=127.5, scale=1 / 127.5"
IMAGES = (ROOT / "calibration" / "faces",) * 2

_OPSETS = (7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23)
_WIDTH, _OUTPUTS = 24, 32


@dataclass
class _Writer:
    """A graph that is being written, in the form of an operator set."""

    opset: int
    seed: int = 0

    def __post_init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.rng = np.random.default_rng(self.seed)

    def constant(self, array: NDArray[np.generic]) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def draw(self, *shape: int) -> str:
        fan = int(np.prod(shape[1:])) or 1
        return self.constant(self.rng.normal(0, (2 / fan) ** 0.5, shape).astype(np.float32))

    def add(self, operator: str, *inputs: str, outputs: int = 1, **given: object) -> str:
        number = len(self.nodes)
        names = [f"t{number}" if at == 0 else f"t{number}.{at}" for at in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, f"n{number}", **given))
        return names[0]

    def whole(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def normalized(self, x: str, channels: int) -> str:
        scale, bias, mean = (self.rng.normal(at, 0.2, channels) for at in (1.0, 0.0, 0.0))
        parts = (scale, bias, mean, self.rng.uniform(0.5, 1.5, channels))
        names = [self.constant(part.astype(np.float32)) for part in parts]
        return self.add("BatchNormalization", x, *names, epsilon=1e-5)

    def clipped(self, x: str) -> str:
        if self.opset < 11:
            return self.add("Clip", x, min=0.0, max=6.0)
        limits = [self.constant(np.array(at, np.float32)) for at in (0.0, 6.0)]
        return self.add("Clip", x, *limits)

    def padded(self, x: str) -> str:
        pads = (0, 0, 0, 0, 0, 0, 1, 1)
        if self.opset < 11:
            return self.add("Pad", x, pads=list(pads))
        return self.add("Pad", x, self.whole(*pads))

    def averaged(self, x: str) -> str:
        if self.opset < 18:
            return self.add("ReduceMean", x, axes=[2, 3], keepdims=0)
        return self.add("ReduceMean", x, self.whole(2, 3), keepdims=0)

    def dropped(self, x: str) -> str:
        if self.opset < 12:
            return self.add("Dropout", x, ratio=0.5)
        return self.add("Dropout", x, self.constant(np.array(0.5, np.float32)))

    def enlarged(self, x: str) -> str:
        scales = np.array([1, 1, 2, 2], np.float32)
        if self.opset < 9:
            return self.add("Upsample", x, scales=scales.tolist(), mode="nearest")
        if self.opset < 10:
            return self.add("Upsample", x, self.constant(scales), mode="nearest")
        if self.opset < 11:
            return self.add("Resize", x, self.constant(scales), mode="nearest")
        coordinates = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        roi = self.constant(np.zeros(0, np.float32)) if self.opset < 13 else ""
        return self.add("Resize", x, roi, self.constant(scales), mode="nearest", **coordinates)

    def normalized_rows(self, x: str) -> str:
        if self.opset < 18:
            norm = self.add("ReduceL2", x, axes=[1], keepdims=1)
        else:
            norm = self.add("ReduceL2", x, self.whole(1), keepdims=1)
        return self.add("Div", x, norm)


def _body(to: _Writer, x: str) -> str:
    """A mobile network: depthwise convolution, squeeze and excitation, a pyramid, an embedding."""
    x = to.clipped(
        to.normalized(
            to.add("Conv", to.padded(x), to.draw(_WIDTH, 3, 3, 3), strides=[2, 2]), _WIDTH
        )
    )
    deep = to.add("Conv", x, to.draw(_WIDTH, 1, 3, 3), group=_WIDTH, pads=[1, 1, 1, 1])
    deep = to.clipped(to.normalized(deep, _WIDTH))
    deep = to.normalized(to.add("Conv", deep, to.draw(_WIDTH, _WIDTH, 1, 1)), _WIDTH)
    gate = to.add("Conv", to.add("GlobalAveragePool", deep), to.draw(8, _WIDTH, 1, 1))
    gate = to.add("Conv", to.add("Relu", gate), to.draw(_WIDTH, 8, 1, 1))
    x = to.add("Add", x, to.add("Mul", deep, to.add("Sigmoid", gate)))
    small = to.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = to.add("Concat", x, to.enlarged(small), axis=1)
    x = to.add("LeakyRelu", to.add("Conv", x, to.draw(48, 2 * _WIDTH, 3, 3)), alpha=0.1)
    return to.dropped(to.averaged(x))


def _model(to: _Writer, output: str, input_shape: Sequence[int | str] = ()) -> onnx.ModelProto:
    shape = list(input_shape or (1, 3, SIZE, SIZE))
    graph = helper.make_graph(
        to.nodes,
        "exported",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", _OUTPUTS])],
        to.weights,
    )
    opsets = [helper.make_opsetid("", to.opset)]
    version = helper.find_min_ir_version_for(opsets)
    model = helper.make_model(graph, opset_imports=opsets, ir_version=version)
    return _with_inputs(model) if version < 4 else model


def _with_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Up to IR 3, every initializer is an input, too."""
    for tensor in model.graph.initializer:
        value = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.append(value)
    return model


def _embedded(to: _Writer, x: str) -> str:
    bias = to.constant(np.zeros(_OUTPUTS, np.float32))
    return to.normalized_rows(to.add("Gemm", x, to.draw(_OUTPUTS, 48), bias, transB=1))


def _plain(opset: int) -> onnx.ModelProto:
    to = _Writer(opset)
    return _model(to, _embedded(to, _body(to, "input")))


def _inputs() -> onnx.ModelProto:
    """As torch before 1.4 and MXNet wrote."""
    model = _plain(9)
    model.ir_version = 3
    return _with_inputs(model)


def _channels_last() -> onnx.ModelProto:
    """As tf2onnx writes: a Transpose at the input, and MatMul with Add."""
    to = _Writer(13)
    x = _body(to, to.add("Transpose", "input", perm=[0, 3, 1, 2]))
    x = to.add("MatMul", x, to.constant(to.rng.normal(0, 0.2, (48, _OUTPUTS)).astype(np.float32)))
    x = to.add("Add", x, to.constant(np.zeros(_OUTPUTS, np.float32)))
    return _model(to, x, (1, SIZE, SIZE, 3))


def _constants() -> onnx.ModelProto:
    """Every weight in a Constant operator, as Paddle and some converters write."""
    model = _plain(11)
    nodes = [helper.make_node("Constant", [], [w.name], value=w) for w in model.graph.initializer]
    nodes += model.graph.node
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    return model


def _computed() -> onnx.ModelProto:
    """Without constant folding: the last weights go through Transpose, Mul and Identity."""
    to = _Writer(17)
    x = _body(to, "input")
    weight = to.add("Mul", to.draw(_OUTPUTS, 48), to.constant(np.array(0.5, np.float32)))
    weight = to.add("Identity", to.add("Transpose", weight, perm=[1, 0]))
    return _model(to, to.add("MatMul", x, weight))


def _dynamic() -> onnx.ModelProto:
    """All axes of the input but that of the channels are symbols."""
    to = _Writer(17)
    return _model(to, _embedded(to, _body(to, "input")), ("batch", 3, "height", "width"))


def _two_outputs() -> onnx.ModelProto:
    to = _Writer(17)
    x = _body(to, "input")
    second = to.add("Softmax", to.add("MatMul", x, to.draw(48, 2)), axis=1)
    model = _model(to, _embedded(to, x))
    model.graph.output.append(helper.make_tensor_value_info(second, TensorProto.FLOAT, ["n", 2]))
    return model


def _attention() -> onnx.ModelProto:
    """A vision transformer of one block, written with MatMul, Softmax and LayerNormalization."""
    to, width, heads = _Writer(17), 48, 4
    x = to.add("Conv", "input", to.draw(width, 3, 8, 8), strides=[8, 8])
    x = to.add("Transpose", to.add("Reshape", x, to.whole(1, width, -1)), perm=[0, 2, 1])
    one = to.constant(np.ones(width, np.float32))

    def linear(x: str, rows: int, columns: int) -> str:
        weight = to.rng.normal(0, rows**-0.5, (rows, columns)).astype(np.float32)
        return to.add("MatMul", x, to.constant(weight))

    def split(x: str, axes: list[int]) -> str:
        x = to.add("Reshape", linear(x, width, width), to.whole(1, -1, heads, width // heads))
        return to.add("Transpose", x, perm=axes)

    normal = to.add("LayerNormalization", x, one)
    queries, keys = split(normal, [0, 2, 1, 3]), split(normal, [0, 2, 3, 1])
    scores = to.add("Div", to.add("MatMul", queries, keys), to.constant(np.float32(12**0.5)))
    mixed = to.add("MatMul", to.add("Softmax", scores, axis=-1), split(normal, [0, 2, 1, 3]))
    mixed = to.add("Reshape", to.add("Transpose", mixed, perm=[0, 2, 1, 3]), to.whole(1, -1, width))
    x = to.add("Add", x, linear(mixed, width, width))
    wide = linear(to.add("LayerNormalization", x, one), width, 2 * width)
    error = to.add("Erf", to.add("Div", wide, to.constant(np.float32(2**0.5))))
    half = to.add("Mul", wide, to.constant(np.float32(0.5)))
    wide = to.add("Mul", half, to.add("Add", error, to.constant(np.float32(1))))
    x = to.add("Add", x, linear(wide, 2 * width, width))
    return _model(to, linear(to.add("ReduceMean", x, axes=[1], keepdims=0), width, _OUTPUTS))


_OTHERS: dict[str, Callable[[], onnx.ModelProto]] = {
    "initializers are inputs (IR 3)": _inputs,
    "NHWC": _channels_last,
    "weights are Constant operators": _constants,
    "weights are computed": _computed,
    "symbols for all axes": _dynamic,
    "two outputs": _two_outputs,
    "transformer": _attention,
}


def exports(folder: Path) -> list[Case]:
    """Write the models into a folder; BatchNormalization stands beside every convolution.

    Args:
        folder: where the files go.

    Returns:
        A case for each, in the order of the operator sets, and for each other form.
    """
    made = {f"opset {opset}": _plain(opset) for opset in _OPSETS}
    made |= {name: build() for name, build in _OTHERS.items()}
    cases = []
    for number, (name, model) in enumerate(made.items()):
        path = folder / f"exported{number:02}.onnx"
        onnx.save(model, path)
        layout = ", layout='NHWC'" if name == "NHWC" else ""
        cases.append(Case(name, path, drifting(path), PREPROCESS + layout, CLOSE, IMAGES))
    return cases
