"""Weights that are stored in few bits and computed with in FP32."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from pytest_kycquant.errors import QuantizationError, SpecError
from pytest_kycquant.quantize import Ingredients, build, observe_activations, observe_channels
from pytest_kycquant.quantize.graph import serialize, sort_nodes
from pytest_kycquant.quantize.weight_only import store_weights
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.recipe import Recipe
from tests.worlds.zoo import build_model, images, named_images, ready, tiny_embedder


def make(prepared, precision, **options):
    return build(Ingredients(prepared, saturates=False), Recipe(precision, **options))


def loaded(content, tmp_path):
    """The graph as onnxruntime runs it."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return onnx.load(tmp_path / "loaded.onnx").graph


def restored(weight, op_type, kind, **attributes):
    """A stored weight, as the session computes with it."""
    inputs = ["input", "w"]
    nodes = [helper.make_node(op_type, inputs, ["y"], "op", **attributes)]
    shape = {"MatMul": (1, len(weight)), "Gemm": (1, weight.shape[attributes.get("transB", 0)])}
    channels = weight.shape[1] * attributes.get("group", 1)
    channels = channels if op_type == "Conv" else weight.shape[0]
    proto = build_model(
        nodes, {"w": weight}, shape=shape.get(op_type, (1, channels, 8, 8)), output=None
    )
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("w", 1, weight.shape))
    store_weights(proto, {"op"}, kind)
    sort_nodes(proto.graph)
    integers = [t for t in proto.graph.initializer if t.data_type in (2, 3, 10)]
    (found,) = open_session(serialize(proto)).run(
        ["w"],
        {
            "input": np.zeros(
                [d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim], np.float32
            )
        },
    )
    return found, sum(len(t.raw_data) for t in integers)


OPERATORS = [
    ("Conv", (6, 8, 2, 2), {}),
    ("Conv", (6, 1, 3, 3), {"group": 6}),
    ("ConvTranspose", (6, 8, 2, 2), {}),
    ("Gemm", (32, 6), {}),
    ("Gemm", (6, 32), {"transB": 1}),
    ("MatMul", (32, 6), {}),
]


@pytest.mark.parametrize(("op_type", "shape", "attributes"), OPERATORS)
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_each_output_channel_is_within_half_a_step_of_8_bits(op_type, shape, attributes, seed):
    rng = np.random.default_rng(seed)
    outputs = 0 if op_type == "Conv" or attributes.get("transB") else 1
    spread = np.exp(rng.normal(size=shape[outputs]) * 3).reshape(
        [-1 if axis == outputs else 1 for axis in range(len(shape))]
    )
    weight = (rng.normal(size=shape) * spread).astype(np.float32)
    found, stored = restored(weight, op_type, "int8", **attributes)
    others = tuple(axis for axis in range(len(shape)) if axis != outputs)
    step = np.abs(weight).max(axis=others, keepdims=True) / 127
    assert (np.abs(found - weight) <= step * 0.5001).all()
    assert stored == weight.size


@pytest.mark.parametrize(("op_type", "shape", "attributes"), OPERATORS)
def test_4_bits_take_half_of_8_where_there_are_enough_weights(op_type, shape, attributes):
    rng = np.random.default_rng(1)
    weight = rng.normal(size=shape).astype(np.float32)
    found, stored = restored(weight, op_type, "int4", **attributes)
    packed = op_type != "ConvTranspose" and attributes.get("group") is None
    if packed:
        assert stored < weight.size / 2 + 60  # 60 for the constants of the reshapes
        # The largest weight of a block is seven steps, or fewer if that reduces the error.
        assert np.abs(found - weight).max() < np.abs(weight).max() / 2
        error = np.sqrt(np.square(found - weight).mean() / np.square(weight).mean())
        assert 0.03 < error < 0.15
        assert len(np.unique(found)) > 16  # there are several scales
    else:
        assert stored == weight.size


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    outputs=st.integers(1, 5),
    length=st.sampled_from([16, 18, 32, 64, 96, 144]),
)
def test_numbers_that_4_bits_hold_come_back_exactly(seed, outputs, length):
    rng = np.random.default_rng(seed)
    weight = rng.integers(-7, 8, (outputs, length, 1, 1)).astype(np.float32)
    # Each block, of at least 16 weights, thus has the scale 1.
    weight[:, ::8] = 7
    found, _ = restored(weight, "Conv", "int4")
    np.testing.assert_array_equal(found, weight)


def test_an_empty_channel_stays_empty():
    weight = np.zeros((4, 16, 1, 1), np.float32)
    weight[1] = 1
    for kind in ("int8", "int4", "float16"):
        found, _ = restored(weight, "Conv", kind)
        np.testing.assert_array_equal(found, weight)


@pytest.mark.parametrize("precision", ["int8-weights", "int4-weights"])
def test_the_session_computes_like_one_of_fp32(tmp_path, precision):
    proto = tiny_embedder()
    variant = make(ready(tmp_path, proto), precision)
    assert variant.quantized == {"Conv": 3, "Gemm": 1}
    graph, exact = (loaded(c, tmp_path) for c in (variant.content, proto.SerializeToString()))
    assert [node.op_type for node in graph.node] == [node.op_type for node in exact.node]
    session, fp32 = open_session(variant.content), open_session(proto.SerializeToString())
    for array in images(4, seed=9):
        expected, found = (s.run(None, {"input": array})[0] for s in (fp32, session))
        assert 0 < np.abs(found - expected).max() < 0.3 * np.abs(expected).max()


