"""Goldens that were edited, with a checksum that fits or without, and what lies in their place."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

from pytest_kycquant.context.cache import digest_of
from tests.corpus.case import Case
from tests.corpus.judge import SAME_VERDICTS, refused
from tests.corpus.trial import Trial

FILE = "golden/face.json"
REFUSED = refused("face.json")
# One value of each type that JSON has, and some that are hard to read.
JSON_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 0.5, 1e308, 10**400, "", "x", "\x1b[2J", [], [1], {}, {"a": 1},
    float("nan"), float("inf"), [[[[]]]], "x" * 100_000,
)  # fmt: skip
Values = dict[str, Any]


def edited(
    change: Callable[[Values, Trial], object], *, fitting: bool = True
) -> Callable[[Trial], None]:
    """Change the values of a golden, and make its checksum anew."""

    def damage(trial: Trial) -> None:
        values = json.loads(trial.file(FILE).read_text(encoding="utf-8"))
        checksum = values.pop("checksum")
        change(values, trial)
        if fitting:
            checksum = _checksum(values)
        trial.file(FILE).write_text(json.dumps({**values, "checksum": checksum}, indent=2))

    return damage


def _checksum(values: Values) -> str:
    try:
        return digest_of(values)
    except ValueError:  # NaN has no canonical form
        return "0" * 64


def _leaves(values: Any, where: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield (*where, key)
            yield from _leaves(value, (*where, key)) if isinstance(value, dict) else ()


def _put(values: Values, where: tuple[str, ...], value: Any) -> None:
    for key in where[:-1]:
        values = values[key]
    values[where[-1]] = value


def _at(values: Values, where: tuple[str, ...]) -> Any:
    for key in where:
        values = values[key]
    return values


def _other_type(values: Values, trial: Trial) -> None:
    """A field drawn by chance gets a value of another type."""
    places = [place for place in _leaves(values) if place[0] != "environment"]
    place = trial.rng.choice(places)
    old = _at(values, place)
    number = isinstance(old, (int, float))
    others = [
        value
        for value in JSON_VALUES
        if type(value) is not type(old)
        and not (number and isinstance(value, (int, float, bool)) and value == old)
    ]
    _put(values, place, trial.rng.choice(others))


def _other_count(values: Values, trial: Trial) -> None:
    """A number among the rates is another one."""
    places = [place for place in _leaves(values["rates"]) if len(place) == 2]
    place = trial.rng.choice(places)
    _put(values["rates"], place, trial.rng.choice((-1, 10**6, 0.123, 3, 1e-300)))


def _gone(values: Values, trial: Trial) -> None:
    place = trial.rng.choice([place for place in _leaves(values) if place[0] != "environment"])
    del (_at(values, place[:-1]) if len(place) > 1 else values)[place[-1]]


def _more(*where: str) -> Callable[[Values, Trial], None]:
    return lambda values, trial: _put(values, (*where, "more"), trial.rng.choice(JSON_VALUES[:16]))


def _threshold(factor: float, *, fitted: bool) -> Callable[[Trial], None]:
    """Another threshold; the counts are those that FP32 has there."""

    def damage(trial: Trial) -> None:
        def change(values: Values, trial: Trial) -> None:
            values["threshold"] *= factor
            if fitted:
                values["rates"] = _rates(trial, values["threshold"])

        edited(change)(trial)

    return damage


def _rates(trial: Trial, threshold: float) -> Values:
    """What FP32 gives at a threshold that the gate file would ask for."""
    from tests.corpus.runner import run

    gate = trial.file("test_gate.py").read_text(encoding="utf-8")
    golden = trial.file(FILE).read_bytes()
    trial.edit("test_gate.py", '"selection.npz")', f'"selection.npz", threshold={threshold!r})')
    asked = Trial(trial.root, arguments=["--kycquant-update-golden"], report=False)
    asked.environment["ORT_DISABLE_TELEMETRY"] = "1"  # the home stays as it is
    run(asked)
    rates: Values = json.loads(trial.file(FILE).read_text(encoding="utf-8"))["rates"]
    trial.file("test_gate.py").write_text(gate, encoding="utf-8")
    trial.file(FILE).write_bytes(golden)
    return rates


def _set(*where: str, value: Any) -> Callable[[Values, Trial], None]:
    return lambda values, trial: _put(values, where, value)


def _as_bytes(make: Callable[[bytes, Trial], bytes]) -> Callable[[Trial], None]:
    def damage(trial: Trial) -> None:
        path = trial.file(FILE)
        path.write_bytes(make(path.read_bytes(), trial))

    return damage


def _flip(content: bytes, trial: Trial) -> bytes:
    changed = bytearray(content)
    changed[trial.rng.randrange(len(changed))] ^= 1 << trial.rng.randrange(8)
    return bytes(changed)


def _cut(content: bytes, trial: Trial) -> bytes:
    return content[: trial.rng.randrange(len(content) - 2)]


def _key_twice(content: bytes, trial: Trial) -> bytes:
    """The second of two equal keys wins in Python's reader, the first in others."""
    return content.replace(b'"threshold":', b'"threshold": 0.99, "threshold":', 1)


