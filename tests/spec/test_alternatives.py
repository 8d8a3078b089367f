"""The usual mistakes of a preprocessing: one change each, and none that is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pytest_kycquant import Preprocess, presets
from pytest_kycquant.data.images import preprocess
from pytest_kycquant.spec.alternatives import alternatives, stretched, written

GRAY = Preprocess(size=(8, 8), channels="GRAY", scale=1 / 255)
IMAGENET = Preprocess(
    size=(8, 8), mean=(123.675, 116.28, 103.53), scale=(1 / 58.395, 1 / 57.12, 1 / 57.375)
)
ODD = Preprocess(size=(8, 8), mean=(100.1, 0.1 + 0.2, 1 / 3), scale=(0.017, 2.0, 1 / 7), pad=114)
LETTERBOX = Preprocess(size=(8, 8), resize="letterbox", pad=7)
TOP_LEFT = Preprocess(size=(8, 8), fit="top-left", pad=0, resize="opencv-nearest")
COLOURED = Preprocess(size=(8, 8), resize="letterbox", pad=(1, 2.5, 3))
STANDARDIZED = Preprocess(size=(8, 8), standardize=True)
CROP = Preprocess(size=(8, 8), fit="crop", resize="opencv-area", layout="NHWC")
SPECS = (
    presets.ARCFACE,
    presets.MINIFASNET,
    presets.YOLOV8,
    GRAY,
    IMAGENET,
    replace(IMAGENET, channels="BGR"),
    replace(IMAGENET, scale=1 / 57.12, channels="BGR", resize="letterbox", pad=0),
    ODD,
    LETTERBOX,
    replace(LETTERBOX, pad=114, channels="GRAY"),
    TOP_LEFT,
    COLOURED,
    STANDARDIZED,
    replace(STANDARDIZED, channels="GRAY", fit="letterbox"),
    CROP,
)
PIXELS = np.random.default_rng(0).integers(0, 256, (10, 14, 3), dtype=np.uint8)


def ways(spec: Preprocess) -> dict[str, Preprocess]:
    return {one.words: one.spec for one in alternatives(spec)}


def followed(spec: Preprocess, words: str) -> Preprocess:
    """What a user gets who writes these words."""
    return replace(spec, **eval(f"dict({words})"))


@pytest.mark.parametrize("spec", SPECS)
def test_who_follows_the_words_gets_the_pixels_that_were_measured(spec: Preprocess) -> None:
    found = list(alternatives(spec))
    assert len({one.words for one in found}) == len(found) >= 4
    for _, other, words in found:
        assert followed(spec, words) == other != spec
        mine, measured = (preprocess(PIXELS, one, "") for one in (followed(spec, words), other))
        assert np.array_equal(mine, measured)


@pytest.mark.parametrize("spec", SPECS)
def test_words_of_changes_that_come_together_are_complete(spec: Preprocess) -> None:
    for first in alternatives(spec):
        for second in alternatives(first.spec):
            if first.kind != second.kind:
                assert followed(spec, written(spec, second.spec)) == second.spec


def test_the_same_range_in_other_words_is_not_another() -> None:
    for scale in (1 / 127.5, 1 / 128):
        spec = replace(presets.ARCFACE, scale=scale)
        assert not any(words.startswith("mean=127.5") for words in ways(spec))
    turned = "mean=(103.53, 116.28, 123.675), scale=(1 / 57.375, 1 / 57.12, 1 / 58.395)"
    found = [words for words in ways(IMAGENET) if words.startswith("mean=")]
    assert found[-2:] == [turned, "mean=0, scale=1, standardize=True"]
    assert len(found) == 6
    caffe = Preprocess(size=(8, 8), channels="BGR", mean=(123.0, 117.0, 104.0))
    assert list(ways(caffe)).count("mean=(104, 117, 123), scale=1") == 1


def test_each_colour_keeps_its_mean_or_each_place() -> None:
    here = preprocess(PIXELS, IMAGENET, "here")
    turned, kept = (one.spec for one in alternatives(IMAGENET) if one.kind == "channels")
    assert np.array_equal(here[:, ::-1], preprocess(PIXELS, turned, "there"))
    assert kept == replace(IMAGENET, channels="BGR")
    (only,) = (one for one in alternatives(presets.ARCFACE) if one.kind == "channels")
    assert only.words == 'channels="BGR"'


def test_ranges_of_a_model_of_blue_first_are_in_its_order() -> None:
    caffe = ways(presets.MINIFASNET)["mean=(104, 117, 123), scale=1"]
    assert caffe.mean == (104.0, 117.0, 123.0)


def test_grey_images_have_no_order_of_colours_and_aligned_ones_no_placement() -> None:
    assert "channels" not in {one.kind for one in alternatives(GRAY)}
    aligned = replace(presets.ARCFACE, resize="none")
    assert {one.kind for one in alternatives(aligned)} == {"channels", "range", "layout"}


def test_padding_elsewhere_and_of_another_colour_are_tried() -> None:
    assert {one.words for one in alternatives(TOP_LEFT) if one.kind in ("placement", "pad")} == {
        'fit="stretch", pad=114',
        'fit="letterbox"',
        "pad=114",
    }
    assert {"pad=0", 'resize="bilinear", fit="top-left"'} <= set(ways(replace(LETTERBOX, pad=114)))
    assert {"pad=0", "pad=114"} <= set(ways(COLOURED))
    assert 'fit="top-left", pad=0' in ways(presets.ARCFACE)
    assert "pad" not in {one.kind for one in alternatives(presets.ARCFACE)}


def test_standardization_is_one_of_the_ranges() -> None:
    assert ways(presets.ARCFACE)["mean=0, scale=1, standardize=True"].standardize
    ranges = [one for one in alternatives(STANDARDIZED) if one.kind == "range"]
    assert {one.spec.standardize for one in ranges} == {False}
    assert [one.words for one in ranges][:2] == [
        "standardize=False",
        "mean=0, scale=1 / 255, standardize=False",
    ]
    assert stretched(STANDARDIZED, 70, 121) == STANDARDIZED


def test_an_abbreviation_is_written_out() -> None:
    found = ways(LETTERBOX)
    assert 'resize="bilinear", fit="stretch", pad=114' in found
    assert 'resize="opencv-bilinear", fit="letterbox"' in found


@pytest.mark.parametrize("spec", SPECS)
def test_equals_try_the_same_resizes(spec: Preprocess) -> None:
    usual = {"bilinear", "opencv-bilinear", "opencv-area"}
    tried = {one.spec.resize for one in alternatives(spec) if one.kind == "resize"}
    assert tried == usual - {"bilinear" if spec.resize == "letterbox" else spec.resize}


@pytest.mark.parametrize("spec", [presets.ARCFACE, GRAY, IMAGENET, ODD])
def test_a_stretched_preprocessing_sees_stretched_pixels(spec: Preprocess) -> None:
    narrow = np.random.default_rng(1).integers(0, 52, (*spec.size, 3), dtype=np.uint8)
    wide = preprocess((narrow * 5).astype(np.uint8), spec, "")
    found = preprocess(narrow + np.uint8(70), stretched(spec, 70, 121), "")
    tolerance = 1e-4 if spec.channels != "GRAY" else 0.02  # luma is rounded to 8 bits
    assert np.allclose(wide, found, atol=tolerance)
