"""What a gate class may define: anything that would replace a gate or be ignored is refused."""

from __future__ import annotations

import difflib
import inspect
import unittest
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from ..errors import SpecError
from ..spec import coerce
from ..spec.limits import CheckedLimits
from ..spec.model import KycModel
from .gated import GateClass

_PACKAGE = __name__.partition(".")[0]
_FIXTURES = ("candidate", "golden", "kyc_pipeline", "quantize")
_SYNONYMS = {"recipes": "precisions", "recipe": "precisions", "variants": "precisions"}


def refuse_unused(
    cls: type, base: type, attributes: tuple[str, ...], methods: tuple[str, ...] = ()
) -> None:
    """Refuse definitions in a gate class that would replace a gate or be ignored.

    Args:
        cls: the gate class.
        base: the base class whose attributes are known.
        attributes: names of the attributes that have a meaning.
        methods: names of the methods that the class may override.

    Raises:
        SpecError: a gate or a fixture is replaced, an attribute or method is misspelt or has no
            value, or pytest could not collect or run the class.
    """
    where = cls.__name__
    if issubclass(cls, unittest.TestCase):
        raise SpecError(
            where, "is a unittest.TestCase, which cannot use fixtures", "drop unittest.TestCase"
        )
    _refuse_replaced(cls)
    own = dict(_own(cls))
    for name, value in own.items():
        if name in ("__init__", "__new__"):
            raise SpecError(
                where, f"has {name}, so pytest does not collect its gates", "use a fixture instead"
            )
        if _fixture_name(name, value) in _FIXTURES:
            raise SpecError(
                f"{where}.{name}",
                "replaces the fixture that the gates are asserted on",
                "choose another name",
            )
        if name == "__annotations__":
            _refuse_annotated(cls, attributes, value)
        if name.startswith(("_", "test")) or hasattr(base, name):
            continue
        known = methods if inspect.isfunction(value) else attributes
        if (inspect.isfunction(value) or not _is_code(value)) and name not in known:
            _refuse_misspelt(cls, own, name, known)


def _refuse_misspelt(cls: type, own: Mapping[str, Any], name: str, known: tuple[str, ...]) -> None:
    """Refuse a name that resembles a known one, unless the class defines that one, too."""
    close = difflib.get_close_matches(name.casefold(), known, n=1, cutoff=0.8)
    meant = close[0] if close else _SYNONYMS.get(name.casefold(), "")
    # A class without a model is refused anyway, and other models are likely helpers.
    helper = meant in own or (meant == "model" and not isinstance(own[name], KycModel))
    if meant in known and not helper:
        raise SpecError(
            f"{cls.__name__}.{name}", "is not an attribute of gates", f"did you mean {meant!r}?"
        )


def _refuse_annotated(cls: type, attributes: tuple[str, ...], annotations: Any) -> None:
    """Refuse ``limits: FaceLimits(...)``, which gives the attribute a type but no value."""
    for name, annotation in dict(annotations).items():
        call = isinstance(annotation, str) and "(" in annotation
        value = isinstance(annotation, (CheckedLimits, KycModel, tuple, list, bool))
        if name in attributes and name not in vars(cls) and (call or value):
            raise SpecError(
                f"{cls.__name__}.{name}", "has a type but no value", f"write {name} = ..."
            )


def _fixture_name(name: str, value: Any) -> str:
    """Return the name of a fixture; "" if a value is none."""
    # pytest 8.4 wraps fixtures in objects, earlier versions mark the function.
    marker = getattr(value, "_fixture_function_marker", None)
    marker = marker or getattr(value, "_pytestfixturefunction", None)
    return "" if marker is None else marker.name or name


def _is_code(value: Any) -> bool:
    """Whether a value is something that tests use, such as a method, a property or a class."""
    if isinstance(value, type) and issubclass(value, GateClass):
        return False  # the stage of a pipeline
    return inspect.isroutine(value) or inspect.isdatadescriptor(value) or callable(value)


