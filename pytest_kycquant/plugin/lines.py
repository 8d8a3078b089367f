"""The line of a gate file at which an error of this plugin is shown, as pytest shows lines."""

from __future__ import annotations

import ast
import importlib
import inspect
import linecache
import sysconfig
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _pytest
import pluggy
import pytest

from ..errors import KycquantError, KycquantWarning
from ..files import from_here
from .gated import MARKER, GateClass
from .session import SESSION

_COLLECTED: pytest.StashKey[dict[str, str]] = pytest.StashKey()
_PACKAGES = ("site-packages", "dist-packages")


def is_users(path: Path | str) -> bool:
    """Whether code is neither this package's nor that of pytest or of Python itself."""
    if str(path).startswith("<"):
        return False
    tools = (Path(file).parent for file in (_pytest.__file__, pluggy.__file__, importlib.__file__))
    places = Path(__file__).parents[1], *tools
    if any(map(Path(path).is_relative_to, places)):
        return False
    standard = Path(sysconfig.get_path("stdlib"))
    return not Path(path).is_relative_to(standard) or bool({*Path(path).parts} & {*_PACKAGES})


def at_line(definition: pytest.Item, error: KycquantError) -> str:
    """An error about what a class or a marker says, with the line that says it.

    Args:
        definition: a test of the gate.
        error: the error; the last part of its `where` names the attribute.
    """
    attribute = error.where.rpartition(".")[2]
    for owner in _owners(definition):
        place = _place(owner, attribute)
        if place is not None:
            file, line = place
            shown = from_here(file, definition.config.invocation_params.dir)
            source = linecache.getline(file, line).strip()
            return f"{shown}:{line}: in {owner.__name__}\n    {source}\nE   {error}"
    return str(error)


def show_collection_error(
    node: pytest.Item | pytest.Collector,
    excinfo: pytest.ExceptionInfo[BaseException],
    report: pytest.CollectReport,
) -> None:
    """Show an error of this plugin in a file by the lines of that file, and each error once.

    Args:
        node: what could not be collected.
        excinfo: what it raised.
        report: what pytest will show; it is changed.
    """
    error = excinfo.value
    if not isinstance(error, (KycquantError, KycquantWarning)):
        if hint := _import_hint(node.path, error.__cause__):
            report.longrepr = f"{report.longrepr}\nE   {hint}"
        return
    # pytest itself shows an error of a file from that file on, too.
    frames = excinfo.traceback.cut(path=node.path).filter(lambda entry: is_users(entry.path))
    excinfo.traceback = frames.filter(excinfo)
    shown = excinfo.getrepr(style="short", chain=False)
    if shown.reprcrash is not None:
        shown.reprcrash.message = str(error)  # without the class name in front
    report.longrepr = shown
    known = node.config.stash.setdefault(_COLLECTED, {})
    first = known.setdefault(str(error), node.nodeid)
    if first != node.nodeid:  # files that import each other fail by one error
        where = str(error).partition(": ")[0]
        report.longrepr = f"{where}: this file cannot be collected; see the error of {first}"
    elif node.config.stash[SESSION].is_worker:
        report.longrepr = str(shown)  # pytest-xdist shows equal texts of its workers once


def _import_hint(file: Path, error: BaseException | None) -> str:
    """What to do if a gate file cannot import its neighbour; "" if that is not what happened.

    Args:
        file: the file that pytest could not import.
        error: what it raised.
    """
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    if not name or not file.with_name(f"{name}.py").is_file():
        return ""
    if b"pytest_kycquant" not in file.read_bytes():
        return ""
    return (
        f"{name}.py lies beside {file.name}, but --import-mode=importlib does not look there; "
        f"write `from . import {name}`, or add that folder to `pythonpath` in the ini file"
    )


def _owners(definition: pytest.Item) -> Iterator[Any]:
    """The user's classes that may say it, the nearest first, or the function with the marker."""
    cls = getattr(definition, "cls", None)
    if isinstance(cls, type) and issubclass(cls, GateClass):
        users = [base for base in cls.__mro__[:-1] if is_users(inspect.getsourcefile(base) or "<")]
        yield from users
        yield from users[:1]
    else:
        yield getattr(definition, "function", None)


def _place(owner: Any, attribute: str) -> tuple[str, int] | None:
    """The file and the line where a class sets an attribute, or a function has the marker."""
    try:
        file, (lines, start) = inspect.getsourcefile(owner), inspect.getsourcelines(owner)
        tree = ast.parse(textwrap.dedent("".join(lines))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    if file is None:
        return None
    if isinstance(tree, ast.ClassDef):
        for node in tree.body:
            if attribute in _names(node):
                return file, start + node.lineno - 1
        return None
    decorators = getattr(tree, "decorator_list", [])
    marked = [one.lineno for one in decorators if MARKER in ast.unparse(one)]
    return file, start + (marked[0] if marked else 1) - 1


def _names(node: ast.stmt) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [one.id for one in targets if isinstance(one, ast.Name)]
