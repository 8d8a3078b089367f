"""Whatever a golden holds, reading it gives a golden or one clear error, and nothing else."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_kycquant.bench.golden import load, save
from pytest_kycquant.bench.golden_check import check_current, check_reproduced, check_threshold
from pytest_kycquant.context.cache import digest_of
from pytest_kycquant.errors import GoldenError
from pytest_kycquant.plain import plain
from tests.worlds.goldens import COMMAND, FIGURES, GOLDEN, HERE, INPUTS, MODEL, RATES

OTHER_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2.0, 1.5, -0.5, 1e308, 2**62, "", "x", "1", [], {}, [[]], [1],
    ["avx2", 1], {"x": 1}, {"": None}, [None], "\ud800", "\x1b[2J", "a" * 5000, {"errors": True},
]  # fmt: skip
# Only the recording machine knows these: docs/running.md says so.
ON_TRUST = {("note",), ("latency_ms",), ("environment",)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save(GOLDEN, tmp_path / "face.json")
    return tmp_path / "face.json"


def sealed(values: dict[str, Any]) -> str:
    body = {key: value for key, value in values.items() if key != "checksum"}
    return json.dumps({**body, "checksum": digest_of(body)})


def accept(path: Path) -> None:
    """Everything that a standard run asks of a golden."""
    golden = load(path, COMMAND)
    check_current(golden, MODEL, INPUTS, path, COMMAND)
    check_threshold(golden, (0.345, "given"), None, HERE, path, COMMAND)
    check_reproduced(golden, RATES, HERE, path, COMMAND, FIGURES)


def objection(path: Path) -> str:
    """The message of the one error that is allowed, or "" if there is none."""
    try:
        accept(path)
    except GoldenError as error:
        return str(error)
    return ""


def fields(values: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from fields(value, (*above, key))


FIELDS = sorted(fields({**plain(GOLDEN)}))


@pytest.mark.filterwarnings("ignore::pytest_kycquant.errors.EnvironmentWarning")
@pytest.mark.parametrize("field", FIELDS, ids=".".join)
def test_any_field_with_any_value(path: Path, field: tuple[str, ...]) -> None:
    values = json.loads(path.read_text())
    accept(path)
    for other in OTHER_VALUES:
        changed = copy.deepcopy(values)
        place = changed
        for key in field[:-1]:
            place = place[key]
        if digest_of(place[field[-1]]) == digest_of(other):
            continue
        place[field[-1]] = other
        path.write_text(sealed(changed))
        message = objection(path)
        if message:
            assert COMMAND in message
            assert message.isprintable()
            assert len(message) < 600 + len(str(path))
            continue
        assert field[:1] in ON_TRUST, f"{field} = {other!r}"
        was, now = type(plain(GOLDEN)[field[0]]), type(changed[field[0]])
        assert now is was or {now, was} == {int, float}, f"{field} = {other!r}"
        assert field[0] != "latency_ms" or changed["latency_ms"] >= 0


@pytest.mark.parametrize("field", [field for field in FIELDS if field[0] != "inputs"], ids=".".join)
def test_missing_and_unknown_fields(path: Path, field: tuple[str, ...]) -> None:
    values = json.loads(path.read_text())
    place = values
    for key in field[:-1]:
        place = place[key]
    kept = place.pop(field[-1])
    path.write_text(sealed(values))
    with pytest.raises(GoldenError, match=r"face\.json: .*update-golden"):
        accept(path)
    place[field[-1]] = kept
    place["more"] = kept
    place["\x1b[2J"] = kept
    path.write_text(sealed(values))
    with pytest.raises(GoldenError, match=r"face\.json: .*(more|x1b).*update-golden") as caught:
        accept(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xef\xbb\xbf{}",
        '{"schema": 2}'.encode("utf-16"),
        b'{"schema": 2, "x": "\xe9"}',
        b'{"schema": 2, "schema": 2}',
        b'{"schema": NaN}',
        b'{"schema": -Infinity}',
        b'{"schema": 1e999}',
        b'{"schema": ' + b"9" * 5000 + b"}",
        b'{"schema": 3}',
        b'{"schema": 1}',
        b'{"schema": "2"}',
        b'{"schema": true}',
        b'{"schema": 2, "inputs": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'"golden"',
        b"2",
    ],
    ids=lambda content: repr(content[:24]),
)
def test_not_a_golden(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(GoldenError, match=r"face\.json: .*update-golden") as caught:
        accept(path)
    assert len(str(caught.value)) < 400 + len(str(path))


@pytest.mark.parametrize(
    "text",
    ['"threshold": 0.345', '"threshold": NaN', '"threshold": 1e400', '"threshold": Infinity'],
)
def test_numbers_that_json_lacks(path: Path, text: str) -> None:
    path.write_text(path.read_text().replace('"threshold": 0.345', f'"threshold": 0.2, {text}'))
    with pytest.raises(GoldenError, match="is not readable JSON"):
        accept(path)


def place(kind: str, path: Path) -> None:
    """Put something that is not a file in the place of a golden."""
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "terminal":
        path.symlink_to("/dev/tty")
    elif kind == "link loop":
        path.symlink_to(path)
    else:
        with path.open("wb") as file:
            file.truncate(1 << 30)  # takes no space


KINDS = ["fifo", "folder", "device", "terminal", "link loop", "large"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_a_file(path: Path, kind: str) -> None:
    path.unlink()
    place(kind, path)
    with pytest.raises(GoldenError, match=r"face\.json: is not readable JSON \(.*update-golden"):
        load(path, COMMAND)
    with pytest.raises(GoldenError, match=r"face\.json: is not a golden.*; move it away"):
        save(GOLDEN, path)
    assert path.is_symlink() or not path.is_file() or path.stat().st_size == 1 << 30


@pytest.mark.parametrize(
    "content",
    [
        *("", "my notes", "[]", '{"schema": 2}', '{"schema": 2, "model": 1}', '{"$schema": "x"}'),
        '{"schema": 4, "checksum": "x", "model": {"name": "mine"}, "mine": "years"}',
        '{"schema": 4, "checksum": "x", "model": {"sha256": "mine"}, "mine": "years"}',
        '{"schema": 4, "checksum": null, "model": "mine"}',
    ],
)
def test_only_goldens_are_written_over(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(GoldenError, match=r"face\.json: is not a golden.*; move it away"):
        save(GOLDEN, path)
    assert path.read_text() == content


def test_what_was_a_golden_is_written_over(path: Path) -> None:
    values = json.loads(path.read_text())
    for was in (
        json.dumps(values | {"threshold": 1}),  # edited
        json.dumps(values | {"schema": 1}),  # of another version
        json.dumps(values | {"threshold": float("nan")}),
        "\ufeff" + json.dumps(values),
    ):
        path.write_text(was, encoding="utf-8")
        save(replace(GOLDEN, threshold=0.5), path)
        assert load(path, COMMAND).threshold == 0.5


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "elsewhere" / "golden.json"
    kept.parent.mkdir()
    path.rename(kept)
    path.symlink_to(kept)
    save(replace(GOLDEN, threshold=0.5), path)
    assert path.is_symlink()
    assert load(kept, COMMAND).threshold == 0.5
