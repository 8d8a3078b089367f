"""Models with parts that no pixel reaches, as exporters without constant folding write them."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.worlds.zoo import build_model


def pyramid(size: int | str = 32) -> onnx.ModelProto:
    """A feature pyramid of torch 1.x: one level is resized to the size of another, by Shape.

    Args:
        size: height and width of the input; a name leaves them open.
    """
    rng = np.random.default_rng(5)
    node = helper.make_node
    weights = {
        "w1": rng.normal(0, 0.27, (16, 3, 3, 3)),
        "w2": rng.normal(0, 0.12, (32, 16, 3, 3)),
        "side": rng.normal(0, 0.25, (32, 16, 1, 1)),
        "down": rng.normal(0, 0.08, (16, 32, 3, 3)),
        "ones": np.ones(2),
    }
    given = {name: array.astype(np.float32) for name, array in weights.items()}
    given |= {"i2": np.array(2), "i3": np.array(3)}
    half = {"pads": [1] * 4, "strides": [2, 2]}
    nodes = [
        node("Conv", ["input", "w1"], ["c1"], "conv1", **half),
        node("LeakyRelu", ["c1"], ["a1"], "act1", alpha=0.5),
        node("Conv", ["a1", "w2"], ["c2"], "conv2", **half),
        node("LeakyRelu", ["c2"], ["a2"], "act2", alpha=0.5),
        node("Conv", ["a1", "side"], ["s"], "lateral"),
        node("Shape", ["s"], ["ss"], "shape_of_side"),
        node("Gather", ["ss", "i2"], ["sh"], "height"),
        node("Gather", ["ss", "i3"], ["sw"], "width"),
        node("Unsqueeze", ["sh"], ["sh1"], "height1", axes=[0]),
        node("Unsqueeze", ["sw"], ["sw1"], "width1", axes=[0]),
        node("Concat", ["sh1", "sw1"], ["want"], "want", axis=0),
        node("Cast", ["want"], ["wantf"], "wantf", to=TensorProto.FLOAT),
        node("Shape", ["a2"], ["as"], "shape_of_a2"),
        node("Slice", ["as"], ["have"], "have", starts=[2], ends=[4], axes=[0]),
        node("Cast", ["have"], ["havef"], "havef", to=TensorProto.FLOAT),
        node("Div", ["wantf", "havef"], ["ratio"], "ratio"),
        node("Concat", ["ones", "ratio"], ["scales"], "scales", axis=0),
        node("Upsample", ["a2", "scales"], ["up"], "up", mode="nearest"),
        node("Add", ["s", "up"], ["merged"], "merge"),
        node("Conv", ["merged", "down"], ["d"], "down", **half),
        node("GlobalAveragePool", ["d"], ["p"], "pool"),
        node("Flatten", ["p"], ["output"], "flat"),
    ]
    return build_model(nodes, given, shape=(1, 3, size, size), opset=9)


def sized_grid(side: int) -> onnx.ModelProto:
    """A grid of `side` x `side`, made from a single number, is added to a convolution."""
    weights = {
        "w": np.random.default_rng(0).normal(0, 0.3, (16, 3, 1, 1)).astype(np.float32),
        "cell": np.full((1, 1, 1, 1), 0.5, np.float32),
        "size": np.array([1, 16, side, side]),
    }
    nodes = [
        helper.make_node("Expand", ["cell", "size"], ["grid"], "expand"),
        helper.make_node("Conv", ["input", "w"], ["c"], "conv"),
        helper.make_node("Add", ["c", "grid"], ["a"], "add"),
        helper.make_node("GlobalAveragePool", ["a"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["output"], "flat"),
    ]
    return build_model(nodes, weights, shape=(1, 3, side, side))


def unfolded(kind: str) -> onnx.ModelProto:
    """A convolution, then a layer with most weights, which operators compute from constants.

    Args:
        kind: "transposed", "reshaped", "cast", "scaled", "normalised" (weight normalisation),
            or "by size": the constant is reshaped to a size of the image.
    """
    rng = np.random.default_rng(3)
    node = helper.make_node
    weight = rng.normal(0, 0.05, (16 * 64, 128)).astype(np.float32)
    given: dict[str, np.ndarray] = {
        "w1": rng.normal(0, 0.3, (16, 3, 3, 3)).astype(np.float32),
        "join": np.array([1, 16 * 64]),
        "w": weight,
    }
    if kind == "transposed":
        given["w"] = weight.T.copy()
        steps = [node("Transpose", ["w"], ["k"], "turn", perm=[1, 0])]
    elif kind == "reshaped":
        given |= {"w": weight.ravel(), "shape": np.array(weight.shape)}
        steps = [node("Reshape", ["w", "shape"], ["k"], "cut")]
    elif kind == "cast":
        given["w"] = weight.astype(np.float64)
        steps = [node("Cast", ["w"], ["k"], "cast", to=TensorProto.FLOAT)]
    elif kind == "scaled":
        given["by"] = np.full((1, 128), 0.5, np.float32)
        steps = [node("Mul", ["w", "by"], ["k"], "scale")]
    elif kind == "normalised":
        given["g"] = np.linspace(0.5, 1.5, 128, dtype=np.float32)[None]
        steps = [
            node("ReduceL2", ["w"], ["length"], "length", axes=[0], keepdims=1),
            node("Div", ["g", "length"], ["factor"], "factor"),
            node("Mul", ["w", "factor"], ["k"], "norm"),
        ]
    else:
        given |= {"one": np.array([1]), "wide": np.array([-1, 128])}
        steps = [
            node("Shape", ["input"], ["size"], "size"),
            node("Gather", ["size", "one"], ["three"], "three"),
            node("Sub", ["three", "three"], ["zero"], "zero"),
            node("Add", ["wide", "zero"], ["shape"], "shape"),
            node("Reshape", ["w", "shape"], ["k"], "cut"),
        ]
    nodes = [
        *steps,
        node("Conv", ["input", "w1"], ["c"], "conv", pads=[1] * 4, strides=[2, 2]),
        node("Relu", ["c"], ["r"], "relu"),
        node("Reshape", ["r", "join"], ["f"], "flat"),
        node("MatMul", ["f", "k"], ["output"], "fc"),
    ]
    channels = "c" if kind == "by size" else 3
    return build_model(nodes, given, shape=(1, channels, 16, 16), output=(1, 128))
