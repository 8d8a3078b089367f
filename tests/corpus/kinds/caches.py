"""Caches that are damaged, written by somebody else, or taken away during the run."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.corpus.case import Case
from tests.corpus.judge import FAILING, SAME_VERDICTS, refused
from tests.corpus.kinds.goldens import JSON_VALUES
from tests.corpus.trial import Trial

# Damage is built again or refused; it is never used.
HARMLESS = SAME_VERDICTS
REFUSED = refused("cache")


def _root(trial: Trial) -> Path:
    assert trial.cache is not None
    return trial.cache


def _entries(trial: Trial, kind: str = "*") -> list[Path]:
    return sorted(path.parent for path in _root(trial).glob(f"{kind}/*/manifest.json"))


def _files(trial: Trial) -> list[Path]:
    """All but the tag, without which a folder is not known as a cache."""
    found = (path for path in _root(trial).rglob("*") if path.is_file())
    return sorted(path for path in found if path.name != "CACHEDIR.TAG")


def adapt(entry: Path) -> None:
    """Make the manifest of an entry fit its files."""
    files = sorted(path for path in entry.iterdir() if path.name != "manifest.json")
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    (entry / "manifest.json").write_text(json.dumps(digests), encoding="utf-8")


def _flip(trial: Trial) -> None:
    path = trial.rng.choice([path for path in _files(trial) if path.stat().st_size])
    content = bytearray(path.read_bytes())
    content[trial.rng.randrange(len(content))] ^= 1 << trial.rng.randrange(8)
    path.write_bytes(content)


def _cut(trial: Trial) -> None:
    path = trial.rng.choice([path for path in _files(trial) if path.stat().st_size])
    content = path.read_bytes()
    path.write_bytes(content[: trial.rng.randrange(len(content))])


def _gone(trial: Trial) -> None:
    trial.rng.choice(_files(trial)).unlink()


def _tag(content: bytes | None) -> Callable[[Trial], None]:
    """The tag is damaged: whose folder it is, only its owner can say."""

    def damage(trial: Trial) -> None:
        path = _root(trial) / "CACHEDIR.TAG"
        path.unlink()
        if content is not None:
            path.write_bytes(content)

    return damage


def _manifest(trial: Trial) -> None:
    """A manifest is another JSON value, or a digest in it."""
    entry = trial.rng.choice(_entries(trial))
    value: Any = trial.rng.choice(JSON_VALUES)
    if trial.rng.random() < 0.5:
        digests = json.loads((entry / "manifest.json").read_text(encoding="utf-8"))
        value = dict.fromkeys(digests, value)
    (entry / "manifest.json").write_text(json.dumps(value), encoding="utf-8")


def _manifest_names(name: str) -> Callable[[Trial], None]:
    """A manifest names a file that is not in its folder."""

    def damage(trial: Trial) -> None:
        entry = trial.rng.choice(_entries(trial))
        digest = hashlib.sha256(b"").hexdigest()
        (entry / "manifest.json").write_text(json.dumps({name: digest}), encoding="utf-8")

    return damage


def _manifests(content: bytes) -> Callable[[Trial], None]:
    def damage(trial: Trial) -> None:
        for entry in _entries(trial):
            (entry / "manifest.json").write_bytes(content)

    return damage


def _placed(
    make: Callable[[str], object], which: Callable[[Trial], Path]
) -> Callable[[Trial], None]:
    """Something else lies in the place of a file or folder."""

    def damage(trial: Trial) -> None:
        path = which(trial)
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
        path.parent.mkdir(parents=True, exist_ok=True)
        make(os.fspath(path))

    return damage


def _poisoned(which: int) -> Callable[[Trial], None]:
    """One entry of outputs, perhaps FP32's, is laid over all others, in a gate that INT8 fails."""

    def damage(trial: Trial) -> None:
        trial.edit("test_gate.py", "mean_cosine=0.5", "mean_cosine=0.9999999")
        source, *others = _rotated(_entries(trial, "outputs"), which)
        for entry in others:
            shutil.copy(source / "outputs.npz", entry / "outputs.npz")
            adapt(entry)

    return damage


def _rotated(entries: list[Path], first: int) -> list[Path]:
    return entries[first:] + entries[:first]


