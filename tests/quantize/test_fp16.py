import dataclasses

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pytest_kycquant.errors import QuantizationError
from pytest_kycquant.quantize import Ingredients, build, observe_activations
from pytest_kycquant.quantize.builder import resolve_options
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.recipe import Recipe
from tests.worlds.zoo import build_model, images, named_images, ready, tiny_embedder


def make(prepared, *keep, **extremes):
    ranges = observe_activations(prepared, named_images(3)).ranges("minmax")
    high = ranges.high.copy()
    for name, value in extremes.items():
        high[ranges.names.index(name)] = value
    ranges = dataclasses.replace(ranges, high=high)
    return build(
        Ingredients(prepared, ranges=ranges, saturates=False), Recipe("fp16", keep_fp32=keep)
    )


def output(content, array):
    return open_session(content).run(None, {"input": array})[0]


def graph_of(variant):
    proto = onnx.load_model_from_string(variant.content)
    onnx.checker.check_model(proto, full_check=True)
    return proto.graph


@pytest.mark.parametrize("opset", [11, 17])
def test_weights_halve_and_outputs_hardly_change(tmp_path, opset):
    proto = tiny_embedder(opset=opset)
    variant = make(ready(tmp_path, proto))
    assert (variant.quantized["Conv"], variant.quantized["Gemm"]) == (3, 1)
    graph = graph_of(variant)
    assert {t.data_type for t in graph.initializer} == {TensorProto.FLOAT16}
    assert graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    array = images(1, seed=9)[0]
    exact = output(proto.SerializeToString(), array)
    assert 0 < np.abs(output(variant.content, array) - exact).max() < 0.01
    assert variant.resolved["headroom"] > 1000
    assert variant.notes == ()


@pytest.mark.parametrize(
    "keep",
    [
        ("first",),
        ("last",),
        ("depthwise", "residual"),  # two readers of one float16 tensor
        ("stem", "stem_act", "depthwise"),
        ("Conv", "Gemm"),
        ("project", "residual", "pool", "flatten", "embed"),
    ],
)
def test_kept_operators_stay_float32_in_a_valid_graph(tmp_path, keep):
    proto = tiny_embedder()
    if "Gemm" in keep:
        # The activations remain.
        variant = make(ready(tmp_path, proto), *keep)
        assert variant.quantized["PRelu"] == 2
    else:
        variant = make(ready(tmp_path, proto), *keep)
    graph = graph_of(variant)
    half = {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT16}
    half |= {
        info.name
        for info in graph.value_info
        if info.type.tensor_type.elem_type == TensorProto.FLOAT16
    }
    for node in graph.node:
        assert (node.name in variant.kept) <= half.isdisjoint([*node.input, *node.output])
    array = images(1, seed=9)[0]
    exact = output(proto.SerializeToString(), array)
    assert np.abs(output(variant.content, array) - exact).max() < 0.01


def test_an_activation_that_overflows_is_named_with_its_operators(tmp_path):
    with pytest.raises(QuantizationError) as caught:
        make(ready(tmp_path), c3=7e4)
    assert "tensor 'c3' of Conv 'project' reaches 7e+04" in str(caught.value)
    assert "add 'project', 'residual' to keep_fp32" in str(caught.value)


def test_keeping_the_producer_alone_does_not_prevent_it(tmp_path):
    with pytest.raises(QuantizationError, match="add 'residual' to keep_fp32"):
        make(ready(tmp_path), "project", c3=7e4)


def test_between_kept_neighbours_nothing_is_cast_to_half(tmp_path):
    variant = make(ready(tmp_path), "project", "residual", c3=7e4)
    graph = graph_of(variant)
    project = next(node for node in graph.node if node.name == "project")
    residual = next(node for node in graph.node if node.name == "residual")
    assert project.output[0] in residual.input


def test_a_kept_operator_writes_the_output_of_the_model_itself(tmp_path):
    graph = graph_of(make(ready(tmp_path), "last", output=7e4))
    assert next(node for node in graph.node if node.name == "embed").output[0] == "output"


def test_little_headroom_is_noted(tmp_path):
    (note,) = make(ready(tmp_path), c3=3e4).notes
    assert "headroom is 2.2: tensor 'c3' overflows" in note


def test_a_weight_that_overflows_is_named(tmp_path):
    weights = {"w": np.array([1, 2, 7e4], np.float32).reshape(1, 3, 1, 1)}
    nodes = [helper.make_node("Conv", ["input", "w"], ["output"], "conv")]
    prepared = ready(tmp_path, build_model(nodes, weights, output=(1, 1, 32, 32)))
    with pytest.raises(QuantizationError, match="weight 'w' of Conv 'conv' reaches 7e\\+04"):
        make(prepared)


def test_two_resizes_of_one_tensor_are_left_in_float32(tmp_path):
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.standard_normal((3, 3, 1, 1)).astype(np.float32),
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["c"], "conv"),
        helper.make_node("Resize", ["c", "", "scales"], ["r1"], "up1", mode="nearest"),
        helper.make_node("Resize", ["c", "", "scales"], ["r2"], "up2", mode="linear"),
        helper.make_node("Add", ["r1", "r2"], ["output"], "add"),
    ]
    proto = build_model(nodes, weights, output=(1, 3, 64, 64))
    variant = make(ready(tmp_path, proto))
    assert variant.quantized == {"Add": 1, "Conv": 1}
    assert variant.resolved["blocked_op_types"] == "Resize"
    array = images(1, seed=9)[0]
    exact = output(proto.SerializeToString(), array)
    assert np.abs(output(variant.content, array) - exact).max() < 0.02


def test_extremes_are_no_option_of_it():
    """They are only used to check for overflow and do not change the file."""
    options = resolve_options(Recipe("fp16"), saturates=False)
    assert options.keys() == {"precision", "keep_fp32", "reason"}
