"""Check what gate files say, and turn it into plain values: lists into tuples, for example.

The values of a gate file end up in cache keys, goldens and reports, which hold plain values only.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import itertools
import math
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from pathlib import PurePath
from typing import Any, ParamSpec, TypeVar

from ..errors import SpecError

_SHORT = reprlib.Repr()
_MOST = _SHORT.maxstring = _SHORT.maxother = 120

_LONGEST_NAME = 200  # characters
_LONGEST_PATH = 4000  # characters; Linux allows 4,096 bytes

_MOST_ITEMS = 100_000  # entries of a sequence that somebody writes

_ALIKE = (0.7, 0.6)  # similarity of names, of more than four letters and of fewer
_ALIKE_WORD = 0.8
_BEGINNING = 3  # letters of a name that is cut off

Given = ParamSpec("Given")
Made = TypeVar("Made")
Described = TypeVar("Described", bound=type)


def arguments(cls: Described) -> Described:
    """Make a class refuse wrong arguments with `SpecError`, where Python raises `TypeError`."""
    init, signature = cls.__init__, inspect.signature(cls)  # type: ignore[misc]

    @functools.wraps(init)
    def checked(self: object, *args: Any, **given: Any) -> None:
        _refuse_wrong(cls.__name__, signature, args, given)
        if type(self) is not cls:
            refuse_ignored_defaults(self)
        init(self, *args, **given)

    cls.__init__ = checked  # type: ignore[misc]
    return cls


def call(where: str, *others: type) -> Callable[[Callable[Given, Made]], Callable[Given, Made]]:
    """Make a function of the public interface refuse wrong arguments in the same way.

    Args:
        where: the name of the function, for messages.
        others: classes whose arguments the function takes, too, if it takes any.
    """
    more = [name for other in others for name in inspect.signature(other).parameters]

    def decorate(function: Callable[Given, Made]) -> Callable[Given, Made]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def checked(*args: Given.args, **given: Given.kwargs) -> Made:
            _refuse_wrong(where, signature, args, given, more)
            return function(*args, **given)

        return checked

    return decorate


def _refuse_wrong(
    where: str,
    signature: inspect.Signature,
    args: Sequence[Any],
    given: Mapping[str, Any],
    more: Sequence[str] = (),
) -> None:
    """Refuse arguments that a signature does not take, or that lack one.

    Raises:
        SpecError: they cannot be bound; the message suggests the name that was meant.
    """
    others = inspect.Parameter.VAR_KEYWORD
    own = [name for name, one in signature.parameters.items() if one.kind is not others]
    known = list(dict.fromkeys([*own, *more]))
    remedy = f"its arguments are {', '.join(known)}"
    for name in given:
        if name not in known:
            problem = f"has no argument {name!r}"
            raise SpecError(where, problem, did_you_mean(name, known) or remedy)
    try:
        signature.bind(*args, **given)
    except TypeError as error:
        raise SpecError(where, str(error), remedy) from None


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


def guarded(make: Callable[[], Any], instead: Any = None) -> Any:
    """Make something from an object of the user's, whose methods may raise anything."""
    try:
        return make()
    except KeyboardInterrupt:
        raise
    except BaseException:  # pytest's outcomes do not derive from Exception
        return instead


def scalar(value: Any) -> Any:
    """Turn a numpy scalar or an array of no dimensions into the plain value that it holds."""
    numpy = type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0
    plain = value.item() if numpy else None
    return value if plain is None else plain


def is_several(value: object) -> bool:
    """Whether a value is a list, a tuple or an array with dimensions."""
    array = type(value).__module__ == "numpy" and getattr(value, "ndim", 0) > 0
    return array or isinstance(value, (list, tuple))


def switch(where: str, value: object, *, optional: bool = True) -> bool | None:
    """Return a boolean, or None where it is allowed: "no" would count as true.

    Raises:
        SpecError: the value is something else.
    """
    plain = scalar(value)
    if isinstance(plain, bool) or (plain is None and optional):
        return plain
    remedy = "use True, False or None" if optional else "use True or False"
    raise SpecError(where, f"{shown(value)} is not a boolean", remedy)


