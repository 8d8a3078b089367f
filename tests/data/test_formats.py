"""The kind of a path decides which reader it gets; a path without a reader is an error."""

from pathlib import Path

import pytest

from pytest_kycquant.data.formats import read_as
from pytest_kycquant.errors import DataError

FILES = {".csv": lambda path: f"table {path.name}", ".npz": lambda path: f"arrays {path.name}"}


def read(path: Path, files: dict = FILES) -> str:
    return read_as(path, lambda root: f"folder {root.name}", files, "give a folder of cats")


@pytest.mark.parametrize("name", ["a.csv", "a.CSV", "a.npz", "b.c.Npz"])
def test_a_file_is_read_by_its_suffix(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    expected = "table" if name.lower().endswith(".csv") else "arrays"
    assert read(tmp_path / name) == f"{expected} {name}"


@pytest.mark.parametrize("name", ["cats", "cats.csv", "cats.npz"])
def test_a_folder_is_a_folder_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert read(tmp_path / name) == f"folder {name}"


def test_a_link_is_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    (tmp_path / "link.npz").symlink_to(tmp_path / "cats")
    assert read(tmp_path / "link.npz") == "folder link.npz"


def refuse(path: Path, problem: str, remedy: str, files: dict = FILES) -> None:
    with pytest.raises(DataError) as caught:
        read(path, files)
    assert (caught.value.where, caught.value.problem) == (str(path), problem)
    assert caught.value.remedy == remedy


@pytest.mark.parametrize("name", ["gone", "gone.csv", "gone.npz", "gone.txt"])
def test_nothing_there(tmp_path: Path, name: str) -> None:
    refuse(tmp_path / name, "does not exist", "check the path")
    (tmp_path / name).symlink_to(tmp_path / "nowhere")
    refuse(tmp_path / name, "does not exist", "check the path")


@pytest.mark.parametrize("name", ["a.txt", "csv", ".csv", "a.csv.gz"])
def test_something_else(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    problem = "is neither a folder nor a file ending in .csv or .npz"
    refuse(tmp_path / name, problem, "give a folder of cats")
    refuse(tmp_path / name, "is not a folder", "give a folder of cats", {})


def test_errors_of_a_reader_are_its_own(tmp_path: Path) -> None:
    def damaged(path: Path) -> str:
        raise DataError(path, "is damaged", "download it again")

    (tmp_path / "a.csv").touch()
    with pytest.raises(DataError, match=r"a\.csv: is damaged; download it again"):
        read(tmp_path / "a.csv", {".csv": damaged})
