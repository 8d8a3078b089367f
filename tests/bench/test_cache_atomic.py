"""A run killed at any moment leaves nothing that a later run would mistake for complete."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pytest_kycquant.context.cache import Cache

WRITER = """
import sys, time
from pathlib import Path
from pytest_kycquant.context.cache import Cache

def build(folder):
    (folder / "a.bin").write_bytes(b"x" * 1000)
    print("half", flush=True)
    time.sleep(60)
    (folder / "b.bin").write_bytes(b"y" * 1000)

Cache(Path(sys.argv[1]), {}).entry("thing", [1], build)
"""


def whole(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"x" * 1000)
    (folder / "b.bin").write_bytes(b"y" * 1000)


def test_kill_in_the_middle_of_a_build(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == b"half\n"
        os.kill(process.pid, signal.SIGKILL)
    cache = Cache(tmp_path, {})
    entry = cache.entry("thing", [1], whole)
    assert sorted(p.name for p in entry.iterdir()) == ["a.bin", "b.bin", "manifest.json"]
    assert (len(cache.reused), len(cache.built)) == (0, 1)
    assert not list((tmp_path / "thing").glob("partial-*"))


def test_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        whole(folder)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Cache(tmp_path, {}).entry("thing", [1], fail)
    assert not list((tmp_path / "thing").iterdir())


@pytest.mark.parametrize("damage", ["truncate", "change", "delete", "manifest"])
def test_damaged_entry_is_built_again(tmp_path: Path, damage: str) -> None:
    cache = Cache(tmp_path, {})
    entry = cache.entry("thing", [1], whole)
    if damage == "truncate":
        (entry / "a.bin").write_bytes(b"x" * 10)
    elif damage == "change":
        (entry / "a.bin").write_bytes(b"z" * 1000)
    elif damage == "delete":
        (entry / "b.bin").unlink()
    else:
        (entry / "manifest.json").write_text("[]")
    later = Cache(tmp_path, {})  # a later run; this one has checked the entry already
    again = later.entry("thing", [1], whole)
    assert (again / "a.bin").read_bytes() == b"x" * 1000
    assert not later.reused
