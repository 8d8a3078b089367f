"""Weights that operators compute from constants are found; those that are not are reported."""

import numpy as np
import pytest
from onnx import helper

import pytest_kycquant
from pytest_kycquant import Recipe
from tests.worlds.constant_parts import unfolded
from tests.worlds.zoo import build_model, images, save

KINDS = ["transposed", "reshaped", "cast", "scaled", "normalised"]


def made(folder, proto, precision, shape, **options):
    path = save(folder, proto)
    recipe = Recipe(precision, rewrites=False, **options)
    return path, pytest_kycquant.quantize(path, images(8, shape=shape), recipe)


@pytest.mark.parametrize("precision", ["int8", "int8-weights", "int8-dynamic"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_whose_weights_are_computed_is_quantized(tmp_path, kind, precision):
    _, found = made(tmp_path, unfolded(kind), precision, (1, 3, 16, 16))
    assert found.quantized["MatMul"] == 1
    assert found.size < 0.28 * 4 * (1024 * 128 + 16 * 27)
    assert found.notes == ()


@pytest.mark.parametrize("precision", ["int8", "int8-weights", "int8-dynamic"])
def test_weights_that_depend_on_an_open_size_are_reported(tmp_path, precision):
    path, found = made(tmp_path, unfolded("by size"), precision, (1, 3, 16, 16))
    assert found.size > 0.9 * path.stat().st_size
    assert found.notes[-1] == (
        "1 MatMul with 131,072 of 131,504 weights was not quantized: the weights are computed in "
        "the graph; export the model with constants folded"
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "int8 does not quantize the type"),
        ({"op_types": ("Conv",)}, "op_types does not name the type"),
        ({"keep_fp32": ("lstm",)}, None),
    ],
)
def test_types_without_an_integer_form_are_reported(tmp_path, options, reason):
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32),
        "wx": rng.normal(0, 0.3, (1, 64, 64)).astype(np.float32),
        "wh": rng.normal(0, 0.3, (1, 64, 16)).astype(np.float32),
        "steps": np.array([8, 1, 64]),
    }
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["c"], "conv", strides=[2, 2], pads=[1] * 4),
        helper.make_node("Reshape", ["c", "steps"], ["s"], "steps"),
        helper.make_node("LSTM", ["s", "wx", "wh"], ["", "h"], "lstm", hidden_size=16),
        helper.make_node("Flatten", ["h"], ["output"], "flat"),
    ]
    proto = build_model(nodes, weights, shape=(1, 3, 16, 16))
    _, found = made(tmp_path, proto, "int8", (1, 3, 16, 16), **options)
    said = [note for note in found.notes if "not quantized" in note]
    expected = f"1 LSTM with 5,120 of 5,336 weights was not quantized: {reason}"
    assert said == ([expected] if reason else [])


def test_a_table_of_embeddings_is_reported(tmp_path):
    rng = np.random.default_rng(0)
    weights = {
        "table": rng.normal(size=(256, 32)).astype(np.float32),
        "w": rng.normal(size=(3, 16)).astype(np.float32),
        "flat": np.array([1, -1], np.int64),
        "head": rng.normal(size=(32, 16)).astype(np.float32),
    }
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
        helper.make_node("Reshape", ["pooled", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "w"], ["mixed"], "mix"),
        helper.make_node("ArgMax", ["mixed"], ["at"], axis=1, keepdims=0),
        helper.make_node("Gather", ["table", "at"], ["found"], "embed"),
        helper.make_node("MatMul", ["found", "head"], ["output"], "last"),
    ]
    proto = build_model(nodes, weights, shape=(1, 3, 16, 16))
    _, found = made(tmp_path, proto, "int8-weights", (1, 3, 16, 16))
    assert found.notes[-1] == (
        "1 Gather with 8,192 of 8,752 weights was not quantized: no recipe quantizes this type"
    )


@pytest.mark.parametrize("precision", ["int8", "int8-weights", "fp16"])
def test_inputs_that_are_left_out_keep_no_operator_alive(tmp_path, precision):
    """A folded weight before a Clip without a lower bound: both had the name ""."""
    rng = np.random.default_rng(0)
    weights = {
        "raw": rng.normal(size=(8, 3, 3, 3)).astype(np.float32),
        "half": np.float32(0.5),
        "high": np.float32(6),
        "head": rng.normal(size=(8, 16)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Mul", ["raw", "half"], ["kernel"], "scaled"),
        helper.make_node("Conv", ["input", "kernel"], ["c"], "conv"),
        helper.make_node("Clip", ["c", "", "high"], ["r"], "clip"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flat"),
        helper.make_node("MatMul", ["f", "head"], ["output"], "last"),
    ]
    _, found = made(
        tmp_path, build_model(nodes, weights, shape=(1, 3, 16, 16)), precision, (1, 3, 16, 16)
    )
    assert sum(found.quantized.values()) >= 2


@pytest.mark.parametrize("precision", ["int8", "int8-dynamic", "int8-weights", "fp16"])
def test_a_bias_that_takes_only_its_type_from_the_image(tmp_path, precision):
    """torch.onnx.export(dynamo=True, optimize=False) writes one for a Conv without bias."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32),
        "v": rng.normal(0, 0.3, (16, 8, 3, 3)).astype(np.float32),
        "zero": np.int64(0),
    }
    nodes = [
        helper.make_node("Shape", ["w"], ["size"], "size", start=0, end=1),
        helper.make_node("CastLike", ["zero", "input"], ["typed"], "typed"),
        helper.make_node("Expand", ["typed", "size"], ["bias"], "bias"),
        helper.make_node("Conv", ["input", "w", "bias"], ["c"], "conv"),
        helper.make_node("CastLike", ["zero", "c"], ["typed2"], "typed2"),
        helper.make_node("Shape", ["v"], ["size2"], "size2", start=0, end=1),
        helper.make_node("Expand", ["typed2", "size2"], ["bias2"], "bias2"),
        helper.make_node("Conv", ["c", "v", "bias2"], ["output"], "conv2"),
    ]
    proto = build_model(nodes, weights, shape=(1, 3, 16, 16), output=("a", "b", "c", "d"), opset=18)
    _, found = made(tmp_path, proto, precision, (1, 3, 16, 16))
    assert found.quantized["Conv"] == 2
    assert not any("not quantized" in note for note in found.notes)
