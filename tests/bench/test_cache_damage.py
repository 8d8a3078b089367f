"""Whatever is damaged in a cache is made again, or gives one error; nothing hangs."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_kycquant.context.cache import Cache
from pytest_kycquant.errors import CacheError

RUN_ID = "0" * 32
DIGEST = "0" * 64


@pytest.fixture(autouse=True)
def _code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsing the package for every new folder takes a second."""
    monkeypatch.setattr("pytest_kycquant.context.cache.code_digest", lambda known: DIGEST)


def build(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"x" * 1000)
    (folder / "b.json").write_text('{"number": 1}')


def read(folder: Path) -> tuple[int, int]:
    return len((folder / "a.bin").read_bytes()), json.loads((folder / "b.json").read_text())[
        "number"
    ]


def cache_at(root: Path) -> Cache:
    return Cache(root, {}, run_id=RUN_ID)


def loaded(root: Path) -> tuple[int, int]:
    return cache_at(root).load("thing", [1], build, read)


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    return cache_at(tmp_path / "cache").entry("thing", [1], build)


MANIFESTS: list[Any] = [
    None, True, 0, 1.5, "x", [], ["a.bin"], {}, {"a.bin": None}, {"a.bin": 5}, {"a.bin": [DIGEST]},
    {"a.bin": DIGEST}, {"../../outside": DIGEST}, {"/etc/passwd": DIGEST}, {"": DIGEST},
    {".": DIGEST}, {"a.bin\0": DIGEST}, {"manifest.json": DIGEST}, {"x" * 5000: DIGEST},
    {f"{number}": DIGEST for number in range(20_000)},
]  # fmt: skip


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda value: ascii(value)[:24])
def test_any_manifest(entry: Path, manifest: Any) -> None:
    (entry / "manifest.json").write_text(json.dumps(manifest))
    cache = cache_at(entry.parents[1])
    assert cache.load("thing", [1], build, read) == (1000, 1)
    assert cache.built == {entry}


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, '{"a": NaN}', "\ufeff{}", " " * (1 << 21), '{"a":1,"a":1}']
)
def test_any_text_as_manifest(entry: Path, text: str) -> None:
    (entry / "manifest.json").write_text(text)
    assert loaded(entry.parents[1]) == (1000, 1)


def test_a_manifest_that_leads_outside(entry: Path, tmp_path: Path) -> None:
    """Its digest fits, but the file is not the entry's."""
    (tmp_path / "outside").write_bytes(b"x" * 1000)
    (entry / "a.bin").unlink()
    manifest = json.loads((entry / "manifest.json").read_text())
    for name in ("../../../outside", str(tmp_path / "outside")):
        changed = {name: manifest["a.bin"], "b.json": manifest["b.json"]}
        (entry / "manifest.json").write_text(json.dumps(changed))
        assert loaded(entry.parents[1]) == (1000, 1)
        (entry / "a.bin").unlink()
    (entry / "a.bin").symlink_to(tmp_path / "outside")
    (entry / "manifest.json").write_text(json.dumps(manifest))
    assert loaded(entry.parents[1]) == (1000, 1)
    assert not (entry / "a.bin").is_symlink()
    assert (tmp_path / "outside").read_bytes() == b"x" * 1000


def special(path: Path, kind: str) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_text("x")
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path)


@pytest.mark.parametrize("kind", ["fifo", "folder", "file", "device", "loop", "nothing"])
@pytest.mark.parametrize("name", ["", "manifest.json", "a.bin", "b.json"])
def test_anything_in_the_place_of_an_entry_or_file(entry: Path, name: str, kind: str) -> None:
    special(entry / name, kind)
    assert loaded(entry.parents[1]) == (1000, 1)
    assert loaded(entry.parents[1]) == (1000, 1)


def test_one_file_more(entry: Path) -> None:
    (entry / "c.bin").write_text("more")
    assert loaded(entry.parents[1]) == (1000, 1)
    assert not (entry / "c.bin").exists()