_BYTES: dict[str, Callable[[bytes, Trial], bytes]] = {
    "brackets": lambda content, trial: b"[" * 100_000,
    "braces": lambda content, trial: b'{"a":' * 100_000,
    "nested-field": lambda content, trial: content.replace(
        b'"figures": {}', b'"figures": ' + b"[" * 900 + b"]" * 900
    ),
    "empty": lambda content, trial: b"",
    "null": lambda content, trial: b"null",
    "number": lambda content, trial: b"1" * 10_000,
    "list": lambda content, trial: b"[]",
    "text": lambda content, trial: b'"golden"',
    "utf-16": lambda content, trial: content.decode().encode("utf-16"),
    "not-utf-8": lambda content, trial: content.replace(b"face", b"f\xff\xfe", 1),
    "key-twice": _key_twice,
    "merge-conflict": lambda content, trial: b"<<<<<<< HEAD\n" + content,
    "two-documents": lambda content, trial: content + content,
    "git-lfs": lambda content, trial: b"version https://git-lfs.github.com/spec/v1\n",
    "nul": lambda content, trial: content.replace(b"face", b"fa\0e", 1),
    "huge": lambda content, trial: content + b" " * 100_000_000,
}  # fmt: skip
_SCHEMAS = (0, 1, 2, 99, "2", None, True, [2], 2.5, {})
_PLACES: dict[str, Callable[[str], object]] = {
    "fifo": os.mkfifo,
    "folder": os.mkdir,
    "device": lambda path: os.symlink("/dev/zero", path),
    "dangling-link": lambda path: os.symlink("nowhere", path),
    "link-to-itself": lambda path: os.symlink(path, path),
    "absent": lambda path: None,
}


def _placed(make: Callable[[str], object], *, update: bool = False) -> Callable[[Trial], None]:
    def damage(trial: Trial) -> None:
        trial.file(FILE).unlink()
        make(os.fspath(trial.file(FILE)))
        if update:
            trial.arguments.append("--kycquant-update-golden")

    return damage


def _stale(trial: Trial) -> None:
    """Something changed since the golden was recorded."""
    old, new = trial.rng.choice(
        (("mean=127.5", "mean=120.0"), ("scale=1 / 127.5", "scale=1 / 128"), ('"RGB"', '"BGR"'),
         ("far=0.2,", "far=0.21,"), ('"selection.npz"', "0.5"))
    )  # fmt: skip
    trial.edit("test_gate.py", old, new)


def _not_a_golden(content: bytes) -> Callable[[Trial], None]:
    """The user's file has the name of a golden, and goldens are recorded anew."""

    def damage(trial: Trial) -> None:
        trial.file(FILE).write_bytes(content)
        trial.arguments.append("--kycquant-update-golden")

    return damage


