"""Exact rewrites compute what the FP32 graph computes, or are rejected."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pytest_kycquant.errors import QuantizationError
from pytest_kycquant.quantize import applicable, rewrite
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.recipe import REWRITES, Recipe
from tests.worlds.zoo import build_model, images, ready, tiny_embedder

pytestmark = pytest.mark.usefixtures("two_rewrites")

FORMS = pytest.mark.parametrize("integer", [False, True], ids=["float", "integer"])


def types(prepared):
    return [node.op_type for node in prepared.proto.graph.node]


def outputs(proto, arrays):
    session = open_session(proto.SerializeToString())
    return np.stack([session.run(None, {"input": array})[0] for array in arrays])


def activation(slopes, *, shape=(1, 3, 32, 32), extra=()):
    """A model of one convolution and one PReLU."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(0, 0.4, (8, 3, 3, 3)).astype(np.float32), "s": slopes}
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        *extra,
        helper.make_node("PRelu", ["c", "s"], ["output"], "act"),
    ]
    if extra:
        del weights["s"]
    return build_model(nodes, weights, shape=shape, output=(shape[0], 8, 32, 32))


def slopes(shape, low, high):
    return np.random.default_rng(1).uniform(low, high, shape).astype(np.float32)


@FORMS
@pytest.mark.parametrize(
    "values",
    [
        slopes((8, 1, 1), 0, 0.5),
        slopes((8, 1, 1), -2, 0),
        slopes((8, 1, 1), 0.5, 3),
        slopes((8, 1, 1), 1, 1),
        slopes((1,), 0.2, 0.3),
        slopes((), 0.2, 0.3),
        slopes((1, 8, 1, 1), -1, 2),
        slopes((8, 32, 32), -1, 2),
        slopes((32,), -1, 2),
    ],
    ids=["usual", "negative", "above 1", "one", "single", "scalar", "rank 4", "full", "width"],
)
def test_every_slope_is_exact(tmp_path, values, integer):
    prepared = ready(tmp_path, activation(values))
    arrays = images(4, seed=5)
    found = rewrite(prepared, ("prelu",), arrays[:2], integer=integer)
    assert "PRelu" not in types(found)
    expected = outputs(prepared.proto, arrays)
    assert np.abs(outputs(found.proto, arrays) - expected).max() <= 1e-6 * np.abs(expected).max()
    onnx.checker.check_model(found.proto, full_check=True)


def test_between_integers_two_operators_do_unless_a_slope_is_above_one(tmp_path):
    usual = rewrite(ready(tmp_path, activation(slopes((8, 1, 1), -2, 1))), ("prelu",), images(1))
    assert types(usual) == ["Conv", "Mul", "Relu", "Mul", "Add"]
    values = slopes((8, 1, 1), -2, 1)
    fast = rewrite(ready(tmp_path, activation(values)), ("prelu",), images(1), integer=True)
    assert types(fast) == ["Conv", "Mul", "Max"]
    assert fast.max_difference == 0
    values[3] = 1.5
    mixed = rewrite(ready(tmp_path, activation(values)), ("prelu",), images(1), integer=True)
    assert types(mixed) == types(usual)


@FORMS
@pytest.mark.parametrize("opset", [9, 11, 17, 18])
@pytest.mark.parametrize("batch", [1, "n"])
def test_opsets_and_dynamic_axes(tmp_path, opset, batch, integer):
    prepared = ready(tmp_path, tiny_embedder(opset=opset, batch=batch))
    found = rewrite(prepared, ("prelu",), images(2), integer=integer)
    several = images(1, shape=(1 if batch == 1 else 3, 3, 32, 32))
    np.testing.assert_allclose(
        outputs(found.proto, several), outputs(prepared.proto, several), rtol=1e-4, atol=1e-6
    )
    assert set(found.parts) == {"stem_act", "depthwise_act"}
    names = [node.name for node in found.proto.graph.node]
    assert len(set(names)) == len(names)
    assert set(sum(found.parts.values(), ())) < set(names)


def test_shared_slopes_stay_shared(tmp_path):
    proto = tiny_embedder()
    proto.graph.node[3].input[1] = "s1"
    prepared = ready(tmp_path, proto)
    found = rewrite(prepared, ("prelu",), images(1))
    before = len(prepared.proto.graph.initializer)
    assert len(found.proto.graph.initializer) == before + 1


