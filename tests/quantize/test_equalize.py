"""Equalization does not change the outputs by a bit, and leaves alone what it cannot scale."""

from contextlib import nullcontext
from importlib import import_module
from unittest.mock import patch

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from pytest_kycquant.errors import QuantizationError
from pytest_kycquant.quantize import (
    Ingredients,
    build,
    equalize_channels,
    observe_activations,
    observe_channels,
)
from pytest_kycquant.quantize.channel_groups import channel_groups
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.recipe import Recipe
from tests.worlds.zoo import build_model, images, named_images, ready, unequal_embedder

SHAPE = (1, 4, 9, 9)


def equalized(prepared, count=4, shape=(1, 3, 32, 32)):
    inputs = images(count, shape=shape)
    statistics = observe_channels(prepared, [(str(i), x) for i, x in enumerate(inputs)])
    return equalize_channels(prepared, statistics, inputs)


def run(prepared, inputs, *, optimize=True):
    session = open_session(prepared.proto.SerializeToString(), optimize=optimize)
    return [session.run(None, {prepared.input_name: array})[0] for array in inputs]


@st.composite
def chains(draw):
    """A random chain of operators from 4 channels to a flat output, with unequal channels."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    nodes, weights, channels, last = [], {}, 4, "input"

    def add(op_type, *inputs, **options):
        nonlocal last
        name = f"{op_type}{len(nodes)}"
        for index, array in enumerate(inputs):
            if not isinstance(array, str):
                weights[f"{name}_{index}"] = array.astype(np.float32)
        named = [a if isinstance(a, str) else f"{name}_{i}" for i, a in enumerate(inputs)]
        nodes.append(helper.make_node(op_type, [last, *named], [f"t{len(nodes)}"], name, **options))
        last = f"t{len(nodes) - 1}"

    def convolve(outputs, groups):
        nonlocal channels
        unequal = np.exp(rng.normal(0, 2, (outputs, 1, 1, 1)))
        bias = [rng.normal(0, 1, outputs)] if draw(st.booleans()) else []
        weight = unequal * rng.normal(0, 1, (outputs, channels // groups, 3, 3))
        add("Conv", weight, *bias, group=groups, pads=[1] * 4)
        channels = outputs

    convolve(8, 1)
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["act", "depthwise", "grouped", "pointwise", "pool", "res"]))
        if kind == "act":
            op_type = draw(st.sampled_from(["Relu", "LeakyRelu", "PRelu", "Sigmoid"]))
            slopes = [rng.normal(0, 1, (channels, 1, 1))] if op_type == "PRelu" else []
            add(op_type, *slopes)
        elif kind == "pool":
            add(draw(st.sampled_from(["MaxPool", "AveragePool"])), kernel_shape=[2, 2])
        elif kind == "res":
            before = last
            convolve(channels, 1)
            add("Add", before)
        else:
            groups = {"depthwise": channels, "grouped": 2, "pointwise": 1}[kind]
            convolve(channels * draw(st.sampled_from([1, 2])), groups)
    if draw(st.booleans()):
        add("GlobalAveragePool")
        features = channels
    else:
        add("AveragePool", kernel_shape=[2, 2], strides=[2, 2])
        features = None
    add("Flatten")
    if features is None:
        probe = build_model(nodes, weights, shape=SHAPE, output=("n", "f"))
        probe.graph.output[0].name = last
        shapes = onnx.shape_inference.infer_shapes(probe).graph.value_info
        features = (
            next(
                (v.type.tensor_type.shape.dim[1].dim_value for v in shapes if v.name == last), None
            )
            or open_session(probe.SerializeToString())
            .run(None, {"input": np.zeros(SHAPE, "f")})[0]
            .shape[1]
        )
    transposed = draw(st.booleans())
    weight = rng.normal(0, 1, (features, 6))
    add("Gemm", weight.T if transposed else weight, rng.normal(0, 1, 6), transB=int(transposed))
    add("Relu")
    add("Gemm", rng.normal(0, 1, (6, 5)))
    nodes[-1].output[0] = "output"
    return build_model(nodes, weights, shape=SHAPE, output=("n", 5))


def random_factors(group, graph, statistics):
    rng = np.random.default_rng(group.channels)
    return 2.0 ** -rng.integers(1, 7, group.channels)


@pytest.mark.parametrize("chosen", [True, False], ids=["chosen", "random"])
@given(chains())
@settings(max_examples=40)
def test_no_output_changes_by_a_bit(tmp_path_factory, chosen, proto):
    prepared = ready(tmp_path_factory.mktemp("model"), proto)
    module = import_module("pytest_kycquant.quantize.equalize")
    with nullcontext() if chosen else patch.object(module, "_factors", random_factors):
        result, _ = equalized(prepared, shape=SHAPE)
    assert chosen or result.equalized > 0  # the group between the two Gemms is always found
    assert result.max_difference == prepared.max_difference
    unseen = images(3, seed=7, shape=SHAPE)
    for before, after in zip(run(prepared, unseen), run(result, unseen), strict=True):
        np.testing.assert_array_equal(before, after)


def test_channels_of_like_ranges_survive_quantization(tmp_path):
    prepared = ready(tmp_path, unequal_embedder())
    result, _ = equalized(prepared)
    unseen = images(10, seed=5)
    expected = np.concatenate(run(prepared, unseen))

    def error(source):
        ranges = observe_activations(source, named_images(8)).ranges("minmax")
        recipe = Recipe("int8", calibration_method="minmax", op_types=("Conv",))
        variant = build(Ingredients(source, ranges=ranges, saturates=False), recipe)
        # Not optimized: the recipe is that of a CPU that does not saturate.
        session = open_session(variant.content, optimize=False)
        found = [session.run(None, {"input": array})[0] for array in unseen]
        return np.sqrt(np.mean((np.concatenate(found) - expected) ** 2))

    assert error(result) < error(prepared) / 3


def test_the_statistics_are_those_of_the_equalized_model(tmp_path):
    prepared = ready(tmp_path, unequal_embedder())
    result, statistics = equalized(prepared)
    again = observe_channels(result, named_images(4))
    for table in ("low", "high", "squares", "means"):
        found, expected = getattr(statistics, table), getattr(again, table)
        assert found.keys() == expected.keys()
        for name, array in found.items():
            np.testing.assert_allclose(array, expected[name], rtol=1e-12)


def test_the_prepared_model_stays_as_it_is(tmp_path):
    prepared = ready(tmp_path, unequal_embedder())
    before = prepared.proto.SerializeToString()
    equalized(prepared)
    assert prepared.proto.SerializeToString() == before
    assert prepared.equalized is None


def test_groups_of_the_embedder(tmp_path):
    found = [
        (group.tensors, group.writers, group.readers)
        for group in channel_groups(ready(tmp_path).proto.graph)
    ]
    assert found == [
        # The residual ties the stem to the sum, and pooling ties the sum to the Gemm.
        (
            ("c1", "p1", "c3", "sum", "pooled", "flat"),
            ("stem", "project"),
            ("depthwise", "embed"),
        ),
        (("c2", "p2"), ("depthwise",), ("project",)),
    ]


def conv(name, source, target, weight="w"):
    return helper.make_node("Conv", [source, weight], [target], name, pads=[1] * 4)


WEIGHTS = {
    name: np.random.default_rng(i).standard_normal((4, 4, 3, 3)).astype(np.float32)
    for i, name in enumerate(("w", "v"))
}


@pytest.mark.parametrize(
    ("between", "weights"),
    [
        ([helper.make_node("Sigmoid", ["a"], ["b"], "n")], {}),
        ([helper.make_node("Softmax", ["a"], ["b"], "n", axis=1)], {}),
        ([helper.make_node("Add", ["a", "one"], ["b"], "n")], {"one": np.float32([1])}),
        ([helper.make_node("Add", ["a", "input"], ["b"], "n")], {}),
        (
            [helper.make_node("Clip", ["a", "", "six"], ["b"], "n")],
            {"six": np.array(6, np.float32)},
        ),
        (
            [
                helper.make_node("GlobalAveragePool", ["a"], ["g"], "n"),
                helper.make_node("Mul", ["a", "g"], ["b"], "gate"),
            ],
            {},
        ),
    ],
    ids=["sigmoid", "softmax", "constant", "input", "clip", "gate"],
)
def test_what_does_not_commute_is_left_alone(tmp_path, between, weights):
    nodes = [conv("one", "input", "a"), *between, conv("two", "b", "output", "v")]
    proto = build_model(nodes, {**WEIGHTS, **weights}, shape=SHAPE, output=SHAPE)
    prepared = ready(tmp_path, proto)
    assert channel_groups(prepared.proto.graph) == ()
    result, _ = equalized(prepared, shape=SHAPE)
    assert result.equalized == 0
    assert result.proto == prepared.proto


def test_shared_weights_and_outputs_are_left_alone(tmp_path):
    shared = [conv("one", "input", "a"), conv("two", "a", "output")]
    proto = build_model(shared, {"w": WEIGHTS["w"]}, shape=SHAPE, output=SHAPE)
    assert channel_groups(ready(tmp_path, proto).proto.graph) == ()
    seen = [conv("one", "input", "a"), conv("two", "a", "output", "v")]
    proto = build_model(seen, WEIGHTS, shape=SHAPE, output=SHAPE)
    assert len(channel_groups(ready(tmp_path, proto).proto.graph)) == 1
    proto.graph.output.append(helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, SHAPE))
    assert channel_groups(ready(tmp_path, proto).proto.graph) == ()


def test_a_dead_channel_keeps_its_scale(tmp_path):
    weight = WEIGHTS["w"].copy()
    weight[2] = 0
    weight[3] *= 1e-3
    nodes = [
        conv("one", "input", "a"),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        conv("two", "b", "output", "v"),
    ]
    proto = build_model(nodes, {**WEIGHTS, "w": weight}, shape=SHAPE, output=SHAPE)
    prepared = ready(tmp_path, proto)
    result, _ = equalized(prepared, shape=SHAPE)
    arrays = {t.name: numpy_helper.to_array(t) for t in result.proto.graph.initializer}
    assert all(np.isfinite(array).all() for array in arrays.values())
    np.testing.assert_array_equal(arrays["v"][:, 2], WEIGHTS["v"][:, 2])
    assert np.abs(arrays["w"][3]).max() > np.abs(weight[3]).max()


def test_statistics_of_another_model_are_refused(tmp_path):
    prepared = ready(tmp_path)
    statistics = observe_channels(prepared, named_images(2))
    del statistics.means["depthwise"]
    with pytest.raises(QuantizationError, match="those of another model"):
        equalize_channels(prepared, statistics, images(1))


def test_a_recipe_that_was_not_given_what_it_asks_for_says_so(tmp_path):
    prepared = ready(tmp_path)
    result, _ = equalized(prepared)
    ranges = observe_activations(prepared, named_images(2)).ranges("mse")
    for source, wanted in ((prepared, True), (result, False)):
        recipe = Recipe("int8", equalize=wanted)
        with pytest.raises(QuantizationError, match=f"equalize={wanted}, but the model is"):
            build(Ingredients(source, ranges=ranges, saturates=False), recipe)