def refuse_fake_fixtures(
    fixtures: Mapping[str, Any], kinds: Mapping[str, type], where: str
) -> None:
    """Refuse a gate whose fixture has been replaced: it would compare nothing.

    Args:
        fixtures: the values of the fixtures of a test, by name.
        kinds: the type that each fixture must have, by name.
        where: the test, for the message.

    Raises:
        SpecError: a fixture has another type.
    """
    for name, kind in kinds.items():
        if name in fixtures and not isinstance(fixtures[name], kind):
            raise SpecError(
                where,
                f"the fixture {name!r} has been replaced by one that returns "
                f"{type(fixtures[name]).__name__}",
                f"give your fixture another name, or return the {kind.__name__} that it asks for",
            )


def refuse_defaults(function: Any, where: str) -> None:
    """Refuse a test whose fixture has a default value: pytest does not fill such an argument.

    Args:
        function: the test.
        where: its node id, for the message.

    Raises:
        SpecError: one of this plugin's fixtures has a default value.
    """
    for name, parameter in inspect.signature(function).parameters.items():
        if name in _FIXTURES and parameter.default is not inspect.Parameter.empty:
            raise SpecError(
                where,
                f"gives the fixture {name!r} a default value, so pytest does not fill it",
                f"write {name} without one",
            )


def _refuse_replaced(cls: type) -> None:
    """Refuse a test that takes the name of a gate: what the gate asserts would not be asserted."""
    ours = [base for base in cls.__mro__ if issubclass(base, GateClass) and _is_ours(base)]
    nearest = ours[0].__name__
    for owner in ours:
        for name in (name for name in vars(owner) if name.startswith("test")):
            if inspect.getattr_static(cls, name) is not vars(owner)[name]:
                raise SpecError(
                    f"{cls.__name__}.{name}",
                    f"replaces a gate of {nearest}, which would no longer be asserted",
                    "to loosen a gate, set limits; give your own test another name",
                )


def refuse_misplaced_limits(cls: type, limits: CheckedLimits) -> None:
    """Refuse a limit that stands in a gate class itself and would be ignored.

    Args:
        cls: the gate class.
        limits: the limits in effect. An attribute with the same value is not ignored.

    Raises:
        SpecError: there is such a limit.
    """
    kind = type(limits).__name__
    remedy = f"write limits = {kind}({{name}}=...)"
    _refuse_misplaced(cls, limits, limits.__dataclass_fields__, f"is a limit of {kind}", remedy)


def refuse_misplaced(cls: type, model: KycModel, limits: CheckedLimits) -> None:
    """Refuse fields of a model, its task or its limits that stand in a gate class itself.

    Args:
        cls: the gate class.
        model: the model in effect. An attribute with the same value is not ignored.
        limits: the limits in effect.

    Raises:
        SpecError: there is such a field.
    """
    refuse_misplaced_limits(cls, limits)
    for part in (model, model.task):
        kind = type(part).__name__
        # Required fields have been given, and a name is often a helper's: these are not misplaced.
        optional = {
            field.name: field
            for field in (fields(part) if is_dataclass(part) else ())
            if field.default is not MISSING and field.name != "name"
        }
        remedy = f"write {kind}(..., {{name}}=...)"
        _refuse_misplaced(cls, part, optional, f"belongs to {kind} and is ignored here", remedy)


def _refuse_misplaced(
    cls: type, part: Any, known: Mapping[str, Field[Any]], problem: str, remedy: str
) -> None:
    for name, value in _own(cls):
        field = name.casefold()
        if field not in known or _is_code(value):
            continue
        if not _same(value, getattr(part, field)):
            raise SpecError(f"{cls.__name__}.{name}", problem, remedy.format(name=field))


def _same(one: Any, other: Any) -> bool:
    return bool(coerce.guarded(lambda: bool(one == other), False))  # arrays have no truth


def _own(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield what a class and its bases outside this package define, the class itself last."""
    for owner in reversed(cls.__mro__[:-1]):
        if not _is_ours(owner):
            yield from vars(owner).items()


def _is_ours(owner: type) -> bool:
    return owner.__module__.partition(".")[0] == _PACKAGE
