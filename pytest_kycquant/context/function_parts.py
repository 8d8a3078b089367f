"""What a function is made of: the names in its code, where it comes from, the state of objects."""

from __future__ import annotations

import copyreg
import dis
import functools
import inspect
import sysconfig
import types
from pathlib import Path
from typing import Any, NamedTuple

from ..spec import coerce

_INSTALLED = ("site-packages", "dist-packages")
_GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL")
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "IMPORT_FROM", "LOAD_SUPER_ATTR")
# Attributes of classes that Python adds, in some versions only.
ADDED = ("_abc_impl", "__annotate__", "__annotate_func__", "__dict__", "__weakref__")
# What `functools.update_wrapper` copies to what wraps a function.
WRAPPED = (
    *("__module__", "__name__", "__qualname__", "__doc__", "__annotations__", "__annotate__"),
    "__type_params__",
)


class Used(NamedTuple):
    """The names that code uses: globals, attributes, and imports as (module, level)."""

    globals: set[str]
    attributes: set[str]
    imports: set[tuple[str, int]]


def folder_of(function: Any) -> Path | None:
    """The folder of the file that defines a function, or the class of an object."""
    while isinstance(function, functools.partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    found = coerce.guarded(lambda: inspect.getfile(inspect.unwrap(named)))
    return None if found is None else Path(found).absolute().parent


def used_by(code: types.CodeType) -> Used:
    """What code and the functions inside of it use by name."""
    found = Used(set(), set(), set())
    level: Any = 0
    constants: list[Any] = []
    for step in dis.get_instructions(code):
        if step.opname in _GLOBALS:
            found.globals.add(step.argval)
        elif step.opname == "IMPORT_NAME":
            # The level, such as 1 for "from . import x", was loaded two instructions earlier.
            level = constants[-2] if len(constants) > 1 else 0
            found.imports.add((step.argval, level if isinstance(level, int) else 0))
        elif step.opname in _ATTRIBUTES:
            found.attributes.add(step.argval)
        if step.opname in ("LOAD_CONST", "LOAD_SMALL_INT"):
            constants.append(step.argval)
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            more = used_by(each)
            found.globals.update(more.globals)
            found.attributes.update(more.attributes)
            found.imports.update(more.imports)
    return found


def unwrapped(attribute: Any) -> Any:
    """The function of a static, class or cached method or property."""
    if isinstance(attribute, staticmethod | classmethod):
        return attribute.__func__
    if isinstance(attribute, property):
        return (attribute.fget, attribute.fset)
    return attribute.func if isinstance(attribute, functools.cached_property) else attribute


def made_from_text(function: types.FunctionType) -> bool:
    """Whether a function was made from a text, as those that a dataclass adds."""
    return function.__code__.co_filename.startswith("<")


def slots_of(value: Any) -> dict[str, Any]:
    """The values in the slots of an object."""
    found = {}
    for kind in type(value).__mro__:
        given = vars(kind).get("__slots__", ())
        for name in (given,) if isinstance(given, str) else given:
            if name not in ADDED and hasattr(value, name):
                found[name] = getattr(value, name)
    return found


def pickled(value: Any) -> Any:
    """What pickle would write of an object in another language; None if nothing of its state."""
    kind = type(value)
    if reduce := copyreg.dispatch_table.get(kind):
        return reduce(value)
    if kind is object:
        return "object"
    names = ("__reduce_ex__", "__reduce__", "__getstate__")
    plain = all(getattr(kind, name, None) is getattr(object, name, None) for name in names)
    return None if plain else value.__reduce_ex__(4)


def package_of(function: Any) -> str:
    """Name of the top-level package or module that a function comes from."""
    while isinstance(function, functools.partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return str(getattr(named, "__module__", None) or "").partition(".")[0]


@functools.cache
def is_installed(file: str) -> bool:
    """Whether a file belongs to Python, to an installed package or to this one."""
    return not {*_INSTALLED}.isdisjoint(Path(file).parts) or is_standard(file)


@functools.cache
def is_standard(file: str) -> bool:
    """Whether a file belongs to Python itself or to this package."""
    if file.startswith("<frozen"):
        return True
    path, own = Path(file).resolve(), Path(__file__).resolve().parents[1]
    library = (Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))
    inside = any(path.is_relative_to(folder) for folder in library)
    return path.is_relative_to(own) or (inside and {*_INSTALLED}.isdisjoint(path.parts))
