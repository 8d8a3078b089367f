"""Calibration runs PReLU in other operators, and sees the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from pytest_kycquant.quantize import observe_activations, observe_extremes
from pytest_kycquant.quantize.activations import observe
from pytest_kycquant.quantize.rewrites import fast_prelu
from pytest_kycquant.runtimes.ort import open_session
from tests.worlds.zoo import build_model, named_images, ready

SLOPES = st.lists(st.floats(-4, 4, width=32), min_size=3, max_size=3)


def model(slopes: Any) -> Any:
    """PReLU twice, so that the second reads what the first wrote."""
    nodes = [
        helper.make_node("PRelu", ["input", "s"], ["a"], "one"),
        helper.make_node("Sub", ["a", "half"], ["b"], "sub"),
        helper.make_node("PRelu", ["b", "s"], ["output"], "two"),
    ]
    weights = {"s": np.float32(slopes).reshape(3, 1, 1), "half": np.float32(0.5)}
    return build_model(nodes, weights, output=(1, 3, 32, 32))


@given(SLOPES, st.integers(0, 2**32 - 1))
def test_every_value_is_the_same(slopes: list[float], seed: int) -> None:
    proto = model(slopes)
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 10 ** rng.uniform(-30, 20), (1, 3, 32, 32)).astype(np.float32)
    values[0, :, 0, :2] = 0.0, -0.0
    (exact,) = open_session(proto.SerializeToString(), optimize=False).run(None, {"input": values})
    fast_prelu(proto.graph)
    assert "PRelu" not in {node.op_type for node in proto.graph.node}
    (found,) = open_session(proto.SerializeToString(), optimize=False).run(None, {"input": values})
    np.testing.assert_array_equal(found, exact)  # -0.0 equals 0.0


@pytest.mark.parametrize("slopes", [(0.2, -1.0, 1.0), (0.2, 3.0, 0.5)])
def test_observed_tensors_keep_their_names(tmp_path: Path, slopes: tuple[float, ...]) -> None:
    prepared = ready(tmp_path, model(slopes))
    before = prepared.proto.SerializeToString()
    seen = list(observe(prepared, ("a", "b"), named_images(2), dict, threads=1))
    assert prepared.proto.SerializeToString() == before
    for values, (_, image) in zip(seen, named_images(2), strict=True):
        np.testing.assert_array_equal(
            values["a"], np.where(image < 0, image * np.float32(slopes).reshape(3, 1, 1), image)
        )
        np.testing.assert_array_equal(values["b"], values["a"] - np.float32(0.5))
    whole = observe_activations(prepared, named_images(4)).ranges("minmax")
    assert whole.names == ("input", "a", "b", "output")
    np.testing.assert_array_equal(observe_extremes(prepared, named_images(4)).high, whole.high)


def test_slopes_that_are_computed_stay(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Neg", ["n"], ["s"], "neg"),
        helper.make_node("PRelu", ["input", "s"], ["output"], "prelu"),
    ]
    proto = build_model(nodes, {"n": np.float32(-0.5)}, output=(1, 3, 32, 32))
    before = proto.SerializeToString()
    fast_prelu(proto.graph)
    assert proto.SerializeToString() == before
