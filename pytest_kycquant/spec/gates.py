"""The checked specification of the gates of one model."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from ..errors import SpecError
from . import coerce
from .limits import Limits
from .model import KycModel
from .prequantized import Asked, Prequantized
from .profiles import Profile, as_profile
from .recipe import (
    RUNGS,
    Fallback,
    Recipe,
    as_recipe,
    on,
    runtimes_of,
)
from .runtime import REFERENCE, Runtime
from .settings import Inconclusive, Settings, ShipBy

DEFAULT_PRECISIONS = ("fp16", "int8")


@dataclass(frozen=True)
class GateSpec:
    """What a gate class or a marker specifies.

    Args:
        model: the FP32 model and its data.
        precisions: the variants to derive and to judge, and files that were made elsewhere.
        limits: the limits of the gates, an instance of the class for the model's task.
        fallback: first rung of the ladder mixed -> int8-weights -> fp16 -> fp32-optimized -> fp32,
            or None.
        strict: whether to fail instead of falling back, and to ignore waivers; None uses the
            settings.
        inconclusive: what an undecided gate does; None uses the settings.
        profile: "smoke", "standard" or "nist63a4"; None uses the settings.
        ship_by: what decides among variants that pass: "product" of size and latency, "latency" or
            "size"; None uses the settings.
    """

    model: KycModel
    precisions: tuple[Asked, ...]
    limits: Limits
    fallback: Fallback | None = "mixed"
    strict: bool | None = None
    inconclusive: Inconclusive | None = None
    profile: Profile | None = None
    ship_by: ShipBy | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any], where: str) -> GateSpec:
        """Build the specification from class attributes or marker arguments.

        Args:
            values: attributes or arguments by name. Without limits, or if they are None, the
                defaults of the model's task apply.
            where: the class or test that they belong to, for messages.

        Raises:
            SpecError: a value is unknown, missing or impossible.
        """
        unknown = sorted(set(values) - set(cls.__dataclass_fields__))
        if unknown:
            remedy = f"its arguments are {', '.join(cls.__dataclass_fields__)}"
            raise SpecError(
                where,
                f"unknown argument {', '.join(map(repr, unknown))}",
                coerce.did_you_mean(unknown[0], cls.__dataclass_fields__) or remedy,
            )
        if not isinstance(values.get("model"), KycModel):
            problem = "has no model"
            if "model" in values:
                problem += f", but {coerce.shown(values['model'])} in its place"
            raise SpecError(where, problem, "add model=KycModel(...)")
        recipes = _recipes(values.get("precisions", DEFAULT_PRECISIONS), where)
        policies = (None, *get_args(Inconclusive))
        checks: Mapping[str, Callable[[str, Any], Any]] = {
            "fallback": lambda at, value: coerce.choice(at, value, (*RUNGS, None)),
            "inconclusive": lambda at, value: coerce.choice(at, value, policies),
            "strict": coerce.switch,
            "ship_by": lambda at, value: coerce.choice(at, value, (None, *get_args(ShipBy))),
            "profile": lambda at, value: None if value is None else as_profile(at, value),
        }
        plain = {
            name: check(f"{where}.{name}", values[name])
            for name, check in checks.items()
            if name in values
        }
        wanted = values["model"].task.limits
        limits = values.get("limits")
        if limits is None:
            limits = wanted()
        if not isinstance(limits, wanted):
            given = "a class" if isinstance(limits, type) else type(limits).__name__
            raise SpecError(
                f"{where}.limits",
                f"are {given}, not {wanted.__name__}",
                f"give limits={wanted.__name__}(...)",
            )
        values["model"].task.check_limits(limits)
        return cls(**{**values, **plain, "precisions": recipes, "limits": limits})

    def effective_fallback(self, settings: Settings, asked: Asked | None = None) -> Fallback | None:
        """Resolve the fallback by precedence: class or marker, command line, ini, default.

        Args:
            settings: the settings of the run.
            asked: one of the precisions. A file that was made elsewhere has a fallback of its own.
        """
        own = asked.fallback if isinstance(asked, Prequantized) else self.fallback
        return None if self.effective_strict(settings) else own

    def effective_strict(self, settings: Settings) -> bool:
        """Resolve by the same precedence whether a gate fails without fallback and waivers."""
        return settings.strict if self.strict is None else self.strict

    def effective_inconclusive(self, settings: Settings) -> Inconclusive:
        """Resolve the policy for undecided gates by the same precedence."""
        return self.inconclusive or settings.inconclusive

    def effective_profile(self, settings: Settings) -> Profile:
        """Resolve the profile by the same precedence."""
        return self.profile or settings.profile

    def effective_ship_by(self, settings: Settings) -> ShipBy:
        """Resolve what decides among variants that pass by the same precedence."""
        return self.ship_by or settings.ship_by


def _recipes(given: Any, where: str) -> tuple[Asked, ...]:
    """Turn the entry `precisions` into recipes and files with unique labels."""
    remedy = 'give at least one, and tell them apart with name="..."'
    if isinstance(coerce.scalar(given), (str, Recipe, Prequantized)):
        given = (coerce.scalar(given),)
    where = f"{where}.precisions"
    if isinstance(given, Iterator):  # it would be empty the second time
        raise SpecError(where, "can be read only once", "give a tuple")
    recipes: tuple[Asked, ...] = tuple(
        entry if isinstance(entry, Prequantized) else as_recipe(entry, where)
        for entry in coerce.items(where, given, remedy)
    )
    names = [recipe.name for recipe in recipes]
    if not names or len({_plain(name) for name in names}) != len(names):
        raise SpecError(where, f"{names} are empty or not distinct", remedy)
    _check_runtimes(recipes, where)
    # Labels that the report itself uses: the baseline and the fallbacks.
    asked = [
        (each.runs_on, None if isinstance(each, Prequantized) else each.format)
        for each in recipes
        if _is_made_for(each)
    ]
    fallbacks = (
        on(rung, runtime, of)
        for runtime, of in dict.fromkeys([(REFERENCE, None), *asked])
        for rung in RUNGS
        if rung != "mixed" and runtime.name in runtimes_of(rung)
    )
    reserved = {fallback.name: fallback for fallback in fallbacks}
    for recipe in recipes:
        if isinstance(recipe, Recipe) and recipe.is_baseline:
            raise SpecError(
                where,
                "fp32 cannot be gated on onnxruntime: it is the baseline",
                'leave it out; on another runtime it can be: Recipe("fp32", runtime="openvino")',
            )
        plain = _plain(recipe.name)
        own = reserved.get(plain)
        if (
            (own is not None and (recipe.name != plain or recipe != own))
            or plain == "fp32"
            or ">" in recipe.name
        ):
            raise SpecError(
                where,
                f"the label {recipe.name!r} is reserved for a fallback with default options",
                f'give it another one: {type(recipe).__name__}(..., name="...")',
            )
    return recipes


def _is_made_for(asked: Asked) -> bool:
    """Whether something may be made for the runtime of an entry, if only FP32 beside it."""
    return isinstance(asked, Recipe) or asked.fallback not in (None, "fp32")


def _check_runtimes(recipes: Iterable[Asked], where: str) -> None:
    """Refuse a runtime with two sets of options: what is made for each would have the same label.

    Raises:
        SpecError: there is one.
    """
    known: dict[str, tuple[str, Runtime]] = {}
    for recipe in recipes:
        if not _is_made_for(recipe):
            continue
        runtime = replace(recipe.runs_on, computes="float32")
        first, other = known.setdefault(runtime.label, (recipe.name, runtime))
        if runtime != other:
            raise SpecError(
                where,
                f"{first!r} and {recipe.name!r} run on {runtime.label} with different options, so "
                "FP32 and fallbacks there would have the same labels",
                "give both the same Runtime(...), or judge them in two gate classes",
            )


def _plain(label: str) -> str:
    """A label without the differences that nobody sees in a table, such as case."""
    return unicodedata.normalize("NFKC", label).casefold().strip()
