import numpy as np
import onnx
import pytest
from onnx import helper

from pytest_kycquant.errors import QuantizationError
from pytest_kycquant.quantize import (
    Ingredients,
    build,
    observe_activations,
    operators,
)
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.recipe import Recipe
from tests.worlds.zoo import build_model, images, named_images, ready, tiny_embedder


def make(prepared, keep):
    ranges = observe_activations(prepared, named_images(8)).ranges("mse")
    recipe = Recipe("mixed", keep_fp32=keep)
    return build(Ingredients(prepared, ranges=ranges, saturates=False), recipe)


def output(content, array):
    # Not optimized: the recipe is that of a CPU that does not saturate, which this one may do.
    return open_session(content, optimize=False).run(None, {"input": array})[0]


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (("first",), ("stem",)),
        (("last",), ("embed",)),
        (("Gemm", "first"), ("stem", "embed")),
        (("depthwise",), ("depthwise",)),
        (("Conv",), ("stem", "depthwise", "project")),
        (("Add",), ("residual",)),
    ],
)
def test_operators_are_kept_by_name_type_and_place(tmp_path, keep, kept):
    variant = make(ready(tmp_path), keep)
    assert variant.kept == kept
    graph = onnx.load_model_from_string(variant.content).graph
    initializers = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if node.name in kept and len(node.input) > 1 and node.op_type != "Add":
            assert node.input[1] in initializers
    weighted = [name for name in ("stem", "depthwise", "project", "embed") if name not in kept]
    assert variant.quantized.get("Conv", 0) + variant.quantized.get("Gemm", 0) == len(weighted)


@pytest.mark.parametrize(
    ("name", "hint"), [("depthwize", "'depthwise'"), ("Conv2d", "'Conv'"), ("zzz", "'stem'")]
)
def test_a_name_that_matches_nothing_gets_suggestions(tmp_path, name, hint):
    with pytest.raises(QuantizationError, match=f"names '{name}', .* did you mean .*{hint}"):
        make(ready(tmp_path), ("first", name))


def test_keeping_everything_leaves_nothing_quantized(tmp_path):
    with pytest.raises(QuantizationError, match="nothing in the model was quantized"):
        make(ready(tmp_path), ("Conv", "Gemm", "Add", "GlobalAveragePool", "Flatten"))


def test_each_operator_can_be_quantized_alone(tmp_path):
    prepared = ready(tmp_path)
    for name in operators(prepared):
        others = tuple(n.name for n in prepared.proto.graph.node if n.name != name)
        variant = make(prepared, others)
        assert sum(variant.quantized.values()) == 1


def test_keeping_operators_comes_closer_to_fp32(tmp_path):
    proto = tiny_embedder()
    prepared = ready(tmp_path, proto)

    def error(keep):
        content = make(prepared, keep).content
        return np.mean(
            [
                np.abs(output(content, array) - output(proto.SerializeToString(), array))
                for array in images(10, seed=9)
            ]
        )

    assert error(("Conv", "Add", "GlobalAveragePool", "Flatten")) < error(("first",))


def relu_model(shared_weight=False):
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.standard_normal((3, 3, 1, 1)).astype(np.float32),
        "w2": rng.standard_normal((3, 3, 1, 1)).astype(np.float32),
        "b": rng.standard_normal(3).astype(np.float32),
    }
    second = "w1" if shared_weight else "w2"
    nodes = [
        helper.make_node("Conv", ["input", "w1", "b"], ["a"], "one"),
        helper.make_node("Add", ["a", "input"], ["s"], "add"),
        helper.make_node("Relu", ["s"], ["r"], "relu"),
        helper.make_node("Conv", ["r", second, "b"], ["output"], "two"),
    ]
    if not shared_weight:
        del weights["b"]
        for node in nodes:
            node.input[:] = [name for name in node.input if name != "b"]
    return build_model(nodes, weights, output=(1, 3, 32, 32))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("keep", [("two",), ("one",), ("relu",), ("two", "add")])
def test_a_removed_relu_and_a_shared_weight_keep_their_meaning(tmp_path, keep, shared):
    proto = relu_model(shared)
    variant = make(ready(tmp_path, proto), keep)
    array = images(1, seed=9)[0]
    exact = output(proto.SerializeToString(), array)
    found = output(variant.content, array)
    assert np.abs(found - exact).max() < 0.03 * np.abs(exact).max()


@pytest.mark.parametrize("precision", ["mixed", "fp16", "int8-dynamic"])
def test_a_kept_operator_that_shares_a_weight_reads_the_original(tmp_path, precision):
    proto = relu_model(shared_weight=True)
    prepared = ready(tmp_path, proto)
    method = {"mixed": "mse", "fp16": "minmax"}.get(precision)
    ranges = method and observe_activations(prepared, named_images(2)).ranges(method)
    recipe = Recipe(precision, keep_fp32=("two",))
    content = build(Ingredients(prepared, ranges=ranges, saturates=False), recipe).content
    graph = onnx.load_model_from_string(content).graph
    kept = next(node for node in graph.node if node.name == "two")
    original = {tensor.name: tensor for tensor in proto.graph.initializer}
    for tensor in graph.initializer:
        if tensor.name in kept.input:
            assert tensor.raw_data == original[tensor.name.removesuffix("_kept")].raw_data
    assert {tensor.name for tensor in graph.initializer} > set(kept.input[1:])
