"""Statistics per channel: exact means of the inputs that weights are multiplied by."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from pytest_kycquant.errors import QuantizationError
from pytest_kycquant.quantize import observe_activations, observe_channels
from pytest_kycquant.runtimes.ort import open_session
from tests.worlds.zoo import build_model, images, named_images, ready, tiny_embedder


@st.composite
def convolutions(draw):
    """A Conv with a random kernel, stride, dilation, padding and group."""
    groups = draw(st.sampled_from([1, 2, 4]))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    weight = rng.standard_normal((8, 4 // groups, *kernel)).astype(np.float32)
    options = {"group": groups, "strides": draw(st.tuples(*2 * [st.integers(1, 3)]))}
    mode = draw(st.sampled_from(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if mode == "NOTSET":
        options["pads"] = draw(st.tuples(*4 * [st.integers(0, 2)]))
    else:
        options["auto_pad"] = mode
    if not mode.startswith("SAME"):  # onnxruntime does not accept both
        options["dilations"] = draw(st.tuples(*2 * [st.integers(1, 2)]))
    return helper.make_node("Conv", ["input", "w"], ["output"], "conv", **options), weight


@given(convolutions(), st.integers(8, 13), st.integers(8, 13))
@settings(max_examples=60)
def test_the_mean_of_an_output_follows_from_them(tmp_path_factory, conv, height, width):
    node, weight = conv
    shape = (1, 4, height, width)
    proto = build_model([node], {"w": weight}, shape=shape, output=("n", "c", "h", "w"))
    inputs = [array + 1 for array in images(3, shape=shape)]
    prepared = ready(tmp_path_factory.mktemp("model"), proto)
    means = observe_channels(prepared, [("a", x) for x in inputs]).means["conv"]
    session = open_session(proto.SerializeToString())
    outputs = np.concatenate([session.run(None, {"input": x})[0] for x in inputs])
    groups = next(a.i for a in node.attribute if a.name == "group")
    per_group = weight.reshape(groups, 8 // groups, -1)
    expected = np.einsum("gok,gk->go", per_group, means.reshape(groups, -1)).ravel()
    np.testing.assert_allclose(outputs.mean(axis=(0, 2, 3)), expected, atol=1e-4)


def test_they_are_means_over_images(tmp_path):
    proto = tiny_embedder()
    statistics = observe_channels(ready(tmp_path, proto), named_images(5))
    proto.graph.output.add().name = "p2"
    session = open_session(proto.SerializeToString())
    seen = np.concatenate([session.run(["p2"], {"input": array})[0] for array in images(5)])
    assert statistics.images == 5
    for found, expected in (
        (statistics.low, seen.min(axis=(2, 3)).mean(axis=0)),
        (statistics.high, seen.max(axis=(2, 3)).mean(axis=0)),
        (statistics.squares, np.square(seen).mean(axis=(0, 2, 3))),
    ):
        np.testing.assert_allclose(found["p2"], expected, atol=1e-5)
    assert statistics.means.keys() == {"stem", "depthwise", "project", "embed"}
    assert statistics.means["embed"].shape == (8,)


def test_nan_is_an_error_that_names_the_tensor(tmp_path):
    prepared = ready(tmp_path)
    bad = images(1)[0]
    bad[:] = 3e38
    with pytest.raises(QuantizationError, match=r"tensor 'c1' of Conv 'stem' is NaN or Inf"):
        observe_activations(prepared, [("bad.jpg", bad)])
