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
from collections.abc import Mapping
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
    return typing.cast("T", _read(kind, value, kind.__name__ if strict else ""))


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


def _read(kind: Any, value: Any, where: str) -> Any:
    """Read a value; `where` names it if its type is to be checked, and is empty otherwise."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        _require(value, Mapping, where)
        make: Any = kind
        fields = _fields(make)
        return make(
            **{
                k: _read(fields[k], v, where and f"{where}.{k}")
                for k, v in value.items()
                if k in fields
            }
        )
    if origin in (typing.Union, types.UnionType):
        if value is None and (not where or types.NoneType in arguments):
            return None
        (kind,) = (each for each in arguments if each is not types.NoneType)
        return _read(kind, value, where)
    if origin is tuple:
        _require(value, (list, tuple), where)
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(_read(*pair, where) for pair in zip(kinds, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        _require(value, Mapping, where)
        return {k: _read(arguments[1], v, where and f"{where}.{k}") for k, v in value.items()}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(value)
    if where and origin is typing.Literal and value not in arguments:
        raise ValueError(f"{where} is {value!r}, not one of {arguments}")
    if kind in _SCALARS:
        _require(value, _SCALARS[kind], where)
    return value


_SCALARS: dict[Any, Any] = {str: str, bool: bool, int: int, float: (int, float)}


def _require(value: Any, kinds: Any, where: str) -> None:
    """Check a type; a boolean, which is an integer in Python, is not a number here."""
    fits = isinstance(value, kinds) and (kinds is bool or not isinstance(value, bool))
    if where and not fits:
        raise TypeError(f"{where} is {type(value).__name__} {value!a:.40}")


@functools.cache
def _fields(kind: Any) -> dict[str, Any]:
    """Return the types of the fields of a dataclass."""
    hints = typing.get_type_hints(kind)
    return {each.name: hints[each.name] for each in dataclasses.fields(kind)}
