"""What a gate file asks for, and what its fixtures hand out; its classes: `gate_classes.py`."""

from __future__ import annotations

import difflib
import inspect
import unittest
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import pytest

from ..errors import InconclusiveWarning, SpecError
from ..results import GateResult
from ..spec import coerce
from ..spec.limits import Limits
from ..spec.model import KycModel
from ..spec.profiles import Profile, as_profile
from ..spec.recipe import (
    RUNGS,
    Fallback,
    Recipe,
    as_recipe,
)
from ..spec.settings import Inconclusive, Settings
from ..spec.tasks import TaskSpec
from ..verdicts import Verdict

if TYPE_CHECKING:
    from ..bench.golden import Golden
    from ..bench.shipping import Shipment

MARKER = "kycquant"
_DEFAULT = ("fp16", "int8")


@dataclass(frozen=True)
class GateSpec:
    """What a gate class or a marker asks for.

    Args:
        model: the FP32 model and its data.
        precisions: what to derive and to judge.
        limits: of the gates, of the class that belongs to the model's task; None for its defaults.
        fallback: first rung of the ladder mixed -> fp16 -> fp32-optimized -> fp32, or None.
        strict: True fails instead of falling back; None leaves it to the settings.
        inconclusive: what an undecided gate does; None leaves it to the settings.
        profile: "smoke", "standard" or "nist63a4"; None leaves it to the settings.
    """

    model: KycModel
    precisions: tuple[Recipe, ...]
    limits: Limits
    fallback: Fallback | None = "mixed"
    strict: bool | None = None
    inconclusive: Inconclusive | None = None
    profile: Profile | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any], where: str) -> GateSpec:
        """Build from class attributes or marker arguments.

        Raises:
            SpecError: unknown, missing or impossible values.
        """
        unknown = sorted(set(values) - set(cls.__dataclass_fields__))
        if unknown:
            raise SpecError(
                where,
                f"unknown argument {', '.join(map(repr, unknown))}",
                f"its arguments are {', '.join(cls.__dataclass_fields__)}",
            )
        if not isinstance(values.get("model"), KycModel):
            raise SpecError(where, "names no model", "add model=KycModel(...)")
        recipes = _recipes(values.get("precisions", _DEFAULT), where)
        rungs = get_args(Fallback)
        if values.get("fallback", "mixed") not in (*rungs, None):
            raise SpecError(
                where,
                f"fallback {values['fallback']!r} is unknown",
                f"choose {', '.join(f'{rung!r}' for rung in rungs)} or None",
            )
        if values.get("inconclusive") not in (None, "fail", "warn", "xfail"):
            raise SpecError(
                where,
                f"inconclusive {values['inconclusive']!r} is unknown",
                'choose "fail", "warn" or "xfail"',
            )
        if values.get("profile") is not None:
            as_profile(where, values["profile"])
        wanted = values["model"].task.limits
        limits = values.get("limits")
        if limits is None:
            limits = wanted()
        if not isinstance(limits, wanted):
            raise SpecError(
                where,
                f"limits are no {wanted.__name__}",
                f"give limits={wanted.__name__}(...)",
            )
        values["model"].task.check_limits(limits)
        return cls(**{**values, "precisions": recipes, "limits": limits})

    def effective_fallback(self, settings: Settings) -> Fallback | None:
        """The ladder after precedence: class or marker, then command line, ini, default."""
        strict = settings.strict if self.strict is None else self.strict
        return None if strict else self.fallback

    def effective_inconclusive(self, settings: Settings) -> Inconclusive:
        """The policy after the same precedence."""
        return self.inconclusive or settings.inconclusive

    def effective_profile(self, settings: Settings) -> Profile:
        """The profile after the same precedence."""
        return self.profile or settings.profile


