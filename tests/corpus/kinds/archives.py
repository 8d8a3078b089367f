"""Archives of images and boxes in JSON that are damaged or contradict themselves."""

from __future__ import annotations

import io
import json
import os
import random
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.corpus.case import Case
from tests.corpus.judge import FAILING, PASSING, refused
from tests.corpus.kinds.labels import PLACES, placed
from tests.corpus.trial import Trial

_ARCHIVES = {"face": "faces.npz", "liveness": "selection.npz"}


def _archive(
    world: str, change: Callable[[dict[str, Any], Trial], object]
) -> Callable[[Trial], None]:
    """Change the arrays of an npz file in place."""

    def damage(trial: Trial) -> None:
        path = trial.file(_ARCHIVES[world])
        with np.load(path) as stored:
            arrays = dict(stored)
        changed = change(arrays, trial)
        if isinstance(changed, bytes):
            path.write_bytes(changed)
        else:
            np.savez(path, **arrays)
        trial.update_golden()

    return damage


def _set(**values: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any], Trial], None]:
    def change(arrays: dict[str, Any], trial: Trial) -> None:
        for name, make in values.items():
            arrays[name] = make(arrays)

    return change


def _without(name: str) -> Callable[[dict[str, Any], Trial], None]:
    return lambda arrays, trial: arrays.pop(name)


def _npz_bytes(arrays: dict[str, Any], *, compressed: bool = False) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def _cut(arrays: dict[str, Any], trial: Trial) -> bytes:
    content = _npz_bytes(arrays)
    return content[: int(len(content) * trial.rng.uniform(0.01, 0.99))]


def _flipped(arrays: dict[str, Any], trial: Trial) -> bytes:
    content = bytearray(_npz_bytes(arrays, compressed=True))
    for _ in range(3):
        content[trial.rng.randrange(len(content))] ^= 1 << trial.rng.randrange(8)
    return bytes(content)


def _pickled(arrays: dict[str, Any], trial: Trial) -> bytes:
    """Loading an object array would run code, which would make a file."""

    class Code:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (os.fspath(trial.root / "home" / "code-was-run"),)

    arrays["subjects"] = np.array([Code()] * len(arrays["images"]), dtype=object)
    return _npz_bytes(arrays)


