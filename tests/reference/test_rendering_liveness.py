from __future__ import annotations

import hashlib
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.rendering import liveness, recapture, splits
from models.rendering.liveness import KINDS, LIVE, MASK, PRINT, SCREEN

ROOT = Path(__file__).parents[2]


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_a_crop_depends_on_kind_subject_and_index_alone(kind):
    first = liveness.render(kind, 7, 1)
    liveness.render(PRINT, 8, 0)  # what was drawn before must not matter
    assert liveness.render(kind, 7, 1) == first


def test_crops_are_what_they_were_when_the_model_was_trained():
    digest = hashlib.sha256()
    for split in splits.ALL.values():
        for kind in KINDS:
            digest.update(liveness.render(kind, split[0], 0))
    assert digest.hexdigest()[:16] == "e42e228b53e02fa3"


def test_committed_calibration_is_what_the_renderer_writes():
    committed = sorted(file.name for file in (ROOT / "calibration" / "liveness").iterdir())
    people = splits.CALIBRATION[: liveness.CALIBRATION_SUBJECTS]
    assert committed == sorted(f"id{subject}-{kind}.jpg" for subject in people for kind in KINDS)
    for subject, kind in ((people[0], LIVE), (people[20], SCREEN), (people[-1], MASK)):
        file = ROOT / "calibration" / "liveness" / f"id{subject}-{kind}.jpg"
        assert file.read_bytes() == liveness.render(kind, subject, 0)


@pytest.mark.parametrize(
    ("write", "split"),
    [
        (liveness.write_evaluation, splits.EVALUATION),
        (liveness.write_selection, splits.SELECTION),
    ],
)
def test_a_folder_for_each_kind_and_subject(tmp_path, monkeypatch, write, split):
    monkeypatch.setattr(liveness, "EVALUATION_SUBJECTS", 2)
    monkeypatch.setattr(liveness, "SELECTION_SUBJECTS", 2)
    write(tmp_path)
    files = sorted(tmp_path.rglob("*.jpg"))
    expected = [
        f"{kind}/id{subject}/00.jpg"
        for kind in KINDS
        for subject in split[: 6 if kind == LIVE else 2]
    ]
    assert sorted(expected) == [file.relative_to(tmp_path).as_posix() for file in files]
    with Image.open(files[0]) as picture:
        assert (picture.size, picture.mode) == ((liveness.SIZE, liveness.SIZE), "RGB")


@pytest.mark.parametrize("kind", KINDS)
def test_captures_of_one_person_vary(kind):
    crops = [liveness.pixels(kind, 3, index) for index in range(4)]
    assert min(difference(a, b) for a, b in combinations(crops, 2)) > 3.0


def test_people_of_a_training_pool_come_with_their_classes():
    crops = list(liveness.training([0, 1]))
    assert [label for _, label in crops] == [1, 1, 1, 0, 2, 2, 0] * 2
    assert all(crop.shape == (80, 80, 3) and crop.dtype == np.uint8 for crop, _ in crops)


def flat(level: float = 128.0) -> np.ndarray:
    return np.full((recapture.PHOTO_SIZE, recapture.PHOTO_SIZE, 3), level, np.uint8)


@pytest.mark.parametrize("show", [recapture.show_print, recapture.show_screen])
def test_a_copy_of_a_plain_photo_has_a_texture_of_its_own(show):
    """Copies show dots of ink or pixels of a display where the photo itself is smooth."""
    rng = np.random.default_rng(0)
    middle = np.s_[30:50, 30:50]
    textures = [np.std(show(rng, flat(), 0.0)[middle], axis=(0, 1)).mean() for _ in range(30)]
    assert np.median(textures) > 3.0
    assert min(textures) < 2.0  # some traces are hardly visible


def test_edges_of_a_copy_are_not_always_in_the_crop():
    rng = np.random.default_rng(1)
    visible = [recapture._lay(rng, 0.0).inside.min() < 0.0 for _ in range(200)]
    assert 0.3 < np.mean(visible) < 0.7


def test_a_mask_changes_the_face_and_not_the_room():
    rng = np.random.default_rng(2)
    image = rng.uniform(0.0, 255.0, (recapture.SIZE, recapture.SIZE, 3))
    masked = recapture.show_mask(rng, image, 1.0)
    assert difference(masked[30:50, 33:47], image[30:50, 33:47]) > 20.0
    np.testing.assert_array_equal(masked[:10], image[:10])


def test_the_camera_keeps_values_in_range_and_draws_its_quality():
    rng = np.random.default_rng(3)
    shots = [recapture.photograph(rng, np.full((80, 80, 3), 300.0), 1.0) for _ in range(20)]
    assert all(picture.dtype == np.uint8 for picture, _ in shots)
    assert len({quality for _, quality in shots}) > 5
