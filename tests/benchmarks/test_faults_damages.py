"""Every damage makes the change that its name states, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from benchmarks.faults import damages
from pytest_kycquant.quantize import Quantizer
from pytest_kycquant.quantize.graph import initializers
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.recipe import Recipe
from tests.worlds.zoo import images, named_images, save, tiny_embedder


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    """The tiny embedder of the zoo in INT8."""
    path = save(tmp_path_factory.mktemp("model"), tiny_embedder())
    quantizer = Quantizer(path, named_images(16), probes=images(2))
    return onnx.load_from_string(quantizer.build(Recipe("int8", rewrites=False)).content)


def run(proto: onnx.ModelProto, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    return open_session(proto.SerializeToString()).run(None, {"input": tensor})[0]


def constant(proto: onnx.ModelProto, place: str, index: int) -> NDArray[np.generic]:
    """The constant that an operator reads at `index`."""
    node = next(node for node in proto.graph.node if node.name == place)
    return numpy_helper.to_array(initializers(proto.graph)[node.input[index]])


def changed_inputs(before: onnx.ModelProto, after: onnx.ModelProto) -> set[tuple[str, int]]:
    """The operators, with their inputs, that read another constant or tensor than before."""
    one, other = initializers(before.graph), initializers(after.graph)
    assert [node.name for node in before.graph.node] == [node.name for node in after.graph.node]
    found = set()
    for mine, theirs in zip(before.graph.node, after.graph.node, strict=True):
        assert (mine.op_type, mine.output) == (theirs.op_type, theirs.output)
        for index, (a, b) in enumerate(zip(mine.input, theirs.input, strict=True)):
            if a in one:
                same = np.array_equal(
                    numpy_helper.to_array(one[a]), numpy_helper.to_array(other[b]), equal_nan=True
                )
            else:
                same = a == b
            if not same:
                found.add((mine.name, index))
    return found


def test_places(quantized: onnx.ModelProto) -> None:
    layers = [f"w{i}_DequantizeLinear" for i in (1, 2, 3, 4)]
    assert damages.weights(quantized) == tuple(layers)
    assert len(damages.biases(quantized)) == 4
    assert damages.activations(quantized)[0] == "input_QuantizeLinear"
    assert damages.pointwise(quantized) == ("project",)
    assert damages.of_one_shape(quantized) == []


WEIGHT, ACTIVATION = "w3_DequantizeLinear", "c2_QuantizeLinear"
READER = "c2_DequantizeLinear"
CASES: dict[str, tuple[Callable[[onnx.ModelProto], onnx.ModelProto], set[tuple[str, int]]]] = {
    "scale of weights": (
        lambda m: damages.scale_weights(m, WEIGHT, 2.0),
        {(WEIGHT, 1)},
    ),
    "scale of an activation": (
        lambda m: damages.scale_activation(m, ACTIVATION, 0.5),
        {(READER, 1)},
    ),
    "range": (
        lambda m: damages.clip_range(m, ACTIVATION),
        {(ACTIVATION, 1), (READER, 1)},
    ),
    "zero point": (
        lambda m: damages.shift_zero_point(m, ACTIVATION, 3),
        {(READER, 2)},
    ),
    "channel": (
        lambda m: damages.zero_channel(m, WEIGHT, 5),
        {(WEIGHT, 0)},
    ),
    "bias": (
        lambda m: damages.flip_bias(m, "b3_DequantizeLinear", 2),
        {("b3_DequantizeLinear", 0)},
    ),
    "NaN in weights": (
        lambda m: damages.spoil_scale(m, WEIGHT, 1),
        {(WEIGHT, 1)},
    ),
    "NaN in an activation": (
        lambda m: damages.spoil_scale(m, ACTIVATION),
        {(READER, 1)},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_only_what_it_says(quantized: onnx.ModelProto, name: str) -> None:
    damage, expected = CASES[name]
    before = quantized.SerializeToString()
    assert changed_inputs(quantized, damage(quantized)) == expected
    assert quantized.SerializeToString() == before  # a copy was damaged


def test_figures(quantized: onnx.ModelProto) -> None:
    scale = constant(quantized, WEIGHT, 1)
    assert np.array_equal(
        constant(damages.scale_weights(quantized, WEIGHT, 2), WEIGHT, 1), 2 * scale
    )
    read = constant(quantized, READER, 1)
    halved = damages.clip_range(quantized, ACTIVATION)
    assert constant(halved, READER, 1) == constant(halved, ACTIVATION, 1) == read / 2
    weight = constant(quantized, WEIGHT, 0)
    zeroed = constant(damages.zero_channel(quantized, WEIGHT, 5), WEIGHT, 0)
    assert not zeroed[5].any()
    assert np.array_equal(np.delete(zeroed, 5, 0), np.delete(weight, 5, 0))
    bias = constant(quantized, "b3_DequantizeLinear", 0)
    one = constant(damages.flip_bias(quantized, "b3_DequantizeLinear", 2), "b3_DequantizeLinear", 0)
    assert one[2] == -bias[2] != 0
    assert np.array_equal(np.delete(one, 2), np.delete(bias, 2))
    every = damages.flip_bias(quantized, "b3_DequantizeLinear")
    assert np.array_equal(constant(every, "b3_DequantizeLinear", 0), -bias)
    spoiled = constant(damages.spoil_scale(quantized, WEIGHT, 1), WEIGHT, 1)
    assert np.flatnonzero(np.isnan(spoiled)).tolist() == [1]


@pytest.mark.parametrize("by", [1, 16])
@pytest.mark.parametrize("start", [0, 128, 250])
def test_zero_points_stay_in_their_range(quantized: onnx.ModelProto, by: int, start: int) -> None:
    copy = onnx.ModelProto()
    copy.CopyFrom(quantized)
    zero = initializers(copy.graph)["c2_zero_point"]
    zero.CopyFrom(numpy_helper.from_array(np.asarray(start, np.uint8), zero.name))
    moved = int(constant(damages.shift_zero_point(copy, ACTIVATION, by), READER, 2))
    assert abs(moved - start) == by
    assert moved > start or start + by > 255


def test_exchanged_weights() -> None:
    """Two layers of one shape: each gets the integers and the scales of the other."""
    proto = onnx.helper.make_model(
        onnx.helper.make_graph(
            [
                onnx.helper.make_node("DequantizeLinear", ["a", "sa", "z"], ["fa"], "A", axis=0),
                onnx.helper.make_node("DequantizeLinear", ["b", "sb", "z"], ["fb"], "B", axis=0),
                onnx.helper.make_node("MatMul", ["input", "fa"], ["x"], "first"),
                onnx.helper.make_node("MatMul", ["x", "fb"], ["output"], "second"),
            ],
            "two",
            [onnx.helper.make_tensor_value_info("input", 1, [1, 2])],
            [onnx.helper.make_tensor_value_info("output", 1, [1, 2])],
            [
                numpy_helper.from_array(np.array([[1, 2], [3, 4]], np.int8), "a"),
                numpy_helper.from_array(np.array([[0, 5], [6, 0]], np.int8), "b"),
                numpy_helper.from_array(np.float32(0.5), "sa"),
                numpy_helper.from_array(np.float32(2.0), "sb"),
                numpy_helper.from_array(np.int8(0), "z"),
            ],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
        ir_version=8,
    )
    assert damages.of_one_shape(proto) == [("A", "B")]
    a, b = np.array([[0.5, 1], [1.5, 2]]), np.array([[0, 10.0], [12, 0]])
    x = np.array([[1, -2]], np.float32)
    # onnxruntime may multiply in 8 bits.
    assert np.allclose(run(proto, x), x @ a @ b, rtol=0.02)
    assert np.allclose(run(damages.exchange_weights(proto, "A", "B"), x), x @ b @ a, rtol=0.02)


def test_inputs_and_outputs(quantized: onnx.ModelProto) -> None:
    (x,) = images(1, seed=7)
    out = run(quantized, x)
    assert np.array_equal(run(damages.swap_channels(quantized), x), run(quantized, x[:, ::-1]))
    assert not np.array_equal(run(damages.swap_channels(quantized), x), out)
    offsets = np.array([0.1, 0.0, -0.2], np.float32)
    moved = x + offsets.reshape(1, 3, 1, 1)
    assert np.array_equal(run(damages.shift_input(quantized, offsets), x), run(quantized, moved))
    dark = run(damages.scale_input(quantized, 0.0), x)
    assert np.array_equal(dark, run(quantized, 0 * x))
    assert np.array_equal(run(damages.scale_output(quantized, 0.9), x), np.float32(0.9) * out)


def test_perturbed_integers(quantized: onnx.ModelProto) -> None:
    """Weights move by the noise, rounded to their quantization steps; nothing else moves."""
    changed = damages.perturb_weights(quantized, 0.1, seed=1)
    touched = changed_inputs(quantized, changed)
    assert touched == {(place, 0) for place in damages.weights(quantized)}
    for place in damages.weights(quantized):
        one, other = constant(quantized, place, 0), constant(changed, place, 0)
        assert other.dtype == one.dtype
        scale = constant(quantized, place, 1).reshape(-1, *[1] * (one.ndim - 1))
        moved = (other.astype(np.float32) - one) * scale
        assert np.std(moved) == pytest.approx(0.1 * np.std(one * scale), rel=0.5)


def test_perturbed_weights() -> None:
    proto = tiny_embedder()
    changed = damages.perturb_weights(proto, 0.03, seed=1)
    weighted = {("stem", 1), ("depthwise", 1), ("project", 1), ("embed", 1)}
    assert changed_inputs(proto, changed) == weighted
    for name, index in weighted:
        one, other = constant(proto, name, index), constant(changed, name, index)
        assert np.std(other - one) == pytest.approx(0.03 * one.std(), rel=0.5)
    again = damages.perturb_weights(proto, 0.03, seed=1)
    assert again.SerializeToString() == changed.SerializeToString()
    other_seed = damages.perturb_weights(proto, 0.03, seed=2)
    assert other_seed.SerializeToString() != changed.SerializeToString()


def test_saturation_is_that_of_the_kernels(quantized: onnx.ModelProto) -> None:
    """It agrees with a plain loop over pairs of channels; small products do not change."""
    x = images(1, seed=3)[0]
    emulated = damages.saturate(quantized, ["project"])
    assert np.allclose(run(emulated, x), run(quantized, x), atol=0.05)
    # The size is gated, too: weights are stored once, as integers.
    stored = [tensor.name for tensor in emulated.graph.initializer]
    assert "w3_quantized" not in stored
    assert "damage/project/w" in stored
    assert saturated([255, 255, 3, 0], [127, 127, -1, 5]) == 32767 - 3
    assert saturated([255, 255, 255, 255], [-128, -128, 1, 1]) == -32768 + 510
    assert saturated([100, 90, 3, 0], [120, -20, -1, 5]) == 12000 - 1800 - 3


def saturated(inputs: list[int], weights: list[int]) -> float:
    """One 1x1 convolution of integers, emulated."""
    helper = onnx.helper
    channels = len(inputs)
    proto = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("QuantizeLinear", ["input", "one", "zero"], ["q"], "Q"),
                helper.make_node("DequantizeLinear", ["q", "one", "zero"], ["x"], "X"),
                helper.make_node("DequantizeLinear", ["w", "one", "none"], ["wf"], "W"),
                helper.make_node("Conv", ["x", "wf"], ["output"], "conv"),
            ],
            "conv",
            [helper.make_tensor_value_info("input", 1, [1, channels, 1, 2])],
            [helper.make_tensor_value_info("output", 1, [1, 1, 1, 2])],
            [
                numpy_helper.from_array(np.float32(1), "one"),
                numpy_helper.from_array(np.uint8(0), "zero"),
                numpy_helper.from_array(np.int8(0), "none"),
                numpy_helper.from_array(np.array(weights, np.int8).reshape(1, -1, 1, 1), "w"),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    tensor = np.repeat(np.array(inputs, np.float32).reshape(1, -1, 1, 1), 2, axis=3)
    found = run(damages.saturate(proto, damages.pointwise(proto)), tensor)
    assert found.shape == (1, 1, 1, 2)
    assert found[0, 0, 0, 0] == found[0, 0, 0, 1]
    return float(found[0, 0, 0, 0])


def test_channels_of_a_matrix_are_where_its_scales_are() -> None:
    """The output channels of a MatMul, and of a Gemm without transposition, are columns."""
    rng = np.random.default_rng(0)
    matrix = rng.integers(-99, 99, (6, 4), dtype=np.int8)
    steps = np.array([0.1, 1.0, 10.0, 100.0], np.float32)
    constants = {"w": matrix, "steps": steps, "none": np.zeros(4, np.int8)}
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "steps", "none"], ["v"], "place", axis=1),
        helper.make_node("MatMul", ["input", "v"], ["output"], "layer"),
    ]
    graph = helper.make_graph(
        nodes,
        "matrix",
        [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 6])],
        [helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    proto = helper.make_model(graph)
    assert damages.weights(proto) == ("place",)
    assert damages.sizes(proto) == {"place": 4}
    zeroed = constant(damages.zero_channel(proto, "place", 2), "place", 0)
    assert np.flatnonzero((zeroed != matrix).any(axis=0)).tolist() == [2]
    assert not zeroed[:, 2].any()
    moved = constant(damages.perturb_weights(proto, 0.01, seed=1), "place", 0).astype(int)
    # Noise of one size is many of the smallest steps, but none of the largest.
    changed = np.abs(moved - matrix).mean(axis=0)
    assert changed[0] > 10 > changed[2]
    assert changed[3] == 0
