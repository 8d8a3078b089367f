"""Tables, archives and lists that are damaged, ambiguous or contradict the images."""

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
from tests.corpus.judge import FAILING, PASSING, SAME_VERDICTS, Expect, refused
from tests.corpus.trial import Trial

# The tables by world, with the column that says what is in an image.
_TABLES = {
    "folders": ("pairs.csv", "same"),
    "liveness": ("captures.csv", "label"),
    "custom": ("labels.csv", "kind"),
    "detection": ("selection.csv", "class"),
}
_ARCHIVES = {"face": "faces.npz", "liveness": "selection.npz"}
Lines = list[str]


def _table(world: str, change: Callable[[Lines, Trial], object]) -> Callable[[Trial], None]:
    """Change the lines of a table in place, or return its new bytes."""

    def damage(trial: Trial) -> None:
        path = trial.file(_TABLES[world][0])
        lines = path.read_text(encoding="utf-8").splitlines()
        changed = change(lines, trial)
        content = "\n".join([*lines, ""]).encode()
        path.write_bytes(changed if isinstance(changed, bytes) else content)
        trial.update_golden()

    return damage


def _cell(value: str, column: int | None = None) -> Callable[[Lines, Trial], None]:
    """Another value in a cell of a row drawn by chance; by default in the last column."""

    def change(lines: Lines, trial: Trial) -> None:
        row = trial.rng.randrange(1, len(lines))
        cells = lines[row].split(",")
        cells[len(cells) - 1 if column is None else column] = value
        lines[row] = ",".join(cells)

    return change


def _header(lines: Lines, trial: Trial) -> None:
    """A column has another name."""
    cells = lines[0].split(",")
    cells[trial.rng.randrange(len(cells) if "subject" not in cells else 1)] += "x"
    lines[0] = ",".join(cells)


def _no_header(lines: Lines, trial: Trial) -> None:
    del lines[0]


def _only_header(lines: Lines, trial: Trial) -> None:
    del lines[1:]


def _twice(lines: Lines, trial: Trial) -> None:
    lines.append(lines[trial.rng.randrange(1, len(lines))])


def _contradiction(lines: Lines, trial: Trial) -> None:
    """An image, or a pair, is in the table twice, with different labels."""
    row = lines[trial.rng.randrange(1, len(lines))]
    others = {line.rpartition(",")[2] for line in lines[1:]} - {row.rpartition(",")[2]}
    lines.append(f"{row.rpartition(',')[0]},{sorted(others)[0]}")


def _missing(lines: Lines, trial: Trial) -> None:
    """A row is gone."""
    del lines[trial.rng.randrange(1, len(lines))]


def _column_twice(lines: Lines, trial: Trial) -> None:
    for index, line in enumerate(lines):
        lines[index] = f"{line},{line.split(',')[0]}"


def _ragged(lines: Lines, trial: Trial) -> None:
    """A row has more cells, or fewer."""
    row = trial.rng.randrange(1, len(lines))
    more = trial.rng.random() < 0.5
    lines[row] = f"{lines[row]},more,cells" if more else lines[row].rpartition(",")[0]


def _semicolons(lines: Lines, trial: Trial) -> None:
    lines[:] = [line.replace(",", ";") for line in lines]


def _quote(lines: Lines, trial: Trial) -> None:
    """A quotation mark opens and never closes."""
    row = trial.rng.randrange(1, len(lines))
    lines[row] = f'"{lines[row]}'


def _bytes(
    encoding: str, prefix: bytes = b"", suffix: bytes = b""
) -> Callable[[Lines, Trial], bytes]:
    return lambda lines, trial: prefix + "\n".join(lines).encode(encoding) + suffix


def _cut_utf8(lines: Lines, trial: Trial) -> bytes:
    """A name in an encoding that is not UTF-8."""
    content = "\n".join(lines).encode()
    at = trial.rng.randrange(len(lines[0]) + 2, len(content) - 5)
    return content[:at] + b"\xe9\xff" + content[at:]


def _huge_cell(lines: Lines, trial: Trial) -> None:
    _cell("x" * 1_000_000, 0)(lines, trial)


def _nul(lines: Lines, trial: Trial) -> None:
    row = trial.rng.randrange(1, len(lines))
    at = trial.rng.randrange(len(lines[row]))
    lines[row] = f"{lines[row][:at]}\0{lines[row][at:]}"


def _noise(lines: Lines, trial: Trial) -> bytes:
    return trial.rng.randbytes(3_000)


