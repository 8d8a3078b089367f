"""Conversion of dataclasses to plain values for JSON and back: one pair of functions for all.

The annotations of a dataclass are all that is needed. Numbers are not converted, not even an `int`
in a field of type `float`, so a file that is read and written again is identical byte for byte.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
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


def from_plain(kind: type[T], value: Any) -> T:
    """Invert `plain`.

    Keys that are not fields of the dataclass are ignored: a file may hold more than the record.

    Args:
        kind: the class of the record.
        value: the result of `plain`, possibly after a round trip through JSON.

    Raises:
        TypeError: a field is missing.
        ValueError: an enum has no such value.
    """
    return typing.cast("T", _read(kind, value))


def _read(kind: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        make: Any = kind
        fields = _fields(make)
        return make(**{k: _read(fields[k], each) for k, each in value.items() if k in fields})
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        (kind,) = (each for each in arguments if each is not types.NoneType)
        return _read(kind, value)
    if origin is tuple:
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(_read(*pair) for pair in zip(kinds, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: _read(arguments[1], each) for key, each in value.items()}
    return kind(value) if isinstance(kind, type) and issubclass(kind, enum.Enum) else value


@functools.cache
def _fields(kind: Any) -> dict[str, Any]:
    """Return the types of the fields of a dataclass."""
    hints = typing.get_type_hints(kind)
    return {each.name: hints[each.name] for each in dataclasses.fields(kind)}
