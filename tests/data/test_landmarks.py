"""Landmarks in other units, in another order or of turned faces are noticed at once."""

from __future__ import annotations

import warnings
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pytest_kycquant.data.landmarks import TEMPLATE, Landmarks, load_landmarks
from pytest_kycquant.errors import DataError, LandmarksWarning

HEAD = "file," + ",".join(f"x{i},y{i}" for i in range(1, 6))
NAMES = ("left eye", "right eye", "nose", "left mouth", "right mouth")
MIDDLE = 125.0


def faces(number: int = 30, seed: int = 0) -> np.ndarray:
    """Landmarks as a detector gives them for photographs of 250 x 250 pixels, (number, 5, 2).

    Of 600 real faces, YuNet's are 2.8 pixels of the template away from it, 95 % at most 4.0; 95 %
    of the faces are turned by 7.6 degrees at most.
    """
    rng = np.random.default_rng(seed)
    points = (TEMPLATE.astype(np.float64) - TEMPLATE.mean(axis=0)) @ [1, 1j]
    noise = rng.normal(0, 2.2, (number, 5, 2)) @ [1, 1j]
    turn = np.exp(1j * np.deg2rad(rng.normal(0, 4, (number, 1)))) * rng.uniform(
        0.8, 1.6, (number, 1)
    )
    place = rng.uniform(-20, 20, (number, 1, 2)) @ [1, 1j] + MIDDLE * (1 + 1j)
    found = (points + noise) * turn + place
    return np.stack([found.real, found.imag], axis=-1)


def load(tmp_path: Path, points: Any) -> dict[Path, Landmarks]:
    """Read what a CSV says about images 0.png, 1.png and so on."""
    rows = [HEAD]
    for index, row in enumerate(np.reshape(points, (-1, 10)).tolist()):
        Image.new("RGB", (5, 5)).save(tmp_path / f"{index}.png")
        rows.append(f"{index}.png,{','.join(map(repr, row))}")
    path = tmp_path / "landmarks.csv"
    path.write_text("\n".join(rows))
    return load_landmarks(path)


def profile(points: np.ndarray, width: float, nose: float, roll: float = 0.0) -> np.ndarray:
    """The same faces from the side: a share of their width, the nose moved by so many pixels."""
    middle = points.mean(axis=1, keepdims=True)
    found = (points - middle) * [width, 1.0]
    found[:, 2, 0] -= nose
    sine, cosine = np.sin(np.deg2rad(roll)), np.cos(np.deg2rad(roll))
    return found @ [[cosine, sine], [-sine, cosine]] + middle


def test_landmarks_of_a_detector_are_read(tmp_path: Path) -> None:
    points = faces()
    found = load(tmp_path, points)
    np.testing.assert_array_equal(list(found.values()), points)


@pytest.mark.parametrize("order", [o for o in permutations(range(5)) if o != (0, 1, 2, 3, 4)])
def test_another_order_is_named(tmp_path: Path, order: tuple[int, ...]) -> None:
    said = "only if read in the order " + ", ".join(NAMES[point] for point in order) + "; give x"
    with pytest.raises(DataError, match=said):
        load(tmp_path, faces(8)[:, order])


def flat(points: np.ndarray) -> np.ndarray:
    return points.swapaxes(1, 2).reshape(-1, 10)


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (faces()[..., ::-1], "fit faces only if read with x and y exchanged; "),
        (flat(faces()), "fit faces only if read with all x before all y; "),
        (flat(faces()[..., ::-1]), "fit faces only if read with all y before all x; "),
        (2 * MIDDLE - faces(), "are turned by 1[78][0-9] degrees in most images; .*EXIF"),
        (faces()[..., ::-1] * [1, -1] + [0, 250], "are turned by [89][0-9] degrees in most"),
        (faces() * [-1, 1] + [250, 0], "right eye, left eye, nose, right mouth, left mouth"),
        (faces() / 250, r"apart in most images \(the eyes 0\.[0-9]* pixels\); .* not in 0\.\.1"),
        (faces() / 20 + 50, r"apart in most images \(the eyes 2\..* pixels\); .* of the images"),
        (faces() * 0 + 7, r"apart in most images \(the eyes 0 pixels\)"),
    ],
)
def test_a_mistake_in_all_lines_is_named(tmp_path: Path, points: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        load(tmp_path, points)


@pytest.mark.parametrize(
    "mistake", [[1, 0, 2, 3, 4], [1, 0, 2, 4, 3], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0]]
)
def test_a_line_that_cannot_be_a_face_is_named(tmp_path: Path, mistake: list[int]) -> None:
    points = faces()
    points[7] = points[7][mistake]
    with pytest.raises(DataError, match=r"do not fit a face: 7\.png \(line 9\); give x and y"):
        load(tmp_path, points)


@pytest.mark.parametrize("turned", [1, 12])
def test_a_few_turned_faces_are_a_warning(tmp_path: Path, turned: int) -> None:
    points = faces()
    points[:turned] = 2 * MIDDLE - points[:turned]
    with pytest.warns(LandmarksWarning, match=r"hardly fit a face: 0\.png \(line 2\)"):
        assert len(load(tmp_path, points)) == len(points)


@pytest.mark.parametrize("roll", [0, 45])
@pytest.mark.parametrize(("width", "nose"), [(0.7, 8), (0.35, 10), (0.1, 12), (0, 5)])
def test_faces_from_the_side_are_faces(
    tmp_path: Path, width: float, nose: float, roll: float
) -> None:
    points = faces()
    points[::3] = profile(points[::3], width, nose, roll)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LandmarksWarning)
        load(tmp_path, points)


def test_a_single_profile_is_a_face(tmp_path: Path) -> None:
    points = TEMPLATE.astype(np.float64)
    points[:, 0] = 60 + (points[:, 0] - 56) * 0.35
    points[2, 0] -= 8
    assert len(load(tmp_path, points)) == 1


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_right_landmarks_are_never_refused(
    tmp_path_factory: pytest.TempPathFactory, seed: int, number: int
) -> None:
    load(tmp_path_factory.mktemp("lm"), faces(number, seed))


@pytest.mark.parametrize("value", ["1e200", "-1e200", "1e308", "inf", "nan", "1000001"])
@pytest.mark.filterwarnings("error")
def test_impossible_numbers_are_an_error_and_nothing_else(tmp_path: Path, value: str) -> None:
    points = faces(3)
    points[1] = float(value)
    with pytest.raises(DataError, match=r"landmarks\.csv: line 3 is malformed; fill in file,x1,"):
        load(tmp_path, points)


@pytest.mark.filterwarnings("error")
def test_tiny_numbers_are_an_error_and_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="less than 4 pixels apart"):
        load(tmp_path, faces(3) * 1e-200)


def test_paths_relative_to_the_images_are_explained(tmp_path: Path) -> None:
    """Evaluation and calibration have images of the same name, and neither is next to the CSV."""
    numbers = ",".join(map(str, TEMPLATE.ravel().tolist()))
    path = tmp_path / "landmarks.csv"
    path.write_text(f"{HEAD}\np0/0.png,{numbers}\np0/0.png,{numbers}\n")
    said = r"do not exist: p0/0\.png \(line 2\), .*; paths are relative to the folder of the CSV"
    with pytest.raises(DataError, match=said):
        load_landmarks(path)
    (tmp_path / "p0").mkdir()
    Image.new("RGB", (5, 5)).save(tmp_path / "p0/0.png")
    with pytest.raises(
        DataError, match=r"twice: p0/0\.png \(line 3\); keep .*; paths are relative"
    ):
        load_landmarks(path)
