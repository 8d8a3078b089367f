"""The gradient of a model, compared with differences of its outputs."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pytest_kycquant.quantize.gradient import backward
from pytest_kycquant.quantize.gradient_rules import RULES
from pytest_kycquant.runtimes.ort import open_session
from tests.worlds.zoo import build_model

RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def node(op_type, inputs, output, **given):
    return helper.make_node(op_type, inputs, [output], output, **given)


SHAPE = (1, 4, 9, 8)
GRAPHS = {
    "conv": ([node("Conv", ["input", "w"], "output", pads=[1, 0, 1, 2])], {"w": draw(5, 4, 3, 3)}),
    "strided": (
        [node("Conv", ["input", "w"], "output", strides=[2, 3], pads=[1] * 4)],
        {"w": draw(5, 4, 3, 3)},
    ),
    "dilated": (
        [node("Conv", ["input", "w"], "output", dilations=[2, 3])],
        {"w": draw(5, 4, 3, 2)},
    ),
    "grouped": (
        [node("Conv", ["input", "w", "b"], "output", group=2, strides=[2, 2])],
        {"w": draw(6, 2, 3, 3), "b": draw(6)},
    ),
    "depthwise": ([node("Conv", ["input", "w"], "output", group=4)], {"w": draw(4, 1, 3, 3)}),
    "same": (  # the rule does not compute this padding: the gradient starts at the input
        [node("Conv", ["input", "w"], "output", auto_pad="SAME_UPPER")],
        {"w": draw(4, 4, 3, 3)},
    ),
    "relu": ([node("Relu", ["input"], "output")], {}),
    "leaky": ([node("LeakyRelu", ["input"], "output", alpha=0.2)], {}),
    "prelu": ([node("PRelu", ["input", "s"], "output")], {"s": draw(4, 1, 1)}),
    "clip": (
        [node("Clip", ["input", "low", "high"], "output")],
        {"low": np.float32(-0.51), "high": np.float32(0.73)},
    ),
    "clip above": ([node("Clip", ["input", "", "high"], "output")], {"high": np.float32(0.3)}),
    "sigmoid": ([node("Sigmoid", ["input"], "output")], {}),
    "silu": ([node("Sigmoid", ["input"], "s"), node("Mul", ["input", "s"], "output")], {}),
    "square": ([node("Mul", ["input", "input"], "output")], {}),
    "scaled": ([node("Mul", ["k", "input"], "output")], {"k": draw(4, 1, 1)}),
    "difference": (
        [node("Relu", ["input"], "a"), node("Sub", ["a", "input"], "output")],
        {},
    ),
    "nothing": ([node("Sub", ["input", "input"], "output")], {}),
    "shifted": ([node("Add", ["input", "k"], "output")], {"k": draw(4, 1, 1)}),
    "norm": (
        [node("BatchNormalization", ["input", "g", "b", "m", "v"], "output", epsilon=0.1)],
        {"g": draw(4), "b": draw(4), "m": draw(4), "v": np.abs(draw(4))},
    ),
    "residual": (
        [
            node("Conv", ["input", "w"], "c", pads=[1] * 4),
            node("PRelu", ["c", "s"], "p"),
            node("Add", ["p", "input"], "sum"),
            node("Mul", ["sum", "p"], "output"),
        ],
        {"w": draw(4, 4, 3, 3), "s": draw(4, 1, 1)},
    ),
    "head": (
        [
            node("GlobalAveragePool", ["input"], "g"),
            node("Flatten", ["g"], "f"),
            node("Gemm", ["f", "w", "b"], "h", alpha=0.5, transB=1),
            node("MatMul", ["h", "m"], "output"),
        ],
        {"w": draw(6, 4), "b": draw(6), "m": draw(6, 3)},
    ),
    "reshaped": (
        [
            node("Transpose", ["input"], "t", perm=[0, 2, 3, 1]),
            node("Reshape", ["t", "to"], "r"),
            node("Gemm", ["r", "w"], "output"),
        ],
        {"to": np.array([72, -1]), "w": draw(4, 3)},
    ),
    "branches": (
        [
            helper.make_node("Split", ["input"], ["a", "b"], "split", axis=1),
            node("Sigmoid", ["b"], "c"),
            node("Concat", ["c", "input", "k"], "output", axis=1),
        ],
        {"k": draw(1, 2, 9, 8)},
    ),
    "enlarged": (
        [
            node(
                "Resize",
                ["input", "", "by"],
                "output",
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            )
        ],
        {"by": np.array([1, 1, 2, 3], np.float32)},
    ),
    "unknown": (  # no rule for Softmax: the gradient starts before it
        [
            node("Conv", ["input", "w"], "c"),
            node("Softmax", ["c"], "s", axis=1),
            node("Relu", ["s"], "output"),
        ],
        {"w": draw(4, 4, 3, 3)},
    ),
}


def infer(nodes, weights):
    proto = build_model(nodes, weights, shape=SHAPE, output=())
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(proto)


def model_of(name):
    return infer(*GRAPHS[name])


def runner(proto, names):
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    known = {info.name for info in copy.graph.output}
    copy.graph.output.extend(
        helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names if n not in known
    )
    session = open_session(copy.SerializeToString())
    return lambda feeds: session.run(list(names), feeds)


@pytest.mark.parametrize("name", [n for n in GRAPHS if n != "same"])
def test_it_is_the_slope_of_the_outputs(name):
    assert_slope(model_of(name))


def assert_slope(model):
    found = backward(model)
    rng = np.random.default_rng(1)
    x, direction = rng.standard_normal((2, *SHAPE))
    x += 0.02 * np.sign(x)  # the difference must not step over the corner of Relu
    ends = runner(model, found.seeds)
    h = 2e-4
    above, below = (ends({"input": (x + s * h * direction).astype(np.float32)}) for s in (1, -1))
    seeds = [rng.standard_normal(array.shape).astype(np.float32) for array in above]
    for seed in seeds[:-1]:
        seed[:] = 0  # in "unknown", this gradient does not reach the input
    slope = sum(np.sum((a - b) * s) for a, b, s in zip(above, below, seeds, strict=True)) / (2 * h)
    feeds = {"input": x.astype(np.float32), **dict(zip(found.seeds.values(), seeds, strict=True))}
    (gradient,) = runner(found.proto, [found.gradients["input"]])(feeds)
    assert gradient.shape == SHAPE
    assert np.sum(gradient * direction) == pytest.approx(slope, rel=0.01, abs=0.02)


def test_it_starts_where_no_rule_is_known():
    assert list(backward(model_of("unknown")).seeds) == ["output", "c"]
    assert list(backward(model_of("same")).seeds) == ["output", "input"]
    assert list(backward(model_of("residual")).seeds) == ["output"]


@pytest.mark.parametrize(
    ("operator", "weights"),
    [
        GRAPHS["same"],
        ([node("Add", ["input", "k"], "output")], {"k": draw(2, *SHAPE[1:])}),
        ([node("Mul", ["input", "k"], "output")], {"k": draw(2, *SHAPE[1:])}),
        ([node("MatMul", ["input", "w"], "output")], {"w": draw(4, 8, 3)}),
        (
            [node("Resize", ["input", "", "by"], "output", mode="linear")],
            {"by": np.array([1, 1, 2, 2], np.float32)},
        ),
    ],
    ids=["padding", "broadcast sum", "broadcast product", "many matrices", "interpolation"],
)
def test_a_rule_that_does_not_cover_an_operator_writes_nothing(operator, weights):
    model = infer(operator, weights)
    found = backward(model)
    assert list(found.seeds) == ["output", "input"]
    assert found.proto.graph.node == model.graph.node
    assert found.proto.graph.initializer == model.graph.initializer


def test_one_more_operator_takes_one_more_rule_in_the_table(monkeypatch):
    model = infer([node("Relu", ["input"], "a"), node("Exp", ["a"], "output")], {})
    assert list(backward(model).seeds) == ["output", "a"]

    def exp(node, gradients, known, write):
        return {0: write.op("Mul", gradients[0], node.output[0])}

    monkeypatch.setitem(RULES, "Exp", exp)
    assert list(backward(model).seeds) == ["output"]
    assert_slope(model)


def test_it_starts_where_a_rule_gives_nothing(monkeypatch):
    monkeypatch.setitem(RULES, "PRelu", lambda node, gradients, known, write: {})
    found = backward(model_of("residual"))
    assert list(found.seeds) == ["output", "c"]
    assert found.gradients.keys() == {"output", "sum", "p", "c", "input"}


@pytest.mark.parametrize("outputs", [["output", "mean"], ["mean"]])
def test_it_starts_where_an_output_is_reached_that_the_rule_does_not_know(outputs):
    norm = helper.make_node(
        "BatchNormalization",
        ["input", "g", "b", "m", "v"],
        ["output", "mean", "variance"],
        "norm",
        training_mode=1,
    )
    model = build_model([norm], {name: np.ones(4, np.float32) for name in "gbmv"}, shape=SHAPE)
    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs
    )
    model = onnx.shape_inference.infer_shapes(model)
    assert list(backward(model).seeds) == [*outputs, "input"]


def test_what_reaches_no_output_has_none():
    model = model_of("relu")
    model.graph.node.append(node("Sigmoid", ["input"], "unread"))
    model = onnx.shape_inference.infer_shapes(model)
    assert backward(model).gradients.keys() == {"input", "output"}


def test_the_model_is_not_changed():
    model = model_of("residual")
    before = model.SerializeToString()
    backward(model)
    assert model.SerializeToString() == before
