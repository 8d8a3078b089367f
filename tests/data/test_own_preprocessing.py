"""A function of the user's prepares images: what it gets, and what it may return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pytest_kycquant import Preprocess
from pytest_kycquant.data.images import preprocess
from pytest_kycquant.data.own_preprocessing import check_repeats
from pytest_kycquant.errors import DataError, SpecError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)


def spec(function: Callable[..., Any], **options: Any) -> Preprocess:
    return Preprocess(size=(4, 5), function=function, **options)


def prepared(answer: Any, **options: Any) -> Any:
    return preprocess(PIXELS, spec(lambda _: answer, **options), "a.jpg")


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (1, 3, 4, 5)),
        ({"layout": "NHWC"}, (1, 4, 5, 3)),
        ({"channels": "GRAY"}, (1, 1, 4, 5)),
        ({"channels": "GRAY", "layout": "NHWC"}, (1, 4, 5, 1)),
    ],
)
def test_the_shape_follows_from_size_layout_and_depth(
    options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    values = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    for given in (values, values[0], values.astype(np.float32)):
        found = prepared(given, **options)
        assert found.dtype == np.float32
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, values)


def test_it_gets_the_pixels_and_cannot_change_them() -> None:
    seen = []

    def function(pixels: Any) -> Any:
        seen.append(pixels.copy())
        pixels[:] = 0
        return np.zeros((3, 4, 5), np.float32)

    pixels = PIXELS.copy()
    preprocess(pixels, spec(function), "a.jpg")
    np.testing.assert_array_equal(pixels, PIXELS)
    np.testing.assert_array_equal(seen[0], PIXELS)
    assert seen[0].dtype == np.uint8


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (None, "returned None"),
        ([[1.0, 2.0]], r"returned an array of shape \(1, 2\)"),
        (np.zeros((4, 5, 3), np.float32), r"returned an array of shape \(4, 5, 3\)"),
        (np.zeros((1, 3, 4, 5), np.uint8), "returned uint8 of shape"),
        (np.zeros((1, 3, 4, 5), np.float16), "returned float16 of shape"),
        (np.zeros((1, 3, 4, 5), np.complex64), "returned complex64 of shape"),
        (np.ma.zeros((1, 3, 4, 5), np.float32), "returned float32"),
        (np.full((3, 4, 5), np.nan), "not finite"),
        (np.full((3, 4, 5), 1e300), "not finite in float32"),
        ("text", "returned"),
    ],
)
def test_anything_else_is_refused(answer: Any, problem: str) -> None:
    with pytest.raises(DataError, match=rf"a\.jpg: Preprocess\.function .*{problem}"):
        prepared(answer)


def test_what_it_raises_is_named_with_its_line() -> None:
    def function(pixels: Any) -> Any:
        raise ValueError("no face")

    with pytest.raises(DataError, match=r"function raised ValueError on line \d+ of .*: no face"):
        preprocess(PIXELS, spec(function), "a.jpg")


def test_randomness_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="does not return the same for the same pixels"):
        check_repeats(PIXELS, spec(lambda _: rng.normal(size=(3, 4, 5))), "a.jpg")
    check_repeats(PIXELS, spec(lambda _: np.zeros((3, 4, 5))), "a.jpg")
    check_repeats(PIXELS, Preprocess(size=(4, 5)), "a.jpg")


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self, pixels: Any) -> Any:
        return pixels


async def later(pixels: Any) -> Any:
    return pixels


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"function": 3}, "Preprocess.function: 3 is not a function"),
        ({"function": lambda: 0}, "cannot be called with 1 arguments"),
        ({"function": later}, "is asynchronous"),
        ({"function": Unhashable()}, "cannot be hashed"),
        ({"function": np.zeros, "mean": 1.0}, "Preprocess.mean: has no effect"),
        ({"function": np.zeros, "scale": 2.0}, "Preprocess.scale: has no effect"),
        ({"function": np.zeros, "channels": "BGR"}, "Preprocess.channels: has no effect"),
        ({"function": np.zeros, "resize": "none"}, "Preprocess.resize: has no effect"),
        (
            {"function": np.zeros, "fit": "letterbox", "pad": 0},
            "Preprocess.pad: has no effect",
        ),
    ],
)
def test_impossible_descriptions(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        Preprocess(size=(4, 5), **options)
    assert problem in str(caught.value)


def test_the_fit_tells_a_detector_where_the_image_lies() -> None:
    assert Preprocess(size=(4, 5), function=np.zeros, fit="letterbox").placement == "letterbox"
