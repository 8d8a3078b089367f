"""A digest of a user's function and of all that it uses: does it still do what it did?

The source of a function is not enough: it may read a constant of its module, call another function,
or be an object with settings. So everything that it can reach is followed: the variables of its
closure, the globals and modules that its code names, default values, attributes, bases, and the
functions and classes of the user's own modules. What is installed (numpy, OpenCV) counts by its
name, unless it is of the function's own package: whether another version computes otherwise is seen
from the errors of FP32 in the golden.

What a function reads while it runs (files, the environment, `getattr` of a computed name) cannot be
known. An object whose state cannot be read is an error, never a digest that misses it.
"""

from __future__ import annotations

import copyreg
import dataclasses
import dis
import enum
import functools
import hashlib
import importlib
import inspect
import sysconfig
import textwrap
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np

from ..errors import SpecError
from ..spec import coerce

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented))
# Made anew for each use, or shared by chance: whether two of them are one object means nothing.
_FLEETING = (tuple, frozenset, range, slice, np.generic, types.MethodType, types.BuiltinMethodType)
_INSTALLED = ("site-packages", "dist-packages")
_GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL")
# Attributes of classes that Python adds, in some versions only.
_ADDED = ("_abc_impl", "__annotate__", "__annotate_func__", "__dict__", "__weakref__")


def function_digest(function: Any, where: str) -> str:
    """SHA-256 of a function and of all that it uses, the same in every process.

    Args:
        function: a function, method, partial, or an object that can be called.
        where: the argument, for messages.

    Raises:
        SpecError: the source of a function is not readable, or the state of an object is not.
    """
    return _Walk(where, _package_of(function)).digest(function)


class _Used(NamedTuple):
    """The names that code uses: globals, attributes, and imports as (module, level)."""

    globals: set[str]
    attributes: set[str]
    imports: set[tuple[str, int]]