def _noisy(amount: float) -> Callable[[Trial], None]:
    """All outputs have a little noise."""

    def damage(trial: Trial) -> None:
        rng = np.random.default_rng(trial.rng.randrange(2**32))
        for entry in _entries(trial, "outputs"):
            with np.load(entry / "outputs.npz") as stored:
                arrays = dict(stored)
            for name, value in arrays.items():
                if value.dtype == np.float32:
                    noise = amount * rng.normal(size=value.shape)
                    arrays[name] = value + noise.astype(np.float32)
            np.savez(entry / "outputs.npz", **arrays)
            adapt(entry)

    return damage


def _array(change: Callable[[dict[str, Any]], bytes | None]) -> Callable[[Trial], None]:
    """The arrays of an entry are others, and its manifest fits."""

    def damage(trial: Trial) -> None:
        files = sorted(_root(trial).glob("*/*/*.npz"))
        path = trial.rng.choice(files)
        with np.load(path) as stored:
            arrays = dict(stored)
        content = change(arrays)
        if content is None:
            np.savez(path, **arrays)
        else:
            path.write_bytes(content)
        adapt(path.parent)

    return damage


def _each(change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    def changed(arrays: dict[str, Any]) -> None:
        for name, value in arrays.items():
            arrays[name] = change(np.atleast_1d(value))

    return changed


def _pickled(arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{name: np.array([{"a": 1}], dtype=object) for name in arrays})
    return buffer.getvalue()


def _json(trial: Trial) -> None:
    """A JSON file of an entry has other values, and its manifest fits."""
    files = [
        p
        for p in sorted(_root(trial).glob("*/*/*.json"))
        if p.name != "manifest.json" and p.parent.parent.name != "runs"
    ]
    path = trial.rng.choice(files)
    values = json.loads(path.read_text(encoding="utf-8"))
    value = trial.rng.choice(JSON_VALUES)
    if isinstance(values, dict) and values and trial.rng.random() < 0.7:
        values[trial.rng.choice(sorted(values))] = value
    else:
        values = value
    path.write_text(json.dumps(values), encoding="utf-8")
    adapt(path.parent)


def _variant(content: Callable[[Trial], bytes]) -> Callable[[Trial], None]:
    """Another model lies in the place of the variant, and the manifest fits."""

    def damage(trial: Trial) -> None:
        (entry,) = _entries(trial, "variant")
        (entry / "model.onnx").write_bytes(content(trial))
        adapt(entry)

    return damage


def _fp32(trial: Trial) -> bytes:
    return trial.file("models/face.onnx").read_bytes()


def _deleted(trial: Trial) -> None:
    """The folder is deleted again and again while the run lasts; it starts from an empty one."""
    root = _root(trial)
    shutil.rmtree(root)
    trial.during = lambda: shutil.rmtree(root, ignore_errors=True)


def _deleted_once(delay: float) -> Callable[[Trial], None]:
    def damage(trial: Trial) -> None:
        import time

        root, began = _root(trial), time.monotonic()
        shutil.rmtree(root / "outputs")
        shutil.rmtree(root / "variant")
        done: list[bool] = []

        def later() -> None:
            if not done and time.monotonic() - began > delay:
                done.append(True)
                shutil.rmtree(root, ignore_errors=True)

        trial.during = later

    return damage


def _workers(damage: Callable[[Trial], object]) -> Callable[[Trial], None]:
    def damaged(trial: Trial) -> None:
        damage(trial)
        trial.arguments += ["-n", "2"]

    return damaged


def _leftovers(trial: Trial) -> None:
    """What a killed run may have left."""
    root = _root(trial)
    for entry in _entries(trial)[:2]:
        partial = entry.with_name(f"partial-{entry.name}")
        partial.mkdir()
        (partial / "model.onnx").write_bytes(b"half of it")
    run = root / "runs" / ("0123456789abcdef" * 2)
    run.mkdir(parents=True, exist_ok=True)
    for folder in (root, run, root / "variant"):
        (folder / ".kycquant-0123456789abcdef.partial").write_bytes(b"half")


def _read_only(trial: Trial) -> None:
    for path in (_root(trial), *_root(trial).rglob("*")):
        if path.is_dir():
            path.chmod(0o500)
    trial.unprivileged = True


_DATABASE: dict[str, Callable[[str], object]] = {
    "noise": lambda path: Path(path).write_bytes(os.urandom(5_000)),
    "text": lambda path: Path(path).write_text("SQLite format 3", encoding="utf-8"),
    "empty": lambda path: Path(path).touch(),
    "folder": os.mkdir,
    "fifo": os.mkfifo,
    "link-to-itself": lambda path: os.symlink(path, path),
    "dangling-link": lambda path: os.symlink("nowhere", path),
    "null": lambda path: os.symlink("/dev/null", path),
}
_FOLDERS: dict[str, Callable[[str], object]] = {
    "file": lambda path: Path(path).write_text("x", encoding="utf-8"),
    "link-to-itself": lambda path: os.symlink(path, path),
    "fifo": os.mkfifo,
}


def cases(rng: random.Random) -> Iterator[Case]:
    """Damage of any file, forged entries with a manifest that fits, locks, and deletion."""
    for index in range(10):
        yield Case(f"cache-flip-{index}", "face", _flip, HARMLESS)
    for index in range(5):
        yield Case(f"cache-cut-{index}", "face", _cut, HARMLESS)
        yield Case(f"cache-gone-{index}", "face", _gone, HARMLESS)
    for name, tag in (("flip", b"signature"), ("cut", b""), ("gone", None)):
        yield Case(f"cache-tag-{name}", "face", _tag(tag), REFUSED)
    for index in range(10):
        yield Case(f"cache-manifest-{index}", "face", _manifest, HARMLESS | REFUSED)
    for index, name in enumerate(
        ("../x", "/etc/passwd", "", ".", "a\0b", "x" * 5_000, "\x1b[2J", "/dev/zero")
    ):
        damage = _manifest_names(name)
        yield Case(f"cache-manifest-name-{index}", "face", damage, HARMLESS | REFUSED)
    for name, content in (
        ("brackets", b"[" * 100_000),
        ("empty", b""),
        ("object", b"{}"),
        ("utf-16", "{}".encode("utf-16")),
    ):
        yield Case(f"cache-manifests-{name}", "face", _manifests(content), HARMLESS | REFUSED)
    forged = refused("cache", "face.json")
    for index in range(3):
        yield Case(f"cache-poisoned-{index}", "face", _poisoned(index), forged | FAILING)
    for index, amount in enumerate((0.1, 0.01, 0.001)):
        yield Case(f"cache-noisy-{index}", "face", _noisy(amount), forged)
    for name, change in {
        "shorter": _each(lambda value: value[:1]),
        "empty": _each(lambda value: value[:0]),
        "nan": _each(lambda value: value * np.nan if value.dtype.kind == "f" else value),
        "other-type": _each(lambda value: value.astype(str)),
        "scalar": _each(lambda value: np.array(3)),
        "no-arrays": lambda arrays: arrays.clear(),
        "pickled": _pickled,
        "noise": lambda arrays: b"PK" + bytes(300),
    }.items():
        for index in range(2):
            yield Case(f"cache-array-{name}-{index}", "face", _array(change), HARMLESS | REFUSED)
    for index in range(10):
        yield Case(f"cache-json-{index}", "face", _json, HARMLESS | REFUSED)
    for name, content in {
        "fp32": _fp32,
        "noise": lambda trial: trial.rng.randbytes(999),
        "empty": lambda trial: b"",
    }.items():
        yield Case(f"cache-variant-{name}", "face", _variant(content), REFUSED)
    for name, make in _DATABASE.items():
        damage = _placed(make, lambda trial: _root(trial) / "machine.db")
        yield Case(f"cache-machine-{name}", "face", damage, HARMLESS | REFUSED)
    for name, make in _FOLDERS.items():
        for place in ("locks", "runs", "outputs", "variant", "code"):
            damage = _placed(make, lambda trial, place=place: _root(trial) / place)
            yield Case(f"cache-{place}-{name}", "face", damage, HARMLESS | REFUSED)
        entry = _placed(make, lambda trial: trial.rng.choice(_entries(trial)))
        yield Case(f"cache-entry-{name}", "face", entry, HARMLESS | REFUSED)
        file = _placed(make, lambda trial: trial.rng.choice(_entries(trial)) / "manifest.json")
        yield Case(f"cache-manifest-{name}", "face", file, HARMLESS | REFUSED)
    stored = _placed(os.mkfifo, lambda trial: next(p for p in _files(trial) if p.suffix == ".npz"))
    yield Case("cache-array-fifo", "face", stored, HARMLESS | REFUSED)
    yield Case("cache-leftovers", "face", _leftovers, HARMLESS)
    yield Case("cache-read-only", "face", _read_only, HARMLESS | REFUSED)
    yield Case("cache-deleted", "face", _deleted, HARMLESS | REFUSED)
    yield Case("cache-deleted-workers", "face", _workers(_deleted), HARMLESS | REFUSED)
    for index in range(4):
        once = _deleted_once(0.6 + 0.5 * index)
        yield Case(f"cache-deleted-once-{index}", "face", once, HARMLESS | REFUSED)
