"""A model held against its golden baseline and its limits."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..context.cache import digest_of
from ..data.sampling import portions
from ..errors import BaselineError, DataError, GoldenError, MeasurementError
from ..measure import latency as latencies
from ..quantize.search import Block
from ..spec.flags import PROFILE, UPDATE_GOLDEN
from ..spec.limits import Limits
from ..spec.model import KycModel
from ..spec.profiles import Profile
from ..spec.recipe import Recipe
from ..tasks.base import Part
from ..tasks.checks import count
from ..verdicts import (
    Check,
    GateResult,
    VariantRecord,
    Verdict,
)
from . import golden as goldens
from .portability import exposure_figures, exposure_note, saturation_here
from .variants import ModelBench, Variant
from .workspace import Workspace

# Precisions that have no excuse to drift.
FLOAT = ("fp16", "fp32-optimized")
# What rewrites may add to a file; `Limits.size_ratio` is about quantized variants.
_FLOAT_SIZE = 1.05


class Bench(ModelBench):
    """Judges the variants of a model.

    Args:
        workspace: of this process.
        model: what the gate file says.
        gate_file: where it says so.
        limits: of the gates.
        profile: to which they belong.
    """

    searches = True  # for a mixed model, where a precision does not pass

    def __init__(
        self,
        workspace: Workspace,
        model: KycModel,
        gate_file: Path,
        limits: Limits,
        profile: Profile = "standard",
    ) -> None:
        super().__init__(workspace, model, gate_file, limits)
        self.profile = profile
        self._records: dict[Recipe, VariantRecord] = {}
        self._baselines: dict[tuple[str, float | None], Any] = {}

    def baseline(self, threshold: float | None, role: str = "evaluation") -> Any:
        """FP32 on the images of a role; the same object for the same threshold."""
        if (role, threshold) not in self._baselines:
            part = self._selection() if role == "selection" else self.data.evaluation
            found = self.outputs(self.fp32, part.images, role)
            self._baselines[role, threshold] = self.task.baseline(part, found, threshold)
        return self._baselines[role, threshold]

    @property
    def golden_path(self) -> Path:
        """Where the golden baseline of this model lies."""
        return goldens.path_of(self.workspace.settings.golden, self.model.name, self.profile)

    @property
    def update_command(self) -> str:
        """What to type to accept the baseline as it is now."""
        root = self.workspace.root
        inside = self.gate_file.is_relative_to(root)
        shown = self.gate_file.relative_to(root) if inside else self.gate_file
        option = f" {PROFILE}={self.profile}" if self.profile == "nist63a4" else ""
        return f"pytest {shown} {UPDATE_GOLDEN}{option}"

    @property
    def claimed(self) -> tuple[str, ...]:
        """Names of the gates that are judged."""
        return self.model.task.gates()

    @cached_property
    def golden(self) -> goldens.Golden:
        """The golden baseline, checked against what FP32 does today.

        Raises:
            GoldenError: missing, stale, edited, or not reproduced.
            BaselineError: FP32 itself fails its limits.
        """
        golden = self._current_golden()
        goldens.check_reproduced(
            golden,
            self._rates(golden.threshold),
            self.context.environment.as_dict(),
            self.golden_path,
            self.update_command,
            self.task.golden_figures(self.baseline(golden.threshold)),
        )
        self._require_sound(golden.threshold)
        return golden

    @cached_property
    def fp32_record(self) -> VariantRecord:
        """FP32 held against its own limits: the row that everything is compared with."""
        gates = self._fp32_gates(self.golden.threshold)
        # Limits relative to FP32 say nothing about itself; absolute ones bind it, too.
        gates += self._fp32_size()
        if self.limits.latency_ms is not None:
            result = latencies.judge(self._latency(self.fp32), self.limits)
            gates.append(replace(result, checks=result.checks[1:]))
        row = self._row("fp32", self.fp32, gates, {}, {})
        return self._noted(row, self.data.note)

    @cached_property
    def undecidable(self) -> tuple[Check, ...]:
        """Checks that this data cannot decide even for FP32 held against itself."""
        itself = self.task.judge_against_fp32(self.baseline(self.golden.threshold))
        gates = (*self._fp32_gates(self.golden.threshold), itself)
        return tuple(c for g in gates for c in g.checks if c.verdict is not Verdict.PASS)

    def record(self, recipe: Recipe) -> VariantRecord:
        """Build a variant and hold it against every limit."""
        if recipe not in self._records:
            golden = self.golden
            variant = self.variant(recipe)
            found = self.outputs(variant, self.data.evaluation.images, "evaluation")
            with self.context.store.machine(exclusive=False):
                task = self.task
                comparison = task.compare(self.baseline(golden.threshold), found)
                gates = [
                    self.judge_finite(comparison, variant),
                    *task.judge_accuracy(comparison),
                    task.judge_against_fp32(comparison, fp16=recipe.precision in FLOAT),
                ]
                figures, shown = task.figures(comparison), task.shown(comparison)
                groups = tuple(task.groups(comparison))
            saturated = saturation_here(self, variant, comparison, found)
            latency = self._latency(variant)
            gates += [latencies.judge(latency, self.limits), self._judge_size(variant)]
            figures |= latency.as_dict()
            if saturated is not None:
                figures |= saturated.figures()
            row = replace(self._row(recipe.name, variant, gates, figures, shown), groups=groups)
            self._records[recipe] = self._noted(row, saturated.note() if saturated else "")
        return self._records[recipe]

    def judge_finite(self, comparison: Any, variant: Variant) -> GateResult:
        """No NaN or Inf in any output, nor in what the files of the variant store.

        Integer kernels turn a NaN into some number, which one depends on the CPU: outputs are
        finite, and a channel is dead.
        """
        found = self.task.judge_finite(comparison)
        stored = count("weights and scales with NaN or Inf", variant.broken)
        return replace(found, checks=(*found.checks, stored))

    def paths_of(self, record: VariantRecord) -> tuple[Path, ...]:
        """The files of a variant that was judged here.

        Raises:
            LookupError: it was not; another's files must never pass for its own.
        """
        for recipe, known in self._records.items():
            if known is record:
                return self.variant(recipe).paths
        if record is self.fp32_record:
            return self.fp32.paths
        raise LookupError(f"{record.variant} of {record.model} was not judged here")

    def search_objection(self, recipe: Recipe) -> str:
        """What speaks against a variant on people whom the verdict does not use; "" if nothing.

        The search asks less than the gates: the selection split may be too small to *show* that
        error rates do not rise, so half of each budget must hold for the estimates. The winner
        is held against all limits, with bounds, on other people.

        Images are run a part at a time, and no further once the variant does not pass even if it
        does exactly as FP32 on all that are left.
        """
        selection = self._selection()
        variant = self.variant(recipe)
        size = self._judge_size(variant)
        if size.verdict is not Verdict.PASS:
            return size.worst_check().describe()
        baseline = self.baseline(self.golden.threshold, "selection")
        found = self.outputs(self.fp32, selection.images, "selection")
        number = len(selection.images)
        seen = 0
        for part in portions(number):
            given = self.outputs(variant, selection.images.subset(part), "selection")
            found = found.with_images(part, given)
            seen += len(part)
            comparison = self.task.compare(baseline, found)
            gates = (self.task.judge_finite(comparison), self.task.judge_against_fp32(comparison))
            for check in (check for gate in gates for check in gate.checks):
                if not check.promising:
                    rest = f" (after {seen:,} of {number:,} images, were it FP32 on the others)"
                    return check.describe() + (rest if seen < number else "")
        return ""

    def harm(self, recipe: Recipe, block: Block) -> float:
        """How far from FP32 the outputs are when this block alone is quantized."""
        fp32 = self.outputs(self.fp32, self.probes, "probe")
        changed = self.alone(recipe, block)
        # One that cannot be quantized alone gains nothing by being kept in FP32.
        return 0.0 if changed is None else self.task.harm(fp32, changed)

    def search_key(self, recipe: Recipe) -> list[Any]:
        """Plain values that determine the result of a search."""
        options = {k: v for k, v in asdict(recipe).items() if k != "name"}
        images = self.data.calibration
        limits = asdict(self.limits)
        facts = [self.model_facts(), self._input_facts(), images.digest if images else None]
        facts.append(self.data.groups)
        always = self.postprocessing(recipe)
        budget = self.workspace.settings.search_budget
        rewrites = [member.rewrites(recipe).names for member in self.members]
        exact = self.context.exact
        return [options, limits, self.golden.threshold, always, budget, rewrites, exact, *facts]

    def _current_golden(self) -> goldens.Golden:
        """The golden baseline of just this model, data and threshold policy."""
        path, command = self.golden_path, self.update_command
        if self.workspace.settings.update_golden:
            self._update_golden(path)
        golden = goldens.load(path, command)
        goldens.check_current(golden, self.model_facts(), self._input_facts(), path, command)
        return golden

    def _update_golden(self, path: Path) -> None:
        goldens.refuse_in_ci(path)
        facts = digest_of([self.model_facts(), self._input_facts()])

        def make() -> str:
            goldens.save(self._new_golden(), path)
            return facts

        # Another worker may have been faster.
        if self.context.store.once(f"golden-{digest_of(str(path))[:16]}", make) != facts:
            raise GoldenError(
                path,
                "two gates of this run record it for different models, data or limits",
                "give one of them a name of its own: KycModel(name=...)",
            )

    def _new_golden(self) -> goldens.Golden:
        threshold, source = self.task.given_threshold, "given in the gate file"
        if not self.task.has_threshold:
            source = "the task has none"
        elif threshold is None:
            selection = self._selection()
            fp32 = self.outputs(self.fp32, selection.images, "selection")
            threshold, source = self.task.choose_threshold(fp32, selection)
        self._require_sound(threshold)
        return goldens.Golden(
            model=self.model_facts(),
            inputs=self._input_facts(),
            threshold=threshold,
            threshold_source=source,
            rates=self._rates(threshold),
            latency_ms=round(self._latency(self.fp32).fp32_cpu_ms, 3),
            environment=self.context.environment.as_dict(),
            figures=self.task.golden_figures(self.baseline(threshold)),
        )

    def _selection(self) -> Part[Any]:
        """The part of the data that no verdict rests on."""
        if self.data.selection is None:
            raise DataError(
                "selection",
                "choosing a threshold and searching need subjects of their own",
                f"set {self.task.name}(selection=...)",
            )
        return self.data.selection

    def _rates(self, threshold: float | None) -> dict[str, Any]:
        found = self.task.rates(self.baseline(threshold))
        return {name: rate.as_dict() for name, rate in found.items()}

    def _input_facts(self) -> dict[str, Any]:
        return {**self.data.digests, **self.input_facts(), **self.task.policy()}

    def _fp32_gates(self, threshold: float | None) -> list[GateResult]:
        itself = self.baseline(threshold)
        return [self.task.judge_finite(itself), *self.task.judge_accuracy(itself)]

    def _require_sound(self, threshold: float | None) -> None:
        """A broken baseline hides every degradation, so it is no basis for comparison."""
        for gate in self._fp32_gates(threshold):
            if gate.verdict is Verdict.FAIL:
                raise BaselineError(
                    ", ".join(str(member.loaded.path) for member in self.members),
                    f"FP32 itself fails its limits ({gate.worst_check().describe()})",
                    "check channel order, mean and scale of the preprocessing, the labels and "
                    "the threshold; if they are right, the model is not good enough for its limits",
                )

    def _latency(self, variant: Variant) -> latencies.Latency:
        """Latency beside FP32, measured once a run, with the machine to itself."""
        limit = self.limits.latency_ratio
        percentile = self.limits.latency_ms is not None
        exact = self.context.exact
        key = [self.fp32.sha256, variant.sha256, limit, percentile, exact]

        def make() -> dict[str, Any]:
            # In this order: the session that is opened last tends to be the fastest.
            fp32, run, again = (self.runner(v) for v in (self.fp32, variant, self.fp32))
            task = f"{self.model.name}: measuring latency of {variant.recipe.name}"
            with self.context.stage(task, exclusive=True):
                found = latencies.measure(fp32, again, run, limit, percentile=percentile)
            return found.as_dict()

        found = self.context.store.once(f"latency-{digest_of(key)[:32]}", make)
        return latencies.Latency(**found)

    def _fp32_size(self) -> list[GateResult]:
        """The absolute limit on size, if there is one: it binds FP32, too."""
        if self.limits.size_mb is None:
            return []
        check = _point("file size", self.fp32.size / 1e6, self.limits.size_mb, "MB")
        return [GateResult("size", (check,))]

    def _judge_size(self, variant: Variant) -> GateResult:
        ratio = variant.size / self.fp32.size
        changed = sum(variant.quantized.values())
        limit = self.limits.size_ratio
        if variant.recipe.precision == "fp32-optimized":
            limit = _FLOAT_SIZE
        checks = [
            _point("size relative to FP32", ratio, limit, "ratio"),
            Check(
                "operators changed by the quantizer",
                Verdict.PASS if changed else Verdict.FAIL,
                float(changed),
                limit=1.0,
                direction="at least",
                unit="count",
                detail=", ".join(f"{n} {op}" for op, n in sorted(variant.quantized.items())),
            ),
        ]
        if self.limits.size_mb is not None:
            checks.append(_point("file size", variant.size / 1e6, self.limits.size_mb, "MB"))
        return GateResult(
            "size", tuple(checks), "Quantize more operators, or ship another variant."
        )

    @staticmethod
    def _noted(row: VariantRecord, note: str) -> VariantRecord:
        return replace(row, notes=(*row.notes, note)) if note else row

    def _row(
        self,
        label: str,
        variant: Variant,
        gates: list[GateResult],
        figures: dict[str, Any],
        shown: dict[str, str],
    ) -> VariantRecord:
        notes = variant.notes
        if note := exposure_note(
            variant.exposure,
            exact=self.context.exact,
            saturates=self.context.environment.u8s8_saturates,
        ):
            notes = (*notes, note)
        if self.workspace.settings.report is not None:  # it is evidence, and takes a process
            try:
                figures = figures | self.footprint(variant).as_dict()
            except MeasurementError as error:
                notes = (*notes, str(error))
        return VariantRecord(
            model=self.model.name,
            variant=label,
            sha256=variant.sha256,
            size=variant.size,
            size_ratio=variant.size / self.fp32.size,
            options=variant.resolved,
            gates={gate.gate: gate for gate in gates},
            figures={**figures, **exposure_figures(variant.exposure)},
            shown=shown,
            notes=notes,
            files=dict(zip(self.model.stems, (f.sha256 for f in variant.files), strict=True)),
        )


def _point(name: str, value: float, limit: float, unit: str) -> Check:
    """A figure that is known exactly."""
    verdict = Verdict.PASS if value < limit else Verdict.FAIL
    return Check(name, verdict, value, limit=limit, unit=unit)
