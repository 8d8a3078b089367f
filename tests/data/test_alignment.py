"""Faces are aligned by landmarks as InsightFace does with OpenCV, to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pytest_kycquant.data.alignment import (
    AlignedFaces,
    align_faces,
    similarity,
    template,
    warp,
)
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.landmarks import TEMPLATE, Landmarks, load_landmarks
from pytest_kycquant.errors import DataError, LandmarksWarning, SpecError

cv2: Any = pytest.importorskip("cv2")
HEAD = "file," + ",".join(f"x{i},y{i}" for i in range(1, 6))


def face(rng: np.random.Generator, size: int = 250) -> np.ndarray:
    """Landmarks of a turned, scaled and distorted face, (5, 2)."""
    turn = np.exp(1j * rng.uniform(-0.7, 0.7)) * rng.uniform(0.4, 1.8)
    points = (TEMPLATE.astype(np.float64) @ [1, 1j] - (56 + 72j)) * turn
    points += (
        rng.uniform(0.3, 0.7) * size * (1 + 1j) + rng.normal(0, 2, 5) + 2j * rng.normal(0, 1, 5)
    )
    return np.stack([points.real, points.imag], axis=1)


@given(st.integers(0, 2**32 - 1), st.sampled_from([(112, 112), (128, 128), (224, 224), (33, 16)]))
def test_every_pixel_is_that_of_opencv(seed: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 300)), int(rng.integers(1, 300)), 3)
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    matrix, _ = similarity(face(rng), TEMPLATE)
    expected = cv2.warpAffine(image, matrix, size[::-1], borderValue=0.0)
    np.testing.assert_array_equal(warp(image, matrix, size), expected)


@given(st.integers(0, 2**32 - 1))
def test_the_transform_is_that_of_scikit_image(seed: int) -> None:
    """InsightFace estimates it with `skimage.transform.SimilarityTransform`."""
    transform = pytest.importorskip("skimage.transform")
    points = face(np.random.default_rng(seed))
    matrix, _ = similarity(points, TEMPLATE)
    known = transform.SimilarityTransform.from_estimate(points, TEMPLATE.astype(np.float64))
    np.testing.assert_allclose(matrix, known.params[:2], rtol=1e-10, atol=1e-10)


def norm_crop(image: np.ndarray, points: np.ndarray, size: int) -> np.ndarray:
    """`insightface.utils.face_align.norm_crop`, written anew."""
    transform = pytest.importorskip("skimage.transform")
    ratio, shift = (size / 112.0, 0.0) if size % 112 == 0 else (size / 128.0, 8.0 * size / 128.0)
    target = TEMPLATE * ratio
    target[:, 0] += shift
    matrix = transform.SimilarityTransform.from_estimate(points, target).params[:2]
    found: np.ndarray = cv2.warpAffine(image, matrix, (size, size), borderValue=0.0)
    return found


@pytest.mark.parametrize("size", [112, 128, 224])
def test_an_aligned_face_is_that_of_insightface(tmp_path: Path, size: int) -> None:
    rng = np.random.default_rng(size)
    pixels = rng.integers(0, 256, (240, 250, 3), dtype=np.uint8)
    points = face(rng)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    numbers = ",".join(f"{value!r}" for value in points.ravel().tolist())
    (tmp_path / "landmarks.csv").write_text(f"{HEAD}\na.png,{numbers}\n")
    images = ImageSet.from_files(tmp_path, [tmp_path / "a.png"])
    faces = align_faces(images, load_landmarks(tmp_path / "landmarks.csv"), (size, size))
    found, expected = faces.pixels(0), norm_crop(pixels, points, size)
    # Both transforms are right to the last bits, in which they may differ.
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert (found != expected).mean() < 1e-3
    assert faces.digests == images.digests
    assert faces.digest != images.digest
    assert faces.subset([0]).digest == faces.digest


def test_the_template_itself_stays_where_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    matrix, apart = similarity(TEMPLATE, template((112, 112)))
    np.testing.assert_allclose(matrix, [[1, 0, 0], [0, 1, 0]], atol=1e-12)
    assert apart < 1e-9
    np.testing.assert_array_equal(warp(pixels, np.eye(3)[:2], (112, 112)), pixels)


@pytest.mark.parametrize("size", [(100, 100), (112, 128), (160, 160)])
def test_other_sizes_have_no_template(size: tuple[int, int]) -> None:
    with pytest.raises(SpecError, match=f"not defined for faces of {size[0]} x {size[1]} pixels"):
        template(size)


def load(tmp_path: Path) -> dict[Path, Landmarks]:
    Image.new("RGB", (120, 120)).save(tmp_path / "a.png")
    path = tmp_path / "landmarks.csv"
    path.write_text(f"{HEAD}\na.png,{','.join(map(str, TEMPLATE.ravel().tolist()))}\n")
    return load_landmarks(path)


def test_every_image_needs_its_landmarks(tmp_path: Path) -> None:
    known = load(tmp_path)
    Image.new("RGB", (120, 120)).save(tmp_path / "b.png")
    images = ImageSet.from_files(tmp_path, [tmp_path / "a.png", tmp_path / "b.png"])
    with pytest.raises(DataError, match=r"contains images without landmarks: b\.png"):
        align_faces(images, known, (112, 112))
    array = ImageSet.from_array(np.zeros((2, 8, 8, 3), np.uint8), tmp_path / "x.npz")
    with pytest.raises(DataError, match="is an array, but landmarks need image files"):
        align_faces(array, known, (112, 112))


def aligned(tmp_path: Path, points: np.ndarray, size: tuple[int, int] = (120, 120)) -> AlignedFaces:
    """Faces in images of `size` (width, height), which have these landmarks, (N, 5, 2)."""
    paths = [tmp_path / f"{index}.png" for index in range(len(points))]
    for path in paths:
        Image.new("RGB", size).save(path)
    images = ImageSet.from_files(tmp_path, paths)
    known = {path: Landmarks(*place) for path, place in zip(paths, points.tolist(), strict=True)}
    return align_faces(images, known, (112, 112))


def test_landmarks_of_another_image_are_noticed(tmp_path: Path) -> None:
    faces = aligned(tmp_path, np.array([TEMPLATE, TEMPLATE + 400]))
    with pytest.raises(
        DataError, match=r"1\.png: its landmarks lie outside the image, which is 120"
    ):
        faces.pixels(1)
    with pytest.raises(DataError, match=r"images outside of which their landmarks lie: 1\.png; "):
        faces.check_places()


def test_hidden_landmarks_may_lie_outside_of_a_few_images(tmp_path: Path) -> None:
    points = np.array([TEMPLATE] * 12)
    points[:6] -= [45, 0]  # the left eye and the left corner of the mouth
    aligned(tmp_path, points).check_places()
    points[6] -= [45, 0]
    with pytest.raises(DataError, match="landmarks lie outside of 7 of 12 images"):
        aligned(tmp_path, points).check_places()


@pytest.mark.parametrize("size", [(700, 800), (250, 200)])
def test_landmarks_in_percent_are_noticed(tmp_path: Path, size: tuple[int, int]) -> None:
    faces = aligned(tmp_path, np.array([TEMPLATE] * 12), size)
    said = r"in all 12 images, the landmarks lie in the upper left corner, within 1[15]% of the .*"
    if size == (700, 800):
        with pytest.raises(DataError, match=said + "not percent nor pixels of smaller copies"):
            faces.check_places()
    else:  # photographs of documents may look like this
        with pytest.warns(LandmarksWarning, match="upper left corner, within 29% of the width and"):
            faces.check_places()


def test_faces_may_lie_on_one_side(tmp_path: Path) -> None:
    points = np.array([TEMPLATE] * 12)
    aligned(tmp_path, points, (120, 400)).check_places()
    aligned(tmp_path, points, (400, 120)).check_places()
    aligned(tmp_path, points[:9], (400, 400)).check_places()  # too few to know