def test_content_that_cannot_be_read_is_built_again(entry: Path) -> None:
    calls = []

    def once_unreadable(folder: Path) -> int:
        calls.append(folder)
        if len(calls) == 1:
            raise KeyError("damaged")
        return 1

    assert cache_at(entry.parents[1]).load("thing", [1], build, once_unreadable) == 1

    def never(folder: Path) -> int:
        raise KeyError("damaged")

    with pytest.raises(CacheError, match=r"was deleted or changed while the run used it"):
        cache_at(entry.parents[1]).load("thing", [1], build, never)


def test_what_was_found_is_checked_once_and_what_was_built_never(entry: Path) -> None:
    asked = []

    def check(found: tuple[int, int]) -> str:
        asked.append(found)
        return ""

    later = cache_at(entry.parents[1])
    later.load("thing", [1], build, read, check)
    later.load("thing", [1], build, read, check)
    later.load("other", [1], build, read, check)
    assert asked == [(1000, 1)]
    with pytest.raises(CacheError, match=r"thing/\w+: is forged; delete the cache \(--cache-clear"):
        cache_at(entry.parents[1]).load("thing", [1], build, read, lambda found: "is forged")


RESULTS = ["", "{", "[1]", '"x"', "null", "NaN", "[" * 100_000, "\ufeff1", "true"]


@pytest.mark.parametrize("text", RESULTS)
def test_a_damaged_result_of_the_run_is_made_again(tmp_path: Path, text: str) -> None:
    def number(value: Any) -> float:
        if type(value) is not int:
            raise TypeError(value)
        return value

    cache = cache_at(tmp_path)
    assert cache.once("latency", lambda: 1, number) == 1
    file = tmp_path / "runs" / RUN_ID / "latency.json"
    file.write_text(text)
    assert cache.once("latency", lambda: 2, number) == 2
    assert cache.once("latency", lambda: 3, number) == 2
    assert file.read_text() == "2"


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "loop"])
def test_anything_in_the_place_of_a_result(tmp_path: Path, kind: str) -> None:
    cache = cache_at(tmp_path)
    cache.once("latency", lambda: 1, int)
    special(tmp_path / "runs" / RUN_ID / "latency.json", kind)
    if kind == "folder":
        with pytest.raises(CacheError, match="cannot be written"):
            cache.once("latency", lambda: 2, int)
    else:
        assert cache.once("latency", lambda: 2, int) == 2


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


@pytest.mark.parametrize("kind", ["folder", "file", "fifo", "device", "loop"])
@pytest.mark.parametrize("place", ["locks", "runs", "thing", "code", ".gitignore"])
def test_anything_in_the_place_of_a_folder(tmp_path: Path, place: str, kind: str) -> None:
    loaded(tmp_path)
    special(tmp_path / place, kind)
    try:
        assert loaded(tmp_path) == (1000, 1)
        assert cache_at(tmp_path).once("x", lambda: 1, int) == 1
    except CacheError as error:
        assert "--kycquant-cache" in str(error)  # noqa: PT017 either is right


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