class _Walk:
    """Follows everything that a function can reach, each object once."""

    def __init__(self, where: str, package: str) -> None:
        self._where = where
        self._package = package
        self._places: dict[int, int] = {}
        self._kept: list[Any] = []  # an id is only good as long as its object lives
        self._modules: set[tuple[int, frozenset[str]]] = set()

    def digest(self, value: Any) -> str:
        state = hashlib.sha256()
        for part in self._parts(value):
            state.update(len(part).to_bytes(8, "big") + part)
        return state.hexdigest()

    def _parts(self, value: Any) -> Iterator[bytes]:
        """Yield bytes that tell a value from others, whatever it is."""
        if type(value) in _PLAIN:
            yield f"{type(value).__name__} {value!r}".encode()
            return
        if id(value) in self._places:  # also in a circle
            yield f"see {self._places[id(value)]}".encode()
            return
        if not isinstance(value, _FLEETING):
            self._places[id(value)] = len(self._places)
        self._kept.append(value)
        for kind, parts in _KINDS:
            if isinstance(value, kind):
                yield from parts(self, value)
                return
        yield from self._object(value)

    def _several(self, word: str, values: Iterable[Any]) -> Iterator[bytes]:
        yield word.encode()
        for each in values:
            yield from self._parts(each)
        yield b"end"

    # Code

    def _function(self, value: types.FunctionType) -> Iterator[bytes]:
        code = value.__code__
        if self._foreign(code.co_filename, value.__module__):
            yield from self._named(value)
            return
        yield self._source(code, value.__qualname__)
        yield from self._several("defaults", (value.__defaults__, value.__kwdefaults__))
        # Attributes are settings; what is wrapped is also in the closure.
        kept = {name: each for name, each in vars(value).items() if name != "__wrapped__"}
        yield from self._several("attributes", (kept,))
        for name, cell in zip(code.co_freevars, value.__closure__ or (), strict=True):
            yield name.encode()
            try:
                found = cell.cell_contents
            except ValueError:  # not assigned yet
                continue
            yield from self._parts(found)
        used = _used(code)
        for name in sorted(used.globals & value.__globals__.keys()):
            yield name.encode()
            yield from self._global(value.__globals__[name], used.attributes)
        package = value.__globals__.get("__package__") or None
        for name, level in sorted(used.imports):
            module = coerce.guarded(
                functools.partial(importlib.import_module, "." * level + name, package)
            )
            if isinstance(module, types.ModuleType):  # otherwise the function says what is wrong
                yield from self._global(module, used.attributes)

    def _global(self, value: Any, attributes: set[str]) -> Iterator[bytes]:
        """A global of a function; of a user's module, all that the function may use of it."""
        if not isinstance(value, types.ModuleType):
            yield from self._parts(value)
            return
        yield f"module {value.__name__}".encode()
        key = id(value), frozenset(attributes)
        if self._foreign(getattr(value, "__file__", None), value.__name__) or key in self._modules:
            return
        self._modules.add(key)  # modules may import each other
        for name in sorted(attributes & vars(value).keys()):
            yield name.encode()
            yield from self._global(vars(value)[name], attributes)

    def _module(self, value: types.ModuleType) -> Iterator[bytes]:
        """A module in a variable: what is used of it is not known."""
        yield f"module {value.__name__}".encode()
        if not self._foreign(getattr(value, "__file__", None), value.__name__):
            yield self._source(value, value.__name__)

    def _class(self, value: type) -> Iterator[bytes]:
        yield f"class {value.__module__}.{value.__qualname__}".encode()
        if self._foreign_class(value):
            return
        if issubclass(value, tuple) and hasattr(value, "_field_defaults"):  # a named tuple
            yield from self._several("fields", (value._fields, value._field_defaults))  # type: ignore[attr-defined]
            return
        yield self._source(value, value.__qualname__)
        yield from self._several("bases", value.__bases__)
        if issubclass(value, enum.Enum):
            return
        for name, each in sorted(vars(value).items()):
            each = _unwrapped(each)
            written = isinstance(each, types.FunctionType)
            if name in _ADDED or (name.startswith("__") and not written):
                continue
            if isinstance(each, types.GetSetDescriptorType | types.MemberDescriptorType):
                continue  # of a slot: its value belongs to the object
            if written and dataclasses.is_dataclass(value) and _made(each):
                continue
            yield name.encode()
            yield from self._parts(each)

    def _method(self, value: types.MethodType) -> Iterator[bytes]:
        yield from self._several("method", (value.__func__, value.__self__))

    def _partial(self, value: functools.partial[Any]) -> Iterator[bytes]:
        yield from self._several("partial", (value.func, value.args, dict(value.keywords)))

    def _named(self, value: Any) -> Iterator[bytes]:
        """Something that is installed or built in."""
        name = getattr(value, "__qualname__", None) or getattr(value, "__name__", "")
        yield f"{getattr(value, '__module__', None)}.{name}".encode()
        owner = getattr(value, "__self__", None)  # of a method that is written in C
        if owner is not None and not isinstance(owner, types.ModuleType | type):
            yield from self._parts(owner)

    # Data

    def _sequence(self, value: Any) -> Iterator[bytes]:
        yield from self._several(type(value).__qualname__, value)
        yield from self._own(value)

    def _set(self, value: Any) -> Iterator[bytes]:
        alone = sorted(_Walk(self._where, self._package).digest(each) for each in value)
        yield from self._several(type(value).__qualname__, alone)
        yield from self._own(value)

    def _mapping(self, value: Mapping[Any, Any]) -> Iterator[bytes]:
        """A dict in its order, since a function may go through it."""
        yield from self._several(type(value).__qualname__, (p for i in value.items() for p in i))
        yield from self._parts(getattr(value, "default_factory", None))
        yield from self._own(value)

    def _own(self, value: Any) -> Iterator[bytes]:
        """What a class of the user's adds to a container."""
        if not self._foreign_class(type(value)):
            yield from self._parts(type(value))
            yield from self._several("attributes", (getattr(value, "__dict__", None),))

    def _array(self, value: Any) -> Iterator[bytes]:
        array = np.asarray(value)
        if array.dtype.hasobject:
            yield from self._several(f"objects {array.shape}", array.ravel().tolist())
        else:
            yield f"array {array.dtype.str} {array.shape}".encode()
            yield np.ascontiguousarray(array).tobytes()
        yield from self._own(value)

    def _enum(self, value: enum.Enum) -> Iterator[bytes]:
        yield value.name.encode()
        yield from self._parts(type(value))

    def _path(self, value: PurePath) -> Iterator[bytes]:
        yield f"path {value.as_posix()}".encode()

    def _object(self, value: Any) -> Iterator[bytes]:
        """An object: its class, and its attributes, or what pickle would keep of it."""
        yield from self._parts(type(value))
        attributes, slots = getattr(value, "__dict__", {}), _slots(value)
        if attributes or slots or not self._foreign_class(type(value)):
            yield from self._several("state", (dict(sorted(attributes.items())), slots))
            return
        # Its state lies in another language.
        reduced = coerce.guarded(functools.partial(_reduced, value))
        if isinstance(reduced, tuple):
            made, given, *rest = reduced
            state, *items = [*rest, None, None, None][:3]
            read = [list(each) if each is not None else None for each in items]
            yield from self._several("pickled", (made, given, state, *read))
        elif isinstance(reduced, str):
            yield f"named {reduced}".encode()
        else:
            raise SpecError(
                self._where,
                f"uses {coerce.shown(value)}, whose state cannot be read, so a change would go "
                "unnoticed",
                "make it inside of the function, or use plain values, arrays and your own classes",
            )

    def _foreign(self, file: str | None, module: str | None) -> bool:
        """Whether something is built in or installed, and not of the function's own package."""
        mine = (module or "").partition(".")[0] == self._package
        return not file or (_installed(file) and not (mine and not _standard(file)))

    def _foreign_class(self, kind: type) -> bool:
        file = coerce.guarded(lambda: inspect.getfile(kind))
        return self._foreign(file, kind.__module__)

    def _source(self, value: Any, name: str) -> bytes:
        try:
            return textwrap.dedent(inspect.getsource(value)).strip().encode()
        except (OSError, TypeError, SyntaxError) as error:
            raise SpecError(
                self._where,
                f"uses {coerce.shown(name)}, which has no readable source code, so a change would "
                "go unnoticed",
                "define it in the gate file or in a module beside it",
            ) from error