def test_slopes_that_are_computed_are_left_alone(tmp_path):
    pooled = helper.make_node("GlobalAveragePool", ["c"], ["s"], "pool")
    prepared = ready(tmp_path, activation(None, extra=(pooled,)))
    assert applicable(prepared) == ()
    with pytest.raises(
        QuantizationError, match=r"'prelu', which does not apply .* rewrites that apply: none"
    ):
        rewrite(prepared, ("prelu",), images(1))


def branching(*, outer):
    """A PReLU in each branch of an If, and optionally one before it whose tensors they read."""

    def branch(name):
        body = [helper.make_node("PRelu", ["c", "s"], [name], f"{name}_act")]
        info = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph(body, name, [], [info])

    rng = np.random.default_rng(0)
    weights = {
        "w": rng.normal(0, 0.4, (8, 3, 3, 3)).astype(np.float32),
        "s": slopes((8, 1, 1), -1, 2),
        "zero": np.float32(0),
        # A rewrite would choose this name.
        "prelu0_below": np.float32(0),
    }
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["d" if outer else "c"], "conv"),
        *([helper.make_node("PRelu", ["d", "s"], ["c"], "act")] if outer else []),
        helper.make_node("ReduceMax", ["input"], ["largest"], "largest", keepdims=0),
        helper.make_node("Greater", ["largest", "prelu0_below"], ["positive"], "greater"),
        helper.make_node(
            "If",
            ["positive"],
            ["output"],
            "if",
            then_branch=branch("then"),
            else_branch=branch("else"),
        ),
    ]
    return build_model(nodes, weights, output=(1, 8, 30, 30))


@FORMS
def test_subgraphs_are_left_alone_and_may_read_what_was_rewritten(tmp_path, integer):
    assert applicable(ready(tmp_path, branching(outer=False))) == ()
    prepared = ready(tmp_path, branching(outer=True))
    arrays = images(2, seed=7)
    found = rewrite(prepared, ("prelu",), arrays, integer=integer)
    assert set(found.parts) == {"act"}
    np.testing.assert_allclose(
        outputs(found.proto, arrays), outputs(prepared.proto, arrays), rtol=1e-5, atol=1e-6
    )


def test_subnormal_weights_become_zero(tmp_path):
    proto = tiny_embedder()
    weight = proto.graph.initializer[0]
    array = numpy_helper.to_array(weight).copy()
    array.flat[:5] = [1e-39, -1e-40, 1e-45, 1.2e-38, 0]
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    prepared = ready(tmp_path, proto)
    assert applicable(prepared) == ("subnormals", "prelu")
    found = rewrite(prepared, ("subnormals",), images(2))
    assert found.parts == {"stem": ("stem",)}
    (flushed,) = (
        numpy_helper.to_array(t) for t in found.proto.graph.initializer if t.name == weight.name
    )
    np.testing.assert_array_equal(flushed.flat[:5], np.float32([0, 0, 0, 1.2e-38, 0]))
    np.testing.assert_array_equal(flushed.flat[5:], array.flat[5:])


def test_both_rewrites_add_up(tmp_path):
    proto = tiny_embedder()
    slope = next(t for t in proto.graph.initializer if t.name == "s1")
    array = numpy_helper.to_array(slope).copy()
    array.flat[0] = 1e-40
    slope.CopyFrom(numpy_helper.from_array(array, "s1"))
    found = rewrite(ready(tmp_path, proto), ("prelu", "subnormals"), images(2))
    assert len(found.parts["stem_act"]) == 4
    assert "PRelu" not in types(found)


def test_the_prepared_model_is_not_changed(tmp_path):
    prepared = ready(tmp_path)
    before = prepared.proto.SerializeToString()
    rewrite(prepared, ("prelu",), images(1))
    assert prepared.proto.SerializeToString() == before
    assert not prepared.parts


def test_a_rewrite_that_is_not_exact_is_refused(tmp_path):
    """(1 - s) * x + s * x cancels: with a slope of ten million, no digit of x is left."""
    prepared = ready(tmp_path, activation(np.full((8, 1, 1), -1e7, np.float32)))
    array = np.full((1, 3, 32, 32), -1, np.float32)
    prepared.proto.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(np.full((8, 3, 3, 3), -1 / 27, np.float32), "w")
    )
    with pytest.raises(QuantizationError, match=r"changed by .* when the graph was rewritten"):
        rewrite(prepared, ("prelu",), [array])


def test_a_rewrite_is_not_verified_with_nothing(tmp_path):
    with pytest.raises(QuantizationError, match="no inputs to verify"):
        rewrite(ready(tmp_path), ("prelu",), [])


def test_recipes_know_every_rewrite():
    assert Recipe("int8", rewrites=tuple(REWRITES)).rewrites == tuple(REWRITES)
