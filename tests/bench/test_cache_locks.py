"""Locks of a cache that are damaged, or held by a process that was killed, stop nobody."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_kycquant.context.cache import Cache
from pytest_kycquant.errors import CacheError
from tests.worlds.caches import build, cache_at, loaded, special

pytestmark = pytest.mark.usefixtures("same_code")


def enter(root: Path) -> None:
    for exclusive in (True, False):
        with cache_at(root).machine(exclusive=exclusive):
            pass


@pytest.mark.parametrize(
    "content",
    [b"", b"x" * 5000, b"SQLite format 3\0" + b"\1" * 5000, b"\0" * 100, b"wal"],
    ids=["empty", "text", "header", "zeros", "wal"],
)
def test_a_damaged_lock_of_the_machine_is_made_again(tmp_path: Path, content: bytes) -> None:
    enter(tmp_path)
    path = tmp_path / "machine.db"
    path.unlink()
    if content == b"wal":
        connection = sqlite3.connect(path)
        connection.execute("pragma journal_mode=wal")
        connection.execute("create table mine (x)")
        connection.close()
    else:
        path.write_bytes(content)
    enter(tmp_path)
    enter(tmp_path)


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "loop"])
def test_anything_in_the_place_of_the_lock_of_the_machine(tmp_path: Path, kind: str) -> None:
    enter(tmp_path)
    special(tmp_path / "machine.db", kind)
    with pytest.raises(CacheError, match=r"machine\.db: is not a file, so it .*; delete it"):
        enter(tmp_path)
    assert os.path.lexists(tmp_path / "machine.db")  # it is not ours


@pytest.mark.parametrize("kind", ["folder", "fifo", "device", "loop"])
def test_anything_in_the_place_of_a_lock(tmp_path: Path, kind: str) -> None:
    entry = cache_at(tmp_path).entry("thing", [1], build)
    lock = tmp_path / "locks" / f"thing-{entry.name}.lock"
    shutil.rmtree(tmp_path / "thing")
    special(lock, kind)
    try:
        assert loaded(tmp_path) == (1000, 1)
    except CacheError as error:
        assert "cannot be written" in str(error)  # noqa: PT017 either is right


HOLDER = """
import signal, sys, time
from pathlib import Path
from pytest_kycquant.context.cache import Cache

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start jobs without it
cache = Cache(Path(sys.argv[1]), {})

def build(folder):
    (folder / "a.bin").write_bytes(b"half")
    with cache.machine(exclusive=True):
        print("held", flush=True)
        time.sleep(60)

cache.entry("thing", [1], build)
"""


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_locks_of_a_killed_process_are_free(tmp_path: Path, sign: signal.Signals) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        process.send_signal(sign)
        process.wait(timeout=60)
    assert loaded(tmp_path) == (1000, 1)
    enter(tmp_path)
    assert not list(tmp_path.glob("*/partial-*"))


SLOW = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("begin exclusive")
print("held", flush=True)
time.sleep(1)
"""


def test_a_machine_locked_by_another_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_kycquant.context.locks._PATIENCE", 0.1)
    enter(tmp_path)
    command = [sys.executable, "-c", SLOW, str(tmp_path / "machine.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        said: list[str] = []
        with Cache(tmp_path, {}, on_wait=said.append).machine(exclusive=True):
            pass
    assert said[0].startswith("waiting for another process (")
