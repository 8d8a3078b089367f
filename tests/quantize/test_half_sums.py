"""Sums inside of an operator that float16 does not hold, though it holds every tensor."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import pytest_kycquant
from pytest_kycquant import Recipe
from pytest_kycquant.runtimes.ort import open_session
from tests.worlds.zoo import build_model, images, save

CASES = {
    "ReduceL2": {"axes": [1, 2, 3]},
    "LpNormalization": {"axis": 1},
    "LayerNormalization": {"axis": 1},
    "InstanceNormalization": {},
    "ReduceSum": {},
    "ReduceMean": {"axes": [2, 3]},
    "GlobalAveragePool": {},
    "AveragePool": {"kernel_shape": [32, 32]},
    "GlobalLpPool": {},
}


def summing(op_type, factor, *, size=32):
    """The image times a factor, then the operator "sum"."""
    weights = {
        "w": np.tile(np.float32([1, -1, 1]), (8, 1)).reshape(8, 3, 1, 1) * np.float32(factor / 3),
        "scale": np.ones(8, np.float32),
        "axes": np.array([2, 3]),
        "one": np.ones((8, 32, 32), np.float32),
    }
    extra = {
        "InstanceNormalization": ["scale", "scale"],
        "LayerNormalization": ["one"],
        "ReduceSum": ["axes"],
    }.get(op_type, [])
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["x"], "conv"),
        helper.make_node(op_type, ["x", *extra], ["y"], "sum", **CASES[op_type]),
        helper.make_node("Sigmoid", ["y"], ["output"], "end"),
    ]
    return build_model(nodes, weights, shape=(1, 3, size, size), output=("a", "b", "c", "d"))


def half(folder, proto, size=32, **options):
    path = save(folder, proto)
    inputs = images(4, shape=(1, 3, size, size))
    return pytest_kycquant.quantize(path, inputs, Recipe("fp16", rewrites=False, **options))


def types(path):
    """Types of what the operator named "sum" reads."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    node = next(node for node in graph.node if node.name == "sum")
    found = {info.name: info.type.tensor_type.elem_type for info in (*graph.value_info,)}
    return found[node.input[0]]


@pytest.mark.parametrize(
    ("op_type", "factor"),
    [
        ("ReduceL2", 10), ("LpNormalization", 150), ("LayerNormalization", 10),
        ("InstanceNormalization", 30), ("ReduceSum", 200), ("ReduceMean", 200),
        ("GlobalAveragePool", 200), ("AveragePool", 200), ("GlobalLpPool", 30),
    ],
)  # fmt: skip
def test_what_may_overflow_inside_stays_in_fp32(tmp_path, op_type, factor):
    made = half(tmp_path, summing(op_type, factor))
    assert types(made.path) == TensorProto.FLOAT
    assert made.notes[0].startswith(f"1 {op_type} stays in FP32: a sum inside may reach ")
    assert made.notes[0].endswith("and float16 ends at 65504")
    assert made.quantized["Conv"] == 1


@pytest.mark.parametrize("op_type", CASES)
def test_what_cannot_overflow_is_converted(tmp_path, op_type):
    made = half(tmp_path, summing(op_type, 0.5))
    assert types(made.path) == TensorProto.FLOAT16
    assert made.notes == ()


def test_the_mean_of_values_of_one_sign_is_bounded_by_itself(tmp_path):
    """1,024 values of up to 60 could sum to 61,440, but their mean is about 10."""
    proto = summing("GlobalAveragePool", 60)
    proto.graph.node.insert(1, helper.make_node("Relu", ["x"], ["r"], "relu"))
    proto.graph.node[2].input[0] = "r"
    made = half(tmp_path, proto)
    assert types(made.path) == TensorProto.FLOAT16


def test_an_open_size_is_told(tmp_path):
    made = half(tmp_path, summing("GlobalAveragePool", 0.5, size="side"))
    assert made.notes == (
        "1 GlobalAveragePool stays in FP32: a sum inside has an open size, and float16 ends at "
        "65504",
    )


def test_what_the_recipe_keeps_is_not_told_again(tmp_path):
    assert half(tmp_path, summing("ReduceL2", 10), keep_fp32=("sum",)).notes == ()


def test_the_length_of_an_embedding_is_the_same_as_in_fp32(tmp_path):
    """No number exceeds 120, but the squares of an embedding sum to more than 65504."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.normal(0, 25, (64, 3, 4, 4)).astype(np.float32),
        "flat": np.array([1, 64]),
    }
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["c"], "conv", strides=[32, 32]),
        helper.make_node("Reshape", ["c", "flat"], ["raw"], "flatten"),
        helper.make_node("ReduceL2", ["raw"], ["length"], "sum", axes=[1], keepdims=1),
        helper.make_node("Div", ["raw", "length"], ["output"], "normalise"),
    ]
    proto = build_model(nodes, weights, output=(1, 64))
    made = half(tmp_path, proto)
    assert [note.split(":")[0] for note in made.notes] == ["1 ReduceL2 stays in FP32"]
    session = open_session(made.path.read_bytes())
    (found,) = session.run(None, {"input": images(1, seed=3)[0]})
    assert np.linalg.norm(found) == pytest.approx(1, abs=0.01)
