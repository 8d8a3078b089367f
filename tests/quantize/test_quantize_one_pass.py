"""One pass over the calibration images gives every method the same result as its own pass."""

import numpy as np
import pytest
from onnx import helper

from pytest_kycquant.errors import DataError, QuantizationError
from pytest_kycquant.quantize import observe_activations, observe_channels, observe_extremes
from pytest_kycquant.runtimes.ort import open_session
from tests.worlds.zoo import (
    images,
    named_images,
    ready,
    tiny_embedder,
    unequal_embedder,
)

METHODS = ["minmax", "moving-average", "percentile", "entropy", "mse"]


def all_values(prepared, inputs):
    """Every activation of every image: tensor -> `[images, ...]`."""
    proto = type(prepared.proto)()
    proto.CopyFrom(prepared.proto)
    written = [name for node in proto.graph.node for name in node.output]
    proto.graph.output.extend(helper.ValueInfoProto(name=n) for n in written if n != "output")
    session = open_session(proto.SerializeToString(), optimize=False)
    seen = [session.run(written, {"input": array}) for array in inputs]
    each = dict(zip(written, map(np.stack, zip(*seen, strict=True)), strict=True))
    return {"input": np.stack(inputs), **each}


def saved(activations, path):
    activations.to_npz(path)
    return path.read_bytes()


def squared_error(values, low, high):
    low, high = min(low, 0), max(high, 0)
    scale = (high - low) / 255
    zero = np.round(-low / scale)
    steps = np.clip(np.round(values / scale) + zero, 0, 255)
    return np.square(values - (steps - zero) * scale).sum()


def test_all_methods_agree_with_brute_force(tmp_path):
    prepared = ready(tmp_path)
    inputs = images(12)
    inputs[5] *= 9  # an outlier, for the methods that clip
    activations = observe_activations(prepared, [(str(i), x) for i, x in enumerate(inputs)])
    found = {method: activations.ranges(method) for method in METHODS}
    for index, (name, values) in enumerate(all_values(prepared, inputs).items()):
        ends = {m: (float(r.low[index]), float(r.high[index])) for m, r in found.items()}
        assert {r.names[index] for r in found.values()} == {name}
        flat = values.reshape(len(inputs), -1).astype(np.float64)
        assert ends["minmax"] == (flat.min(), flat.max())
        means = flat.min(axis=1).mean(), flat.max(axis=1).mean()
        np.testing.assert_allclose(ends["moving-average"], means, rtol=1e-6)
        bin_width = 2.0 ** np.ceil(np.log2(np.abs(flat).max())) / 8192
        cut = np.quantile(flat, [0.00005, 0.99995], method="inverted_cdf")
        np.testing.assert_allclose(ends["percentile"], cut, atol=1.01 * bin_width)
        low, high = ends["mse"]
        around = np.linspace(0.3, 1, 36)
        best = min(
            squared_error(flat, a * min(flat.min(), 0), b * max(flat.max(), 0))
            for a in around
            for b in around
        )
        assert squared_error(flat, low, high) <= best * 1.02
        entropy = ends["entropy"]
        assert flat.min() <= entropy[0] <= entropy[1] <= flat.max()


def test_any_percentile_is_taken_from_the_same_pass(tmp_path):
    activations = observe_activations(ready(tmp_path), named_images(8))
    widths = [
        float((ranges.high - ranges.low).sum())
        for ranges in (activations.ranges("percentile", p) for p in (90, 99, 99.9, 100))
    ]
    assert widths == sorted(set(widths))


@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_threads_changes_no_bit(tmp_path, threads):
    prepared = ready(tmp_path)
    rng = np.random.default_rng(0)  # images of growing and shrinking ranges: histograms grow
    inputs = [(f"{i}", x * np.float32(10 ** rng.uniform(-6, 6))) for i, x in named_images(40)]
    one = observe_activations(prepared, inputs)
    many = observe_activations(prepared, inputs, threads=threads)
    assert saved(one, tmp_path / "one.npz") == saved(many, tmp_path / "many.npz")


@pytest.mark.parametrize("threads", [1, 2])
def test_statistics_of_channels_do_not_depend_on_threads(tmp_path, threads):
    prepared, named = ready(tmp_path, unequal_embedder()), named_images(12)
    observe_channels(prepared, named).to_npz(tmp_path / "one.npz")
    observe_channels(prepared, named, threads=threads).to_npz(tmp_path / "many.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "many.npz").read_bytes()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("model", [unequal_embedder, tiny_embedder])
def test_extremes_alone_are_those_of_the_histograms(tmp_path, model, threads):
    prepared, named = ready(tmp_path, model()), named_images(6)
    whole = observe_activations(prepared, named).ranges("minmax")
    alone = observe_extremes(prepared, named, threads=threads)
    assert (alone.names, alone.method, alone.images) == (whole.names, "minmax", 6)
    np.testing.assert_array_equal(alone.low, whole.low)
    np.testing.assert_array_equal(alone.high, whole.high)


@pytest.mark.parametrize("look", [observe_activations, observe_channels, observe_extremes])
def test_without_images_there_is_nothing_to_see(tmp_path, look):
    with pytest.raises(DataError, match="there are no calibration images"):
        look(ready(tmp_path), iter([]))


@pytest.mark.parametrize("look", [observe_activations, observe_channels, observe_extremes])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_first_bad_image_is_the_error_from_any_thread(tmp_path, threads, look):
    named = named_images(30)
    for index in (11, 12, 25):
        named[index][1][0, 0, 3, 3] = np.nan
    with pytest.raises(DataError, match=r"^11\.jpg: contains NaN or Inf") as caught:
        look(ready(tmp_path), named, threads=threads)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("look", [observe_activations, observe_channels, observe_extremes])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_overflow_names_tensor_and_image_from_any_thread(tmp_path, threads, look):
    named = named_images(9)
    named[4][1][:] = 3e38
    with pytest.raises(
        QuantizationError, match=r"tensor 'c1' of Conv 'stem' is NaN or Inf for image 4\.jpg"
    ):
        look(ready(tmp_path), named, threads=threads)
