"""Gates that nobody runs because a later definition of the same name took their place.

Python keeps the last of two definitions, so a copied class whose name was forgotten hides the first
one without a word. Only the source still knows both.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from ..errors import SpecError
from .gated import MARKER, GateClass

_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def refuse_shadowed(file: Path, names: Mapping[str, Any]) -> None:
    """Refuse a file in which a gate, or a test of a gate, is defined again by its name.

    Definitions within `if` or `try` are alternatives, and are left alone.

    Args:
        file: the file, as pytest imported it.
        names: the names of its module.

    Raises:
        SpecError: there is such a definition.
    """
    if not any(_is_ours(value) for value in list(names.values())):
        return
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, ValueError, SyntaxError):  # imported from elsewhere, or changed since
        return
    everywhere = any(_sets_marker(node) for node in tree.body)
    for first, second in _twice(tree.body):
        if everywhere or _is_gate(first, names):
            raise _twice_error(file, first, second, first.name)
    for owner in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        if not (everywhere or _is_gate(owner, names)):
            continue
        for first, second in _twice(owner.body):
            if first.name.startswith("test"):
                raise _twice_error(file, first, second, f"{owner.name}.{first.name}")


def _twice(body: list[ast.stmt]) -> Iterator[tuple[_Definition, _Definition]]:
    """Yield each definition that a later one of the same name replaces, with that one."""
    seen: dict[str, _Definition] = {}
    for node in body:
        if isinstance(node, _Definition) and not _is_accessor(node):
            if node.name in seen:
                yield seen[node.name], node
            seen[node.name] = node


def _is_accessor(node: _Definition) -> bool:
    """Whether a definition adds to the one before it, as ``@name.setter`` and overloads do."""
    texts = [ast.unparse(decorator) for decorator in node.decorator_list]
    return any(text.endswith((".setter", ".getter", ".deleter", "overload")) for text in texts)


def _is_gate(node: _Definition, names: Mapping[str, Any]) -> bool:
    """Whether a definition is a gate class, or carries the marker."""
    if any(MARKER in ast.unparse(decorator) for decorator in node.decorator_list):
        return True
    if not isinstance(node, ast.ClassDef):
        return False
    if any(_sets_marker(inner) for inner in node.body):
        return True
    bases = (_named(base, names) for base in node.bases)
    return any(isinstance(base, type) and issubclass(base, GateClass) for base in bases)


def _sets_marker(node: ast.stmt) -> bool:
    text = ast.unparse(node) if isinstance(node, ast.Assign) else ""
    return text.startswith("pytestmark = ") and f".{MARKER}" in text


def _named(base: ast.expr, names: Mapping[str, Any]) -> Any:
    """What a base such as ``FaceGates`` or ``kyc.FaceGates`` stands for; None if unknown."""
    found: Any = None
    for place, part in enumerate(ast.unparse(base).split(".")):
        found = names.get(part) if place == 0 else getattr(found, part, None)
    return found


_MODULE_OF_CLASS = vars(type)["__module__"]  # a metaclass may have its own


def _is_ours(value: Any) -> bool:
    """Whether a file got this name from the package, or has a gate class of its own."""
    # The test modules of any suite hold proxies and lazy objects, so nothing of theirs is called.
    kind = type(value)
    if issubclass(kind, type):
        return issubclass(value, GateClass) or _in_package(_MODULE_OF_CLASS.__get__(value))
    if kind is ModuleType:
        return _in_package(vars(value).get("__name__"))
    return kind is FunctionType and _in_package(value.__module__)


def _in_package(module: Any) -> bool:
    return isinstance(module, str) and module.partition(".")[0] == __name__.partition(".")[0]


def _twice_error(file: Path, first: _Definition, second: _Definition, name: str) -> SpecError:
    return SpecError(
        f"{file.name}: {name}",
        f"is defined in line {first.lineno} and again in line {second.lineno}, so the first one is "
        "never run",
        "give one of them another name",
    )
