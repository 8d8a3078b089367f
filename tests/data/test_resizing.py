"""Resizing is OpenCV's, pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_kycquant.data.images import preprocess
from pytest_kycquant.data.resizing import resize_area, resize_linear, resize_nearest
from pytest_kycquant.spec.model import Preprocess

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")

FLAGS = {
    "opencv-bilinear": (resize_linear, "INTER_LINEAR"),
    "opencv-area": (resize_area, "INTER_AREA"),
    "opencv-nearest": (resize_nearest, "INTER_NEAREST"),
}
side = st.integers(1, 90)


def image(height: int, width: int, channels: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (height, width) if not channels else (height, width, channels)
    return rng.integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("name", FLAGS)
@settings(max_examples=300)
@given(side, side, side, side, st.sampled_from([0, 1, 3, 4]), st.integers(0, 9))
@example(2, 2, 1, 1, 3, 0)
@example(64, 64, 32, 32, 3, 0)  # OpenCV takes the mean of four pixels here
@example(90, 60, 30, 20, 3, 0)
@example(1, 1, 90, 90, 3, 0)
@example(90, 7, 30, 50, 3, 0)  # smaller one way, larger the other
def test_is_the_same_bit_for_bit(
    name: str, height: int, width: int, rows: int, columns: int, channels: int, seed: int
) -> None:
    resize, flag = FLAGS[name]
    pixels = image(height, width, channels, seed)
    wanted = cv2.resize(pixels, (columns, rows), interpolation=getattr(cv2, flag))
    found = resize(pixels, (rows, columns))
    assert found.dtype == np.uint8
    assert np.array_equal(found, wanted.reshape(found.shape))
    assert found.shape == (rows, columns, *pixels.shape[2:])


factor = st.integers(1, 150)


@settings(max_examples=300)
@given(factor, factor, st.integers(1, 3), st.integers(1, 3), st.sampled_from([0, 1, 3]), st.data())
def test_the_mean_of_a_whole_number_of_pixels_is_the_same(
    rows: int, columns: int, height: int, width: int, channels: int, data: st.DataObject
) -> None:
    """Of few values, so that many means lie halfway between two integers."""
    shape = (height * rows, width * columns, *([channels] if channels else []))
    values = data.draw(st.sampled_from([[0, 255], [127, 128], list(range(256))]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    pixels = rng.choice(np.array(values, np.uint8), shape)
    wanted = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    found = resize_area(pixels, (height, width))
    assert np.array_equal(found, wanted.reshape(found.shape))


@pytest.mark.parametrize("columns", [49, 98, 103, 107])
@pytest.mark.parametrize("low", [0, 2, 126, 127, 200])
def test_a_half_is_rounded_as_opencv_does(columns: int, low: int) -> None:
    """OpenCV does not take 49 for a whole number, since 1 / (1 / 49) is not 49 in float64."""
    pixels = np.repeat(np.array([[low], [low + 1]], np.uint8), columns, axis=1)
    wanted = cv2.resize(pixels, (1, 1), interpolation=cv2.INTER_AREA)
    assert resize_area(pixels, (1, 1)) == wanted


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("size", [(480, 640), (1080, 1920), (333, 1)])
def test_large_images(name: str, size: tuple[int, int]) -> None:
    resize, flag = FLAGS[name]
    pixels = image(*size, 3, 1)
    for rows, columns in ((80, 80), (640, 640), (112, 96)):
        wanted = cv2.resize(pixels, (columns, rows), interpolation=getattr(cv2, flag))
        assert np.array_equal(resize(pixels, (rows, columns)), wanted)


def test_of_the_same_size_is_a_copy() -> None:
    pixels = image(8, 8, 3, 0)
    for resize, _ in FLAGS.values():
        found = resize(pixels, (8, 8))
        assert np.array_equal(found, pixels)


@pytest.mark.parametrize("name", FLAGS)
def test_preprocess_uses_it(name: str) -> None:
    pixels = image(50, 70, 3, 2)
    spec = Preprocess(size=(20, 30), channels="BGR", resize=name)  # type: ignore[arg-type]
    tensor = preprocess(pixels, spec, "x")
    bgr = np.ascontiguousarray(pixels[..., ::-1])
    wanted = cv2.resize(bgr, (30, 20), interpolation=getattr(cv2, FLAGS[name][1]))
    assert np.array_equal(tensor[0], wanted.transpose(2, 0, 1).astype(np.float32))


def antialiased_differs(resize: Callable[..., np.ndarray]) -> float:
    pixels = image(400, 400, 3, 3)
    spec = Preprocess(size=(80, 80))
    mine = preprocess(pixels, spec, "x")[0].transpose(1, 2, 0)
    return float(np.abs(mine - resize(pixels, (80, 80))).mean())


def test_bilinear_without_antialiasing_is_another_image() -> None:
    assert antialiased_differs(resize_linear) > 20
    assert antialiased_differs(resize_area) < 10
