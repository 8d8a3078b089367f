"""Tiny models with seeded random weights, and inputs for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pytest_kycquant.quantize import PreparedModel, load_model, prepare

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_IR = {9: 4, 11: 6, 13: 7, 17: 8, 18: 8}


def build_model(
    nodes: list[onnx.NodeProto],
    weights: dict[str, NDArray[np.generic]],
    *,
    shape: tuple[int | str, ...] = (1, 3, 32, 32),
    output: tuple[int | str, ...] = (1, 16),
    opset: int = 17,
) -> onnx.ModelProto:
    """A model from `input` to `output`."""
    graph = helper.make_graph(
        nodes,
        "zoo",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=_IR[opset])


def tiny_embedder(
    seed: int = 0, *, opset: int = 17, batch: int | str = 1, named: bool = True
) -> onnx.ModelProto:
    """Conv, PRelu, depthwise Conv, PRelu, Conv, Add, pooling, Gemm: a MobileFaceNet in 3 KB."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int, scale: float = 1.0) -> NDArray[np.float32]:
        return (rng.standard_normal(shape) * scale).astype(np.float32)

    weights = {
        "w1": draw(8, 3, 3, 3, scale=0.3),
        "b1": draw(8, scale=0.1),
        "s1": np.abs(draw(8, 1, 1, scale=0.3)),
        "w2": draw(8, 1, 3, 3, scale=0.4),
        "s2": draw(8, 1, 1, scale=0.3),
        "w3": draw(8, 8, 1, 1, scale=0.4),
        "b3": draw(8, scale=0.1),
        "w4": draw(16, 8, scale=0.5),
        "b4": draw(16, scale=0.1),
    }
    half = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["input", "w1", "b1"], ["c1"], "stem", strides=[2, 2], **half),
        helper.make_node("PRelu", ["c1", "s1"], ["p1"], "stem_act"),
        helper.make_node("Conv", ["p1", "w2"], ["c2"], "depthwise", group=8, **half),
        helper.make_node("PRelu", ["c2", "s2"], ["p2"], "depthwise_act"),
        helper.make_node("Conv", ["p2", "w3", "b3"], ["c3"], "project", kernel_shape=[1, 1]),
        helper.make_node("Add", ["c3", "p1"], ["sum"], "residual"),
        helper.make_node("GlobalAveragePool", ["sum"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "w4", "b4"], ["output"], "embed", transB=1),
    ]
    if not named:
        for node in nodes:
            node.name = ""
    return build_model(nodes, weights, shape=(batch, 3, 32, 32), output=(batch, 16), opset=opset)


def unequal_embedder(factors: tuple[int, ...] = (64, 64, 1, 1, 1, 1, 1, 1)) -> onnx.ModelProto:
    """The tiny embedder with a stem whose first channels are far larger than the others."""
    proto = tiny_embedder()
    for tensor in proto.graph.initializer:
        scale = {"w1": np.array(factors), "b1": np.array(factors), "w2": 1 / np.array(factors)}
        if tensor.name in scale:
            array = numpy_helper.to_array(tensor)
            factor = scale[tensor.name].reshape(-1, *[1] * (array.ndim - 1))
            changed = (array * factor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
    proto.graph.node[5].input[1] = "c3b"  # the residual would need the large channels
    proto.graph.node.insert(5, helper.make_node("Relu", ["c3"], ["c3b"], "again"))
    return proto


def images(count: int, seed: int = 1, shape: tuple[int, ...] = (1, 3, 32, 32)) -> list[NDArray]:
    """Smooth float32 inputs in about -1..1."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1, 1, shape).astype(np.float32) for _ in range(count)]


def named_images(count: int, seed: int = 1) -> list[tuple[str, NDArray]]:
    """The same inputs with file names."""
    return [(f"{i}.jpg", array) for i, array in enumerate(images(count, seed))]


def save(folder: Path, proto: onnx.ModelProto, name: str = "model.onnx") -> Path:
    """Write a model and return its path."""
    path = folder / name
    path.write_bytes(proto.SerializeToString())
    return path


def ready(folder: Path, proto: onnx.ModelProto | None = None) -> PreparedModel:
    """Write, load and prepare a model."""
    model = load_model(save(folder, tiny_embedder() if proto is None else proto))
    shape = tuple(n or 1 for n in model.input_shape)
    return prepare(model, images(2, shape=shape))
