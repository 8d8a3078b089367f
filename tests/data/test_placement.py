"""Letterboxing and the mapping of boxes back, with values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pytest_kycquant import Preprocess
from pytest_kycquant.data.images import preprocess
from pytest_kycquant.data.placement import Placement, place
from tests.worlds.pictures import pixels


def letterbox(height: int, width: int) -> Preprocess:
    return Preprocess(size=(height, width), resize="letterbox", layout="NHWC")


@pytest.mark.parametrize(
    ("source", "size", "expected"),
    [
        ((480, 640), (640, 640), ((480, 640), 80, 0)),
        ((1280, 720), (640, 640), ((640, 360), 0, 140)),
        ((250, 250), (640, 640), ((640, 640), 0, 0)),
        ((333, 500), (640, 640), ((426, 640), 107, 0)),
        ((427, 640), (640, 640), ((427, 640), 106, 0)),  # 213 rows to pad: 106 above, 107 below
        ((100, 100), (64, 32), ((32, 32), 16, 0)),
        ((1, 1000), (640, 640), ((1, 640), 319, 0)),
    ],
)
def test_where_an_image_lies(
    source: tuple[int, int], size: tuple[int, int], expected: tuple[tuple[int, int], int, int]
) -> None:
    assert place(source, letterbox(*size)) == Placement(source, *expected)


def test_stretched_images_fill_the_input() -> None:
    where = place((10, 30), Preprocess(size=(20, 20)))
    assert where == Placement((10, 30), (20, 20), 0, 0)
    np.testing.assert_allclose(where.to_image(np.array([[4.0, 4, 8, 8]])), [[6, 2, 12, 4]])


def test_boxes_come_back_and_are_clipped() -> None:
    where = place((480, 640), letterbox(640, 640))
    boxes = np.array([[10.0, 90, 20, 100], [-5, 0, 700, 640]])
    np.testing.assert_allclose(where.to_image(boxes), [[10, 10, 20, 20], [0, 0, 640, 480]])


def test_pixels() -> None:
    image = pixels(1, 6, 12)
    tensor = preprocess(image, letterbox(8, 8), "a")[0]
    middle = np.asarray(Image.fromarray(image).resize((8, 4), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(tensor[2:6], middle)
    assert (tensor[[0, 1, 6, 7]] == 114).all()


def test_grey_is_letterboxed_too() -> None:
    spec = Preprocess(size=(8, 8), resize="letterbox", channels="GRAY")
    tensor = preprocess(pixels(1, 4, 8), spec, "a")
    assert tensor.shape == (1, 1, 8, 8)
    assert (tensor[0, 0, :2] == 114).all()


@given(
    source=st.tuples(st.integers(1, 400), st.integers(1, 400)),
    size=st.tuples(st.integers(8, 200), st.integers(8, 200)),
)
def test_inside_and_back(source: tuple[int, int], size: tuple[int, int]) -> None:
    where = place(source, letterbox(*size))
    bottom, right = where.top + where.size[0], where.left + where.size[1]
    assert where.top >= 0 <= where.left
    assert size[0] - bottom - where.top in (0, 1)
    assert size[1] - right - where.left in (0, 1)
    whole = where.to_image(np.array([[where.left, where.top, right, bottom]], np.float64))
    np.testing.assert_allclose(whole, [[0, 0, source[1], source[0]]], rtol=1e-12)