@pytest.mark.parametrize("moment", range(45))
def test_deleted_at_any_moment(
    tmp_path: Path, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call of the file system in turn finds the cache gone."""
    import pathlib

    calls = 0

    def counted(name: str) -> None:
        original: Callable[..., Any] = getattr(pathlib.Path, name)

        def call(self: Path, *given: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == moment + 1:
                shutil.rmtree(tmp_path / "cache", ignore_errors=True)
            return original(self, *given, **options)

        monkeypatch.setattr(pathlib.Path, name, call)

    loaded(tmp_path / "cache")
    cache = cache_at(tmp_path / "cache")
    for name in (
        "exists",
        "mkdir",
        "iterdir",
        "rename",
        "stat",
        "write_text",
        "read_bytes",
        "replace",
    ):
        counted(name)
    try:
        found = cache.load("thing", [1], build, read), cache.load("other", [1], build, read)
        assert found == ((1000, 1), (1000, 1))
        assert cache.once("latency", lambda: 1, int) == 1
        with cache.machine(exclusive=True):
            pass
    except CacheError as error:
        assert "cache" in str(error)  # noqa: PT017 either is right
    assert calls > min(moment, 10)
    monkeypatch.undo()
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    assert loaded(tmp_path / "cache") == (1000, 1)


def test_an_entry_deleted_between_finding_and_reading(tmp_path: Path) -> None:
    cache = cache_at(tmp_path)
    calls = []

    def deleted_once(folder: Path) -> tuple[int, int]:
        calls.append(folder)
        if len(calls) == 1:
            shutil.rmtree(tmp_path)
        return read(folder)

    assert cache.load("thing", [1], build, deleted_once) == (1000, 1)
    assert cache.lost() is None
    shutil.rmtree(tmp_path / "thing")
    assert cache.lost() is not None


def test_deleted_while_it_is_built(tmp_path: Path) -> None:
    def slow(folder: Path) -> None:
        (folder / "a.bin").write_bytes(b"x")
        shutil.rmtree(tmp_path / "cache")
        (folder / "b.json").write_text("1")

    with pytest.raises(CacheError, match="was deleted or changed while the run used it"):
        cache_at(tmp_path / "cache").entry("thing", [1], slow)
    assert loaded(tmp_path / "cache") == (1000, 1)


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from pytest_kycquant.context.cache import Cache
from pytest_kycquant.errors import CacheError

limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
cache = Cache(Path(sys.argv[1]), {}, run_id="0" * 32)

def build(folder):
    np.savez(folder / "outputs.npz", values=np.zeros(10_000))

def work():
    cache.entry("outputs", [1], build)
    cache.once("latency", lambda: "x" * 10_000, str)
    with cache.machine(exclusive=True):
        pass

try:
    work()
except CacheError as error:
    print("CacheError", error)
else:
    print("done")
"""


@pytest.mark.parametrize("limit", [0, 10, 60, 100, 1000, 5000, 9000, 50_000, 79_000, 1 << 20])
def test_a_limit_on_the_size_of_files(tmp_path: Path, limit: int) -> None:
    root = tmp_path / "cache"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(root), str(limit)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("done" if limit > 100_000 else f"CacheError {root}: the cache")
    assert "Traceback" not in done.stderr
    assert not [path for path in root.rglob("*") if "partial" in path.name]
    assert loaded(root) == (1000, 1)


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG])
@pytest.mark.parametrize(
    "call",
    [
        "os.fsync",
        "pathlib.Path.replace",
        "pathlib.Path.rename",
        "pathlib.Path.mkdir",
        "pathlib.Path.chmod",
        "os.mkdir",
    ],
)
def test_a_fault_of_any_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, fault: int
) -> None:
    root = tmp_path / "cache"
    loaded(root)
    shutil.rmtree(root / "thing")

    def fails(*given: object, **options: object) -> None:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(call, fails)
    with pytest.raises(CacheError, match=f"{os.strerror(fault)}.*--kycquant-cache"):
        cache_at(root).entry("thing", [1], build)
    monkeypatch.undo()
    assert not [path for path in root.rglob("*") if "partial" in path.name]
    assert loaded(root) == (1000, 1)


def test_an_archive_that_hides_the_full_disk(tmp_path: Path) -> None:
    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def seek(self, *position: int) -> int:
            return 0

        tell, flush, read = seek, seek, seek

    def archive(folder: Path) -> None:
        np.savez(Full(), values=np.zeros(10))  # type: ignore[arg-type]

    with pytest.raises(CacheError, match="No space left"):
        cache_at(tmp_path).entry("outputs", [1], archive)