_KINDS: tuple[tuple[Any, Any], ...] = (
    (enum.Enum, _Walk._enum),
    ((np.ndarray, np.generic), _Walk._array),
    (types.ModuleType, _Walk._module),
    (types.FunctionType, _Walk._function),
    (types.MethodType, _Walk._method),
    (functools.partial, _Walk._partial),
    (type, _Walk._class),
    (
        (
            types.BuiltinFunctionType,
            types.MethodDescriptorType,
            types.WrapperDescriptorType,
            np.ufunc,
        ),
        _Walk._named,
    ),
    (PurePath, _Walk._path),
    (Mapping, _Walk._mapping),
    ((set, frozenset), _Walk._set),
    ((list, tuple, range), _Walk._sequence),
)
"""How each kind of value is told from others; the first that fits counts."""


def _used(code: types.CodeType) -> _Used:
    """What code and the functions inside of it use by name."""
    found = _Used(set(), set(), set())
    level: Any = 0
    constants: list[Any] = []
    for step in dis.get_instructions(code):
        if step.opname in _GLOBALS:
            found.globals.add(step.argval)
        elif step.opname == "IMPORT_NAME":
            # The level, such as 1 for "from . import x", was loaded two instructions earlier.
            level = constants[-2] if len(constants) > 1 else 0
            found.imports.add((step.argval, level if isinstance(level, int) else 0))
        elif isinstance(step.argval, str):
            found.attributes.add(step.argval)
        if step.opname in ("LOAD_CONST", "LOAD_SMALL_INT"):
            constants.append(step.argval)
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            more = _used(each)
            found.globals.update(more.globals)
            found.attributes.update(more.attributes)
            found.imports.update(more.imports)
    return found


def _unwrapped(attribute: Any) -> Any:
    """The function of a static, class or cached method or property."""
    if isinstance(attribute, staticmethod | classmethod):
        return attribute.__func__
    if isinstance(attribute, property):
        return (attribute.fget, attribute.fset)
    return attribute.func if isinstance(attribute, functools.cached_property) else attribute


def _made(function: types.FunctionType) -> bool:
    """Whether a function was made from a text, as those that a dataclass adds."""
    return function.__code__.co_filename.startswith("<")


def _slots(value: Any) -> dict[str, Any]:
    """The values in the slots of an object."""
    found = {}
    for kind in type(value).__mro__:
        given = vars(kind).get("__slots__", ())
        for name in (given,) if isinstance(given, str) else given:
            if name not in _ADDED and hasattr(value, name):
                found[name] = getattr(value, name)
    return found


def _reduced(value: Any) -> Any:
    """What pickle would write of an object in another language; None if nothing of its state."""
    kind = type(value)
    if reduce := copyreg.dispatch_table.get(kind):
        return reduce(value)
    if kind is object:
        return "object"
    names = ("__reduce_ex__", "__reduce__", "__getstate__")
    plain = all(getattr(kind, name, None) is getattr(object, name, None) for name in names)
    return None if plain else value.__reduce_ex__(4)


def _package_of(function: Any) -> str:
    """Name of the top-level package or module that a function comes from."""
    while isinstance(function, functools.partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return str(getattr(named, "__module__", None) or "").partition(".")[0]


@functools.cache
def _installed(file: str) -> bool:
    """Whether a file belongs to Python, to an installed package or to this one."""
    return not {*_INSTALLED}.isdisjoint(Path(file).parts) or _standard(file)


@functools.cache
def _standard(file: str) -> bool:
    """Whether a file belongs to Python itself or to this package."""
    if file.startswith("<frozen"):
        return True
    path, own = Path(file).resolve(), Path(__file__).resolve().parents[1]
    library = (Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))
    inside = any(path.is_relative_to(folder) for folder in library)
    return path.is_relative_to(own) or (inside and {*_INSTALLED}.isdisjoint(path.parts))
