"""Models of two or three layers, and ways to change their graphs."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.worlds.presentations import presentations

SIZE = 16
CHANNELS = 8
EMBEDDING = 64


def weights(seed: int, *shape: int) -> NDArray[np.float32]:
    """Random weights that keep the scale of what they multiply."""
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 1, shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def _network(last: NDArray[np.float32], bias: NDArray[np.float32]) -> onnx.ModelProto:
    arrays = {"conv.w": weights(1, CHANNELS, 3, 4, 4), "gemm.w": last, "gemm.b": bias}
    nodes = [
        helper.make_node("Conv", ["input", "conv.w"], ["a"], name="conv", strides=[4, 4]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Flatten", ["b"], ["c"], name="flatten"),
        helper.make_node("Gemm", ["c", "gemm.w", "gemm.b"], ["output"], name="gemm", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, len(last)])],
        [numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def embedder() -> onnx.ModelProto:
    """An embedder, input 1 x 3 x 16 x 16, output 1 x 64, with operators conv, relu and gemm."""
    features = CHANNELS * (SIZE // 4) ** 2
    return _network(weights(2, EMBEDDING, features), np.zeros(EMBEDDING, np.float32))


def classifier() -> bytes:
    """A model that tells prints, live faces and screens of `presentations` apart; output 1 x 3."""
    pixels, _, species, _ = presentations(300, seed=99)
    inputs = ((pixels.astype(np.float32) - 127.5) / 127.5).transpose(0, 3, 1, 2)
    windows = np.lib.stride_tricks.sliding_window_view(inputs, (4, 4), axis=(2, 3))[:, :, ::4, ::4]
    maps = np.einsum("ncxyhw,ochw->noxy", windows, weights(1, CHANNELS, 3, 4, 4)).clip(0)
    design = np.hstack([maps.reshape(len(maps), -1), np.ones((len(maps), 1))]).astype(np.float64)
    order = ("print", "", "screen")
    wanted = 8.0 * np.eye(3)[[order.index(name) for name in species]]
    ridge = design.T @ design + 1e-3 * np.eye(design.shape[1])
    found = np.linalg.solve(ridge, design.T @ wanted).astype(np.float32)
    network = _network(np.ascontiguousarray(found[:-1].T), found[-1])
    return bytes(network.SerializeToString())


def node(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    """The operator of that name."""
    return next(one for one in model.graph.node if one.name == name)


def constant(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    """The initializer of that name."""
    return next(one for one in model.graph.initializer if one.name == name)


def insert(model: onnx.ModelProto, tensor: str, *nodes: onnx.NodeProto) -> None:
    """Put operators that turn ``x`` into ``y`` behind the operator that makes a tensor."""
    names = [name for one in model.graph.node for name in one.output]
    at = names.index(tensor)
    model.graph.node[at].output[0] = f"{tensor}.before"
    for new in nodes:
        for names_of in (new.input, new.output):
            renamed = [{"x": f"{tensor}.before", "y": tensor}.get(n, n) for n in names_of]
            del names_of[:]
            names_of.extend(renamed)
    later = list(model.graph.node[at + 1 :])
    del model.graph.node[at + 1 :]
    model.graph.node.extend([*nodes, *later])


def add(model: onnx.ModelProto, name: str, value: NDArray[np.generic]) -> str:
    """Add an initializer, and return its name."""
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def replace_weight(
    model: onnx.ModelProto, name: str, *nodes: onnx.NodeProto
) -> NDArray[np.float32]:
    """Have operators make a weight, whose last output is ``weight``; return what it was."""
    old = constant(model, name)
    value = numpy_helper.to_array(old).copy()
    model.graph.initializer.remove(old)
    for new in nodes:
        outputs = [name if n == "weight" else n for n in new.output]
        del new.output[:]
        new.output.extend(outputs)
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])
    return value