@dataclass(frozen=True)
class Candidate:
    """The variant that a gate is asserted on, as handed out by the fixture `candidate`.

    If the requested precision does not pass and a fallback does, this is the fallback.

    Args:
        precision: what the gate file asked for.
        variant: label of the variant at hand.
        paths: its ONNX files: one, unless the model has several.
        size: in bytes, of all files together.
        golden: the FP32 baseline.
        decision: how it came about.
        inconclusive: what an undecided gate does.
        known: names of the gates of the model's task.
        profile: under which it was judged.
        claimed: names of the gates that the profile makes a claim on; None for all.
    """

    precision: str
    variant: str
    paths: tuple[Path, ...]
    size: int
    golden: Golden
    decision: Shipment
    inconclusive: Inconclusive
    known: tuple[str, ...]
    profile: Profile = "standard"
    claimed: tuple[str, ...] | None = None

    @property
    def path(self) -> Path:
        """Its ONNX file; of a model with several, see `paths`."""
        if len(self.paths) != 1:
            raise SpecError(
                "candidate.path", f"this model has {len(self.paths)} files", "use candidate.paths"
            )
        return self.paths[0]

    @property
    def gates(self) -> Mapping[str, GateResult]:
        """Results by gate, such as "finite", "far", "frr", "degradation", "latency", "size".

        Asking for one that the profile makes no claim on is a `SpecError`.
        """
        unclaimed = [gate for gate in self.known if self._no_claim(gate)]
        return _Results(self.decision.record.gates, self.profile, unclaimed)

    @property
    def fell_back(self) -> bool:
        """Whether this is not the requested precision."""
        return self.decision.fell_back

    def check(self, gate: str) -> None:
        """Assert a gate: fail with a small report, or do as the policy says if undecided.

        The test is skipped if the profile makes no claim on the gate.
        """
        __tracebackhide__ = True
        if gate not in self.known:
            raise SpecError(
                "candidate.check", f"{gate!r} is no gate", f"{', '.join(self.known)} are"
            )
        if self._no_claim(gate):
            pytest.skip(f"{self.profile} profile makes no claim on {gate}")
        if self.fell_back and self.variant == "fp32" and gate not in self.gates:
            return  # a limit relative to FP32 says nothing about FP32 itself
        title = f"{self.decision.record.model}: {self.variant}"
        enforce(self.gates[gate], title, self.inconclusive)

    def _no_claim(self, gate: str) -> bool:
        return self.claimed is not None and gate not in self.claimed


class _Results(dict[str, GateResult]):
    """Results by gate; what was not judged on purpose is no `KeyError`."""

    def __init__(
        self, found: Mapping[str, GateResult], profile: str, unclaimed: Sequence[str]
    ) -> None:
        super().__init__(found)
        self._profile = profile
        self._unclaimed = unclaimed

    def __missing__(self, gate: str) -> GateResult:
        if gate in self._unclaimed:
            raise SpecError(
                f"candidate.gates[{gate!r}]",
                f"the {self._profile} profile makes no claim on {gate}",
                f"call candidate.check({gate!r}) first, which skips the test, or run it with "
                "--kycquant-profile=standard",
            )
        raise KeyError(gate)


def enforce(result: GateResult, title: str, inconclusive: Inconclusive) -> None:
    """Fail a test with a small report, or do as the policy says if a gate is undecided.

    Args:
        result: of the gate.
        title: what was judged.
        inconclusive: the policy.
    """
    __tracebackhide__ = True
    if result.verdict is Verdict.PASS:
        return
    report = f"{title} {result.verdict.value} {result.gate}\n{result.describe()}"
    if result.verdict is Verdict.FAIL:
        pytest.fail(report, pytrace=False)
    # An undecided latency is the machine's noise, not the model's fault.
    policy = "warn" if result.gate == "latency" else inconclusive
    if policy == "fail":
        pytest.fail(report, pytrace=False)
    if policy == "xfail":
        pytest.xfail(report)
        pytest.fail(report, pytrace=False)  # --runxfail makes xfail do nothing
    warnings.warn(report, InconclusiveWarning, stacklevel=3)


def refuse_unused(
    cls: type, base: type, attributes: tuple[str, ...], methods: tuple[str, ...] = ()
) -> None:
    """Refuse in a class of a gate file what would silently not be used.

    Args:
        cls: the class.
        base: what it derives from.
        attributes: that mean something there.
        methods: that it may override.

    Raises:
        SpecError: an attribute or method is misspelt, or the class is a unittest.
    """
    if issubclass(cls, unittest.TestCase):
        raise SpecError(
            cls.__name__, "is a unittest, which has no fixtures", "drop unittest.TestCase"
        )
    for name, value in vars(cls).items():
        known = methods if inspect.isfunction(value) else attributes
        if name.startswith(("_", "test")) or name in known or hasattr(base, name):
            continue
        if close := difflib.get_close_matches(name, known, cutoff=0.8):
            raise SpecError(
                f"{cls.__name__}.{name}", "is no attribute of gates", f"write {close[0]!r}"
            )


