"""Compares a variant with FP32 and with its limits, and gives the verdict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..context.cache import digest_of
from ..curves import Curves, Round
from ..errors import MeasurementError
from ..measure import latency as latencies
from ..quantize.fp16 import HEADROOM
from ..results import GateResult, GroupIncrease, Waiver
from ..runtimes import Deployment
from ..spec.limits import Limits
from ..spec.prequantized import Asked, Prequantized
from ..spec.profiles import Profile
from ..spec.recipe import UNQUANTIZED
from ..spec.waivers import waive
from ..tasks.checks import count
from ..tasks.comparison import Comparison
from ..verdicts import Check, Verdict
from .baseline import Baseline
from .beforehand import announce, of_trials
from .given_files import advised, plain_preprocess
from .golden import Golden
from .input_facts import NOT_FED
from .people import EVALUATION, Role
from .portability import Saturated, exposure_figures, note_on
from .records import VariantRecord
from .sizes import judge_fp32_size, judge_size
from .variant import Variant
from .variants import Variants
from .workspace import Workspace


class Judge(ABC):
    """Gives verdicts about the variants of one model, each once.

    Args:
        workspace: the workspace of this process.
        variants: the object that makes and runs the variants.
        limits: the limits of the gates.
        gate_file: the file that gates the model.
        profile: the profile that the limits belong to.
        asked: names of the gates to judge; None for all. A gate that no test asks for has no
            verdict, and what needs it is not computed.
        gate: name of the class or function in that file, "" if it is not known.
        waivers: the waivers for that gate.
    """

    def __init__(
        self,
        workspace: Workspace,
        variants: Variants,
        limits: Limits,
        gate_file: Path,
        profile: Profile = "standard",
        asked: Collection[str] | None = None,
        gate: str = "",
        waivers: Collection[Waiver] = (),
    ) -> None:
        self.workspace = workspace
        self.variants = variants
        self.limits = limits
        self.profile = profile
        self._waivers = waivers
        self._asked = None if asked is None else frozenset(asked)
        self.baseline = Baseline(workspace, variants, limits, gate_file, profile, gate)
        self._records: dict[tuple[Asked, Role], VariantRecord] = {}
        self._golden: Golden | None = None

    @property
    @abstractmethod
    def claimed(self) -> tuple[str, ...]:
        """Names of the gates that are judged."""

    def asks(self, *gates: str) -> bool:
        """Whether one of these gates is to be judged."""
        return self._asked is None or not self._asked.isdisjoint(gates)

    @property
    def drift_gate(self) -> str:
        """Name of the gate that compares a variant with FP32."""
        return "degradation" if self.variants.model.task.labelled else "agreement"

    def undecidable(self, role: Role = EVALUATION) -> tuple[Check, ...]:
        """Checks that these people cannot decide even for FP32 compared with itself."""
        return ()

    @cached_property
    def fp32_record(self) -> VariantRecord:
        """FP32 judged by its own limits: the row that every other row is compared with."""
        row = self.row("fp32", self.variants.fp32, self._judge_fp32())
        row = _noted(row, self._fp32_note)
        return _remarked(row, self.variants.task.reading_note)

    def require_golden(self) -> Golden:
        """The golden baseline, checked once; a run that updates goldens records it first.

        Raises:
            GoldenError: the golden is missing, stale, edited, or not reproduced.
            BaselineError: FP32 fails its own limits.
        """
        if self._golden is None:
            self._golden = self._checked_golden()
        return self._golden

    def record(self, recipe: Asked, role: Role = EVALUATION) -> VariantRecord:
        """Build a variant and judge it by every limit.

        Args:
            recipe: the recipe of the variant.
            role: the people who give the verdict: all, or those who confirm a search.

        Raises:
            QuantizationError: the recipe cannot be applied to this model.
        """
        if (recipe, role) not in self._records:
            self._records[recipe, role] = self._judge(recipe, role)
        return self._records[recipe, role]

    def judged(self) -> tuple[VariantRecord, ...]:
        """The variants that were judged so far."""
        return tuple(self._records.values())

    def variant_of(self, record: VariantRecord) -> Variant:
        """The variant that this judge has judged.

        Raises:
            LookupError: another judge made this record.
        """
        if record is self.fp32_record:
            return self.variants.fp32
        for (recipe, _), known in self._records.items():
            if known is record:
                return self.variants.variant(recipe)
        raise LookupError(f"{record.variant} of {record.model} was not judged here")

    @abstractmethod
    def _checked_golden(self) -> Golden:
        """Read the golden and check what the profile can check."""

    @abstractmethod
    def _judge_fp32(self) -> list[GateResult]:
        """Judge FP32 by the limits that apply to it: those that are not relative to FP32."""

    @property
    @abstractmethod
    def _fp32_note(self) -> str:
        """A caveat about the data."""

    @abstractmethod
    def _judge(self, recipe: Asked, role: Role) -> VariantRecord:
        """Build a variant and judge it."""

    def judge_finite(self, comparison: Comparison, variant: Variant) -> GateResult:
        """No NaN or Inf in any output, nor in what the files of the variant store.

        Integer kernels turn a NaN into a number that depends on the CPU: outputs are then finite
        although a channel is dead.
        """
        found = comparison.finite()
        stored = count("weights and scales with NaN or Inf", variant.find_broken())
        return replace(found, checks=(*found.checks, stored))

    def judge_size(self, variant: Variant) -> GateResult:
        """Size relative to FP32 and absolute, and whether anything was quantized."""
        recipe, sizes = variant.recipe, (variant.size, self.variants.fp32.size)
        return judge_size(
            *sizes,
            None if recipe.is_unchanged else variant.quantized,
            self.limits,
            rewritten=recipe.precision in UNQUANTIZED,
        )

    def row(
        self,
        label: str,
        variant: Variant,
        gates: list[GateResult],
        figures: Mapping[str, Any] | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> VariantRecord:
        """The record of a variant."""
        context, model = self.workspace.context, self.variants.model
        known = dict(figures or {})
        notes = tuple(filter(_is_caution, variant.notes))
        remarks = tuple(note for note in variant.notes if note not in notes)
        if note := note_on(context, variant):
            notes = (*notes, note)
        if variant.runtime.name == "litert":
            gates = [
                replace(gate, remedy=_NO_PHONE) if gate.gate == "latency" else gate
                for gate in gates
            ]
        if isinstance(variant.recipe, Prequantized):
            better = ""
            if any(gate.verdict is Verdict.FAIL and gate.gate != "latency" for gate in gates):
                better = self.variants.better_feeding(variant, variant.recipe)
            gates = [advised(gate, variant.recipe, better) for gate in gates]
        deployment = Deployment.of(variant.runtime)
        if not variant.runtime.is_reference:
            remarks = (*remarks, f"runs on {deployment.description}")
        if self.workspace.settings.report is not None:  # evidence that costs a process of its own
            try:
                known |= self.variants.footprint(variant).figures()
            except MeasurementError as error:
                notes = (*notes, str(error))
        return VariantRecord(
            model=model.name,
            variant=label,
            sha256=variant.sha256,
            size=variant.size,
            size_ratio=variant.size / self.variants.fp32.size,
            options={k: v for k, v in variant.resolved.items() if k != "preprocess"},
            gates={
                gate.gate: waive(gate, label, self._waivers)
                for gate in gates
                if self.asks(gate.gate)
            },
            figures={**known, **exposure_figures(variant.exposure)},
            shown=dict(columns or {}),
            notes=notes,
            remarks=remarks,
            runtime=deployment,
            ports=self.variants.ports(variant),
            preprocess={
                stem: file.resolved.get("preprocess") or plain_preprocess(spec)
                for stem, spec, file in zip(
                    model.stems, model.preprocesses, variant.files, strict=False
                )
                if spec.function is None
            },
            companions={
                stem: dict(file.companions)
                for stem, file in zip(model.stems, variant.files, strict=True)
                if file.companions
            },
            files=dict(zip(model.stems, (f.sha256 for f in variant.files), strict=True)),
        )


_NO_PHONE = (
    "This is the time of this CPU, and not of a phone: measure there, and give a limit that does "
    "not decide here, such as latency_ratio=10."
)


class StandardJudge(Judge):
    """Judges variants by every limit, with confidence bounds."""

    @property
    def claimed(self) -> tuple[str, ...]:
        """All gates of the task."""
        return self.variants.model.task.gates()

    def undecidable(self, role: Role = EVALUATION) -> tuple[Check, ...]:
        """Checks that these people cannot decide even for FP32 compared with itself."""
        threshold = self.require_golden().threshold
        gates = [gate for gate in self.baseline.gates(threshold, role) if self.asks(gate.gate)]
        if self.asks(self.drift_gate):
            gates.append(self.baseline.comparison(threshold, role).against_fp32())
        return tuple(c for g in gates for c in g.checks if c.verdict is not Verdict.PASS)

    def measure_latency(self, variant: Variant) -> latencies.Latency:
        """Latency of a variant, measured in turns with FP32."""
        return self.variants.measure_latency(variant, self.limits)

    def _checked_golden(self) -> Golden:
        self._announce()
        golden = self.baseline.load_golden()
        self.baseline.check_golden(golden)
        return golden

    def _announce(self) -> None:
        """Say what the data can decide, once in a run and before anything is quantized."""
        data, task = self.variants.data, self.variants.task
        found = of_trials(self.variants.model.name, data.evaluation.size, task.prospects(data))
        said = []

        def say() -> list[str]:
            said.append(found)
            return list(found.lines())

        key = digest_of(
            [self.variants.model_facts(), self.baseline.input_facts(), asdict(self.limits)]
        )
        self.workspace.context.store.once(f"outlook-{key[:32]}", say, list)
        if said:
            announce(found, self.workspace.context.progress)

    def _judge_fp32(self) -> list[GateResult]:
        gates = self.baseline.gates(self.require_golden().threshold)
        gates += judge_fp32_size(self.variants.fp32.size, self.limits)
        if self.limits.latency_ms is not None and self.asks("latency"):
            result = latencies.judge(self.measure_latency(self.variants.fp32), self.limits)
            gates.append(replace(result, checks=result.checks[1:]))
        return gates

    @property
    def _fp32_note(self) -> str:
        return "; ".join(filter(None, (self.variants.data.note, self.require_golden().note)))

    def _judge(self, recipe: Asked, role: Role) -> VariantRecord:
        variant, gates = self.variants.variant(recipe), []
        figures: dict[str, Any] = {}
        columns: Mapping[str, str] = {}
        groups: tuple[GroupIncrease, ...] = ()
        curves: Curves | None = Curves() if self.workspace.settings.plots else None
        saturated = None
        if self.asks(*set(self.claimed) - {"latency", "size"}):
            fp32 = self.baseline.comparison(self.require_golden().threshold, role)
            part = self.variants.people.part(role)
            found = self.variants.outputs(variant, part.images, role)
            with self.workspace.context.store.machine(exclusive=False):
                comparison = self.variants.task.compare(fp32, found)
                gates += [self.judge_finite(comparison, variant), *comparison.accuracy()]
                figures |= comparison.figures()
                if self.asks(self.drift_gate):
                    gates.append(comparison.against_fp32(float_variant=recipe.is_float))
                    columns, groups = comparison.columns(), tuple(comparison.groups())
                gates = [with_offenders(comparison, gate) for gate in gates]
                if curves is not None:
                    curves = comparison.curves()
            saturated = Saturated.here(self.variants, variant, fp32, comparison, found)
        if self.asks("latency"):
            latency = self.measure_latency(variant)
            gates.append(latencies.judge(latency, self.limits))
            figures |= latency.figures()
            if curves is not None:
                curves = replace(curves, rounds=tuple(Round(*each) for each in latency.each))
        gates.append(self.judge_size(variant))
        if saturated is not None:
            figures |= saturated.figures()
        row = self.row(recipe.name, variant, gates, figures, columns)
        row = replace(row, groups=groups, curves=curves)
        row = _remarked(row, saturated.note() if saturated else "")
        if recipe.is_unchanged:  # judged beside others, so that perhaps no test fails with it
            for gate in row.failed:
                said = f"does not pass {gate.gate}: {gate.worst_check().describe()}"
                row = _remarked(row, said)
        if role is not EVALUATION and self.variants.data.selection is None:
            size = self.variants.people.part(role).size
            row = _remarked(row, f"judged on {size}; it was searched on other people")
        return row


def with_offenders(comparison: Comparison, gate: GateResult) -> GateResult:
    """A result with the cases that weigh most in it."""
    return replace(gate, offenders=tuple(comparison.offenders(gate)))


def _is_caution(note: str) -> bool:
    """Whether a note about a file changes what one would do with it."""
    return note.startswith(HEADROOM) or note.endswith(NOT_FED)


def _noted(row: VariantRecord, note: str) -> VariantRecord:
    return replace(row, notes=(*row.notes, note)) if note else row


def _remarked(row: VariantRecord, remark: str) -> VariantRecord:
    return replace(row, remarks=(*row.remarks, remark)) if remark else row