def shown(value: object) -> str:
    """Show a value in a message in one short line: it may be a list of images."""
    text = guarded(lambda: _SHORT.repr(value), f"<{type(value).__name__}>")
    text = " ".join(str(text)[: 100 * _MOST].split())
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Ask whether the known name that resembles a given one was meant; "" if none does.

    A name resembles another if it is spelt almost the same or has the same letters in another order
    ("fra"). It may also be the beginning of a single name ("conf"), or be spelt almost as one word
    of it ("method" of "calibration_method").
    """
    name, names = given.casefold(), {one.casefold(): one for one in known}
    close = [one for one in names if one == name]
    close = close or [one for one in names if sorted(one) == sorted(name)]
    close = close or difflib.get_close_matches(name, names, n=1, cutoff=_ALIKE[len(name) <= 4])
    if not close:
        begun = [one for one in names if len(name) >= _BEGINNING and one.startswith(name)]
        parts = begun or [one for one in names if _is_word_of(name, one)]
        close = parts if len(parts) == 1 else []
    return f"did you mean {names[close[0]]!r}?" if close else ""


def _is_word_of(name: str, other: str) -> bool:
    words = other.replace("-", "_").split("_")
    return bool(difflib.get_close_matches(name, words, n=1, cutoff=_ALIKE_WORD))


def number(where: str, value: Any, remedy: str) -> float:
    """Turn any real number, including a numpy scalar, into a finite float.

    Raises:
        SpecError: the value is not a finite number.
    """
    given = scalar(value)
    known = hasattr(type(given), "__float__") or hasattr(type(given), "__index__")
    if not known or isinstance(given, (bool, str)) or is_several(given):
        raise SpecError(where, f"{shown(value)} is not a number", remedy)
    plain: float | None = guarded(lambda: float(given))
    if plain is None:
        raise SpecError(where, f"{shown(value)} is not a number", remedy)
    if not math.isfinite(plain):
        raise SpecError(where, f"{shown(value)} is not finite", remedy)
    return plain


def fraction(where: str, value: Any, remedy: str, problem: str = "is not a rate") -> float:
    """Turn a number between 0 and 1, both excluded, into a float.

    Args:
        where: the argument, for messages.
        value: the number.
        remedy: what to do if it is something else.
        problem: what to say of a number that is out of range.

    Raises:
        SpecError: the value is something else.
    """
    plain = number(where, value, remedy)
    if not 0 < plain < 1:
        raise SpecError(where, f"{plain!r} {problem}", remedy)
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
    """Turn a list or any other iterable except text and bytes into a tuple.

    Raises:
        SpecError: the value is not such an iterable, or has no end or no order.
    """
    text = isinstance(value, (str, bytes, bytearray, memoryview))
    if text or not isinstance(value, Iterable) or isinstance(value, Set):
        raise SpecError(where, f"{shown(value)} is not a sequence", remedy)
    found: tuple[Any, ...] | None
    found = guarded(lambda: tuple(itertools.islice(value, _MOST_ITEMS + 1)))
    if found is None:  # such as an array of no dimensions
        raise SpecError(where, f"{shown(value)} is not a sequence", remedy)
    if len(found) > _MOST_ITEMS:
        raise SpecError(where, f"{shown(value)} has more than {_MOST_ITEMS:,} entries", remedy)
    return found


def names(where: str, value: Any, *, distinct: bool = False) -> tuple[str, ...]:
    """Turn one name or a sequence of names into a tuple of names.

    Args:
        where: the argument, for messages.
        value: the names.
        distinct: whether there must be some, all different.

    Raises:
        SpecError: an entry is not a non-empty string, or the names are not distinct.
    """
    remedy = 'give distinct names, such as ("face", "card")'
    if not distinct:
        remedy = 'give names, such as ("Conv_0", "Gemm")'
        if isinstance(value, Set):  # its order changes from process to process
            value = sorted(value, key=shown)
    given = scalar(value)
    found = (given,) if isinstance(given, str) else items(where, value, remedy)
    for name in found:
        if not isinstance(name, str) or not name:
            raise SpecError(where, f"{shown(name)} is not a name", remedy)
    plain = tuple(str.__str__(name) for name in found)
    if distinct and (not plain or len(set(plain)) != len(plain)):
        raise SpecError(where, f"{shown(value)} are not distinct names", remedy)
    return plain


def label(where: str, value: Any) -> str:
    """Turn text that names something in reports into a plain string; "" is allowed.

    Raises:
        SpecError: the value is not a short printable text without blanks around it.
    """
    given = scalar(value)
    name = str.__str__(given) if isinstance(given, str) else None
    if name is None or not name.isprintable() or name != name.strip() or len(name) > _LONGEST_NAME:
        raise SpecError(where, f"{shown(value)} is not a name", "give a short text")
    return name


def choice(where: str, value: object, allowed: Sequence[str | None]) -> Any:
    """Return the allowed value that equals a given one.

    Raises:
        SpecError: the value is not allowed.
    """
    given = scalar(value)
    if isinstance(given, str):
        given = str.__str__(given)
        if given in allowed:
            return given
    elif given is None and None in allowed:
        return None
    close = ""
    if isinstance(given, str) and len(given) <= _MOST:
        close = did_you_mean(given, [entry for entry in allowed if entry is not None])
    remedy = f"choose from {', '.join(map(repr, allowed))}"
    raise SpecError(where, f"{shown(value)} is unknown", f"{close} {remedy}".lstrip())


def path(
    where: str, value: Any, remedy: str = 'give one, such as "data/faces"'
) -> str | os.PathLike[str]:
    """Return a value that can be the path of something.

    Raises:
        SpecError: it is not text, empty, too long, or holds a NUL.
    """
    given = scalar(value)
    text: Any = guarded(lambda: os.fspath(given))
    usable = isinstance(text, str) and bool(text.strip()) and "\0" not in text
    if not usable or len(text) > _LONGEST_PATH:
        raise SpecError(where, f"{shown(value)} is not a path", remedy)
    # The repr of other classes may hold an address, which differs between workers.
    return given if isinstance(given, PurePath) else str.__str__(text)


def share_or_path(where: str, value: Any) -> float | str | os.PathLike[str] | None:
    """Check a selection: a share of the data as a fraction, or other data as a path.

    Raises:
        SpecError: the value is neither.
    """
    if value is None:
        return None
    if isinstance(scalar(value), (str, os.PathLike)):
        return path(where, value)
    remedy = "give a fraction between 0 and 1, or the path of other images"
    return fraction(where, value, remedy, "is not a share")
