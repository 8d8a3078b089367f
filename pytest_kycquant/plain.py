"""Conversion of dataclasses to plain values for JSON and back: one pair of functions for all.

The annotations of a dataclass are all that is needed. Numbers are not converted, not even an `int`
in a field of type `float`, so a file that is read and written again is identical byte for byte.
`parse` reads JSON that somebody else may have written.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def plain(value: Any) -> Any:
    """Turn a record into dicts, lists, strings and numbers.

    A dataclass becomes a dict of its fields in their order, an enum its value, a tuple a list.
    Everything else must already be valid in JSON.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(each) for each in value]
    return value.value if isinstance(value, enum.Enum) else value


def from_plain(kind: type[T], value: Any, *, strict: bool = False) -> T:
    """Invert `plain`.

    Keys that are not fields of the dataclass are ignored: a file may hold more than the record.

    Args:
        kind: the class of the record.
        value: the result of `plain`, possibly after a round trip through JSON.
        strict: whether every value must have the type that the record declares, as for a file that
            somebody else may have written.

    Raises:
        TypeError: a field is missing; if strict, also if a value has another type.
        ValueError: an enum has no such value; if strict, also if a Literal has none.
    """
    read = _reader(typing.cast("Any", kind))
    return typing.cast("T", read(value, kind.__name__ if strict else ""))


def parse(content: bytes) -> Any:
    """Read JSON strictly, whoever wrote it.

    Raises:
        ValueError: it is not UTF-8 or not JSON, holds NaN, Infinity or a number that is too large,
            names a key twice, or is nested too deeply.
    """
    try:
        return json.loads(
            content.decode("utf-8"),
            object_pairs_hook=unique,
            parse_constant=_refuse_number,
            parse_float=lambda text: _in_range(float(text), text),
            parse_int=lambda text: _in_range(int(text) if len(text) < 20 else math.inf, text),
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 at byte {error.start:,}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a JSON object of its pairs, for `json.loads`.

    Raises:
        ValueError: a key occurs twice.
    """
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {key[:40]!a} occurs twice")
        values[key] = value
    return values


def _refuse_number(text: str) -> float:
    raise ValueError(f"{text} is not a number in JSON")


def _in_range(number: float, text: str) -> float:
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:20]} is too large")
    return number


_Reader = Callable[[Any, str], Any]
"""Reads a value; its second argument names it if its type is to be checked, or is empty."""


@functools.cache
def _reader(kind: Any) -> _Reader:
    """What reads values of a type. Reports are read often, and to look at a type takes long."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return functools.partial(_read_record, kind)
    if origin in (typing.Union, types.UnionType):
        (some,) = (each for each in arguments if each is not types.NoneType)
        return functools.partial(_read_optional, _reader(some), types.NoneType in arguments)
    if origin is tuple:
        return functools.partial(_read_tuple, arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return functools.partial(_read_mapping, _reader(arguments[1]))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return lambda value, where: kind(value)
    if origin is typing.Literal:
        return functools.partial(_read_literal, arguments)
    return functools.partial(_read_scalar, _SCALARS.get(kind))


def _read_record(kind: Any, value: Any, where: str) -> Any:
    _require(value, Mapping, where)
    known = _fields(kind)
    return kind(
        **{k: known[k](v, where and f"{where}.{k}") for k, v in value.items() if k in known}
    )


def _read_optional(read: _Reader, optional: bool, value: Any, where: str) -> Any:
    if value is None and (not where or optional):
        return None
    return read(value, where)


def _read_tuple(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    _require(value, (list, tuple), where)
    kinds = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
    pairs = zip(kinds, value, strict=True)
    return tuple(_reader(kind)(each, where) for kind, each in pairs)


def _read_mapping(read: _Reader, value: Any, where: str) -> Any:
    _require(value, Mapping, where)
    return {k: read(v, where and f"{where}.{k}") for k, v in value.items()}


def _read_literal(known: tuple[Any, ...], value: Any, where: str) -> Any:
    if where and value not in known:
        raise ValueError(f"{where} is {value!r}, not one of {known}")
    return value


def _read_scalar(kinds: Any, value: Any, where: str) -> Any:
    if kinds is not None:
        _require(value, kinds, where)
    return value


_SCALARS: dict[Any, Any] = {str: str, bool: bool, int: int, float: (int, float)}


def _require(value: Any, kinds: Any, where: str) -> None:
    """Check a type; a boolean, which is an integer in Python, is not a number here."""
    if not where:
        return
    fits = isinstance(value, kinds) and (kinds is bool or not isinstance(value, bool))
    if not fits:
        raise TypeError(f"{where} is {type(value).__name__} {value!a:.40}")


@functools.cache
def _fields(kind: Any) -> dict[str, _Reader]:
    """What reads each field of a dataclass."""
    hints = typing.get_type_hints(kind)
    return {each.name: _reader(hints[each.name]) for each in dataclasses.fields(kind)}