_BAD_TABLES: dict[str, Callable[[Lines, Trial], object]] = {
    "header": _header,
    "no-header": _no_header,
    "only-header": _only_header,
    "empty": lambda lines, trial: b"\n",
    "no-bytes": lambda lines, trial: b" ",
    "twice": _twice,
    "contradiction": _contradiction,
    "ragged": _ragged,
    "semicolons": _semicolons,
    "open-quote": _quote,
    "utf-16": _bytes("utf-16"),
    "not-utf-8": _cut_utf8,
    "nul": _nul,
    "noise": _noise,
    "huge-cell": _huge_cell,
    "no-label": _cell(""),
    "unknown-file": _cell("nowhere.png", 0),
    "above": _cell("../../home/x.png", 0),
    "absolute": _cell("/etc/passwd", 0),
    "escape": _cell("\x1b[2J\x1b]0;owned\x07.png", 0),
    "bidi": _cell("\u202eevil.png", 0),
    "nul-file": _cell("a\0b.png", 0),
    "long-file": _cell("x" * 5_000, 0),
    "folder": _cell(".", 0),
}
_BAD_LABELS = {
    "folders": ("maybe", "2", "-1", "nan", "1.5", "\x1b[2J"),
    "liveness": ("", " "),
    "custom": ("Passport", "pr\u0131nt", "0", "\x1b[2J", "print live"),
    "detection": ("nan", "inf", "-inf", "1e400", "x", "-5", "0", "0x10"),
}
_MAYBE_TABLES: dict[str, Callable[[Lines, Trial], object]] = {
    "byte-order-mark": _bytes("utf-8", prefix=b"\xef\xbb\xbf"),
    "crlf": lambda lines, trial: "\r\n".join([*lines, ""]).encode(),
    "blank-lines": lambda lines, trial: "\n\n".join([*lines, "", ""]).encode(),
    "more-columns": _column_twice,
    "missing-row": _missing,
    "spaces": lambda lines, trial: "\n".join(line.replace(",", ", ") for line in lines).encode(),
    "old-mac": lambda lines, trial: "\r".join(lines).encode(),
}


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
    "grey-images": _set(images=lambda a: a["images"][..., 0]),
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
    known = sorted({"id", "file_name", "image_id", "category_id", "bbox", "name"} & set(entry))
    entry[trial.rng.choice(known)] = trial.rng.choice(_ANY_JSON)


def _placed(name: str, make: Callable[[str], object]) -> Callable[[Trial], None]:
    def damage(trial: Trial) -> None:
        trial.file(name).unlink()
        make(os.fspath(trial.file(name)))

    return damage


_PLACES: dict[str, Callable[[str], object]] = {
    "fifo": os.mkfifo,
    "folder": os.mkdir,
    "device": lambda path: os.symlink("/dev/zero", path),
    "link-to-itself": lambda path: os.symlink(path, path),
    "absent": lambda path: None,
}


def _one_group(lines: Lines, trial: Trial) -> None:
    lines[1:] = [f"{line.split(',')[0]},old" for line in lines[1:]]


_GROUPS: dict[str, Callable[[Lines, Trial], object]] = {
    "one-group": _one_group,
    "no-group": _cell(""),
    "person-twice": _twice,
    "person-missing": _missing,
    "stranger": _cell("nobody", 0),
    "upper-case": lambda lines, trial: lines.__setitem__(3, lines[3].upper()),
    "group-case": _cell("OLD"),
    "group-space": _cell("old "),
    "escape": _cell("\x1b[2J"),
    "header": _header,
}  # fmt: skip


def cases(rng: random.Random) -> Iterator[Case]:
    """Tables of four tasks, archives, boxes, groups, and what lies in their places."""
    maybe: Expect = FAILING | PASSING
    for world, (name, _) in _TABLES.items():
        for what, change in _BAD_TABLES.items():
            harmless = (
                maybe if world == "detection" and what in ("twice", "contradiction") else None
            )
            expect = refused(name) | harmless if harmless else refused(name)
            yield Case(f"label-{world}-{what}", world, _table(world, change), expect)
        for index, text in enumerate(_BAD_LABELS[world]):
            change = _cell(text, 1) if world == "liveness" else _cell(text)
            yield Case(f"label-{world}-value-{index}", world, _table(world, change), refused(name))
        for what, change in _MAYBE_TABLES.items():
            yield Case(
                f"label-{world}-{what}",
                world,
                _table(world, change),
                refused(name) | maybe | SAME_VERDICTS,
            )
        for what in ("fifo", "device") if world != "custom" else tuple(_PLACES):
            yield Case(
                f"label-{world}-at-{what}", world, _placed(name, _PLACES[what]), refused(name)
            )
    for what, odd in _ODD_ARRAYS.items():
        yield Case(f"label-npz-{what}", "face", _archive("face", odd), refused("faces.npz"))
    for index in range(4):
        expect = refused("faces.npz") | maybe
        yield Case(f"label-npz-flipped-{index}", "face", _archive("face", _flipped), expect)
    for what, place in _PLACES.items():
        yield Case(f"label-npz-{what}", "face", _placed("faces.npz", place), refused("faces.npz"))
    for what in ("label", "species", "subjects"):
        key = {"label": "labels"}.get(what, what)
        wrong = _set(**{key: lambda a, k=key: a[k][:-1]})
        yield Case(
            f"label-npz-liveness-{what}",
            "liveness",
            _archive("liveness", wrong),
            refused("selection.npz"),
        )
    for what, boxes in _BAD_BOXES.items():
        yield Case(f"label-coco-{what}", "detection", _boxes(boxes), refused("boxes.json"))
    for index in range(10):
        yield Case(f"label-coco-odd-{index}", "detection", _boxes(_odd_json), refused("boxes.json"))
    for what, change in _GROUPS.items():
        yield Case(f"label-groups-{what}", "folders", _groups(change), refused("groups.csv"))


def _groups(change: Callable[[Lines, Trial], object]) -> Callable[[Trial], None]:
    def damage(trial: Trial) -> None:
        path = trial.file("groups.csv")
        lines = path.read_text(encoding="utf-8").splitlines()
        change(lines, trial)
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")
        trial.update_golden()

    return damage