def test_what_is_kept_and_what_is_not_asked_for_stays_as_it_was(tmp_path):
    prepared = ready(tmp_path)
    variant = make(prepared, "int8-weights", keep_fp32=("stem",), op_types=("Conv",))
    assert variant.quantized == {"Conv": 2}
    graph = onnx.load_model_from_string(variant.content).graph
    arrays = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    original = {t.name: numpy_helper.to_array(t) for t in prepared.proto.graph.initializer}
    for name in ("w1", "w4", "b1", "b3", "b4", "s1", "s2"):
        np.testing.assert_array_equal(arrays[name], original[name])
    assert not {"w2", "w3"} & set(arrays)


def test_nothing_to_store_is_an_error(tmp_path):
    with pytest.raises(QuantizationError, match="nothing in the model was quantized"):
        make(ready(tmp_path), "int8-weights", keep_fp32=("Conv", "Gemm"))


@pytest.mark.parametrize(
    ("float_weights", "largest"), [("float32", 0), ("float16", 2**-10), ("int8", 0.5 / 127)]
)
def test_weights_of_operators_in_fp32_are_stored_as_asked(tmp_path, float_weights, largest):
    prepared = ready(tmp_path)
    ranges = observe_activations(prepared, named_images(4)).ranges("mse")
    recipe = Recipe("mixed", keep_fp32=("depthwise",), float_weights=float_weights)
    variant = build(Ingredients(prepared, ranges=ranges, saturates=False), recipe)
    assert variant.resolved["float_weights"] == float_weights
    proto = onnx.load_model_from_string(variant.content)
    proto.graph.output.append(helper.make_tensor_value_info("w2", 1, None))
    _, found = open_session(serialize(proto)).run(None, {"input": images(1)[0]})
    original = {t.name: numpy_helper.to_array(t) for t in prepared.proto.graph.initializer}["w2"]
    difference = np.abs(found - original).max() / np.abs(original).max()
    assert difference <= largest * 1.001
    assert (difference > 0) == (float_weights != "float32")


def test_weights_that_half_precision_cannot_hold_are_left_alone():
    weight = np.full((4, 16, 1, 1), 1e6, np.float32)
    found, _ = restored(weight, "Conv", "float16")
    np.testing.assert_array_equal(found, weight)


@pytest.mark.parametrize("precision", ["int8-weights", "int4-weights"])
@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_the_mean_error_of_rounded_weights_is_taken_off_the_biases(tmp_path, precision, beta):
    proto = tiny_embedder()
    (gemm,) = (node for node in proto.graph.node if node.op_type == "Gemm")
    gemm.attribute.append(helper.make_attribute("alpha", 2.0))
    gemm.attribute.append(helper.make_attribute("beta", beta))
    prepared = ready(tmp_path, proto)
    # All are brighter than average, so the rounding error has a nonzero mean.
    inputs = [(name, np.abs(array)) for name, array in named_images(16)]
    channels = observe_channels(prepared, inputs)

    def shift(**given):
        variant = build(Ingredients(prepared, saturates=False, **given), Recipe(precision))
        session, fp32 = open_session(variant.content), open_session(serialize(proto))
        pairs = [[s.run(None, {"input": array})[0] for s in (session, fp32)] for _, array in inputs]
        return variant, np.abs(np.mean([a - b for a, b in pairs], axis=0)).mean()

    plain, without = shift()
    corrected, with_images = shift(statistics=channels)
    assert with_images < without / 2
    assert (plain.resolved["bias_correction"], corrected.resolved["bias_correction"]) == (
        False,
        True,
    )
    assert corrected.resolved["biases_corrected"] == 4
    assert "4 biases corrected" in corrected.resolved["reason"]


def test_what_is_kept_keeps_its_bias(tmp_path):
    prepared = ready(tmp_path)
    channels = observe_channels(prepared, named_images(4))
    recipe = Recipe("int8-weights", keep_fp32=("stem", "depthwise"))
    variant = build(Ingredients(prepared, saturates=False, statistics=channels), recipe)
    assert variant.resolved["biases_corrected"] == 2
    graph = onnx.load_model_from_string(variant.content).graph
    inputs = {node.name: list(node.input) for node in graph.node}
    assert (inputs["stem"][2], len(inputs["depthwise"])) == ("b1", 2)


def test_a_correction_that_is_asked_for_needs_images(tmp_path):
    recipe = Recipe("int8-weights", bias_correction=True)
    with pytest.raises(QuantizationError, match="bias_correction needs statistics"):
        build(Ingredients(ready(tmp_path), saturates=False), recipe)


def test_shared_weights_are_stored_once(tmp_path):
    rng = np.random.default_rng(0)
    weights = {"w": rng.standard_normal((3, 3, 1, 1)).astype(np.float32)}
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["a"], "one"),
        helper.make_node("Conv", ["a", "w"], ["output"], "two"),
    ]
    prepared = ready(tmp_path, build_model(nodes, weights, output=(1, 3, 32, 32)))
    assert make(prepared, "int8-weights").quantized == {"Conv": 2}
    variant = make(prepared, "int8-weights", keep_fp32=("two",))
    assert variant.quantized == {"Conv": 1}
    graph = onnx.load_model_from_string(variant.content).graph
    (two,) = (node for node in graph.node if node.name == "two")
    arrays = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    np.testing.assert_array_equal(arrays[two.input[1]], weights["w"])


def test_options_of_other_precisions_are_refused():
    for options in ({"per_channel": True}, {"weight_type": "int8"}, {"float_weights": "int8"}):
        with pytest.raises(SpecError, match="has no option"):
            Recipe("int8-weights", **options)
    with pytest.raises(SpecError, match="float_weights"):
        Recipe("int8", float_weights="int4")
