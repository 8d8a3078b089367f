"""The usual mistakes of a preprocessing: one change each, and none that is none."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from pytest_kycquant import Preprocess, presets
from pytest_kycquant.data.images import preprocess
from pytest_kycquant.spec.alternatives import alternatives

GRAY = Preprocess(size=(8, 8), channels="GRAY", scale=1 / 255)
IMAGENET = Preprocess(
    size=(8, 8), mean=(123.675, 116.28, 103.53), scale=(1 / 58.395, 1 / 57.12, 1 / 57.375)
)
SPECS = (presets.ARCFACE, presets.MINIFASNET, presets.YOLOV8, GRAY, IMAGENET)


def changed(one: Preprocess, other: Preprocess) -> set[str]:
    return {f.name for f in fields(one) if getattr(one, f.name) != getattr(other, f.name)}


@pytest.mark.parametrize("spec", SPECS)
def test_each_changes_one_thing_and_is_named_as_it_is_written(spec: Preprocess) -> None:
    found = dict(alternatives(spec))
    assert len(found) >= 4
    for code, other in found.items():
        written = eval(f"dict({code})")
        differing = changed(spec, other)
        assert differing
        for name, value in written.items():
            held = getattr(other, name)
            assert held == value if isinstance(value, str) else np.allclose(held, value, rtol=1e-4)
        # Means turn round with the colours, and the abbreviation "letterbox" ends with its fit.
        assert differing <= {*written, *({"mean", "scale"} if "channels" in written else ())} | (
            {"resize", "pad"} if "fit" in written else set()
        )


def test_the_same_range_in_other_words_is_not_another() -> None:
    for scale in (1 / 127.5, 1 / 128):
        spec = replace(presets.ARCFACE, scale=scale)
        assert not any(code.startswith("mean=127.5") for code, _ in alternatives(spec))
    assert sum(code.startswith("mean=") for code, _ in alternatives(IMAGENET)) == 4
    bgr = dict(alternatives(IMAGENET))['channels="BGR"']
    assert sum(code.startswith("mean=") for code, _ in alternatives(bgr)) == 4


def test_each_colour_keeps_its_mean() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    bgr = dict(alternatives(IMAGENET))['channels="BGR"']
    here, there = preprocess(pixels, IMAGENET, "here"), preprocess(pixels, bgr, "there")
    assert np.array_equal(here[:, ::-1], there)


def test_ranges_of_a_model_of_blue_first_are_in_its_order() -> None:
    ways = dict(alternatives(presets.MINIFASNET))
    caffe = ways["mean=(104, 117, 123), scale=1"]
    assert caffe.mean == (104.0, 117.0, 123.0)


def test_grey_images_have_no_order_of_colours_and_aligned_ones_no_placement() -> None:
    names = {code.partition("=")[0] for code, _ in alternatives(GRAY)}
    assert "channels" not in names
    aligned = replace(presets.ARCFACE, resize="none")
    assert {code.partition("=")[0] for code, _ in alternatives(aligned)} == {
        "channels",
        "mean",
        "layout",
    }