def _bomb(arrays: dict[str, Any], trial: Trial) -> bytes:
    """A header that claims terabytes, in an archive that unpacks to much."""
    head = io.BytesIO()
    shape = (10**9, 64, 64, 3)
    np.lib.format.write_array_header_1_0(
        head, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", head.getvalue() + bytes(50_000_000))
        archive.writestr("subjects.npy", b"")
    return buffer.getvalue()


def _odd_member(name: str) -> Callable[[dict[str, Any], Trial], bytes]:
    def change(arrays: dict[str, Any], trial: Trial) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(name, b"\x93NUMPY\x01\x00nonsense")
        return buffer.getvalue()

    return change


def _all_thrice(arrays: dict[str, Any], trial: Trial) -> None:
    """Every image is there three times."""
    for name in list(arrays):
        arrays[name] = np.concatenate([arrays[name]] * 3)


def _subjects(change: Callable[[Any], Any]) -> Callable[[dict[str, Any], Trial], None]:
    return _set(subjects=lambda arrays: change(arrays["subjects"]))


def _spaced(names: Any) -> Any:
    """Two people differ in a space only."""
    return np.array([f"anna{' ' * (i % 2)}" if i < 4 else name for i, name in enumerate(names)])


_ODD_ARRAYS: dict[str, Callable[[dict[str, Any], Trial], object]] = {
    "no-images": _without("images"),
    "no-subjects": _without("subjects"),
    "float-images": _set(images=lambda a: a["images"] / 255.0),
    "signed-images": _set(images=lambda a: a["images"].astype(np.int16)),
    "channels-first": _set(images=lambda a: a["images"].transpose(0, 3, 1, 2)),
    "four-channels": _set(images=lambda a: np.concatenate([a["images"]] * 2, axis=3)[..., :4]),
    "zero-images": _set(images=lambda a: a["images"][:0], subjects=lambda a: a["subjects"][:0]),
    "zero-pixels": _set(images=lambda a: a["images"][:, :0]),
    "fewer-subjects": _subjects(lambda names: names[:-1]),
    "subjects-2d": _subjects(lambda names: np.stack([names] * 2)),
    "subjects-scalar": _subjects(lambda names: np.array("anna")),
    "subjects-empty": _subjects(lambda names: np.where(np.arange(len(names)) == 3, "", names)),
    "subjects-nan": _subjects(lambda names: np.where(np.arange(len(names)) < 9, np.nan, 1.0)),
    "subjects-bool": _subjects(lambda names: np.arange(len(names)) % 2 == 0),
    "subjects-complex": _subjects(lambda names: np.arange(len(names)) * 1j),
    "one-subject": _subjects(lambda names: np.array(["anna"] * len(names))),
    "subjects-spaces": _subjects(_spaced),
    "pickled": _pickled,
    "cut-0": _cut,
    "cut-1": _cut,
    "cut-2": _cut,
    "bomb": _bomb,
    "member-above": _odd_member("../../images.npy"),
    "member-nonsense": _odd_member("images.npy"),
    "all-three-times": _all_thrice,
}  # fmt: skip


def _boxes(change: Callable[[dict[str, Any], Trial], object]) -> Callable[[Trial], None]:
    """Change COCO's JSON in place, or return its new bytes."""

    def damage(trial: Trial) -> None:
        path = trial.file("boxes.json")
        values = json.loads(path.read_text(encoding="utf-8"))
        changed = change(values, trial)
        path.write_bytes(changed if isinstance(changed, bytes) else json.dumps(values).encode())
        trial.update_golden()

    return damage


def _one(part: str, key: str, value: object) -> Callable[[dict[str, Any], Trial], None]:
    def change(values: dict[str, Any], trial: Trial) -> None:
        trial.rng.choice(values[part])[key] = value

    return change


def _no_key(part: str, key: str) -> Callable[[dict[str, Any], Trial], object]:
    return lambda values, trial: trial.rng.choice(values[part]).pop(key)


_ANY_JSON: tuple[object, ...] = (None, True, -1, 1e308, "x", [], {}, [[]], 10**400)


_BAD_BOXES: dict[str, Callable[[dict[str, Any], Trial], object]] = {
    "brackets": lambda values, trial: b"[" * 100_000,
    "not-json": lambda values, trial: b"{'images': []}",
    "list": lambda values, trial: b"[]",
    "empty": lambda values, trial: b"",
    "nan": _one("annotations", "bbox", [float("nan"), 0, 5, 5]),
    "negative-size": _one("annotations", "bbox", [5, 5, -3, 4]),
    "zero-size": _one("annotations", "bbox", [5, 5, 0, 4]),
    "three-numbers": _one("annotations", "bbox", [5, 5, 4]),
    "text": _one("annotations", "bbox", ["5", "5", "4", "x"]),
    "outside": _one("annotations", "bbox", [500, 500, 4, 4]),
    "huge": _one("annotations", "bbox", [0, 0, 1e308, 1e308]),
    "unknown-image": _one("annotations", "image_id", 999),
    "unknown-category": _one("annotations", "category_id", 77),
    "no-box": _no_key("annotations", "bbox"),
    "no-image-id": _no_key("annotations", "image_id"),
    "no-file-name": _no_key("images", "file_name"),
    "unknown-file": _one("images", "file_name", "nowhere.png"),
    "above": _one("images", "file_name", "../scenes/000.png"),
    "escape": _one("images", "file_name", "\x1b[2J.png"),
    "file-name-list": _one("images", "file_name", []),
    "unknown-class": _one("categories", "name", "passport"),
    "same-ids": _one("images", "id", 3),
    "surrogate": _one("images", "file_name", "\udcff.png"),
}


def _odd_json(values: dict[str, Any], trial: Trial) -> None:
    """A part, or a field of an entry of a part, has another type."""
    part = trial.rng.choice(sorted(values))
    if trial.rng.random() < 0.4:
        values[part] = trial.rng.choice(_ANY_JSON)
        return
    entry = trial.rng.choice(values[part])
    used = (
        {"id", "file_name", "name"}
        if part != "annotations"
        else {"image_id", "category_id", "bbox"}
    )
    known = sorted(used & set(entry))
    entry[trial.rng.choice(known)] = trial.rng.choice(_ANY_JSON)


def cases(rng: random.Random) -> Iterator[Case]:
    """Arrays of two tasks, boxes of a detector, and what lies in their places."""
    maybe = FAILING | PASSING
    for what, odd in _ODD_ARRAYS.items():
        yield Case(f"archive-{what}", "face", _archive("face", odd), refused("faces.npz"))
    grey = _archive("face", _set(images=lambda a: a["images"][..., 0]))
    yield Case("archive-grey-images", "face", grey, refused("faces.npz") | maybe)
    for index in range(4):
        expect = refused("faces.npz") | maybe
        yield Case(f"archive-flipped-{index}", "face", _archive("face", _flipped), expect)
    for what, place in PLACES.items():
        yield Case(f"archive-{what}", "face", placed("faces.npz", place), refused("faces.npz"))
    for what in ("label", "species", "subjects"):
        key = {"label": "labels"}.get(what, what)
        wrong = _set(**{key: lambda a, k=key: a[k][:-1]})
        yield Case(
            f"archive-liveness-{what}",
            "liveness",
            _archive("liveness", wrong),
            refused("selection.npz"),
        )
    for what, boxes in _BAD_BOXES.items():
        yield Case(f"archive-boxes-{what}", "detection", _boxes(boxes), refused("boxes.json"))
    for index in range(10):
        yield Case(
            f"archive-boxes-odd-{index}", "detection", _boxes(_odd_json), refused("boxes.json")
        )
