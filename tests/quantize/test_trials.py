"""The ranges of the first tensors are chosen by trying them on the outputs."""

from dataclasses import replace

import numpy as np
import pytest
from onnx import helper

from pytest_kycquant.quantize import (
    Ingredients,
    build,
    observe_activations,
    tune_ranges,
)
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.recipe import Recipe
from tests.worlds.zoo import build_model, images, named_images, ready


def error(prepared, ranges, inputs):
    recipe = Recipe("int8", calibration_method=ranges.method)
    content = build(Ingredients(prepared, ranges=ranges, saturates=False), recipe).content
    # Not optimized: the recipe is that of a CPU that does not saturate, which this one may do.
    both = [open_session(c, optimize=False) for c in (content, prepared.proto.SerializeToString())]
    found, wanted = ([s.run(None, {"input": x})[0] for x in inputs] for s in both)
    return np.square(np.subtract(found, wanted)).mean()


@pytest.mark.parametrize("factor", [0.4, 0.6])
def test_a_bad_range_gets_better(tmp_path, factor):
    prepared = ready(tmp_path)
    ranges = observe_activations(prepared, named_images(8)).ranges("mse")
    spoilt = np.where(np.array(ranges.names) == "c1", np.float32(factor), np.float32(1))
    bad = replace(ranges, low=ranges.low * spoilt, high=ranges.high * spoilt)
    tuned = tune_ranges(prepared, bad, images(8))
    unseen = images(8, seed=9)
    assert error(prepared, tuned, unseen) < 0.8 * error(prepared, bad, unseen)


def test_few_ranges_change_and_by_a_little(tmp_path):
    prepared = ready(tmp_path)
    ranges = observe_activations(prepared, named_images(8)).ranges("mse")
    tuned = tune_ranges(prepared, ranges, images(8))
    changed = [n for n, a, b in zip(ranges.names, ranges.high, tuned.high, strict=True) if a != b]
    assert set(changed) <= {"c1", "p1", "c2", "p2", "c3", "sum", "flat"}  # used by layers
    moved = [n for n, a, b in zip(ranges.names, ranges.low, tuned.low, strict=True) if a != b]
    assert set(moved) <= set(changed)  # both ends by the same factor
    ratio = tuned.high[ranges.high > 0] / ranges.high[ranges.high > 0]
    assert ((ratio > 0.6) & (ratio < 1.3)).all()
    assert replace(tuned, low=ranges.low, high=ranges.high).names == ranges.names
    again = tune_ranges(prepared, ranges, images(8))
    np.testing.assert_array_equal(tuned.high, again.high)
    np.testing.assert_array_equal(tuned.low, again.low)


def test_without_images_nothing_is_tried(tmp_path):
    prepared = ready(tmp_path)
    ranges = observe_activations(prepared, named_images(8)).ranges("mse")
    assert tune_ranges(prepared, ranges, []) is ranges


def test_an_output_that_is_always_zero_does_not_stop_it(tmp_path):
    weight = np.eye(3, dtype=np.float32)[:, :, None, None]
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["c"], "conv"),
        helper.make_node("Sub", ["c", "c"], ["output"], "nothing"),
    ]
    prepared = ready(tmp_path, build_model(nodes, {"w": weight}, output=(1, 3, 32, 32)))
    ranges = observe_activations(prepared, named_images(4)).ranges("mse")
    np.testing.assert_array_equal(tune_ranges(prepared, ranges, images(4)).high, ranges.high)
