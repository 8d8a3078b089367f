"""Calibration images come from a folder or an array; too few or too many give a warning."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.data.calibration import load_calibration
from pytest_kycquant.errors import CalibrationWarning, DataError
from tests.worlds.pictures import npz_faces, write_image


def saved(tmp_path: Path, count: int, copies: int = 1) -> Path:
    npz_faces(tmp_path / "calibration.npz", list(range(count)))
    if copies > 1:
        with np.load(tmp_path / "calibration.npz") as archive:
            images = archive["images"].repeat(copies, axis=0)
        np.savez(tmp_path / "calibration.npz", images=images)
    return tmp_path / "calibration.npz"


@pytest.mark.parametrize("count", [100, 500])
def test_enough_images_say_nothing(tmp_path: Path, count: int) -> None:
    assert len(load_calibration(saved(tmp_path, count))) == count


def test_folder_is_searched_at_any_depth(tmp_path: Path) -> None:
    for number in range(100):
        write_image(tmp_path / f"{number % 7}" / f"{number}.png", number)
    images = load_calibration(tmp_path)
    assert len(images) == 100
    assert images.names[0] == "0/0.png"


def told(path: Path) -> tuple[list[str], int]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        count = len(load_calibration(path))
    assert all(issubclass(warning.category, CalibrationWarning) for warning in caught)
    assert all(warning.filename == __file__ for warning in caught)
    return [str(warning.message) for warning in caught], count


def test_few_images_are_told_once(tmp_path: Path) -> None:
    path = saved(tmp_path, 99)
    (message,), count = told(path)
    assert count == 99
    assert message.startswith(f"{path}: 99 different calibration images; use at least 100")


def test_copies_of_one_image_are_one_image(tmp_path: Path) -> None:
    (message,), count = told(saved(tmp_path, 10, copies=20))
    assert count == 200
    assert "10 different calibration images; use at least 100" in message


def test_of_many_images_evenly_spread_ones_are_used(tmp_path: Path) -> None:
    path = saved(tmp_path, 1250)
    (message,), count = told(path)
    assert count == 500
    assert "1250 calibration images, of which only 500, evenly spread, are used; keep" in message
    with pytest.warns(CalibrationWarning):
        images = load_calibration(path)
    rows = [int(name.split("[")[1][:-1]) for name in images.names]
    assert set(np.diff(rows)) == {1, 2, 3}
    assert rows[0] == 0
    assert rows[-1] >= 1247


def refuse(path: Path, problem: str, remedy: str) -> None:
    with pytest.raises(DataError) as caught:
        load_calibration(path)
    assert caught.value.where == str(path)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy


def test_empty_folder(tmp_path: Path) -> None:
    refuse(tmp_path, "contains no images", "add 100 to 500 typical images")


def test_missing_path(tmp_path: Path) -> None:
    refuse(tmp_path / "gone", "does not exist", "check the path")


def test_missing_archive(tmp_path: Path) -> None:
    refuse(tmp_path / "gone.npz", "does not exist", "check the path")


def test_neither_folder_nor_archive(tmp_path: Path) -> None:
    refuse(write_image(tmp_path / "a.png", 0), "is neither a folder nor", "give a folder of 100")


def test_archive_without_images(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", faces=np.zeros(3))
    refuse(tmp_path / "a.npz", "lacks 'images'", "save it with 'images'")


def test_unknown_files(tmp_path: Path) -> None:
    write_image(tmp_path / "a.heic", 0)
    refuse(tmp_path, "unknown kind: a.heic", "convert images")
