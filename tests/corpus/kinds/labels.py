"""Tables, archives and lists that are damaged, ambiguous or contradict the images."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator

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


def placed(name: str, make: Callable[[str], object]) -> Callable[[Trial], None]:
    def damage(trial: Trial) -> None:
        trial.file(name).unlink()
        make(os.fspath(trial.file(name)))

    return damage


PLACES: dict[str, Callable[[str], object]] = {
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
        for what in ("fifo", "device") if world != "custom" else tuple(PLACES):
            yield Case(f"label-{world}-at-{what}", world, placed(name, PLACES[what]), refused(name))
    for what, change in _GROUPS.items():
        yield Case(f"label-groups-{what}", "folders", _groups(change), refused("groups.csv"))
    # Spaces around a name are none of it: one person more is old.
    yield Case("label-groups-group-space", "folders", _groups(_cell("old ")), maybe)


def _groups(change: Callable[[Lines, Trial], object]) -> Callable[[Trial], None]:
    def damage(trial: Trial) -> None:
        path = trial.file("groups.csv")
        lines = path.read_text(encoding="utf-8").splitlines()
        change(lines, trial)
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")
        trial.update_golden()

    return damage