def _link_kept(trial: Trial) -> None:
    """The golden is a link, and the baseline is recorded anew behind it."""
    target = trial.file("shared.json")
    trial.file(FILE).rename(target)
    trial.file(FILE).symlink_to("../shared.json")
    trial.arguments.append("--kycquant-update-golden")
    trial.may_change.add("project/shared.json")


def cases(rng: random.Random) -> Iterator[Case]:
    """Fields of other types and values, forged evidence, damaged files, odd places."""
    for index in range(40):
        yield Case(f"golden-type-{index}", "face", edited(_other_type), REFUSED)
    for index in range(8):
        yield Case(f"golden-count-{index}", "face", edited(_other_count), REFUSED)
    for index in range(8):
        yield Case(f"golden-gone-{index}", "face", edited(_gone), REFUSED)
    for place in ((), ("model",), ("inputs",), ("rates",), ("rates", "FAR"), ("figures",)):
        name = "-".join(("golden-more", *place))
        yield Case(name, "face", edited(_more(*place)), REFUSED)
    for index, factor in enumerate((1.1, 0.9, 1.001, 1 + 1e-12)):
        for fitted in (True, False):
            name = f"golden-threshold-{index}{'-fitted' if fitted else ''}"
            yield Case(name, "face", _threshold(factor, fitted=fitted), REFUSED)
    for name, change in {
        "threshold-source": _set("threshold_source", value="agreed with the auditor"),
        "threshold-source-given": _set("threshold_source", value="given in the gate file"),
        "size": _set("model", "size", value=10**9),
        "opset": _set("model", "opset", value=11),
        "digest": _set("model", "sha256", value="0" * 64),
        "name": _set("model", "name", value="other"),
        "upper-bound": _set("rates", "FAR", "upper", value=0.0),
        "lower-bound": _set("rates", "FRR", "lower", value=0.05),
        "value": _set("rates", "FAR", "value", value=0.0),
        "negative-latency": _set("latency_ms", value=-1.0),
        "figure": _set("figures", value={"mAP": 1.0}),
    }.items():
        yield Case(f"golden-forged-{name}", "face", edited(change), REFUSED)
        if name in ("threshold-source", "size", "upper-bound"):
            unfit = edited(change, fitting=False)
            yield Case(f"golden-edited-{name}", "face", unfit, REFUSED)
    for index in range(6):
        yield Case(f"golden-flip-{index}", "face", _as_bytes(_flip), REFUSED | SAME_VERDICTS)
    for index in range(3):
        yield Case(f"golden-cut-{index}", "face", _as_bytes(_cut), REFUSED)
    for name, make in _BYTES.items():
        yield Case(f"golden-bytes-{name}", "face", _as_bytes(make), REFUSED)
    with_mark = _as_bytes(lambda content, trial: b"\xef\xbb\xbf" + content)
    yield Case("golden-byte-order-mark", "face", with_mark, REFUSED | SAME_VERDICTS)
    for index, schema in enumerate(_SCHEMAS):
        yield Case(f"golden-schema-{index}", "face", edited(_set("schema", value=schema)), REFUSED)
    for name, place in _PLACES.items():
        yield Case(f"golden-place-{name}", "face", _placed(place), REFUSED)
        if name in ("fifo", "folder", "device", "link-to-itself"):
            yield Case(f"golden-record-{name}", "face", _placed(place, update=True), REFUSED)
    for index in range(4):
        yield Case(f"golden-stale-{index}", "face", _stale, REFUSED)
    for name, content in (
        ("notes", b"my notes\n"), ("json", b'{"mine": 1}'), ("list", b"[1, 2]"),
        ("binary", bytes(500)),
    ):  # fmt: skip
        yield Case(f"golden-over-{name}", "face", _not_a_golden(content), REFUSED)
    yield Case("golden-link-kept", "face", _link_kept, SAME_VERDICTS)
