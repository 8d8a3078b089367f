"""The file with the results of one pass over the calibration images."""

import contextlib

import numpy as np
import pytest

from pytest_kycquant.errors import QuantizationError
from pytest_kycquant.quantize import (
    Activations,
    ChannelStatistics,
    Ranges,
    equalize_channels,
    observe_activations,
    observe_channels,
    observe_extremes,
)
from tests.worlds.zoo import images, named_images, ready, tiny_embedder

METHODS = ["minmax", "moving-average", "percentile", "entropy", "mse"]


def odd_embedder():
    proto = tiny_embedder()
    proto.graph.node[0].name = "a/b.npy"  # names are not file names
    return proto


@pytest.mark.parametrize("method", METHODS)
def test_ranges_survive_a_file(tmp_path, method):
    activations = observe_activations(ready(tmp_path), named_images(3))
    activations.to_npz(tmp_path / "activations.npz")
    before = activations.ranges(method)
    after = Activations.from_npz(tmp_path / "activations.npz").ranges(method)
    assert after.names == before.names
    np.testing.assert_array_equal(after.low, before.low)
    np.testing.assert_array_equal(after.high, before.high)
    assert (after.method, after.percentile) == (before.method, before.percentile)
    assert after.images == 3


def test_figures_of_channels_survive_a_file(tmp_path):
    prepared = ready(tmp_path, odd_embedder())
    seen = observe_channels(prepared, named_images(3))
    seen.to_npz(tmp_path / "channels.npz")
    channels = ChannelStatistics.from_npz(tmp_path / "channels.npz")
    before, after = seen.by_key(), channels.by_key()
    assert list(before) == list(after)
    assert channels.images == 3
    for key, array in before.items():
        np.testing.assert_array_equal(array, after[key])
    equalize_channels(prepared, channels, images(1))  # accepts them as those of this model


def test_extremes_survive_a_file(tmp_path):
    seen = observe_extremes(ready(tmp_path, odd_embedder()), named_images(3))
    seen.to_npz(tmp_path / "extremes.npz")
    found = Ranges.from_npz(tmp_path / "extremes.npz")
    for name in ("names", "method", "percentile", "images"):
        assert getattr(found, name) == getattr(seen, name)
    np.testing.assert_array_equal(found.low, seen.low)
    np.testing.assert_array_equal(found.high, seen.high)
    parts = dict(np.load(tmp_path / "extremes.npz"))
    np.savez(tmp_path / "extremes.npz", **{**parts, "ends": parts["ends"][:, :-1]})
    with pytest.raises(QuantizationError, match="contains no ranges of activations"):
        Ranges.from_npz(tmp_path / "extremes.npz")


def test_equal_figures_make_equal_files(tmp_path):
    prepared = ready(tmp_path, odd_embedder())
    for name in ("a.npz", "b.npz"):
        observe_activations(prepared, named_images(3)).to_npz(tmp_path / name)
    whole = (tmp_path / "a.npz").read_bytes()
    assert whole == (tmp_path / "b.npz").read_bytes()
    Activations.from_npz(tmp_path / "a.npz").to_npz(tmp_path / "c.npz")
    assert whole == (tmp_path / "c.npz").read_bytes()


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04"])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "activations.npz"
    path.write_bytes(content)
    with pytest.raises(
        QuantizationError,
        match=r"activations\.npz: contains no figures of activations .*; delete it",
    ):
        Activations.from_npz(path)


@pytest.mark.parametrize("place", np.linspace(0.02, 0.98, 25))
def test_no_damaged_byte_makes_another_error(tmp_path, place):
    path = tmp_path / "activations.npz"
    observe_activations(ready(tmp_path), named_images(1)).to_npz(path)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 0xFF
    path.write_bytes(content)
    # A byte of the directory may not matter; any error other than ours would fail the test.
    with contextlib.suppress(QuantizationError):
        Activations.from_npz(path)


@pytest.mark.parametrize("missing", ["counts", "exponents", "extremes", "means"])
@pytest.mark.parametrize("short", [True, False], ids=["short", "missing"])
def test_a_file_of_another_kind_is_refused(tmp_path, missing, short):
    path = tmp_path / "activations.npz"
    observe_activations(ready(tmp_path), named_images(1)).to_npz(path)
    with np.load(path) as file:
        parts = dict(file)
    array = parts.pop(missing)
    if short:
        parts[missing] = array[..., :-1] if missing != "exponents" else array[:-1]
    np.savez(path, **parts)
    with pytest.raises(QuantizationError, match="contains no figures of activations"):
        Activations.from_npz(path)


def test_pickled_objects_are_refused(tmp_path):
    path = tmp_path / "activations.npz"
    np.savez(path, facts=np.array([{}], object))
    with pytest.raises(QuantizationError, match="contains no figures of activations"):
        Activations.from_npz(path)
