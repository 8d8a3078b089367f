"""A file is the old one or the new one, never a part, even after a crash or with two writers."""

import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pytest_kycquant.files import write_whole

OLD, NEW = "old\n" * 1000, b"new\n" * 2000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "report.json").write_text(OLD)
    return tmp_path / "report.json"


def names(path: Path) -> list[str]:
    return [entry.name for entry in path.parent.iterdir()]


def stays(path: Path) -> None:
    assert path.read_text() == OLD
    assert names(path) == ["report.json"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [(NEW, NEW), ("é\n\r\n", b"\xc3\xa9\n\r\n"), ("", b""), (b"\x00\xff", b"\x00\xff")],
)
def test_new_and_replaced(path: Path, content: bytes | str, expected: bytes) -> None:
    for target in (path, path.with_name("new.json")):
        write_whole(target, content)
        assert target.read_bytes() == expected
    assert sorted(names(path)) == ["new.json", "report.json"]


def test_others_may_read_it_as_any_file(path: Path) -> None:
    """A temporary file of `tempfile` would be readable only by its owner."""
    before = os.umask(0o022)
    try:
        write_whole(path, NEW)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace"])
def test_interrupted_in_the_middle(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    def fails(*args: object) -> None:
        assert len(names(path)) == 2  # in the same folder, since a rename is atomic only there
        raise error

    monkeypatch.setattr(step, fails)
    with pytest.raises(type(error)) as caught:
        write_whole(path, NEW)
    assert caught.value is error
    monkeypatch.undo()
    stays(path)


def test_disk_that_takes_only_a_part(path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(NEW) // 2, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_whole(path, NEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    stays(path)


def test_killed_in_the_middle(path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from pytest_kycquant import files\n"
        "os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_whole(Path(sys.argv[1]), b'new')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == OLD
    write_whole(path, NEW)  # what the killed process left does not interfere
    assert path.read_bytes() == NEW


def test_two_writers_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=30)
    monkeypatch.setattr("os.fsync", lambda file: both.wait())
    contents = [b"a" * 5000, b"b" * 7000]
    threads = [threading.Thread(target=write_whole, args=(path, text)) for text in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert names(path) == ["report.json"]


def test_folder_that_is_missing_or_a_file(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(path.parent / "gone" / "x", NEW)
    with pytest.raises(NotADirectoryError):
        write_whole(path / "x", NEW)
    stays(path)


def test_text_that_cannot_be_encoded(path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "\ud800")
    stays(path)
