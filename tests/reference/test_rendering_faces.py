from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from models.rendering import faces, splits
from models.rendering.captures import GLASSES, HAND, MASK, STRAND, SUNGLASSES
from models.rendering.groups import groups

ROOT = Path(__file__).parents[2]


def passport(seed: int = 1) -> faces.Capture:
    return faces.capture(np.random.default_rng(seed), difficulty=0.0)


def mean_difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).mean())


def test_the_same_seed_draws_the_same_bytes():
    first = faces.aligned(7, 0)
    faces.aligned(8, 1)  # what was drawn before must not matter
    np.testing.assert_array_equal(first, faces.aligned(7, 0))


def test_pictures_are_what_they_were_when_the_model_was_trained():
    digest = hashlib.sha256()
    for seed in (0, splits.CALIBRATION[0], splits.SELECTION[0], splits.EVALUATION[0]):
        for index in range(2):
            digest.update(faces.aligned(seed, index).tobytes())
    assert digest.hexdigest()[:16] == "dc6518d6d94ecd5e"


def test_committed_calibration_is_what_the_renderer_writes(tmp_path, monkeypatch):
    committed = sorted((ROOT / "calibration" / "faces").iterdir())
    assert [file.name for file in committed] == [
        f"id{seed}.jpg" for seed in splits.CALIBRATION[: faces.CALIBRATION_IMAGES]
    ]
    monkeypatch.setattr(faces, "CALIBRATION_IMAGES", 3)
    faces.write_calibration(tmp_path)
    for file in committed[:3]:
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("write", [faces.write_evaluation, faces.write_selection])
def test_a_folder_for_each_identity(tmp_path, monkeypatch, write):
    monkeypatch.setattr(faces, "EVALUATION_IDENTITIES", 2)
    monkeypatch.setattr(faces, "SELECTION_IDENTITIES", 2)
    write(tmp_path)
    split = splits.EVALUATION if write is faces.write_evaluation else splits.SELECTION
    found = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.jpg"))
    assert found == [f"id{seed}/{i:02d}.jpg" for seed in split[:2] for i in range(faces.PICTURES)]


def test_splits_share_no_seed():
    for a, b in combinations(splits.ALL.values(), 2):
        assert max(a.start, b.start) >= min(a.stop, b.stop)
    assert len(splits.EVALUATION) >= faces.EVALUATION_IDENTITIES


def test_no_two_people_are_the_same():
    assert len({replace(faces.person(seed), seed=0) for seed in range(200)}) == 200


def test_people_differ_more_than_noise_does():
    how = passport()
    drawn = [faces.render(faces.person(seed), how) for seed in range(6)]
    assert min(mean_difference(a, b) for a, b in combinations(drawn, 2)) > 4.0


def test_captures_vary_with_difficulty():
    def yaws(difficulty: float) -> np.ndarray:
        rng = np.random.default_rng(0)
        return np.array([faces.capture(rng, difficulty=difficulty).yaw for _ in range(50)])

    assert np.ptp(yaws(0.0)) == 0.0
    assert 0.0 < np.std(yaws(0.5)) < np.std(yaws(1.0))


@pytest.mark.parametrize("kind", [GLASSES, SUNGLASSES, MASK, HAND, STRAND])
def test_an_occlusion_is_drawn(kind):
    person, how = faces.person(3), replace(passport(), extent=0.8)
    bare = faces.render(person, how)
    covered = faces.render(person, replace(how, occlusion=kind, occluder=(20.0, 60.0, 160.0)))
    assert mean_difference(bare, covered) > 0.3  # a hand has the colour of the face


@pytest.mark.parametrize(
    "change",
    [
        {"yaw": 0.3},
        {"pitch": 0.2},
        {"roll": 0.2},
        {"smile": 1.0},
        {"open_mouth": 1.0},
        {"squint": 0.7},
        {"gaze": (1.0, 0.0)},
        {"brow_raise": 1.0},
        {"shift": (0.1, 0.0)},
        {"scale": 1.1},
        {"clothing": (255.0, 0.0, 0.0)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_everything_in_a_capture_is_visible(change):
    person, how = faces.person(5), passport()
    assert (faces.render(person, how) != faces.render(person, replace(how, **change))).any()


def test_light_from_one_side_brightens_that_side():
    how = passport()
    lit = replace(how, light=replace(how.light, direction=(0.8, 0.0, 0.6), ambient=0.2))
    face = faces.render(faces.person(2), lit, background=(0, 0, 0))
    assert face[40:70, 60:76].mean() > 1.2 * face[40:70, 36:52].mean()


def test_background_as_colour_and_as_picture():
    person, how = faces.person(4), passport()
    plain = faces.render(person, how, (80, 120), 0.4, background=(10, 200, 30))
    assert plain.shape == (80, 120, 3)
    assert tuple(plain[0, 0]) == (10, 200, 30)
    picture = np.full((80, 120, 3), (10, 200, 30), np.uint8)
    np.testing.assert_array_equal(
        plain, faces.render(person, how, (80, 120), 0.4, background=picture)
    )
    with pytest.raises(ValueError, match=r"background is \(80, 120, 3\)"):
        faces.render(person, how, (112, 112), background=picture)


def test_the_face_is_where_it_was_asked_for():
    person, how = faces.person(6), passport()

    def middle(centre: tuple[float, float]) -> np.ndarray:
        picture = faces.render(person, how, (200, 200), 0.3, centre, background=(0, 255, 0))
        green = (picture == (0, 255, 0)).all(axis=2)
        return np.argwhere(~green[: int(200 * (centre[1] + 0.15))]).mean(axis=0)

    left, right = middle((0.3, 0.5)), middle((0.7, 0.5))
    assert right[1] - left[1] == pytest.approx(80, abs=2)
    assert right[0] == pytest.approx(left[0], abs=1)


def test_degrading_blurs_and_compresses():
    how = replace(passport(), blur=2.0, noise=0.0, quality=90)
    sharp = faces.render(faces.person(9), how)
    soft = faces.degrade(sharp, how, np.random.default_rng(0))
    assert soft.dtype == np.uint8
    edges = np.abs(np.diff(sharp.astype(int), axis=1)).mean()
    assert np.abs(np.diff(soft.astype(int), axis=1)).mean() < 0.7 * edges


def test_groups_of_evaluation_and_selection(tmp_path, monkeypatch):
    monkeypatch.setattr(faces, "EVALUATION_IDENTITIES", 1)
    monkeypatch.setattr(faces, "SELECTION_IDENTITIES", 2)
    faces.write_evaluation(tmp_path)
    lines = (tmp_path / "groups.csv").read_text().splitlines()
    assert lines[0] == "subject,skin,age"
    people = (splits.EVALUATION[0], *splits.SELECTION[:2])
    assert [line.split(",")[0] for line in lines[1:]] == [f"id{seed}" for seed in people]


def test_each_group_has_its_share():
    """Each group is large enough to judge: a third for each tone, half for each age."""
    who = [groups(faces.person(seed)) for seed in splits.EVALUATION[:600]]
    for tone in ("light", "medium", "dark"):
        assert 170 < [skin for skin, _ in who].count(tone) < 230
    assert 270 < [age for _, age in who].count("older") < 330
