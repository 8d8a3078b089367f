"""Dataclasses as plain values for JSON, and back: one pair of functions for every record.

The annotations of a dataclass say all that is needed. Numbers stay as they are, an `int` in a field
of type `float` included, so what is read and written again is the same to the last byte.
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

    Dataclasses become dicts of their fields, in this order; enums their values, tuples lists.
    Everything else must be fit for JSON as it is.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(each) for each in value]
    return value.value if isinstance(value, enum.Enum) else value


def from_plain(kind: type[T], value: Any) -> T:
    """Inverse of `plain`.

    Keys that are no field of a dataclass are left out: a file may say more than a record holds.

    Args:
        kind: the class of the record.
        value: what `plain` made of it, perhaps after a round trip through JSON.

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
    """Types of the fields of a dataclass."""
    hints = typing.get_type_hints(kind)
    return {each.name: hints[each.name] for each in dataclasses.fields(kind)}
