"""Files and paths on systems that are not POSIX, with their calls replaced."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace

import pytest

from pytest_kycquant import files
from pytest_kycquant.context import folder as cache_folder
from pytest_kycquant.errors import CacheError


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WINDOWS", True)
    monkeypatch.setattr(cache_folder, "WINDOWS", True)
    monkeypatch.setattr(files, "fcntl", None)
    monkeypatch.setattr(files, "_PAUSE", 0.0)


def refusing(times: int, made: Callable[..., object]) -> Callable[..., object]:
    left = iter(range(times))

    def call(*arguments: object) -> object:
        if next(left, None) is not None:
            raise PermissionError(13, "The file is used by another process")
        return made(*arguments)

    return call


@pytest.mark.usefixtures("windows")
def test_a_file_that_another_process_reads_is_replaced_a_moment_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "replace", refusing(5, Path.replace))
    files.write_whole(tmp_path / "golden.json", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["golden.json"]


@pytest.mark.usefixtures("windows")
def test_one_that_is_never_released_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "replace", refusing(10_000, Path.replace))
    with pytest.raises(PermissionError):
        files.write_whole(tmp_path / "golden.json", "new")
    assert not list(tmp_path.iterdir())


def test_elsewhere_a_permission_is_not_a_matter_of_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "replace", refusing(1, Path.replace))
    with pytest.raises(PermissionError):
        files.write_whole(tmp_path / "golden.json", "new")


@pytest.mark.usefixtures("windows")
def test_only_files_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    files.sync(tmp_path)
    assert not synced
    (tmp_path / "x").touch()
    files.sync(tmp_path / "x")
    assert len(synced) == 1


def test_folders_are_synced_where_the_system_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    files.sync(tmp_path)
    assert len(synced) == 1


@pytest.mark.usefixtures("windows")
def test_a_temporary_folder_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    opened = []
    plain_open = files._open
    monkeypatch.setattr(
        files, "_open", lambda *given: opened.append(plain_open(*given)) or opened[-1]
    )
    with files.temporary_folder() as folder:
        (folder / "x").touch()
        assert opened
        assert all(file.closed for file in opened)  # Windows deletes no open file
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("windows")
def test_permission_bits_say_nothing_about_a_cache(tmp_path: Path) -> None:
    """Windows shows every folder as open to all, and ignores what `chmod` asks for."""
    tmp_path.chmod(0o777)
    cache_folder.CacheFolder(tmp_path).made()
    assert tmp_path.stat().st_mode & 0o777 == 0o777


def test_names_of_tests_have_slashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest's node ids do, on Windows too, and so do the commands that messages advise."""
    relative = r"tests\gates\test_face.py"
    other = PureWindowsPath(r"D:\gates\test_face.py")
    monkeypatch.setattr(files, "Path", PureWindowsPath)
    monkeypatch.setattr(files, "os", SimpleNamespace(path=SimpleNamespace(abspath=str)))
    files.os.path.relpath = lambda path, start: relative
    start = PureWindowsPath(r"C:\project")
    mine = start / "tests" / "gates" / "test_face.py"
    assert files.from_here(mine, start) == "tests/gates/test_face.py"

    def refused(path: object, start: object) -> str:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    files.os.path.relpath = refused
    assert files.from_here(other, start) == "D:/gates/test_face.py"


@pytest.mark.usefixtures("windows")
def test_a_folder_of_something_else_is_still_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(CacheError, match="is a folder of something else"):
        cache_folder.CacheFolder(tmp_path).made()
