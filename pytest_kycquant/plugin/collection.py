"""The tests of gates that pytest collected, those that it will run, and those that it overlooks."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..errors import GateCollectionWarning, KycquantError, SpecError
from .gated import MARKER, GateClass, is_gated
from .shadowed import refuse_shadowed

_FIXTURES = {"candidate", "golden", "kyc_pipeline", "quantize"}
_PACKAGE = __name__.partition(".")[0]
COLLECTED: pytest.StashKey[list[pytest.Item]] = pytest.StashKey()


_LOOKED: pytest.StashKey[bool] = pytest.StashKey()


@dataclass(frozen=True)
class GateTests:
    """The tests of one gate.

    Args:
        requested: for each test that pytest collected, deselected ones included, the label of the
            precision that it runs on, by node id; "" for a test that runs once.
        asked: names of the gates that the tests of this run assert; None if that cannot be told,
            because a test of the user's may look at any of them.
        names: node ids of the classes or functions that these tests belong to.
    """

    requested: dict[str, str]
    asked: frozenset[str] | None
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, members: Iterable[pytest.Item], selected: Iterable[pytest.Item]) -> GateTests:
        """Describe the tests of a gate.

        Args:
            members: all of its tests.
            selected: those that this run did not deselect.
        """
        members = list(members)
        requested = {item.nodeid: _precision(item) for item in members}
        names = tuple(sorted(set(map(gate_name, members))))
        asked: set[str] = set()
        for item in selected:
            gate = _own_gate(item)
            if gate:
                asked.add(gate)
            elif {"candidate", "kyc_pipeline"} & set(getattr(item, "fixturenames", ())):
                return cls(requested, None, names)
        return cls(requested, frozenset(asked), names)


def note_collected(collector: pytest.Collector, report: pytest.CollectReport) -> None:
    """Remember the tests of gates that a collector found, before any of them is deselected."""
    found = [node for node in report.result or () if isinstance(node, pytest.Item)]
    gated = [item for item in found if is_gated(item)]
    if gated:
        collector.session.stash.setdefault(COLLECTED, []).extend(gated)


def warn_uncollected(collector: pytest.Module | pytest.Class, name: str, value: object) -> None:
    """Warn of a gate that pytest will not run because of its name.

    Args:
        collector: the module or class that pytest is collecting.
        name: a name in it.
        value: what bears that name.

    Raises:
        CollectError: pytest would collect the class but none of its gates.
    """
    if isinstance(value, type):
        module = collector.getparent(pytest.Module)
        classes = list(_gate_classes(value, "" if module is None else module.obj.__name__))
        collected = bool(classes) and collector.istestclass(value, name)
        for cls in classes:
            if cls is value and collected:
                if issubclass(cls, GateClass):
                    _refuse_changed(cls)
            elif not (collected or _serves_otherwise(cls)):  # else pytest looks into it next
                what = f"gate class {cls.__qualname__}"
                _warn(collector, cls, what, "a class with a name like Test*")
    elif not collector.istestfunction(value, name):
        _look_at_function(collector, name, value)


def applies(collector: pytest.Module | pytest.Class, name: str) -> bool:
    """Whether a name in a collector is not a test that its gate class has no data for."""
    cls = collector.obj if isinstance(collector, pytest.Class) else None
    return not (isinstance(cls, type) and issubclass(cls, GateClass)) or cls.has_test(name)


def look_for_shadowed(collector: pytest.Module | pytest.Class) -> None:
    """Refuse a module in which a gate is defined again by its name, once for each module.

    Raises:
        CollectError: there is such a definition.
    """
    if isinstance(collector, pytest.Module) and _LOOKED not in collector.stash:
        collector.stash[_LOOKED] = True
        try:
            refuse_shadowed(collector.path, vars(collector.obj))
        except SpecError as error:
            raise pytest.Collector.CollectError(str(error)) from None


def warn_unjudged(session: pytest.Session) -> None:
    """Warn of each gate whose tests ask for none of this plugin's fixtures."""
    asked: dict[str, list[pytest.Item]] = {}
    for item in session.stash.get(COLLECTED, []):
        asked.setdefault(gate_name(item), []).append(item)
    for name, items in asked.items():
        if not any(_FIXTURES & set(getattr(item, "fixturenames", ())) for item in items):
            wanted = ", ".join(sorted(_FIXTURES))
            items[0].warn(
                GateCollectionWarning(
                    f"gate {name} judges nothing: no test of it asks for {wanted}; name "
                    "`candidate` as an argument of its tests (a unittest.TestCase cannot)"
                )
            )


def gate_name(item: pytest.Item) -> str:
    """Return the node id of the class, or of the function without its parameters."""
    owner = item.getparent(pytest.Class)
    if owner is not None:
        return owner.nodeid
    callspec: Any = getattr(item, "callspec", None)
    return item.nodeid.removesuffix("" if callspec is None else f"[{callspec.id}]")


