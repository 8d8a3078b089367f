"""What a function is made of: the names in its code, where it comes from, the state of objects."""

from __future__ import annotations

import dataclasses
import dis
import enum
import functools
import importlib.util
import inspect
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..spec import coerce

_INSTALLED = ("site-packages", "dist-packages")
# Libraries that users build on, whose objects may be the function itself.
_LIBRARIES = (
    *("numpy", "scipy", "cv2", "PIL", "pandas", "sklearn", "skimage", "onnxruntime", "onnx"),
    *("torch", "torchvision", "tensorflow", "keras", "jax", "kornia", "albumentations"),
    *("imageio", "numba", "mediapipe", "insightface", "dlib", "timm", "transformers"),
)
_GLOBALS = (
    *("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"),
    "LOAD_FROM_DICT_OR_GLOBALS",
)
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "IMPORT_FROM", "LOAD_SUPER_ATTR")
# What reads a variable by a name in a text.
_BY_TEXT = frozenset(
    {"globals", "vars", "getattr", "hasattr", "__dict__", "attrgetter", "methodcaller"}
)
_IMPORTS_BY_TEXT = frozenset({"import_module", "__import__", "modules"})
_LARGE = 2**64
_SHALLOW = 2  # parts of a path that any two have in common, such as / and home
IS_HEAP = 1 << 9  # of `type.__flags__`: the class was made while Python ran
# Attributes of classes that Python adds, many of them in some versions only.
_ADDED = frozenset(
    (
        *("_abc_impl", "__abstractmethods__", "__annotate__", "__annotate_func__"),
        *("__annotations__", "__annotations_cache__", "__attrs_attrs__", "__attrs_props__"),
        *("__dataclass_fields__", "__dataclass_params__", "__dict__", "__doc__"),
        *("__firstlineno__", "__match_args__", "__module__", "__orig_bases__", "__parameters__"),
        *("__qualname__", "__slots__", "__static_attributes__", "__type_params__", "__weakref__"),
        *("_is_protocol", "_is_runtime_protocol", "__protocol_attrs__"),
        *("__callable_proto_members_only__", "__non_callable_proto_members__"),
    )
)
# Modules whose functions a class gets without asking for them by name.
_ADDING = (
    *("abc", "attr", "attrs", "collections", "dataclasses", "enum", "functools", "reprlib"),
    "typing",
)
# Types of what stands for a part of an object in its class.
_PLACES = ("_tuplegetter", "CField")
_BUILT_IN = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
)
# What `functools.update_wrapper` copies to what wraps a function.
WRAPPED = (
    *("__module__", "__name__", "__qualname__", "__doc__", "__annotations__", "__annotate__"),
    "__type_params__",
)
_MARKS = ("pytestmark",)


class Used(NamedTuple):
    """The names that code uses: globals, attributes, and imports as (module, level, names)."""

    globals: set[str]
    attributes: set[str]
    imports: set[tuple[str, int, tuple[str, ...]]]


def folder_of(function: Any) -> Path | None:
    """The folder of the file that defines a function, or the class of an object."""
    found = coerce.guarded(lambda: inspect.getfile(inspect.unwrap(_definition_of(function))))
    return None if found is None else Path(found).absolute().parent


def package_of(function: Any) -> str:
    """Name of the top-level package or module that a function comes from; "" for a library."""
    module = getattr(_definition_of(function), "__module__", None)
    package = str(module or "").partition(".")[0]
    return "" if package in _LIBRARIES else package


def _definition_of(function: Any) -> Any:
    """The function or class that a callable object was made from."""
    for _ in range(100):
        inner = [
            vars_of(function).get(name)
            for name in ("__wrapped__", "pyfunc", "py_func")
            if not isinstance(function, type)
        ]
        if issubclass(type(function), functools.partial):
            function = function.func
        elif any(callable(each) for each in inner):
            function = next(each for each in inner if callable(each))
        else:
            break
    kinds = types.FunctionType | types.MethodType | types.BuiltinFunctionType | type
    return function if isinstance(function, kinds) else type(function)


