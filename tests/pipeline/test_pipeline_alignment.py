"""A pipeline aligns faces as the gates of the embedder do, and says why if it cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pytest_kycquant import FaceVerification, KycModel, PipelineGates, Preprocess
from pytest_kycquant.data.alignment import align_faces
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.landmarks import TEMPLATE, Landmarks
from pytest_kycquant.errors import DataError, SpecError
from pytest_kycquant.pipeline.stages import Detected, Stages
from pytest_kycquant.spec.box import Box
from tests.pipeline.test_pipeline_stages import Session, stages_of

BOX = Box(20.0, 30.0, 90.0, 120.0)


def stages(size: tuple[int, int] = (112, 112)) -> Stages:
    model = KycModel("face.onnx", Preprocess(size=size), FaceVerification("faces"))
    return stages_of({"face.onnx": Session(np.ones((1, 4)))}, embedder=model)


def face(seed: int = 0) -> np.ndarray:
    """Landmarks of a face that is turned a little, in a picture of 140 x 160 pixels."""
    rng = np.random.default_rng(seed)
    turn = 0.6 * np.exp(1j * rng.uniform(-0.4, 0.4))
    points = (TEMPLATE.astype(np.float64) @ [1, 1j] - (56 + 72j)) * turn + (70 + 80j)
    return np.stack([points.real, points.imag], axis=1) + rng.normal(0, 1, (5, 2))


def picture(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (160, 140, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [112, 128, 224])
def test_the_same_pixels_as_in_the_gates_of_the_embedder(tmp_path: Path, size: int) -> None:
    Image.fromarray(picture()).save(tmp_path / "a.png")
    images = ImageSet.from_files(tmp_path, [tmp_path / "a.png"])
    points = face()
    landmarks = {(tmp_path / "a.png").resolve(): Landmarks(*map(tuple, points.tolist()))}
    expected = align_faces(images, landmarks, (size, size)).pixels(0)
    found = stages((size, size)).align(images.pixels(0), points)
    assert found.shape == (size, size, 3)
    np.testing.assert_array_equal(found, expected)


def test_the_best_face_is_aligned_or_cropped() -> None:
    class Aligned(PipelineGates):
        align = True

    class Cropped(PipelineGates):
        embedder_scale = 2.0

    pixels, found = picture(), Detected("face", BOX, 0.9, face())
    one = stages()
    np.testing.assert_array_equal(
        Aligned().face_of(one, pixels, found), one.align(pixels, found.keypoints)
    )
    np.testing.assert_array_equal(Cropped().face_of(one, pixels, found), one.crop(pixels, BOX, 2.0))


def test_landmarks_that_cannot_be_a_face_leave_no_usable_face() -> None:
    """A variant may give them, and its pipeline is judged all the same."""

    class Aligned(PipelineGates):
        align = True

    assert Aligned().face_of(stages(), picture(), Detected("face", BOX, 0.9, face() * 0)) is None


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (None, "stages.align: is given no landmarks for an image, where a face has five; give"),
        (face()[:4], "is given 4 landmarks for an image, where a face has five"),
        (np.ones((17, 2)), "is given 17 landmarks"),  # which five are the face is not known
    ],
)
def test_a_face_has_five_landmarks(points: np.ndarray | None, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        stages().align(picture(), points)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (face() + 200.0, "its landmarks lie outside the image, which is 140 x 160 pixels"),
        (np.where(np.eye(5, 2) > 0, np.nan, face()), "lie outside the image"),
        (np.where(np.eye(5, 2) > 0, 1e30, face()), "lie outside the image"),
        (face() * 0 + 50, "its landmarks lie within one pixel"),
    ],
)
def test_landmarks_that_cannot_be_a_face(points: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        stages().align(picture(), points)


def test_a_size_without_a_template() -> None:
    with pytest.raises(SpecError, match=r"stages.align: the template is not defined for faces of"):
        stages((160, 160)).align(picture(), None)


def test_nothing_to_embed() -> None:
    with pytest.raises(SpecError, match="calls the embedder, which this pipeline does not have"):
        stages_of({}).align(picture(), face())
