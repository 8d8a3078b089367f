"""How images get the size of the input, and where they lie in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pytest_kycquant import Preprocess, presets
from pytest_kycquant.bench.input_facts import describe_preprocess
from pytest_kycquant.data.images import preprocess
from pytest_kycquant.data.placement import place
from pytest_kycquant.errors import SpecError


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"resize": "opencv"}, "Preprocess.resize"),
        ({"fit": "centre"}, "Preprocess.fit"),
        ({"resize": "letterbox", "fit": "crop"}, "contradicts"),
        ({"resize": "none", "fit": "letterbox"}, "contradicts"),
        ({"pad": 0}, "has no effect"),
        ({"fit": "crop", "pad": 0}, "has no effect"),
        ({"fit": "letterbox", "pad": 256}, "is not a pixel"),
        ({"fit": "letterbox", "pad": (1, 2)}, "is not a colour of RGB images"),
        ({"fit": "letterbox", "pad": (1, 2, 300)}, "300 is not a pixel"),
        ({"fit": "letterbox", "pad": (1, 2, 3), "channels": "GRAY"}, "of GRAY images"),
        ({"fit": "letterbox", "pad": "black"}, "is not a number"),
        ({"standardize": "yes"}, "is not a boolean"),
        ({"standardize": True, "mean": 127.5}, "Preprocess.mean: has no effect"),
        ({"standardize": True, "scale": (1, 1, 2)}, "Preprocess.scale: has no effect"),
        ({"fit": "letterbox", "pad": -1}, "is not a pixel"),
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        Preprocess(size=(8, 8), **given)


def test_goldens_of_earlier_versions_stay_true() -> None:
    facts = describe_preprocess(Preprocess(size=(8, 8)))
    assert sorted(facts) == ["channels", "layout", "mean", "resize", "scale", "size"]
    cropped = describe_preprocess(Preprocess(size=(8, 8), fit="top-left", pad=0))
    assert (cropped["fit"], cropped["pad"]) == ("top-left", 0)
    assert type(describe_preprocess(Preprocess(size=(8, 8), fit="top-left", pad=0.0))["pad"]) is int
    grey = describe_preprocess(Preprocess(size=(8, 8), fit="letterbox", pad=(114, 114.0, 114)))
    assert "pad" not in grey


def test_what_is_new_makes_a_golden_stale() -> None:
    usual = describe_preprocess(Preprocess(size=(8, 8)))
    assert describe_preprocess(Preprocess(size=(8, 8), standardize=True)) == {
        **usual,
        "standardize": True,
    }
    coloured = describe_preprocess(Preprocess(size=(8, 8), fit="letterbox", pad=(1, 2, 3.5)))
    assert coloured == {**usual, "fit": "letterbox", "pad": [1, 2, 3.5]}


def test_letterbox_is_short_for_a_fit() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 70, 3), dtype=np.uint8)
    short = preprocess(pixels, Preprocess(size=(64, 64), resize="letterbox"), "x")
    long = preprocess(pixels, Preprocess(size=(64, 64), fit="letterbox"), "x")
    assert np.array_equal(short, long)


def test_top_left_pads_at_the_right_and_the_bottom() -> None:
    pixels = np.full((30, 60, 3), 255, np.uint8)
    tensor = preprocess(pixels, Preprocess(size=(40, 40), fit="top-left", pad=0), "x")[0, 0]
    assert (tensor[:20] == 255).all()
    assert (tensor[20:] == 0).all()


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_the_colour_of_the_padding_is_in_the_order_of_the_pixels(channels: Any) -> None:
    spec = Preprocess(
        size=(40, 40), fit="top-left", pad=(10, 20, 30.5), channels=channels, mean=(1, 2, 3)
    )
    tensor = preprocess(np.full((30, 60, 3), 255, np.uint8), spec, "x")[0]
    by_channel = {"R": 10.0, "G": 20.0, "B": 30.5}
    for plane, name, mean in zip(tensor, channels, (1, 2, 3), strict=True):
        assert (plane[20:] == by_channel[name] - mean).all()
        assert (plane[:20] == 255 - mean).all()


def test_padding_of_the_mean_colour_is_zero_after_normalization() -> None:
    """mmdetection normalizes first and then pads with zeros."""
    mean, scale = (123.675, 116.28, 103.53), (1 / 58.395, 1 / 57.12, 1 / 57.375)
    spec = Preprocess(size=(40, 40), mean=mean, scale=scale, fit="top-left", pad=mean)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 40, 3), dtype=np.uint8)
    normalized = (pixels - np.float32(mean)) * np.float32(scale)
    tensor = preprocess(pixels, spec, "x")[0].transpose(1, 2, 0)
    assert np.array_equal(tensor[:20], normalized)
    assert (tensor[20:] == 0).all()


def prewhiten(x: np.ndarray) -> np.ndarray:
    """FaceNet's ``facenet.prewhiten``, fed into a float32 placeholder."""
    mean, std = np.mean(x), np.std(x)
    y = np.subtract(x, mean) / np.maximum(std, 1.0 / np.sqrt(x.size))
    return y.astype(np.float32)