@functools.lru_cache(maxsize=4096)
def used_by(code: types.CodeType) -> Used:
    """What code and the functions inside of it use by name."""
    found = Used(set(), set(), set())
    texts: set[str] = set()
    constants: list[Any] = []
    for step in dis.get_instructions(code):
        if step.opname in _GLOBALS:
            found.globals.add(step.argval)
        elif step.opname == "IMPORT_NAME":
            # The level, such as 1 for "from . import x", and the names were loaded just before.
            level, names = constants[-2:] if len(constants) > 1 else (0, None)
            level = level if isinstance(level, int) else 0
            names = names if isinstance(names, tuple) else ()
            found.imports.add((step.argval, level, names))
        elif step.opname in _ATTRIBUTES:
            found.attributes.add(step.argval)
        if step.opname in ("LOAD_CONST", "LOAD_SMALL_INT"):
            constants.append(step.argval)
            several = step.argval if isinstance(step.argval, tuple | frozenset) else [step.argval]
            texts.update(each for each in several if isinstance(each, str))
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            more = used_by(each)
            found.globals.update(more.globals)
            found.attributes.update(more.attributes)
            found.imports.update(more.imports)
    if (found.globals | found.attributes) & _IMPORTS_BY_TEXT:
        found.imports.update((text, 0, ()) for text in texts if text[:1].isidentifier())
    if (found.globals | found.attributes) & _BY_TEXT:
        found.globals.update(texts)
        found.attributes.update(texts)
    return found


def imported_by(used: Used, package: str | None) -> Iterator[types.ModuleType]:
    """Import the modules that code imports when it runs, unless they are installed."""
    for name, level, names in sorted(used.imports):
        if not level and not _may_be_own(name.partition(".")[0]):
            continue
        parts = name.split(".")
        wanted = [".".join(parts[: count + 1]) for count in range(len(parts))]
        joined = f"{name}." if name else ""
        for each in [*wanted, *(f"{joined}{inner}" for inner in names)]:
            module = coerce.guarded(
                functools.partial(importlib.import_module, "." * level + each, package)
            )
            if isinstance(module, types.ModuleType):  # otherwise the function says what is wrong
                yield module


def _may_be_own(name: str) -> bool:
    """Whether a top-level module may be the user's: others need not be imported."""
    if name in sys.modules:
        return True
    spec = coerce.guarded(lambda: importlib.util.find_spec(name))
    return spec is not None and not (spec.origin and is_installed(spec.origin))


def unwrapped(attribute: Any) -> Any:
    """The function of a static, class or cached method or property."""
    if isinstance(attribute, staticmethod | classmethod):
        return attribute.__func__
    if isinstance(attribute, property):
        return (attribute.fget, attribute.fset, attribute.fdel)
    return attribute.func if isinstance(attribute, functools.cached_property) else attribute


def attributes_of(kind: type) -> dict[str, Any]:
    """What a user's class does and has, without what Python adds; members of an enum are apart."""
    is_enum = issubclass(kind, enum.Enum)
    members = kind._member_map_ if issubclass(kind, enum.Enum) else {}
    is_tuple = issubclass(kind, tuple) and hasattr(kind, "_fields")
    made = dataclasses.is_dataclass(kind) or is_enum or is_tuple or _is_attrs(kind)
    found: dict[str, Any] = {}
    for name, each in sorted(vars(kind).items()):
        inner = unwrapped(each)
        function = isinstance(inner, types.FunctionType)
        if name in _ADDED or isinstance(
            inner, types.GetSetDescriptorType | types.MemberDescriptorType
        ):
            continue  # the value of a slot belongs to the object
        if (function and _is_added(inner)) or inner is getattr(object, name, None):
            continue  # such as `__replace__`, which 3.13 adds to dataclasses
        if function and made and inner.__code__.co_filename.startswith("<"):
            continue  # made from a text
        if is_enum and (name in members or (_is_sunder(name) and not function)):
            continue
        if is_enum and isinstance(inner, _BUILT_IN):
            continue
        if type(each).__name__ in _PLACES:
            continue
        found[name] = inner
    return found


def described_fields(kind: type) -> list[Any]:
    """What a class statement says about the fields of objects: defaults, factories, members."""
    if issubclass(kind, enum.Enum):
        own = ("_value_", "_name_", "__objclass__", "_sort_order_")
        return [
            [name, each._value_, {k: v for k, v in vars_of(each).items() if k not in own}]
            for name, each in kind._member_map_.items()
        ]
    if issubclass(kind, tuple):
        return [getattr(kind, "_fields", ()), getattr(kind, "_field_defaults", {})]
    fields = vars(kind).get("__dataclass_fields__") or {}
    if fields:
        missing = dataclasses.MISSING
        return [
            [field.name, *(x for x in (field.default, field.default_factory) if x is not missing)]
            for field in fields.values()
        ]
    if _is_attrs(kind):
        parts = ("name", "default", "converter", "validator")
        return [[getattr(each, x, None) for x in parts] for each in vars(kind)["__attrs_attrs__"]]
    return []


