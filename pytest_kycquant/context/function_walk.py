"""Follows all that a user's function can reach: see `function_digest`."""

from __future__ import annotations

import collections
import contextlib
import enum
import functools
import hashlib
import inspect
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from ..errors import SpecError
from ..spec import coerce
from .function_parts import (
    WRAPPED,
    as_text,
    attributes_of,
    described_fields,
    file_of,
    imported_by,
    is_found,
    is_installed,
    is_large,
    is_standard,
    seen_from,
    settings_of,
    slots_of,
    unwrapped,
    used_by,
    vars_of,
)
from .function_source import NoSourceError, assigned, class_source, function_source
from .function_state import is_plain_class, layout_of, lies_elsewhere, pickled, stands_for

_PLAIN = (type(None), bool, int, float, complex, bytes, type(...), type(NotImplemented))
# Made anew for each use, or shared by chance: whether two of them are one object means nothing.
_FLEETING = (tuple, frozenset, range, slice, np.generic, types.MethodType, types.BuiltinMethodType)
DEEPEST = 500  # objects within each other
_UNREADABLE = (
    "make it inside of the function (a helper with functools.cache makes it only once), or use "
    "plain values, arrays and your own classes"
)


class Walk:
    """Follows everything that a function can reach, each object once.

    Args:
        where: the argument, for messages.
        package: name of the function's own package.
        folder: the folder of its file.
        names: the attributes of modules that count.
    """

    def __init__(
        self, where: str, package: str, folder: Path | None, names: frozenset[str]
    ) -> None:
        self._given = where, package, folder, names
        self._where = where
        self._package = package
        self._folder = folder
        self._names = names
        self._places: dict[int, int] = {}
        self._kept: list[Any] = []  # an id is only good as long as its object lives
        self._state = hashlib.sha256()
        self._known: dict[type, bool] = {}
        self._depth = 0
        self.place = ""  # the variable of the user's that is being followed
        self.attributes: set[str] = set()
        self.meets_modules = False

    def digest(self, value: Any) -> str:
        """SHA-256 of a value and of all that it uses."""
        self._follow(value)
        return self._state.hexdigest()

    def _put(self, text: str | bytes) -> None:
        part = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        self._state.update(len(part).to_bytes(8, "big") + part)

    def _follow(self, value: Any) -> None:
        """Add what tells a value from others, whatever it is."""
        kind = type(value)  # an object may claim to be of another class
        if kind is str:
            self._put(f"str {seen_from(self._folder, value)!r}")
            return
        if kind in _PLAIN:
            self._put(f"{kind.__name__} {as_text(value)}")
            return
        if id(value) in self._places:  # also in a circle
            self._put(f"see {self._places[id(value)]}")
            return
        if not issubclass(kind, _FLEETING):
            self._places[id(value)] = len(self._places)
        self._kept.append(value)
        if self._depth > DEEPEST:
            raise SpecError(
                self._where,
                f"uses {self.place or 'something'}, which is nested too deeply to be read",
                "use a flat list, or make it inside of the function",
            )
        self._depth += 1
        self._inside(value, kind)
        self._depth -= 1

    def _inside(self, value: Any, kind: type) -> None:
        if (standing := stands_for(value)) is not None:
            self._put(kind.__qualname__)
            self._several("stands for", standing)
            self._own(value)
            return
        for known, follow in _KINDS:
            if issubclass(kind, known):
                follow(self, value)
                return
        self._object(value)

    def _several(self, word: str, values: Iterable[Any]) -> None:
        self._put(word)
        for each in values:
            self._follow(each)
        self._put("end")

    @contextlib.contextmanager
    def _at(self, place: str) -> Iterator[None]:
        before, self.place = self.place, place
        yield
        self.place = before

    def _variable(self, name: str, value: Any, owner: str) -> None:
        """A variable of the user's, whose name a message can tell."""
        self._put(name)
        with self._at(f"{name} of {owner} ({type(value).__name__})"):
            self._follow(value)

    # Code

    def _function(self, value: types.FunctionType) -> None:
        code, variables = value.__code__, value.__globals__
        module = str(variables.get("__name__", ""))
        if self._foreign(code.co_filename, module):
            self._installed(value)
            return
        name = f"{module}.{value.__qualname__}"
        try:
            self._put(function_source(value))
        except NoSourceError as error:
            problem = f"uses {name}, which {error.args[0]}, so a change would go unnoticed"
            raise SpecError(self._where, problem, error.args[1]) from error
        with self._at(f"a default value of {name}"):
            self._several("defaults", (value.__defaults__, value.__kwdefaults__))
        with self._at(f"an attribute of {name}"):
            self._several("attributes", (settings_of(value),))
        used = used_by(code)
        self.attributes |= used.attributes
        if "__doc__" in used.attributes:
            self._put(inspect.cleandoc(str(value.__doc__)))
        for variable, cell in zip(code.co_freevars, value.__closure__ or (), strict=True):
            self._put(variable)
            with contextlib.suppress(ValueError):  # not assigned yet
                self._variable(variable, cell.cell_contents, name)
        for variable in sorted(used.globals & variables.keys()):
            found = variables[variable]
            if not variable.startswith("@"):  # those are pytest's own
                self._variable(variable, found, f"module {module}")
            if (standing := stands_for(found)) and standing[0] == "random numbers":
                self._put(assigned(variable, variables))
        for each in imported_by(used, variables.get("__package__") or None):
            self._follow(each)

    def _installed(self, value: types.FunctionType) -> None:
        """A function of an installed package, or one that such made for the user's."""
        if is_found(value, self._foreign):
            self._named(value)
            return
        module = str(value.__globals__.get("__name__", ""))
        self._put(f"made by {module.partition('.')[0]}")
        if isinstance(registry := vars(value).get("registry"), types.MappingProxyType):
            self._several("dispatches", (dict(registry),))  # of functools.singledispatch
            return
        self._several("defaults", (value.__defaults__, value.__kwdefaults__))
        kept = {k: v for k, v in settings_of(value).items() if k not in WRAPPED}
        self._several("attributes", (kept,))
        for cell in value.__closure__ or ():
            with contextlib.suppress(ValueError):
                self._follow(cell.cell_contents)

    def _module(self, value: types.ModuleType) -> None:
        """A module; of a user's, all that some code may use of it."""
        if self._foreign(file_of(value), value.__name__):
            self._put(f"module {value.__name__}")
            return
        self._put("module")  # its name depends on where pytest runs
        self.meets_modules = True
        for name in sorted((self._names | {"__getattr__"}) & vars(value).keys()):
            self._variable(name, vars(value)[name], f"module {value.__name__}")

    def _class(self, value: type) -> None:
        if self._foreign_class(value):
            self._put(f"class {self._name_of(value)}")
            return
        self._put(f"class {value.__qualname__}")
        name = f"class {self._name_of(value)}"
        self._put(class_source(value))
        self._several("bases", value.__bases__)
        self._several("made by", (type(value),))
        with self._at(f"a field of {name}"):
            self._several("fields", described_fields(value))
        for attribute, each in attributes_of(value).items():
            self._variable(attribute, each, name)

    def _name_of(self, kind: type) -> str:
        return f"{kind.__module__}.{kind.__qualname__}"

    def _method(self, value: types.MethodType) -> None:
        self._several("method", (value.__func__, value.__self__))

    def _partial(self, value: functools.partial[Any]) -> None:
        self._several("partial", (value.func, value.args, dict(value.keywords)))
        self._own(value)

    def _property(self, value: Any) -> None:
        self._several(type(value).__name__, (unwrapped(value),))

    def _named(self, value: Any) -> None:
        """Something that is installed or built in."""
        name = getattr(value, "__qualname__", None) or getattr(value, "__name__", "")
        if str(name).endswith("(vectorized)"):  # of numpy.frompyfunc, which hides the function
            self._refuse(value)
        self._put(f"{getattr(value, '__module__', None)}.{name}")
        owner = getattr(value, "__self__", None)  # of a method that is written in C
        if owner is not None and not isinstance(owner, types.ModuleType | type):
            self._follow(owner)

    # Data

    def _text(self, value: str) -> None:
        self._put(f"str {seen_from(self._folder, str.__str__(value))!r}")
        self._own(value)

    def _number(self, value: Any) -> None:
        base = next(each for each in (int, float, complex, bytes) if isinstance(value, each))
        self._put(f"{base.__name__} {as_text(value, base)}")
        self._own(value)

    def _sequence(self, value: Any) -> None:
        kind = type(value)
        items = list(next(b for b in (list, tuple, range) if issubclass(kind, b)).__iter__(value))
        if {*map(type, items)} <= {*_PLAIN} and not any(map(is_large, items)):
            self._put(f"{kind.__qualname__} {items!r}")
        else:
            self._several(kind.__qualname__, items)
        self._own(value)

    def _set(self, value: Any) -> None:
        alone = []
        base = set if issubclass(type(value), set) else frozenset
        for each in base.__iter__(value):
            walk = Walk(*self._given)
            walk._places, walk._kept = dict(self._places), self._kept
            walk.place, walk._depth = self.place, self._depth
            alone.append(walk.digest(each))
            self.attributes |= walk.attributes
            self.meets_modules |= walk.meets_modules
        self._several(type(value).__qualname__, sorted(alone))
        self._own(value)

    def _mapping(self, value: Mapping[Any, Any]) -> None:
        """A dict in its order, since a function may go through it."""
        if not isinstance(value, dict) and not self._foreign_class(type(value)):
            self._object(value)  # its methods may do anything
            return
        items = dict.items(value) if isinstance(value, dict) else value.items()
        self._several(type(value).__qualname__, (part for item in items for part in item))
        if issubclass(type(value), collections.defaultdict):
            self._follow(value.default_factory)  # type: ignore[attr-defined]
        self._own(value)

    def _own(self, value: Any) -> None:
        """What a class of the user's adds to one of Python's."""
        if not self._foreign_class(type(value)):
            self._follow(type(value))
            with self._at(f"an attribute of an object of {self._name_of(type(value))}"):
                self._several("attributes", (_sorted(vars_of(value)), slots_of(value)))

    def _array(self, value: Any) -> None:
        kind = type(value)
        array = np.asarray(value)
        shape = f"{layout_of(array.dtype)} {array.shape}"
        if array.dtype.hasobject:
            self._several(f"objects {shape}", array.ravel().tolist())
        else:
            self._put(f"array {shape}")
            self._put(np.ascontiguousarray(array).tobytes())
        if issubclass(kind, np.ma.MaskedArray):
            self._array(np.ma.getmaskarray(value))
            self._several("masked", (value.fill_value, bool(value.hardmask)))
        if kind is not np.ndarray and not issubclass(kind, np.generic):
            self._put(kind.__name__)  # such as a matrix, which multiplies otherwise
        self._own(value)

    def _enum(self, value: enum.Enum) -> None:
        self._put(f"{value.name}" if value.name is not None else repr(value._value_))
        self._follow(type(value))

    def _path(self, value: PurePath) -> None:
        self._put(f"path {seen_from(self._folder, value.as_posix())}")
        self._own(value)

    def _object(self, value: Any) -> None:
        """An object: its class, and its attributes, or what pickle would keep of it."""
        kind = type(value)
        self._follow(kind)
        attributes, slots = vars_of(value), slots_of(value)
        if "__wrapped__" in attributes:  # such as `functools.cache` makes: the function counts
            attributes = {k: v for k, v in attributes.items() if k not in WRAPPED}
        own = not self._foreign_class(kind)
        if own:
            with self._at(f"an attribute of an object of {self._name_of(kind)}"):
                self._several("state", (_sorted(attributes), slots))
        elif attributes or slots:
            self._several("state", (_sorted(attributes), slots))
        if not lies_elsewhere(kind) and (attributes or own or is_plain_class(kind)):
            return
        # Its state, or some of it, lies in another language.
        reduced = coerce.guarded(functools.partial(pickled, value))
        if isinstance(reduced, tuple):
            made, given, *rest = reduced
            state, *items = [*rest, None, None, None][:3]
            read = [list(each) if each is not None else None for each in items]
            self._several("pickled", (made, given, state, *read))
        elif isinstance(reduced, str):
            self._put(f"named {reduced}")
        else:
            self._refuse(value)

    def _refuse(self, value: Any) -> None:
        kind = type(value).__name__
        what = f"{self.place or coerce.shown(value)}, whose state"
        if self.place and f"({kind})" not in self.place:
            what = f"{self.place}, which holds an object of the type {kind}: its state"
        raise SpecError(
            self._where,
            f"uses {what} cannot be read, so a change would go unnoticed",
            _UNREADABLE,
        )

    def _foreign(self, file: str | None, module: str | None) -> bool:
        """Whether something is built in or installed, and not of the function's own package."""
        mine = (module or "").partition(".")[0] == self._package
        return not file or (is_installed(file) and not (mine and not is_standard(file)))

    def _foreign_class(self, kind: type) -> bool:
        if kind not in self._known:
            self._known[kind] = self._foreign(file_of(kind), kind.__module__)
        return self._known[kind]


def _sorted(attributes: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(attributes.items(), key=lambda each: str(each[0])))


_KINDS: tuple[tuple[Any, Any], ...] = (
    (enum.Enum, Walk._enum),
    ((np.ndarray, np.generic), Walk._array),
    (types.ModuleType, Walk._module),
    (types.FunctionType, Walk._function),
    (types.MethodType, Walk._method),
    (functools.partial, Walk._partial),
    ((staticmethod, classmethod, property, functools.cached_property), Walk._property),
    (type, Walk._class),
    (
        (
            types.BuiltinFunctionType,
            types.MethodDescriptorType,
            types.WrapperDescriptorType,
            np.ufunc,
        ),
        Walk._named,
    ),
    (PurePath, Walk._path),
    ((dict, Mapping), Walk._mapping),
    ((set, frozenset), Walk._set),
    ((list, tuple, range), Walk._sequence),
    (str, Walk._text),
    ((int, float, complex, bytes), Walk._number),
)
"""How each kind of value is told from others; the first that fits counts."""
