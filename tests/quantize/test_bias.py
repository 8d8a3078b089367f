"""Bias correction subtracts the mean error of quantized weights from each channel."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from pytest_kycquant.errors import QuantizationError
from pytest_kycquant.quantize import Ingredients, build, observe_activations, observe_channels
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.recipe import Recipe
from tests.worlds.zoo import build_model, images, named_images, ready, tiny_embedder

SHAPE = (1, 4, 8, 8)


def bright(count, seed=1):
    """Images whose mean is far from zero, like activations after a Relu."""
    return [np.abs(array) for array in images(count, seed, SHAPE)]


def quantized(prepared, inputs, **options):
    named = [(str(i), x) for i, x in enumerate(inputs)]
    recipe = Recipe("mixed" if options.get("keep_fp32") else "int8", **options)
    # The widest ranges, so that all errors come from rounding.
    ranges = observe_activations(prepared, named).ranges(recipe.calibration_method)
    statistics = observe_channels(prepared, named)
    return build(
        Ingredients(prepared, ranges=ranges, saturates=False, statistics=statistics), recipe
    )


def mean_error(content, proto, inputs):
    """Largest mean error of a channel, relative to the size of the output."""
    before, after = (
        np.concatenate([open_session(c, optimize=False).run(None, {"input": x})[0] for x in inputs])
        for c in (proto.SerializeToString(), content)
    )
    others = (0, *range(2, before.ndim))
    return np.abs((after - before).mean(axis=others)).max() / np.abs(before).mean()


def convolution(*, bias, group=1, stride=1, scale=1.0):
    rng = np.random.default_rng(3)
    weights = {"w": (scale * rng.uniform(-1, 1, (8, 4 // group, 3, 3))).astype(np.float32)}
    names = ["input", "w"]
    if bias:
        weights["b"] = rng.standard_normal(8).astype(np.float32)
        names.append("b")
    node = helper.make_node(
        "Conv", names, ["output"], "conv", pads=[2] * 4, group=group, strides=[stride] * 2
    )
    return build_model([node], weights, shape=SHAPE, output=("n", 8, "h", "w"))


def gemm(**options):
    rng = np.random.default_rng(4)
    shape = (8, 256) if options.get("transB") else (256, 8)
    weights = {
        "w": rng.uniform(-1, 1, shape).astype(np.float32),
        "b": rng.standard_normal(8).astype(np.float32),
    }
    nodes = [
        helper.make_node("Flatten", ["input"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "w", "b"], ["output"], "gemm", **options),
    ]
    return build_model(nodes, weights, shape=SHAPE, output=("n", 8))


MODELS = {
    "conv": convolution(bias=True),
    "no-bias": convolution(bias=False),
    "groups": convolution(bias=True, group=2),
    "depthwise": convolution(bias=False, group=4, stride=2),
    "gemm": gemm(),
    "gemm-transposed": gemm(transB=1, alpha=0.5),
    "gemm-beta": gemm(beta=2.0),
}


@pytest.mark.parametrize("per_channel", [True, False], ids=["per-channel", "per-tensor"])
@pytest.mark.parametrize("proto", MODELS.values(), ids=MODELS)
def test_the_mean_error_vanishes(tmp_path, proto, per_channel):
    # Coarse weights (7 bits) and 16-bit activations: the error comes from the weights.
    options = {
        "per_channel": per_channel,
        "reduce_range": True,
        "activation_type": "uint16",
        "calibration_method": "minmax",
        "op_types": (proto.graph.node[-1].op_type,),
    }
    prepared, inputs = ready(tmp_path, proto), bright(12)
    plain = quantized(prepared, inputs, bias_correction=False, **options)
    corrected = quantized(prepared, inputs, bias_correction=True, **options)
    before = mean_error(plain.content, proto, inputs)
    after = mean_error(corrected.content, proto, inputs)
    assert before > 5e-4
    assert after < before / 8
    assert corrected.resolved["biases_corrected"] == 1
    assert "1 biases corrected" in corrected.resolved["reason"]
    assert plain.resolved["bias_correction"] is False


def test_it_holds_with_integer_kernels_and_new_images(tmp_path):
    proto = convolution(bias=False)
    prepared = ready(tmp_path, proto)
    options = {"calibration_method": "minmax", "reduce_range": True, "per_channel": False}
    plain = quantized(prepared, bright(40), bias_correction=False, **options)
    corrected = quantized(prepared, bright(40), bias_correction=True, **options)
    unseen = bright(40, seed=9)
    before = mean_error(plain.content, proto, unseen)
    assert mean_error(corrected.content, proto, unseen) < before / 2


def test_an_operator_in_fp32_keeps_its_bias(tmp_path):
    prepared = ready(tmp_path)
    inputs = images(4)
    keep = ("stem", "depthwise")  # with and without a bias
    variant = quantized(prepared, inputs, keep_fp32=keep, calibration_method="minmax")
    assert variant.resolved["biases_corrected"] == 2
    graph = onnx.load_model_from_string(variant.content).graph
    nodes = {node.name: node for node in graph.node}
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    original = {t.name: numpy_helper.to_array(t) for t in prepared.proto.graph.initializer}
    np.testing.assert_array_equal(arrays[nodes["stem"].input[2]], original["b1"])
    assert len(nodes["depthwise"].input) == 2


def test_operators_that_share_a_bias_are_corrected_each(tmp_path):
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.uniform(-1, 1, (4, 4, 3, 3)).astype(np.float32),
        "v": rng.uniform(-2, 1, (4, 4, 3, 3)).astype(np.float32),
        "b": rng.standard_normal(4).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["input", "w", "b"], ["left"], "one"),
        helper.make_node("Conv", ["input", "v", "b"], ["right"], "two"),
        helper.make_node("Concat", ["left", "right"], ["output"], "both", axis=1),
    ]
    proto = build_model(nodes, weights, shape=SHAPE, output=("n", 8, "h", "w"))
    prepared, inputs = ready(tmp_path, proto), bright(12)
    options = {
        "activation_type": "uint16",
        "calibration_method": "minmax",
        "reduce_range": True,
        "op_types": ("Conv",),
    }
    plain = quantized(prepared, inputs, bias_correction=False, **options)
    corrected = quantized(prepared, inputs, bias_correction=True, **options)
    before = mean_error(plain.content, proto, inputs)
    assert mean_error(corrected.content, proto, inputs) < before / 8


def test_what_it_needs_is_asked_for(tmp_path):
    prepared = ready(tmp_path)
    ranges = observe_activations(prepared, named_images(2)).ranges("mse")
    recipe = Recipe("int8", bias_correction=True)
    with pytest.raises(QuantizationError, match="bias_correction needs statistics"):
        build(Ingredients(prepared, ranges=ranges, saturates=False), recipe)
    proto = tiny_embedder()
    proto.graph.node[0].name = "other"
    statistics = observe_channels(ready(tmp_path, proto), named_images(2))
    with pytest.raises(QuantizationError, match="those of another model"):
        build(Ingredients(prepared, ranges=ranges, saturates=False, statistics=statistics), recipe)
