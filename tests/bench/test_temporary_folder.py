"""Temporary folders: removed in the end, and by the next process if theirs was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_kycquant.context.scratch import Scratch
from pytest_kycquant.files import temporary_folder

WORKER = """
import sys, tempfile
from pytest_kycquant.files import temporary_folder
tempfile.tempdir = sys.argv[1]
with temporary_folder() as folder:
    (folder / "x").write_text("1")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def start(above: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(above)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_it_is_removed_after_an_error_too(above: Path) -> None:
    def fail() -> None:
        with temporary_folder() as folder:
            (folder / "a").mkdir()
            assert folder.parent == above
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(above.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_a_running_one_uses_stays(
    above: Path,
) -> None:
    killed, left = start(above)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    running, used = start(above)
    assert not left.exists()
    with temporary_folder():
        assert (used / "x").read_text() == "1"
    running.communicate()
    assert running.returncode == 0
    assert list(above.iterdir()) == []


def test_nothing_else_is_removed(above: Path) -> None:
    """Only what carries the mark is ours, and links are not followed."""
    mark = ".kycquant-temporary"
    (above / "kycquant-notes").mkdir()
    (above / "kycquant-notes" / "mine").touch()
    (above / "kycquant-file").touch()
    (above / "elsewhere").mkdir()
    (above / "elsewhere" / mark).touch()
    (above / "kycquant-link").symlink_to(above / "elsewhere")
    (above / "kycquant-marked").mkdir()
    (above / "kycquant-marked" / mark).mkdir()
    before = sorted(above.rglob("*"))
    with temporary_folder():
        pass
    assert sorted(above.rglob("*")) == before


def test_many_at_once(above: Path) -> None:
    def use(number: int) -> None:
        for _ in range(20):
            with temporary_folder() as folder:
                (folder / "x").write_text(str(number))
                assert (folder / "x").read_text() == str(number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, range(4)))
    assert list(above.iterdir()) == []


def test_a_scratch_store_goes_with_its_object(above: Path) -> None:
    store = Scratch()
    store.entry("x", [1], lambda folder: (folder / "a").touch())
    assert len(list(above.iterdir())) == 1
    del store
    assert list(above.iterdir()) == []
