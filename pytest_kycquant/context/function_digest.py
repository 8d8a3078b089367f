"""A digest of a user's function and of all that it uses: does it still do what it did?

The source of a function is not enough: it may read a constant of its module, call another function,
or be an object with settings. So everything that it can reach is followed: the variables of its
closure, the globals and modules that its code names, default values, attributes, bases, and the
functions and classes of the user's own modules. What is installed (numpy, OpenCV) counts by its
name, unless it is of the function's own package: whether another version computes otherwise is seen
from the errors of FP32 in the golden.

What a function reads while it runs (files, the environment, `getattr` of a computed name) cannot be
known. An object whose state cannot be read is an error, never a digest that misses it.

It is taken once in a process, before any gate runs. A function may fill tables, count calls or keep
what it made, and its digest must not depend on whether it, or another with the same helpers, was
called before.
"""

from __future__ import annotations

import sys
from typing import Any

from ..errors import SpecError
from .function_parts import folder_of, package_of
from .function_walk import DEEPEST, Walk

_FRAMES = 20  # calls of Python for each level, and more
# By id; the functions are kept, since an id is only good as long as its object lives.
_TAKEN: dict[int, tuple[Any, str | SpecError]] = {}


def function_digest(function: Any, where: str) -> str:
    """SHA-256 of a function and of all that it uses, the same in every process.

    It is that of the first call, or of `note_function`.

    Args:
        function: a function, method, partial, or an object that can be called.
        where: the argument, for messages.

    Raises:
        SpecError: the source of a function is not readable, or the state of an object is not.
    """
    note_function(function, where)
    _, found = _TAKEN[id(function)]
    if isinstance(found, SpecError):
        raise SpecError(where, found.problem, found.remedy)
    return found


def note_function(function: Any, where: str) -> None:
    """Take the digest of a function unless it was taken before; an error is kept, too."""
    if id(function) in _TAKEN:
        return
    found: str | SpecError
    try:
        found = _digest(function, where)
    except SpecError as error:
        found = error
    _TAKEN[id(function)] = function, found


def _digest(function: Any, where: str) -> str:
    package, folder = package_of(function), folder_of(function)
    names: frozenset[str] = frozenset()
    # Python's own limit depends on who calls, and what it stops may be caught anywhere.
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(before + DEEPEST * _FRAMES)
    try:
        while True:
            walk = Walk(where, package, folder, names)
            found = walk.digest(function)
            if not walk.meets_modules or walk.attributes <= names:
                return found
            # Any of the code may be what uses a module: it can be given from one to another.
            names |= walk.attributes
    finally:
        sys.setrecursionlimit(before)
