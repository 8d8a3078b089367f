"""Preprocessing is the plain formula, in the model's channel order and layout."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from pytest_kycquant import Preprocess
from pytest_kycquant.data.images import preprocess
from pytest_kycquant.errors import DataError
from tests.worlds.pictures import pixels

IMAGES = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda size: arrays(np.uint8, (*size, 3))
)


@st.composite
def specs(draw: st.DrawFn, size: tuple[int, int]) -> Preprocess:
    channels = draw(st.sampled_from(["RGB", "BGR", "GRAY"]))
    depth = 1 if channels == "GRAY" else 3

    def numbers(low: float, high: float) -> st.SearchStrategy:
        number = st.floats(low, high)
        return number | st.tuples(*[number] * depth)

    return Preprocess(
        size=size,
        mean=draw(numbers(-255, 255)),
        scale=draw(numbers(0.001, 2)),
        channels=channels,
        layout=draw(st.sampled_from(["NCHW", "NHWC"])),
        resize=draw(st.sampled_from(["none", "bilinear"])),
    )


@given(image=IMAGES, data=st.data())
def test_formula_without_resizing(image: np.ndarray, data: st.DataObject) -> None:
    height, width = image.shape[:2]
    spec = data.draw(specs((height, width)))
    tensor = preprocess(image, spec, "a.jpg")
    assert tensor.shape == spec.shape
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    if spec.channels == "GRAY":
        planes = [np.asarray(Image.fromarray(image).convert("L"))]
    else:
        planes = [image[..., "RGB".index(name)] for name in spec.channels]
    means = np.broadcast_to(np.array(spec.mean, dtype=float), len(planes))
    scales = np.broadcast_to(np.array(spec.scale, dtype=float), len(planes))
    for channel, plane in enumerate(planes):
        expected = (plane.astype(np.float64) - means[channel]) * scales[channel]
        actual = tensor[0, channel] if spec.layout == "NCHW" else tensor[0, :, :, channel]
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-4)


def test_every_grey_is_the_one_of_pillow() -> None:
    image = pixels(0, 256, 256)
    tensor = preprocess(image, Preprocess(size=(256, 256), channels="GRAY"), "a")
    np.testing.assert_array_equal(tensor[0, 0], np.asarray(Image.fromarray(image).convert("L")))


@pytest.mark.parametrize("channels", ["RGB", "GRAY"])
def test_resizing_is_the_antialiased_one_of_pillow(channels: str) -> None:
    image = pixels(4, 40, 30)
    spec = Preprocess(size=(7, 9), channels=channels, layout="NHWC")
    source = Image.fromarray(image).convert("L" if channels == "GRAY" else "RGB")
    expected = np.asarray(source.resize((9, 7), Image.Resampling.BILINEAR))
    tensor = preprocess(image, spec, "a")
    np.testing.assert_array_equal(tensor[0], expected.reshape(7, 9, -1))


def test_other_size_is_refused_where_images_must_be_aligned() -> None:
    spec = Preprocess(size=(112, 96), resize="none")
    with pytest.raises(DataError, match=r"p/a\.jpg: is 30 x 40 pixels .* not 96 x 112") as caught:
        preprocess(pixels(4, 40, 30), spec, "p/a.jpg")
    assert 'resize="bilinear"' in caught.value.remedy
