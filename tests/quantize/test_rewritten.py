"""Variants of a rewritten graph: operators are named, kept and counted as in the model."""

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from pytest_kycquant.errors import QuantizationError
from pytest_kycquant.quantize import (
    Ingredients,
    build,
    calibration_of,
    observe_activations,
    operators,
    rewrite,
)
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.recipe import Recipe
from tests.worlds.zoo import images, named_images, ready, tiny_embedder

PLAIN = ("int8", "int8-dynamic", "fp16")


@pytest.fixture
def prepared(tmp_path):
    return ready(tmp_path)


def make(prepared, recipe, *, again=True, high=()):
    needed = calibration_of(recipe)
    ranges = None
    if needed is not None:
        ranges = observe_activations(prepared, named_images(8)).ranges(*needed)
        values = ranges.high.copy()
        for name, value in high:
            values[ranges.names.index(name)] = value
        ranges = dataclasses.replace(ranges, high=values)
    found = None
    if again:
        found = rewrite(prepared, ("prelu",), images(2), integer=recipe.is_integer)
    return build(Ingredients(prepared, ranges=ranges, saturates=False, rewritten=found), recipe)


def output(content, array):
    return open_session(content).run(None, {"input": array})[0]


def graph_of(variant):
    proto = onnx.load_model_from_string(variant.content)
    onnx.checker.check_model(proto, full_check=True)
    return proto.graph


@pytest.mark.parametrize("precision", PLAIN)
def test_the_same_operators_are_changed_and_the_outputs_agree(prepared, precision):
    plain = make(prepared, Recipe(precision), again=False)
    found = make(prepared, Recipe(precision))
    assert "PRelu" in [node.op_type for node in graph_of(plain).node]
    assert "PRelu" not in [node.op_type for node in graph_of(found).node]
    assert found.quantized == plain.quantized
    assert found.notes == plain.notes
    exact, tolerance = (output(v.content, images(1, seed=9)[0]) for v in (plain, found)), 0.02
    a, b = exact
    assert np.abs(a - b).max() <= tolerance * np.abs(a).max()


def test_what_a_rewrite_adds_is_not_quantized(prepared):
    graph = graph_of(make(prepared, Recipe("int8")))
    (scaled,) = (node for node in graph.node if node.name == "stem_act/below")
    floats = {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT}
    assert scaled.input[1] in floats
    (maximum,) = (node for node in graph.node if node.name == "stem_act/max")
    assert maximum.input[1] == scaled.output[0]


@pytest.mark.parametrize("keep", ["stem_act", "PRelu"])
@pytest.mark.parametrize("precision", ["mixed", "int8-dynamic", "fp16"])
def test_a_rewritten_operator_is_kept_by_name_and_by_type(prepared, precision, keep):
    variant = make(prepared, Recipe(precision, keep_fp32=(keep,)))
    assert variant.kept == (("stem_act",) if keep == "stem_act" else ("stem_act", "depthwise_act"))
    graph = graph_of(variant)
    halves = {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT16}
    parts = [node for node in graph.node if node.name.startswith("stem_act/")]
    assert len(parts) > 1
    assert not halves.intersection(name for node in parts for name in node.input)
    if precision == "fp16":
        assert variant.quantized.get("PRelu", 0) == (1 if keep == "stem_act" else 0)
        assert halves


def test_a_name_of_a_part_is_no_operator(prepared):
    with pytest.raises(QuantizationError, match="names 'stem_act/max', which is not an operator"):
        make(prepared, Recipe("mixed", keep_fp32=("stem_act/max",)))


def test_a_type_that_only_a_rewrite_brought_is_no_operator_of_the_model(prepared):
    with pytest.raises(QuantizationError, match="no operators of type Max"):
        make(prepared, Recipe("int8", op_types=("Conv", "Max")))


def test_each_operator_can_be_quantized_alone(prepared):
    for name in operators(prepared):
        others = tuple(n.name for n in prepared.proto.graph.node if n.name != name)
        variant = make(prepared, Recipe("mixed", keep_fp32=others))
        assert sum(variant.quantized.values()) == 1


def test_an_overflow_within_the_rewrite_is_found(tmp_path):
    """With slopes of 1.5, x fits in float16 but 1.5 x does not, although PReLU(x) = x."""
    proto = tiny_embedder()
    slope = next(t for t in proto.graph.initializer if t.name == "s1")
    slope.CopyFrom(onnx.numpy_helper.from_array(np.full((8, 1, 1), 1.5, np.float32), "s1"))
    prepared = ready(tmp_path, proto)
    high = [("c1", 50_000.0), ("p1", 50_000.0)]
    make(prepared, Recipe("fp16"), again=False, high=high)
    message = r"'stem_act/below' reaches 7.5e\+04, above .*; add 'stem_act' to keep_fp32"
    with pytest.raises(QuantizationError, match=message):
        make(prepared, Recipe("fp16"), high=high)
    make(prepared, Recipe("fp16", keep_fp32="stem_act"), high=high)


def test_fp32_optimized(prepared):
    variant = make(prepared, Recipe("fp32-optimized"))
    assert variant.quantized == {"PRelu": 2}
    assert variant.kept == ()
    graph = graph_of(variant)
    assert {t.data_type for t in graph.initializer} == {TensorProto.FLOAT}
    assert not {"PRelu", "Max"}.intersection(node.op_type for node in graph.node)
    array = images(1, seed=9)[0]
    exact = output(prepared.proto.SerializeToString(), array)
    np.testing.assert_allclose(output(variant.content, array), exact, rtol=1e-4, atol=1e-6)
    assert variant.resolved["precision"] == "fp32-optimized"


def test_fp32_optimized_of_nothing_is_refused(prepared):
    with pytest.raises(QuantizationError, match="nothing to rewrite: FP32 is as fast as it gets"):
        make(prepared, Recipe("fp32-optimized"), again=False)


@pytest.mark.parametrize("precision", [*PLAIN, "fp32-optimized"])
def test_the_same_request_gives_the_same_bytes(prepared, precision):
    recipe = Recipe(precision)
    assert make(prepared, recipe).content == make(prepared, recipe).content
