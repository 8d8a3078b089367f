"""Check what gate files say, and turn it into plain values: lists into tuples, for example.

The values of a gate file end up in cache keys, goldens and reports, which hold plain values only.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import math
import os
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from ..errors import SpecError

_SHORT = reprlib.Repr()
_MOST = _SHORT.maxstring = _SHORT.maxother = 120

_LONGEST_PATH = 4000  # characters; Linux allows 4,096 bytes

Described = TypeVar("Described", bound=type)


def arguments(cls: Described) -> Described:
    """Make a class refuse wrong arguments with `SpecError`, where Python raises `TypeError`."""
    init, signature = cls.__init__, inspect.signature(cls)  # type: ignore[misc]
    known = tuple(signature.parameters)

    @functools.wraps(init)
    def checked(self: object, *args: Any, **given: Any) -> None:
        remedy = f"its arguments are {', '.join(known)}"
        for name in given:
            if name not in known:
                raise SpecError(
                    cls.__name__, f"has no argument {name!r}", did_you_mean(name, known) or remedy
                )
        try:
            signature.bind(*args, **given)
        except TypeError as error:
            raise SpecError(cls.__name__, str(error), remedy) from None
        if type(self) is not cls:
            refuse_ignored_defaults(self)
        init(self, *args, **given)

    cls.__init__ = checked  # type: ignore[misc]
    return cls


def refuse_ignored_defaults(described: Any) -> None:
    """Refuse a subclass that sets a field in its body, which dataclasses ignore.

    Raises:
        SpecError: the class of the object does so.
    """
    cls = type(described)
    for field in dataclasses.fields(described):
        written = getattr(cls, field.name, field.default)
        if written is not field.default and written is not dataclasses.MISSING:
            raise SpecError(
                f"{cls.__name__}.{field.name}",
                "is set in the body of a class, where it is ignored",
                f"write {cls.__name__}({field.name}=...), or make the class a dataclass, too",
            )


def switch(where: str, value: object) -> None:
    """Refuse anything but True, False and None: "no" would count as true.

    Raises:
        SpecError: the value is something else.
    """
    if value is not None and not isinstance(value, bool):
        raise SpecError(where, f"{shown(value)} is not a boolean", "use True, False or None")


def shown(value: object) -> str:
    """Show a value in a message in one short line: it may be a list of images."""
    text = " ".join(_SHORT.repr(value).split())
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Ask whether the known name that resembles a given one was meant; "" if none does."""
    close = difflib.get_close_matches(given.casefold(), known, n=1, cutoff=0.7)
    return f"did you mean {close[0]!r}?" if close else ""


def number(where: str, value: Any, remedy: str) -> float:
    """Turn any real number, including a numpy scalar, into a finite float.

    Raises:
        SpecError: the value is not a finite number.
    """
    if isinstance(value, (str, bytes, bool)):
        raise SpecError(where, f"{shown(value)} is not a number", remedy)
    try:
        plain = float(value)
    except (TypeError, ValueError, OverflowError):
        raise SpecError(where, f"{shown(value)} is not a number", remedy) from None
    if not math.isfinite(plain):
        raise SpecError(where, f"{shown(value)} is not finite", remedy)
    return plain


def whole(where: str, value: Any, remedy: str) -> int:
    """Turn any integer, including a numpy scalar, into an int.

    Raises:
        SpecError: the value is not a whole number.
    """
    plain = number(where, value, remedy)
    if plain != int(plain):
        raise SpecError(where, f"{shown(value)} is not a whole number", remedy)
    return int(plain)


def items(where: str, value: Any, remedy: str) -> tuple[Any, ...]:
    """Turn a list or any other iterable except a string into a tuple.

    Raises:
        SpecError: the value is not such an iterable.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise SpecError(where, f"{shown(value)} is not a sequence", remedy)
    return tuple(value)


def names(where: str, value: Any) -> tuple[str, ...]:
    """Turn one name or a sequence of names into a tuple of names.

    Raises:
        SpecError: an entry is not a non-empty string.
    """
    remedy = 'give names, such as ("Conv_0", "Gemm")'
    found = (value,) if isinstance(value, str) else items(where, value, remedy)
    for name in found:
        if not isinstance(name, str) or not name:
            raise SpecError(where, f"{shown(name)} is not a name", remedy)
    return tuple(str(name) for name in found)


def choice(where: str, value: object, allowed: Sequence[object]) -> None:
    """Refuse a value that is not among the allowed ones.

    Raises:
        SpecError: the value is not allowed.
    """
    try:
        known = value in allowed
    except ValueError:  # an array, which is compared element by element
        known = False
    if not known:
        close = did_you_mean(str(value), [entry for entry in allowed if isinstance(entry, str)])
        remedy = f"choose from {', '.join(map(repr, allowed))}"
        raise SpecError(where, f"{shown(value)} is unknown", f"{close} {remedy}".lstrip())


def path(where: str, value: Any) -> str | os.PathLike[str]:
    """Check that a value can be the path of something.

    Raises:
        SpecError: it is not text, empty, too long, or holds a NUL.
    """
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    usable = isinstance(text, str) and bool(text.strip()) and "\0" not in text
    if not usable or len(text) > _LONGEST_PATH:
        raise SpecError(where, f"{shown(value)} is not a path", 'give one, such as "data/faces"')
    return value  # type: ignore[no-any-return]


def share_or_path(where: str, value: Any) -> float | str | os.PathLike[str] | None:
    """Check a selection: a share of the data as a fraction, or other data as a path.

    Raises:
        SpecError: the value is neither.
    """
    if value is None:
        return None
    if isinstance(value, (str, os.PathLike)):
        return path(where, value)
    remedy = "give a fraction between 0 and 1, or the path of other images"
    share = number(where, value, remedy)
    if not 0 < share < 1:
        raise SpecError(where, f"{share!r} is not a share", remedy)
    return share
