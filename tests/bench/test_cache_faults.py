"""A cache that is deleted during a run, or whose disk fails, holds no broken entry afterwards."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_kycquant.errors import CacheError
from tests.worlds.caches import build, cache_at, loaded, read

pytestmark = pytest.mark.usefixtures("same_code")


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