class Gates:
    """What the base classes of gate files have in common; subclass one of those.

    Each gate is a test item for each precision. Limits are in `limits`, and tests of your own may
    use the fixtures `candidate`, `golden` and `quantize`.
    """

    model: ClassVar[KycModel]
    precisions: ClassVar[Sequence[str | Recipe]] = _DEFAULT
    limits: ClassVar[Limits | None] = None
    fallback: ClassVar[Fallback | None] = "mixed"
    strict: ClassVar[bool | None] = None
    inconclusive: ClassVar[Inconclusive | None] = None
    profile: ClassVar[Profile | None] = None
    _task: ClassVar[type[TaskSpec]] = TaskSpec
    _labelled: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        """Refuse what would silently not be a gate.

        Raises:
            SpecError: an attribute is misspelt, or the class is a unittest, which has no fixtures.
        """
        super().__init_subclass__()
        refuse_unused(cls, Gates, tuple(GateSpec.__dataclass_fields__))

    @classmethod
    def values(cls) -> dict[str, Any]:
        """The attributes that describe the gate.

        Raises:
            SpecError: the model's task is judged by another base class.
        """
        cls.check_task(getattr(cls, "model", None))
        names = GateSpec.__dataclass_fields__
        return {name: getattr(cls, name) for name in names if hasattr(cls, name)}

    @classmethod
    def check_task(cls, model: Any) -> None:
        """Make sure that these gates judge the task of a model.

        Raises:
            SpecError: another base class does.
        """
        if not isinstance(model, KycModel):
            return
        task, labelled = type(model.task).__name__, model.task.labelled
        if not isinstance(model.task, cls._task):
            problem = f"judges {cls._task.__name__}, and its model names {task}"
            remedy = "subclass the gates of that task"
        elif cls._labelled and not labelled:
            problem = f"judges errors, and {task}(labelled=False) has no labels to tell them by"
            remedy = "subclass AgreementGates, or label the images"
        elif labelled and not cls._labelled:
            problem = f"judges agreement without labels, and the images of {task} are labelled"
            remedy = "subclass the gates of that task, which are stricter, or set labelled=False"
        else:
            return
        raise SpecError(cls.__name__, problem, remedy)

    def test_finite(self, candidate: Candidate) -> None:
        """No NaN or Inf in any output, on evaluation data and on edge inputs."""
        candidate.check("finite")

    def test_latency(self, candidate: Candidate) -> None:
        """Paired latency ratio to FP32 inside its limit."""
        candidate.check("latency")

    def test_size(self, candidate: Candidate) -> None:
        """File size inside its limit, and the quantizer changed what it was asked to."""
        candidate.check("size")


def spec_of(cls: type | None, markers: Sequence[pytest.Mark], where: str) -> GateSpec | None:
    """The gate specification of a test; None if it has none.

    Args:
        cls: class of the test; attributes count if it is a gate class.
        markers: of this plugin, the closest first; a closer one overrides argument by argument.
        where: node id, for messages.
    """
    values: dict[str, Any] = {}
    if cls is not None and issubclass(cls, Gates):
        values = cls.values()
    elif not markers:
        return None
    for marker in reversed(markers):
        if marker.args:
            raise SpecError(
                where, "the marker takes keyword arguments only", "write kycquant(model=...)"
            )
        values |= marker.kwargs
    if cls is not None and issubclass(cls, Gates):
        cls.check_task(values.get("model"))  # a marker may have brought another one
    return GateSpec.of(values, where)


def _recipes(given: Any, where: str) -> tuple[Recipe, ...]:
    """Turn the entry `precisions` into recipes with labels that name one thing each."""
    remedy = 'name at least one, and tell recipes apart by Recipe(..., name="...")'
    if isinstance(given, (str, Recipe)):
        given = (given,)
    recipes = tuple(
        as_recipe(entry) for entry in coerce.items(f"{where} precisions", given, remedy)
    )
    names = [recipe.name for recipe in recipes]
    if not names or len(set(names)) != len(names):
        raise SpecError(where, f"precisions {names} are empty or not distinct", remedy)
    for recipe in recipes:
        if recipe.precision == "fp32":
            raise SpecError(
                where, "fp32 is no precision to gate", "leave it out: it is the baseline"
            )
        # Labels that the report gives itself: the baseline, the fallbacks.
        labels = ("fp32", *(rung for rung in RUNGS if rung != "mixed"))
        reserved = recipe.name in labels and recipe != as_recipe(recipe.name)
        if reserved or ">" in recipe.name:
            raise SpecError(where, f"the label {recipe.name!r} stands for something else", remedy)
    return recipes
