import numpy as np
import pytest

from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.pixel_cache import HeldPixels

SIZE = 4 * 5 * 3


@pytest.fixture
def images(tmp_path):
    return ImageSet.from_array(
        np.arange(3 * SIZE, dtype=np.uint8).reshape(3, 4, 5, 3), tmp_path / "a.npz"
    )


@pytest.fixture
def decoded(monkeypatch):
    """Indices of the images that were decoded."""
    calls = []
    real = ImageSet.pixels

    def counting(self, index):
        calls.append(index)
        return real(self, index)

    monkeypatch.setattr(ImageSet, "pixels", counting)
    return calls


def test_each_image_is_decoded_once_and_cannot_be_written_to(images, decoded):
    held = HeldPixels()
    for _ in range(2):
        for index in range(3):
            np.testing.assert_array_equal(
                held.pixels(images, index).ravel(), np.arange(SIZE) + index * SIZE
            )
    assert decoded == [0, 1, 2]
    with pytest.raises(ValueError, match="read-only"):
        held.pixels(images, 0)[0] = 1


def test_what_does_not_fit_is_decoded_anew(images, decoded):
    held = HeldPixels(limit=2 * SIZE)
    for _ in range(2):
        for index in range(3):
            held.pixels(images, index)
    assert decoded == [0, 1, 2, 2]


def test_sets_of_the_same_images_in_another_order_are_told_apart(images):
    held = HeldPixels()
    turned = images.subset([2, 1, 0])
    assert turned.digest == images.digest
    for index in range(3):
        held.pixels(images, index)
    np.testing.assert_array_equal(held.pixels(turned, 0), images.pixels(2))


def test_other_content_under_the_same_name_is_told_apart(images, tmp_path):
    held = HeldPixels()
    held.pixels(images, 0)
    other = ImageSet.from_array(np.full((3, 4, 5, 3), 7, np.uint8), tmp_path / "a.npz")
    assert (held.pixels(other, 0) == 7).all()
