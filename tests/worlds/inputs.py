"""Models of images with other inputs: uint8 pixels, float16, a batch, inputs that are fixed."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.worlds.zoo import tiny_embedder

KINDS = {"uint8": TensorProto.UINT8, "float16": TensorProto.FLOAT16, "float32": TensorProto.FLOAT}


def embedder(
    kind: str = "uint8", layout: str = "NCHW", batch: int | str = 1, output: str = "float32"
) -> onnx.ModelProto:
    """The tiny embedder of pixels 0..255, (x - 127.5) / 127.5, 32 x 32."""
    return of_pixels(tiny_embedder(batch=batch), kind, layout, batch, output)


def of_pixels(
    proto: onnx.ModelProto,
    kind: str = "uint8",
    layout: str = "NCHW",
    batch: int | str = 1,
    output: str = "float32",
) -> onnx.ModelProto:
    """A model of (x - 127.5) / 127.5, NCHW, that takes x itself, in another type and layout."""
    graph = proto.graph
    name = graph.input[0].name
    _, channels, height, width = (d.dim_value for d in graph.input[0].type.tensor_type.shape.dim)
    shape = [batch, channels, height, width]
    if layout == "NHWC":
        shape = [batch, height, width, channels]
    graph.input[0].CopyFrom(helper.make_tensor_value_info(name, KINDS[kind], shape))
    graph.initializer.extend(
        numpy_helper.from_array(np.full((1, 3, 1, 1), value, np.float32), each)
        for each, value in (("pixel_mean", 127.5), ("pixel_scale", 1 / 127.5))
    )
    first, nodes = name, []
    if kind != "float32":
        nodes.append(helper.make_node("Cast", [first], ["pixels"], "as_float", to=1))
        first = "pixels"
    if layout == "NHWC":
        order = [0, 3, 1, 2]
        nodes.append(helper.make_node("Transpose", [first], ["planes"], "to_nchw", perm=order))
        first = "planes"
    nodes += [
        helper.make_node("Sub", [first, "pixel_mean"], ["centred"], "centre"),
        helper.make_node("Mul", ["centred", "pixel_scale"], ["ready"], "scale"),
    ]
    body = list(graph.node)
    for node in body:
        node.input[:] = ["ready" if each == name else each for each in node.input]
    (result,) = graph.output
    result.type.tensor_type.shape.dim[0].ClearField("dim_param")
    if isinstance(batch, int):
        result.type.tensor_type.shape.dim[0].dim_value = batch
    else:
        result.type.tensor_type.shape.dim[0].dim_param = batch
    if output == "float16":
        for node in body:
            node.output[:] = ["wide" if each == result.name else each for each in node.output]
        body.append(helper.make_node("Cast", ["wide"], [result.name], "as_half", to=10))
        result.type.tensor_type.elem_type = TensorProto.FLOAT16
    del graph.node[:]
    graph.node.extend([*nodes, *body])
    return proto


def trained_by(proto: onnx.ModelProto, name: str = "phase_train") -> onnx.ModelProto:
    """A model whose last Gemm has other weights if a boolean input says that it is trained."""
    graph = proto.graph
    last = next(node for node in reversed(graph.node) if node.op_type == "Gemm")
    weights = {tensor.name: tensor for tensor in graph.initializer}
    stored = numpy_helper.to_array(weights[last.input[1]])
    graph.initializer.append(numpy_helper.from_array(np.zeros_like(stored), "untrained"))
    node = helper.make_node("Where", [name, "untrained", last.input[1]], ["chosen"], "which")
    last.input[1] = "chosen"
    graph.input.append(helper.make_tensor_value_info(name, TensorProto.BOOL, []))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([node, *nodes])
    return proto


def mixing(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A model that subtracts the mean of its batch from its output, as in training."""
    graph = proto.graph
    (result,) = graph.output
    for node in graph.node:
        node.output[:] = ["own" if each == result.name else each for each in node.output]
    graph.node.extend(
        [
            helper.make_node("ReduceMean", ["own"], ["of_batch"], "mean", axes=[0], keepdims=1),
            helper.make_node("Sub", ["own", "of_batch"], [result.name], "less_mean"),
        ]
    )
    return proto


def photographs(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth pictures, (count, 32, 32, 3), uint8."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 8, 8, 3))
    noise = rng.integers(0, 9, (count, 32, 32, 3))
    return np.asarray(np.kron(small, np.ones((1, 4, 4, 1))) * 0.96 + noise, np.uint8)
