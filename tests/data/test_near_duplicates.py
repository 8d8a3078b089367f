"""Edits of an image are found; other photographs, also of the same person, are not."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from pytest_kycquant.data import near_duplicates as module
from pytest_kycquant.data.near_duplicates import near_duplicates
from pytest_kycquant.data.pixel_facts import PixelFacts

FACES = Path(__file__).parents[2] / "calibration" / "faces"
Edit = Callable[[Image.Image], Image.Image]


def jpeg(quality: int) -> Edit:
    def encode(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB")

    return encode


def resized(factor: float) -> Edit:
    return lambda image: image.resize((int(factor * image.width), int(factor * image.height)))


def brightness(factor: float) -> Edit:
    return lambda image: ImageEnhance.Brightness(image).enhance(factor)


def turned(method: Image.Transpose) -> Edit:
    return lambda image: image.transpose(method)


EDITS: dict[str, Edit] = {
    **{method.name.lower(): turned(method) for method in Image.Transpose},
    "JPEG at quality 40": jpeg(40),
    "half the size": resized(0.5),
    "80 % of the size": resized(0.8),
    "twice the size": resized(2),
    "darker": brightness(0.8),
    "brighter": brightness(1.1),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.8),
    "grey": lambda image: image.convert("L"),
    "negative": ImageOps.invert,
    "mirrored negative": lambda image: ImageOps.mirror(ImageOps.invert(image)),
    "stretched": lambda image: image.resize((image.width, int(0.9 * image.height))),
    "several": lambda image: jpeg(40)(
        resized(0.5)(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    ),
}


@pytest.fixture(scope="module")
def faces() -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in sorted(FACES.glob("*.jpg"))[:96]]


def thumbnails(images: list[Image.Image]) -> np.ndarray:
    return PixelFacts.of(np.asarray(image.convert("RGB")) for image in images).thumbnails


@pytest.mark.parametrize("edit", EDITS)
def test_edited_images_are_found(faces: list[Image.Image], edit: str) -> None:
    edited = thumbnails([EDITS[edit](image) for image in faces])
    found = set(near_duplicates(thumbnails(faces), edited))
    assert len(found & {(i, i) for i in range(len(faces))}) >= 0.98 * len(faces)
    assert all(one == other for one, other in found)


def test_different_people_are_not_found(faces: list[Image.Image]) -> None:
    assert near_duplicates(thumbnails(faces)) == []
    assert near_duplicates(thumbnails(faces[:50]), thumbnails(faces[50:])) == []


def test_pairs_within_a_set_are_of_different_people(faces: list[Image.Image]) -> None:
    images = [*faces[:3], EDITS["darker"](faces[1])]
    small = thumbnails(images)
    assert near_duplicates(small) == [(1, 3)]
    assert near_duplicates(small, people=np.array([0, 1, 2, 3])) == [(1, 3)]
    assert near_duplicates(small, people=np.array([0, 1, 2, 1])) == []  # frames of one video


def test_order_of_the_two_sets(faces: list[Image.Image]) -> None:
    assert near_duplicates(thumbnails(faces[:4]), thumbnails(faces[3:5])) == [(3, 0)]


def test_blocks_do_not_matter(faces: list[Image.Image], monkeypatch: pytest.MonkeyPatch) -> None:
    images = thumbnails([*faces, *[EDITS["flip_left_right"](image) for image in faces]])
    expected = near_duplicates(images)
    monkeypatch.setattr(module, "_ROWS", 7)
    monkeypatch.setattr(module, "_COLUMNS", 5)
    assert near_duplicates(images) == expected
    assert len(expected) == len(faces)


def test_flat_images_have_no_pattern_to_compare() -> None:
    flat = [Image.new("RGB", (20, 20), (grey, grey, grey)) for grey in range(100, 110)]
    assert near_duplicates(thumbnails(flat)) == []


def test_many_equal_images_end_the_count(
    faces: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 50)
    images = np.repeat(thumbnails(faces[:1]), 40, axis=0)
    assert len(near_duplicates(images)) == 50


def test_noise_is_not_like_noise() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(300)]
    assert near_duplicates(PixelFacts.of(images).thumbnails) == []
