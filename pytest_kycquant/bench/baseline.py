"""FP32, the reference of every comparison, and the golden file that freezes its behaviour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..context.cache import digest_of
from ..errors import BaselineError, GoldenError
from ..files import from_here, shown_command
from ..plain import plain
from ..results import GateResult
from ..spec.flags import ACCEPT_PREPROCESSING, UPDATE_GOLDEN
from ..spec.limits import Limits
from ..spec.profiles import Profile
from ..tasks.comparison import Comparison
from ..verdicts import Verdict
from . import golden as goldens
from . import golden_check as checks
from .better_preprocessing import refuse_worse
from .golden import Golden
from .people import CHOOSING, EVALUATION, Role
from .variants import Variants
from .workspace import Workspace

_SHOWN = 3  # cases that an error names


class Baseline:
    """FP32 compared with itself, and the life of its golden file.

    Args:
        workspace: the workspace of this process.
        variants: the variants of the model.
        limits: the limits of the gates.
        gate_file: the file that gates the model, for the command that records the golden.
        profile: the profile of the gate; the threshold is chosen for the limits of that profile.
        gate: name of the class or function in that file, "" for all of the file.
    """

    def __init__(
        self,
        workspace: Workspace,
        variants: Variants,
        limits: Limits,
        gate_file: Path,
        profile: Profile,
        gate: str = "",
    ) -> None:
        self._workspace = workspace
        self._limits = limits
        self._variants = variants
        self._task = variants.task
        self._gate_file = gate_file
        self._gate = gate
        self._profile = profile
        self._people = variants.people
        self._comparisons: dict[tuple[Role, float | None], Comparison] = {}
        self.note = ""  # what the golden that this run recorded does not vouch for

    @property
    def path(self) -> Path:
        """Path of the golden file."""
        return goldens.path_of(
            self._workspace.settings.golden, self._variants.model.name, self._profile
        )

    @property
    def update_command(self) -> str:
        """The command that accepts FP32 as it is now, and no golden of another gate."""
        file, settings, root = self._gate_file, self._workspace.settings, self._workspace.root
        shown = from_here(file, settings.start or root)
        test = f"{shown}::{self._gate}" if self._gate else shown
        return shown_command(["pytest", test, UPDATE_GOLDEN, *settings.repeated])

    def comparison(self, threshold: float | None, role: Role = EVALUATION) -> Comparison:
        """FP32 on the images of a role; the same object for the same threshold.

        Raises:
            DataError: the people cannot be split for a search.
        """
        if (role, threshold) not in self._comparisons:
            part, found = self._people.part(role), self._people.fp32(role)
            self._comparisons[role, threshold] = self._task.baseline(part, found, threshold)
        return self._comparisons[role, threshold]

    def load_golden(self) -> Golden:
        """Read the golden, and check that it belongs to this model, data and threshold policy.

        A run that updates goldens records it first.

        Raises:
            GoldenError: the golden is missing, stale or edited.
        """
        path, command = self.path, self.update_command
        if self._workspace.settings.update_golden:
            self._record(path)
        # Before the golden is read: a wrong path is not reported as a missing golden.
        model, inputs = self._variants.model_facts(), self.input_facts()
        golden = goldens.load(path, command)
        checks.check_current(golden, model, inputs, path, command)
        if golden.threshold is None or not self._chosen:
            self._check_threshold(golden)  # which costs nothing here
        return golden

    def provisional(self) -> Golden:
        """What is known before a golden is recorded: model, data and a given threshold."""
        return Golden(
            model=self._variants.model_facts(),
            inputs=self.input_facts(),
            threshold=self._task.given_threshold,
            threshold_source="no golden was recorded",
            rates={},
            latency_ms=0.0,
            environment=plain(self._workspace.context.environment),
        )

    def check_golden(self, golden: Golden) -> None:
        """Check that the golden is what FP32 and the data give, and that FP32 is sound.

        Raises:
            GoldenError: threshold, errors or figures are not those that the golden records.
            BaselineError: FP32 fails its own limits.
        """
        environment = plain(self._workspace.context.environment)
        self._check_threshold(golden)
        itself = self.comparison(golden.threshold)
        rates, figures = _rates(itself), itself.golden_figures()
        path, command = self.path, self.update_command
        checks.check_reproduced(golden, rates, environment, path, command, figures)
        self._require_sound(golden.threshold)

    def gates(self, threshold: float | None, role: Role = EVALUATION) -> list[GateResult]:
        """FP32 judged by its own limits, on the people of a role."""
        itself = self.comparison(threshold, role)
        return [itself.finite(), *itself.accuracy()]

    def input_facts(self) -> dict[str, Any]:
        """Plain values that describe the data of FP32 and how its threshold is chosen."""
        variants = self._variants
        return {**variants.data.digests, **variants.input_facts(), **self._task.policy()}

    def _record(self, path: Path) -> None:
        goldens.refuse_in_ci(path)
        goldens.refuse_other_file(path)
        facts = digest_of([self._variants.model_facts(), self.input_facts()])

        def make() -> list[str]:
            note = self._compare_preprocessings()
            golden, wrong = self._measure(note), goldens.unsound(path)
            goldens.save(golden, path)
            replaced = wrong and f"the one that this replaces {wrong}"
            return [facts, "; ".join(filter(None, (replaced, note)))]

        # Another worker may have recorded it first.
        store, name = self._workspace.context.store, f"golden-{digest_of(str(path))[:16]}"
        recorded, self.note = store.once(name, make, _recorded)
        if recorded != facts:
            raise GoldenError(
                path,
                "two gates of this run record it for different models, data or limits",
                "give one of them a different name: KycModel(name=...)",
            )

    def _compare_preprocessings(self) -> str:
        """Refuse a preprocessing that is worse than another; say it if none was compared."""
        if self._workspace.settings.accept_preprocessing:
            return f"the preprocessing was not compared with others: {ACCEPT_PREPROCESSING}"
        reason = refuse_worse(self._variants, self.path)
        return reason and f"the preprocessing could not be compared with others: {reason}"

    def _measure(self, note: str) -> Golden:
        """The golden of FP32 as it behaves now."""
        variants = self._variants
        threshold, source = self._derived_threshold()
        self._require_sound(threshold)
        itself = self.comparison(threshold)
        return Golden(
            model=variants.model_facts(),
            inputs=self.input_facts(),
            threshold=threshold,
            threshold_source=source,
            rates=_rates(itself),
            latency_ms=round(variants.measure_latency(variants.fp32, self._limits).fp32_cpu_ms, 3),
            environment=plain(self._workspace.context.environment),
            figures=itself.golden_figures(),
            note=note,
        )

    @property
    def _chosen(self) -> bool:
        """Whether the threshold is chosen on people of the data."""
        return self._task.has_threshold and self._task.given_threshold is None

    def _check_threshold(self, golden: Golden) -> None:
        def rates_at(threshold: float) -> dict[str, Any]:
            return _rates(self.comparison(threshold, CHOOSING))

        checks.check_threshold(
            golden,
            self._derived_threshold(),
            rates_at if self._chosen else None,
            plain(self._workspace.context.environment),
            self.path,
            self.update_command,
        )

    def _derived_threshold(self) -> tuple[float | None, str]:
        """The threshold and its source in words, from the gate file or the people who choose."""
        if not self._task.has_threshold:
            return None, "the task has none"
        if self._task.given_threshold is not None:
            return self._task.given_threshold, "given in the gate file"
        people = self._people
        return self._task.choose_threshold(people.fp32(CHOOSING), people.part(CHOOSING))

    def _require_sound(self, threshold: float | None) -> None:
        """Refuse a broken baseline, since comparing with it would hide every degradation."""
        rest = " and the labels" if threshold is None else ", the labels and the threshold"
        for gate in self.gates(threshold):
            if gate.verdict is Verdict.FAIL:
                itself = self.comparison(threshold)
                at = "" if threshold is None else f" at a threshold of {threshold:.4g}"
                worst = itself.offenders(gate)[:_SHOWN]
                named = f"; worst: {'; '.join(one.describe() for one in worst)}" if worst else ""
                suspects = self._task.suspects(self._people.part(EVALUATION).images, itself.rates())
                others = f", {suspects}" if suspects else ""
                raise BaselineError(
                    ", ".join(str(source.loaded.path) for source in self._variants.sources),
                    f"FP32 itself fails its limits ({gate.worst_check().describe()}){at}{named}",
                    f"check channel order, mean and scale of the preprocessing{others}{rest}; if "
                    "they are right, the model is not good enough for its limits",
                )


def _rates(itself: Comparison) -> dict[str, Any]:
    return {name: plain(rate) for name, rate in itself.rates().items()}


def _recorded(value: Any) -> tuple[str, str]:
    facts, note = value
    if not (isinstance(facts, str) and len(facts) == 64 and isinstance(note, str)):
        raise TypeError(f"{value!r} is not a digest and a note")
    return facts, note
