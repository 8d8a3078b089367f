"""A branch that the declared size of the input decides is no branch."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import pytest_kycquant
from pytest_kycquant import Recipe
from pytest_kycquant.runtimes.ort import open_session
from tests.worlds.zoo import build_model, images, ready, save


def made(folder, proto, precision):
    recipe = Recipe(precision, rewrites=False)
    return pytest_kycquant.quantize(save(folder, proto), images(16), recipe)


def largest_error(proto, path):
    """Largest difference relative to the largest output."""
    sessions = open_session(proto.SerializeToString()), open_session(path.read_bytes())
    pairs = [[s.run(None, {"input": x})[0] for s in sessions] for x in images(4, seed=9)]
    return max(np.abs(a - b).max() / np.abs(a).max() for a, b in pairs)


def squeezed(side):
    """An If that squeezes an axis only where its size is 1, as torch writes it.

    Args:
        side: declared height and width of the image; a name leaves them open.
    """
    rng = np.random.default_rng(0)
    node = helper.make_node
    weights = {
        "w": rng.normal(0, 0.3, (16, 3, 3, 3)).astype(np.float32),
        "v": rng.normal(0, 0.3, (16, 8)).astype(np.float32),
        "one": np.array([1]),
        "last": np.array([2, 3]),
    }
    then = helper.make_graph(
        [
            node("Constant", [], ["axes"], "axes", value=numpy_helper.from_array(np.array([3, 2]))),
            node("Squeeze", ["p", "axes"], ["short"], "squeeze"),
            node("Relu", ["short"], ["then_out"], "relu"),
        ],
        "then",
        [],
        [helper.make_tensor_value_info("then_out", TensorProto.FLOAT, None)],
    )
    other = helper.make_graph(
        [node("Identity", ["p"], ["else_out"], "same")],
        "else",
        [],
        [helper.make_tensor_value_info("else_out", TensorProto.FLOAT, None)],
    )
    nodes = [
        node("Conv", ["input", "w"], ["c"], "conv"),
        node("GlobalAveragePool", ["c"], ["p"], "pool"),
        node("Shape", ["p"], ["shape"], "shape"),
        node("Gather", ["shape", "last"], ["size"], "size"),
        node("Equal", ["size", "one"], ["equal"], "equal"),
        node("Cast", ["equal"], ["number"], "number", to=TensorProto.INT32),
        node("ReduceMin", ["number"], ["least"], "least", keepdims=0),
        node("Cast", ["least"], ["is_one"], "is_one", to=TensorProto.BOOL),
        node("If", ["is_one"], ["flat"], "if", then_branch=then, else_branch=other),
        node("MatMul", ["flat", "v"], ["output"], "fc"),
    ]
    return build_model(nodes, weights, shape=(1, 3, side, side), output=(1, 8))


def test_a_branch_that_the_size_decides_is_taken(tmp_path):
    proto = squeezed(32)
    kinds = [node.op_type for node in ready(tmp_path, proto).proto.graph.node]
    assert kinds == ["Conv", "GlobalAveragePool", "Squeeze", "Relu", "MatMul"]
    found = made(tmp_path, proto, "int8")
    assert found.quantized["MatMul"] == 1
    assert found.notes == ()
    assert largest_error(proto, found.path) < 0.15


def test_a_branch_that_an_open_size_decides_stays(tmp_path):
    proto = squeezed("side")
    pool = proto.graph.node[1]
    pool.CopyFrom(helper.make_node("AveragePool", ["c"], ["p"], "pool", kernel_shape=[30, 30]))
    found = made(tmp_path, proto, "int8")
    assert "If" in {node.op_type for node in onnx.load(found.path).graph.node}
    assert largest_error(proto, found.path) < 0.15