def _is_added(function: types.FunctionType) -> bool:
    """Whether Python puts a function into classes; what a user made with its help has a closure."""
    module = str(function.__globals__.get("__name__", "")).partition(".")[0]
    return module in _ADDING and not (module == "functools" and function.__closure__)


def _is_attrs(kind: type) -> bool:
    return "__attrs_attrs__" in vars(kind)


def _is_sunder(name: str) -> bool:
    return name.startswith("_") and name.endswith("_") and not name.startswith("__")


def is_large(value: Any) -> bool:
    """Whether a number may be one that Python refuses to write in decimals."""
    return type(value) is int and abs(value) >= _LARGE


def as_text(value: Any, base: Any = None) -> str:
    """A plain value as a text.

    Args:
        value: the value.
        base: the class of Python's own that its class derives from.
    """
    if isinstance(value, int) and is_large(int(value)):
        return hex(value)
    return repr(value) if base is None else str(base.__repr__(value))


def vars_of(value: Any) -> dict[str, Any]:
    """The attributes that an object itself has, whatever its class makes of them."""
    found = coerce.guarded(lambda: object.__getattribute__(value, "__dict__"), {})
    return dict(found) if isinstance(found, dict | types.MappingProxyType) else {}


def slots_of(value: Any) -> dict[str, Any]:
    """The values in the slots of an object, private ones and those of its bases included."""
    found = {}
    for depth, kind in enumerate(reversed(type(value).__mro__)):
        if "__slots__" not in vars(kind):
            continue
        for name, slot in sorted(vars(kind).items()):
            if isinstance(slot, types.MemberDescriptorType) and not name.startswith("__"):
                try:
                    found[name if name not in found else f"{depth} {name}"] = slot.__get__(value)
                except AttributeError:  # not assigned yet
                    continue
    return found


def settings_of(function: types.FunctionType) -> dict[str, Any]:
    """The attributes of a function."""
    return {name: each for name, each in vars(function).items() if name not in _MARKS}


def is_found(value: Any, foreign: Callable[[str | None, str | None], bool]) -> bool:
    """Whether an installed module has a function under its name."""
    module = sys.modules.get(value.__module__ or "")
    if module is None or not foreign(file_of(module), module.__name__):
        return False
    found: Any = module
    for part in value.__qualname__.split("."):
        found = vars(found).get(part) if isinstance(found, types.ModuleType | type) else None
        found = unwrapped(found)
    return found is value


def seen_from(folder: Path | None, text: str) -> str:
    """A text; a path in the project as seen from the function, for other machines have others.

    ``Path(__file__).parent`` is such a path.
    """
    if folder is None or not text.startswith(folder.anchor or "/"):
        return text
    found = [
        (up, Path(text).relative_to(above).as_posix())
        for start in (folder, folder.resolve())  # it may be behind a link
        for up, above in enumerate((start, *start.parents))
        if len(above.parts) > _SHALLOW and Path(text).is_relative_to(above)
    ]
    if not found:
        return text
    up, below = min(found)
    return "../" * up + below


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


def file_of(value: Any) -> str | None:
    """The file of a module, or of a class; a package without ``__init__`` has only folders.

    None if it is built in.
    """
    if isinstance(value, types.ModuleType):
        paths = coerce.guarded(lambda: list(value.__path__), [])
        return getattr(value, "__file__", None) or (f"{paths[0]}/" if paths else None)
    file: str | None = coerce.guarded(lambda: inspect.getfile(value))
    if file is None and value.__flags__ & IS_HEAP and _is_unknown(value):
        codes = (getattr(each, "__code__", None) for each in vars(value).values())
        files = (code.co_filename for code in codes if code is not None)
        file = next((each for each in files if not each.startswith("<")), "<unknown>")
    return file


def _is_unknown(kind: type) -> bool:
    """Whether no module is known that has a class."""
    module = sys.modules.get(kind.__module__)
    return module is None or (
        kind.__module__ == "builtins" and getattr(module, kind.__name__, None) is not kind
    )
