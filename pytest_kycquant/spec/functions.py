"""Functions that a gate file defines: whether they can be called, and what they raised."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import SpecError
from . import coerce

_PACKAGE = Path(__file__).parents[1]


def check_call(where: str, function: Callable[..., Any], count: int, remedy: str) -> None:
    """Refuse a function that cannot be called with that many arguments, or would not run at once.

    Args:
        where: the argument, for messages.
        function: the function, as it is called: a method is bound.
        count: number of the arguments that it is given.
        remedy: what to do about it.

    Raises:
        SpecError: it takes other arguments, or it is a generator or a coroutine.
    """
    # What a decorator wraps does not matter: it may run a coroutine, or give more arguments.
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise SpecError(where, "is asynchronous, so calling it runs nothing", remedy)
    if inspect.isgeneratorfunction(function):
        raise SpecError(where, "is a generator, so calling it runs nothing", remedy)
    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):  # it is not written in Python
        return
    try:
        signature.bind(*[None] * count)
    except TypeError as error:
        problem = f"cannot be called with {count} arguments ({error})"
        raise SpecError(where, problem, remedy) from None


def check_function(where: str, function: object, count: int, remedy: str) -> None:
    """Refuse what is no function of so many arguments, or cannot be a part of a description.

    Raises:
        SpecError: it cannot be called so, or cannot be hashed.
    """
    if not callable(function):
        raise SpecError(where, f"{coerce.shown(function)} is not a function", remedy)
    check_call(where, function, count, remedy)
    if coerce.guarded(lambda: hash(function)) is None:
        problem = f"{coerce.shown(function)} cannot be hashed"
        raise SpecError(where, problem, "give a function, or an object whose class has no __eq__")


def describe_raised(error: BaseException, function: Callable[..., Any]) -> str:
    """Say what a function of a gate file raised, and on which of its own lines.

    Args:
        error: whatever it raised; its text may raise, too.
        function: the function.
    """
    files = {getattr(part, "co_filename", "") for part in _codes(function)}
    frames = [(f.f_code.co_filename, line) for f, line in traceback.walk_tb(error.__traceback__)]
    own = [entry for entry in frames if entry[0] in files and not _is_ours(entry[0])]
    others = [entry for entry in frames if not _is_ours(entry[0])]
    place = ""
    if found := own or others:
        file, line = found[-1]
        place = f" on line {line} of {Path(file).name}"
    reason = coerce.guarded(partial(str, error), "(its text cannot be shown)")
    # pytest explains an assert at length.
    return f"raised {type(error).__name__}{place}: {reason.split(chr(10))[0]}"


def _codes(function: Any) -> list[Any]:
    """Return the code of a function or method, and of what it wraps."""
    outer = getattr(function, "__func__", function)
    return [getattr(part, "__code__", None) for part in (outer, inspect.unwrap(outer))]


def _is_ours(file: str) -> bool:
    return Path(file).is_relative_to(_PACKAGE)
