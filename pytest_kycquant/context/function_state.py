"""What counts of objects whose attributes do not tell, or tell too much.

Some decide nothing (a lock, a logger), some belong to the machine (the environment), and some hold
what they are in another language (a picture, a table).
"""

from __future__ import annotations

import contextlib
import contextvars
import copyreg
import ctypes
import functools
import io
import logging
import os
import random
import sys
import threading
import types
import warnings
import weakref
from pathlib import PurePath
from typing import Any

import numpy as np

from ..spec import coerce
from .function_parts import IS_HEAP

# By the module of their class: what they do, they do not do to numbers.
_TOOLS = (
    "_thread",
    "threading",
    "multiprocessing.synchronize",
    "asyncio.locks",
    "concurrent.futures.thread",
    "concurrent.futures.process",
    "logging",
    "logging.handlers",
)
_RANDOM = (random.Random, np.random.Generator, np.random.BitGenerator, np.random.RandomState)
_FEW_BITS = 64  # numpy itself draws seeds of 128
_POINTER: Any = ctypes._CFuncPtr  # type: ignore[attr-defined]


def stands_for(value: Any) -> list[Any] | None:
    """Return the values that stand for an object, or None if its attributes do."""
    kind = type(value)
    if issubclass(kind, type):
        return None
    if value is os.environ or value is getattr(os, "environb", None):
        return ["the environment"]
    if value is sys.modules or value is sys.path or value is sys.argv:
        return ["the interpreter"]
    if issubclass(kind, logging.Logger):
        return ["logger", value.name]
    if issubclass(kind, threading.local):
        return ["of a thread", dict(sorted(value.__dict__.items()))]
    if kind.__module__ in _TOOLS and not issubclass(kind, logging.Formatter | logging.Filter):
        return ["tool"]
    if issubclass(kind, _RANDOM):
        return ["random numbers", _seed_of(value)]
    if issubclass(kind, weakref.WeakSet):
        return ["weak", set(value)]
    if issubclass(kind, weakref.ref):
        return ["weak", value()]
    if issubclass(kind, contextvars.ContextVar):
        return ["of a context", value.name, coerce.guarded(value.get)]
    if issubclass(kind, io.IOBase) and str(getattr(value, "name", "")).startswith("<"):
        return ["stream"]
    if issubclass(kind, ctypes.CDLL):
        own = sorted((k, v) for k, v in vars(value).items() if _is_declared(v))
        return ["library", PurePath(str(value._name)).name, *own]
    if issubclass(kind, _POINTER):
        return ["of a library", getattr(value, "__name__", ""), value.restype, value.argtypes]
    if issubclass(kind, functools.singledispatchmethod):  # 3.13 keeps the calls in it, too
        return ["dispatches", value.func, dict(value.dispatcher.registry)]
    if issubclass(kind, contextlib._GeneratorContextManager):  # such as decorates a function
        return ["context", value.func, value.args, value.kwds]
    if issubclass(kind, bytearray):
        return ["bytes", bytes(value)]
    if issubclass(kind, memoryview):
        return ["bytes", value.tobytes(), value.format, value.shape]
    if issubclass(kind, np.dtype):
        return ["type", layout_of(value)]
    if kind.__module__ in ("typing", "types") and " at 0x" not in (shown := repr(value)):
        if kind.__module__ == "typing" or issubclass(kind, types.GenericAlias | types.UnionType):
            return ["hint", shown]
        return None
    return _content(value, kind)


def layout_of(dtype: np.dtype[Any]) -> str:
    """A type of numpy as a text, with the names of its fields."""
    if dtype.names is None:
        return dtype.str
    offsets = [(name, layout_of(each[0]), each[1]) for name, each in (dtype.fields or {}).items()]
    return f"{offsets} {dtype.itemsize}"


def pickled(value: Any) -> Any:
    """What pickle would write of an object in another language; None if nothing of its state."""
    kind = type(value)
    if reduce := copyreg.dispatch_table.get(kind):
        return reduce(value)
    if kind is object:
        return "object"
    names = ("__reduce_ex__", "__reduce__", "__getstate__")
    plain = all(getattr(kind, name, None) is getattr(object, name, None) for name in names)
    if plain and not (hasattr(kind, "__getnewargs__") or hasattr(kind, "__getnewargs_ex__")):
        return None
    with warnings.catch_warnings():  # iterators will not have it for long
        warnings.simplefilter("ignore")
        return value.__reduce_ex__(4)


def lies_elsewhere(kind: type) -> bool:
    """Whether objects of a class may hold what Python does not see."""
    return any(
        not base.__flags__ & IS_HEAP
        or isinstance(vars(base).get("__new__"), types.BuiltinFunctionType)
        for base in kind.__mro__
        if base is not object
    )


def is_plain_class(kind: type) -> bool:
    """Whether a class was made by a class statement."""
    return any({"__dict__", "__slots__"} & vars(base).keys() for base in kind.__mro__)


def _seed_of(value: Any) -> Any:
    """The seed of random numbers if the user gave one that can be seen.

    The state does not count: a function whose result it decides is refused when images are
    prepared, and without a seed it differs in every process.
    """
    bits = getattr(value, "bit_generator", value)
    seeds = getattr(bits, "seed_seq", None)
    seed = getattr(seeds, "entropy", None)
    given = not isinstance(seed, int) or seed.bit_length() <= _FEW_BITS
    return [seed, tuple(getattr(seeds, "spawn_key", ()))] if given else None


def _is_declared(value: Any) -> bool:
    """Whether the types of a function of a library were given; others are made when called."""
    return isinstance(value, _POINTER) and (
        value.argtypes is not None or value.restype is not ctypes.c_int
    )


def _content(value: Any, kind: type) -> list[Any] | None:
    """The content of objects of libraries that need not be installed."""
    package = kind.__module__.partition(".")[0]
    if package == "pandas" and hasattr(kind, "iloc") and hasattr(kind, "attrs"):
        columns = [value] if value.ndim == 1 else [value.iloc[:, i] for i in range(value.shape[1])]
        names = [value.name] if value.ndim == 1 else [value.columns]
        return ["table", *names, value.index, *map(_column, columns), dict(value.attrs)]
    if package == "pandas" and hasattr(kind, "get_indexer"):
        return ["index", list(value.names), str(value.dtype), value.tolist()]
    if package == "PIL" and hasattr(kind, "tobytes") and hasattr(kind, "getbands"):
        palette = coerce.guarded(value.getpalette)
        return ["picture", value.mode, value.size, value.tobytes(), palette]
    if package in ("torch", "tensorflow", "jaxlib") and hasattr(kind, "__array__"):
        plain = value.detach().cpu() if hasattr(kind, "detach") else value
        return ["tensor", str(value.dtype), coerce.guarded(lambda: np.asarray(plain))]
    return None


def _column(column: Any) -> list[Any]:
    categories = getattr(column.dtype, "categories", None)
    return [str(column.dtype), categories, column.to_numpy()]
