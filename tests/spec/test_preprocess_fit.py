"""How images get the size of the input, and where they lie in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

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
        ({"fit": "letterbox", "pad": 1.5}, "Preprocess.pad"),
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