def _look_at_function(collector: pytest.Module | pytest.Class, name: str, value: object) -> None:
    """Warn of a marked function that is not collected; refuse a gate class without its gates."""
    owner = collector.obj if isinstance(collector, pytest.Class) else None
    bases = () if owner is None else owner.__mro__
    if GateClass in bases and _is_ours(value) and name.startswith("test"):
        raise pytest.Collector.CollectError(
            f"{collector.name}.{name}: this gate is not collected, because of the ini "
            "option python_functions; add test_* to it"
        )
    if _is_marked_function(value):
        shown = name if owner is None else f"{owner.__qualname__}.{name}"
        _warn(collector, value, f"gate {shown}()", "a function with a name like test_*")


def warn_in_conftest(parent: pytest.Collector, file: Path) -> None:
    """Warn of gates in a conftest.py: pytest collects no tests there, whatever their names are.

    Args:
        parent: the collector of the folder.
        file: the conftest.py, which pytest has imported by now if it uses it.
    """
    modules = parent.config.pluginmanager.get_plugins()
    module = next((m for m in modules if getattr(m, "__file__", None) == str(file)), None)
    if module is None:
        return
    for name, value in list(vars(module).items()):
        # Other names are those of bases, whose subclasses this run may not have imported.
        if isinstance(value, type) and name.startswith("Test"):
            for cls in _gate_classes(value, module.__name__):
                if not _serves_otherwise(cls):
                    _warn(parent, cls, f"gate class {cls.__qualname__} of {file.name}", "test_*.py")
        elif name.startswith("test") and _is_marked_function(value):
            _warn(parent, value, f"gate {name}() of {file.name}", "test_*.py")


def _is_marked_function(value: object) -> bool:
    function = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
    return inspect.isfunction(function) and MARKER in _marks(function)


def _marks(value: object) -> list[str]:
    """Return the names of the marks that a function or class itself has."""
    own = vars(value).get("pytestmark", ())
    marks = own if isinstance(own, (list, tuple)) else (own,)
    return [getattr(mark, "name", "") for mark in marks]


def _gate_classes(value: type, module: str) -> Iterator[type]:
    """Yield the gate classes among a class and the classes in it, as defined in a module.

    A class without the base of gate classes is one if it or a method of it carries the marker.
    """
    if value.__module__ != module:
        return
    members = list(vars(value).values())
    if issubclass(value, GateClass) or any(MARKER in _marks(cls) for cls in value.__mro__):
        yield value
        return
    if any(map(_is_marked_function, members)):
        yield value
    for inner in members:
        if isinstance(inner, type) and inner.__qualname__.startswith(f"{value.__qualname__}."):
            yield from _gate_classes(inner, module)


def _refuse_changed(cls: type) -> None:
    """Refuse what has been done to a gate class since it was defined."""
    check: Any = getattr(cls, "check_definition", None)
    try:
        if check is not None:
            check()
    except KycquantError as error:
        raise pytest.Collector.CollectError(str(error)) from None


def _serves_otherwise(cls: type) -> bool:
    """Whether a class is a base of others, is switched off, or lacks what a gate class needs."""
    complete = not issubclass(cls, GateClass) or hasattr(cls, "model") or hasattr(cls, "detector")
    return bool(cls.__subclasses__()) or not getattr(cls, "__test__", True) or not complete


def _warn(collector: pytest.Collector, value: Any, what: str, wanted: str) -> None:
    """Warn of a class or function at its own line, as far as it has one.

    Raises:
        CollectError: warnings are errors in this run.
    """
    function = getattr(value, "__func__", value)
    try:
        file, line = str(inspect.getsourcefile(function)), inspect.getsourcelines(function)[1]
    except (OSError, TypeError):  # made by code
        file, line = str(collector.path), 1
    warning = GateCollectionWarning(
        f"{what} is not collected, so it gates nothing: pytest looks for {wanted}; rename it, "
        "or set __test__ = False if it is a helper"
    )
    try:
        warnings.warn_explicit(warning, GateCollectionWarning, file, line)
    except GateCollectionWarning as error:
        raise pytest.Collector.CollectError(str(error)) from None


def _precision(item: pytest.Item) -> str:
    """Label of the precision that a test runs on; "" if there is none."""
    callspec = getattr(item, "callspec", None)
    recipe = callspec.params.get("candidate") if callspec is not None else None
    return str(getattr(recipe, "name", ""))


def _own_gate(item: pytest.Item) -> str:
    """Name of the gate that a test of this package asserts; "" for a test of the user's."""
    function: Any = getattr(item, "function", None)
    return str(function.__name__).removeprefix("test_") if _is_ours(function) else ""


def _is_ours(value: Any) -> bool:
    return str(getattr(value, "__module__", "")).partition(".")[0] == _PACKAGE
