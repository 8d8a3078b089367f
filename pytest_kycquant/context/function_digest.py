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

import dataclasses
import enum
import functools
import hashlib
import importlib
import inspect
import textwrap
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from ..errors import SpecError
from ..spec import coerce
from .function_parts import (
    ADDED,
    WRAPPED,
    folder_of,
    is_installed,
    is_standard,
    made_from_text,
    package_of,
    pickled,
    slots_of,
    unwrapped,
    used_by,
)

_PLAIN = (type(None), bool, int, float, complex, bytes, type(...), type(NotImplemented))
# Made anew for each use, or shared by chance: whether two of them are one object means nothing.
_FLEETING = (tuple, frozenset, range, slice, np.generic, types.MethodType, types.BuiltinMethodType)
_SHALLOW = 2  # parts of a path that any two have in common, such as / and home


def function_digest(function: Any, where: str) -> str:
    """SHA-256 of a function and of all that it uses, the same in every process.

    Args:
        function: a function, method, partial, or an object that can be called.
        where: the argument, for messages.

    Raises:
        SpecError: the source of a function is not readable, or the state of an object is not.
    """
    return _Walk(where, package_of(function), folder_of(function)).digest(function)


class _Walk:
    """Follows everything that a function can reach, each object once."""

    def __init__(self, where: str, package: str, folder: Path | None) -> None:
        self._where = where
        self._package = package
        self._folder = folder
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
        if type(value) is str:
            yield f"str {self._relative(value)!r}".encode()
            return
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
        used = used_by(code)
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
            each = unwrapped(each)
            written = isinstance(each, types.FunctionType)
            if name in ADDED or (name.startswith("__") and not written):
                continue
            if name.startswith("__") and self._foreign(each.__code__.co_filename, each.__module__):
                continue  # added by Python, such as `__replace__` to dataclasses by 3.13
            if isinstance(each, types.GetSetDescriptorType | types.MemberDescriptorType):
                continue  # of a slot: its value belongs to the object
            if written and dataclasses.is_dataclass(value) and made_from_text(each):
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
        alone = sorted(
            _Walk(self._where, self._package, self._folder).digest(each) for each in value
        )
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
        yield f"path {self._relative(value.as_posix())}".encode()

    def _relative(self, text: str) -> str:
        """A text; a path in the project as seen from the function, for other machines have others.

        ``Path(__file__).parent`` is such a path.
        """
        if self._folder is None or not text.startswith(self._folder.anchor or "/"):
            return text
        found = [
            (up, Path(text).relative_to(above).as_posix())
            for folder in (self._folder, self._folder.resolve())  # it may be behind a link
            for up, above in enumerate((folder, *folder.parents))
            if len(above.parts) > _SHALLOW and Path(text).is_relative_to(above)
        ]
        if not found:
            return text
        up, below = min(found)
        return "../" * up + below

    def _object(self, value: Any) -> Iterator[bytes]:
        """An object: its class, and its attributes, or what pickle would keep of it."""
        yield from self._parts(type(value))
        attributes, slots = getattr(value, "__dict__", {}), slots_of(value)
        if "__wrapped__" in attributes:  # such as `functools.cache` makes: the function counts
            attributes = {k: v for k, v in attributes.items() if k not in WRAPPED}
        if attributes or slots or not self._foreign_class(type(value)):
            yield from self._several("state", (dict(sorted(attributes.items())), slots))
            return
        # Its state lies in another language.
        reduced = coerce.guarded(functools.partial(pickled, value))
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
        return not file or (is_installed(file) and not (mine and not is_standard(file)))

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