@pytest.mark.parametrize("channels", ["RGB", "BGR", "GRAY"])
@pytest.mark.parametrize("spread", [1, 2, 256])  # one colour, almost one, any
def test_standardization_is_that_of_facenet(channels: Any, spread: int) -> None:
    pixels = 90 % spread + np.random.default_rng(2).integers(0, spread, (33, 20, 3), dtype=np.uint8)
    pixels = pixels.astype(np.uint8)
    spec = Preprocess(size=(33, 20), standardize=True, channels=channels, layout="NHWC")
    x = pixels[..., ::-1] if channels == "BGR" else pixels
    if channels == "GRAY":
        x = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
    found = preprocess(pixels, spec, "x")
    assert found.dtype == np.float32
    assert np.array_equal(found[0], prewhiten(np.ascontiguousarray(x)))
    assert np.array_equal(
        preprocess(pixels, replace(spec, layout="NCHW"), "x")[0], found[0].transpose(2, 0, 1)
    )


def test_standardization_counts_the_padding() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (20, 40, 3), dtype=np.uint8)
    spec = Preprocess(size=(40, 40), standardize=True, fit="top-left", pad=(9, 0, 3), layout="NHWC")
    canvas = np.full((40, 40, 3), (9, 0, 3), np.uint8)
    canvas[:20] = pixels
    assert np.array_equal(preprocess(pixels, spec, "x")[0], prewhiten(canvas))


def test_crop_fills_the_input() -> None:
    pixels = np.zeros((30, 90, 3), np.uint8)
    pixels[:, 30:60] = 200
    tensor = preprocess(pixels, Preprocess(size=(10, 10), fit="crop"), "x")[0, 0]
    assert tensor.shape == (10, 10)
    assert (tensor[:, 1:-1] == 200).all()


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "top-left", "crop"])
@pytest.mark.parametrize("source", [(480, 640), (640, 480), (333, 77), (7, 1000)])
def test_boxes_are_mapped_back(fit: Any, source: tuple[int, int]) -> None:
    spec = Preprocess(size=(320, 256), fit=fit)
    where = place(source, spec)
    height, width = source
    box = np.array([[width * 0.45, height * 0.45, width * 0.55, height * 0.55]])
    ratio = np.array([where.size[1] / width, where.size[0] / height] * 2)
    placed = box * ratio + np.array([where.left, where.top] * 2)
    assert where.to_image(placed) == pytest.approx(box)


def test_an_option_of_the_preprocessing_is_not_one_of_the_task() -> None:
    with pytest.raises(SpecError, match=r"presets\.arcface\(channels=\.\.\.\): belongs to the pre"):
        presets.arcface("m.onnx", "d", channels="BGR")
    with pytest.raises(SpecError, match=r"replace\(presets\.YOLOV8, size=\.\.\.\)"):
        presets.yolov8("m.onnx", "d", size=(320, 320))


@pytest.mark.parametrize("most", [(640, 640), (320, 256), (112, 96)])
def test_top_left_always_fills_one_side(most: tuple[int, int]) -> None:
    """A product of floats that is a last bit too small would lose a pixel."""
    spec = Preprocess(size=most, fit="top-left", pad=0)
    for height in range(1, 400, 7):
        for width in range(1, 400):
            size = place((height, width), spec).size
            assert size[0] == most[0] or size[1] == most[1]
            assert size[0] <= most[0]
            assert size[1] <= most[1]
