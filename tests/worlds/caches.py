"""A cache with one entry, what may lie in place of its files, and how the entry is read."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from pytest_kycquant.context.cache import Cache

RUN_ID = "0" * 32
DIGEST = "0" * 64


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
