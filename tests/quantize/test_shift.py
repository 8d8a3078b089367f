"""The shift that quantized activations add to output means is measured in order and removed."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pytest_kycquant.quantize import (
    Ingredients,
    build,
    observe_activations,
    observe_channels,
    shift_images,
)
from pytest_kycquant.quantize.activation_bias import _shrunk
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.recipe import Recipe
from tests.worlds.zoo import build_model, images, ready, tiny_embedder

# Each operator with a bias, and the name of its output before and after quantization.
OUTPUTS = {"stem": "c1", "depthwise": "c2", "project": "c3", "embed": "output"}


def bright(count, seed=1):
    return [np.abs(array) for array in images(count, seed)]


def quantized(prepared, given, **options):
    """The tiny embedder in INT8, with ranges that cut off a lot."""
    named = [(str(i), x) for i, x in enumerate(bright(16))]
    ranges = observe_activations(prepared, named).ranges("mse")
    ranges = replace(ranges, low=ranges.low * 0.5, high=ranges.high * 0.5)
    recipe = Recipe("mixed" if options.get("keep_fp32") else "int8", **options)
    return build(
        Ingredients(
            prepared,
            ranges=ranges,
            saturates=False,
            statistics=observe_channels(prepared, named),
            images=given,
        ),
        recipe,
    ).content


def means(content, inputs):
    """Mean over the images of each channel that an operator with a bias writes."""
    proto = onnx.load_from_string(content)
    written = {node.name: node.output[0] for node in proto.graph.node}
    names = [written[name] for name in OUTPUTS]
    known = {info.name for info in proto.graph.output}
    proto.graph.output.extend(
        helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names if n not in known
    )
    session = open_session(proto.SerializeToString(), optimize=False)
    found = [session.run(names, {"input": x}) for x in inputs]
    return [
        np.mean([y.mean(axis=(0, *range(2, y.ndim))) for y in ys], axis=0)
        for ys in zip(*found, strict=True)
    ]


def errors(content, prepared, inputs):
    wanted = means(prepared.proto.SerializeToString(), inputs)
    return [np.abs(a - b).max() for a, b in zip(means(content, inputs), wanted, strict=True)]


def test_no_operator_shifts_any_more_with_those_before_it_quantized(tmp_path):
    """All at once: if each were measured with FP32 inputs, the later ones would shift."""
    prepared = ready(tmp_path)
    seen, unseen = bright(16), bright(16, seed=8)
    without, with_them = (quantized(prepared, given) for given in ((), seen))
    before, after, held_out = (
        errors(content, prepared, inputs)
        for content, inputs in ((without, seen), (with_them, seen), (with_them, unseen))
    )
    assert before[-1] > 0.02
    assert all(a < 0.15 * b or a < 0.002 for a, b in zip(after, before, strict=True))
    assert all(a < 0.4 * b or a < 0.005 for a, b in zip(held_out, before, strict=True))


def test_the_same_images_give_the_same_bytes(tmp_path):
    prepared = ready(tmp_path)
    assert quantized(prepared, bright(4)) == quantized(prepared, bright(4))


def test_an_operator_with_a_single_channel_is_corrected(tmp_path):
    """Its bias still has a scale for each channel."""
    weights = {"w": np.array([0.3, 0.5, 0.7], "f").reshape(1, 3, 1, 1), "b": np.ones(1, "f")}
    node = helper.make_node("Conv", ["input", "w", "b"], ["output"], "conv")
    prepared = ready(tmp_path, build_model([node], weights, output=(1, 1, 32, 32)))
    assert quantized(prepared, bright(16)) != quantized(prepared, ())


@pytest.mark.parametrize("options", [{"bias_correction": False}, {}], ids=["off", "one image"])
def test_what_cannot_be_measured_is_left_alone(tmp_path, options):
    """One image is not enough to tell a shift from chance."""
    prepared = ready(tmp_path)
    some = bright(1 if not options else 4)
    assert quantized(prepared, some, **options) == quantized(prepared, (), **options)


def test_an_operator_in_fp32_keeps_its_bias(tmp_path):
    content = quantized(ready(tmp_path), bright(4), keep_fp32=("project",))
    proto = onnx.load_from_string(content)
    (node,) = (node for node in proto.graph.node if node.name == "project")
    (bias,) = (t for t in proto.graph.initializer if t.name == node.input[2])
    (original,) = (t for t in tiny_embedder().graph.initializer if t.name == "b3")
    np.testing.assert_array_equal(*map(onnx.numpy_helper.to_array, (bias, original)))


def test_chance_is_not_taken_for_a_shift():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((32, 500))
    assert np.square(_shrunk(noise)).mean() < 0.6 * np.square(noise.mean(axis=0)).mean()
    np.testing.assert_allclose(_shrunk(noise + 10), (noise + 10).mean(axis=0), rtol=0.01)
    np.testing.assert_array_equal(_shrunk(np.zeros((4, 3))), np.zeros(3))


@pytest.mark.parametrize(
    ("count", "size", "chosen"),
    [(300, 112, 32), (20, 112, 20), (300, 640, 8), (3, 640, 3), (300, 224, 13), (0, 112, 0)],
)
def test_fewer_of_large_images_are_held(count, size, chosen):
    found = shift_images(count, (1, 3, size, size))
    assert len(found) == len(set(found)) == chosen
    assert all(0 <= index < count for index in found)
