"""From a gate file to a record: finds what ships together, and measures both pipelines."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..bench.people import CONFIRMATION, EVALUATION, Role
from ..bench.run import key_of
from ..context.cache import digest_of
from ..errors import MeasurementError
from ..measure.memory import Report
from ..plain import from_plain, plain
from ..spec.profiles import limits_under, looser
from .choices import Cleared, cleared, with_waivers
from .combination import Choices, Found, search, steps
from .evidence import Evidence, hindered, objection_to, undecidable
from .given import applicants_of, check_align, evidence_of
from .memory import Job
from .models import Pipeline
from .record import PipelineRecord, PipelineRow, judge_latency, judge_memory, not_judged
from .seen import Seen
from .stages import Stages
from .timing import Runner, Timing, ratio, summarise, time_runs

if TYPE_CHECKING:
    from ..bench.run import Run
    from ..bench.workspace import Workspace
    from ..results import GateResult
    from ..spec.pipeline import PipelineSpec
    from .stages import Named

MEMORY_IMAGES = 5  # the largest ones, which cause the peak
WARM_UP = 5  # runs after the first one that are not timed


class PipelineJudge:
    """Judges pipelines, each once in a process.

    Args:
        run: the run, whose gates decide what ships at each stage.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._records: dict[PipelineSpec, PipelineRecord] = {}

    def record(
        self,
        spec: PipelineSpec,
        gates: Any,
        gate: str,
        asked: Collection[str] | None = None,
    ) -> PipelineRecord:
        """Measure the shipped pipeline and FP32, once in a run, and judge it by its limits.

        Args:
            spec: the pipeline, as the gate file describes it.
            gates: an instance of the class that `spec` names, whose methods process images.
            gate: node id of that class.
            asked: names of the gates to judge, the same in the whole run; None for all.

        Raises:
            KycquantError: a stage cannot be judged, or nothing ships there; the data cannot be
                used; or FP32 reaches every stage on none of it.
        """
        if spec not in self._records:
            wanted = spec.gates if asked is None else tuple(g for g in spec.gates if g in asked)
            record = _judge(self._run, spec, gates, gate, wanted)
            self._records[spec] = with_waivers(self._run, spec, record)
        return self._records[spec]


def _judge(
    run: Run, spec: PipelineSpec, gates: Any, gate: str, asked: tuple[str, ...]
) -> PipelineRecord:
    space = run.workspace
    for stage in spec.stages:
        run.judge_of(stage).variants.require_files()  # before minutes of work on another stage
    spec = replace(spec, limits=limits_under(space.settings.profile, spec.limits))
    if spec.align:
        check_align(run, spec)
    applicants = applicants_of(run, spec, gate)  # before any variant is made
    found = cleared(run, spec)
    evidence = evidence_of(run, spec, gates, gate, found, applicants)
    models = {s.name: key_of(s.gate, s.gate_file, space.root) for s in spec.stages}
    key = [gate, repr(spec), repr(found), list(asked)]
    return space.context.store.once(
        f"pipeline-{digest_of(key)[:32]}",
        lambda: plain(_Made(space, spec, found, evidence).record(gate, models, asked)),
        lambda known: from_plain(PipelineRecord, known),
    )


class _Made:
    """One pipeline in the making: what ships together, and what it costs."""

    def __init__(
        self, space: Workspace, spec: PipelineSpec, found: Cleared, evidence: Evidence
    ) -> None:
        self._context, self._settings = space.context, space.settings
        self._spec = spec
        self._cleared = found
        self._evidence = evidence
        self._fp32 = self._pipeline("fp32", found.fp32)

    def record(
        self, gate: str, models: Mapping[str, str], asked: tuple[str, ...]
    ) -> PipelineRecord:
        """Everything about the pipeline that ships."""
        evidence, fp32 = self._evidence, self._fp32
        evidence.complete(fp32, fp32)  # refuses data that FP32 itself does not get through
        chosen, role, found = self._together()
        other = self._pipeline("shipped", chosen)
        gates = evidence.gates(fp32, other, role)
        figures = evidence.figures(fp32, other, role)
        drift = dict(figures.drift)
        rows = {one.label: _row(one) for one in (fp32, other)}
        costs, unknown = self._costs(other, gates["complete"], rows, drift, asked)
        gates |= costs
        notes, remarks = [*evidence.notes(fp32), *unknown], evidence.remarks(fp32)
        if found_looser := ", ".join(looser(self._spec.limits)):
            notes.append(f"limits looser than the defaults: {found_looser}")
        notes += self._cleared.looser
        if other.is_fp32:
            notes.append("every stage ships FP32, so both rows are the same pipeline")
        if role is CONFIRMATION:
            remarks.append("judged on the people on whom no combination was searched")
        return PipelineRecord(
            gate=gate,
            fp32=rows["fp32"],
            shipped=rows["shipped"],
            models=models,
            gates={name: gates[name] for name in asked},
            figures=drift,
            farthest=figures.farthest,
            notes=tuple(notes),
            remarks=tuple(remarks),
            rates=figures.rates,
            reasons=figures.reasons,
            stopped=figures.stopped,
            groups=figures.groups,
            yardsticks=figures.yardsticks,
            search=None if found is None else plain(found),
        )

    # -- what ships together ---------------------------------------------------------------------

    def _together(self) -> tuple[Choices, Role, Found | None]:
        """The combination that ships, who judges it, and how it was found."""
        alone, evidence, fp32 = self._cleared.alone, self._evidence, self._fp32
        other = self._pipeline("shipped", alone)
        if other.is_fp32 or self._settings.strict or not self._lacking(other, EVALUATION):
            return alone, EVALUATION, None
        labels = {stage: choice.variant for stage, choice in alone.items()}
        if why := undecidable(evidence, fp32) or hindered(evidence, fp32):
            note = f"no combination was searched: {why}"
            return alone, EVALUATION, Found(labels, labels, labels, note=note)

        def objection(choices: Choices) -> str:
            label = ", ".join(choice.variant for choice in choices.values())
            return objection_to(evidence, fp32, self._pipeline(label, choices))

        found = search(
            self._cleared.choices,
            alone,
            objection,
            self._spec.effective_ship_by(self._settings),
            self._settings.search_budget,
        )
        confirmed, stopped = self._cleared.fp32, ""
        for stage, step in steps(self._cleared.named(found.searched), self._cleared.fp32):
            if lacking := self._lacking(self._pipeline("shipped", step), CONFIRMATION):
                stopped = f"{stage} {step[stage].variant}, {lacking}"
                break
            confirmed = step
        variants = {stage: choice.variant for stage, choice in confirmed.items()}
        return confirmed, CONFIRMATION, replace(found, variants=variants, stopped=stopped)

    def _lacking(self, other: Pipeline, role: Role) -> str:
        """What keeps a pipeline from shipping; "" if nothing does."""
        for gate in self._evidence.gates(self._fp32, other, role).values():
            if not gate.ships:
                return gate.worst_check().describe()
        return ""

    def _pipeline(self, label: str, choices: Choices) -> Pipeline:
        stages = {name: choice.stage for name, choice in choices.items()}
        return Pipeline(label, stages, self._spec.threads, self._settings.exact)

    # -- what it costs ---------------------------------------------------------------------------

    def _costs(
        self,
        other: Pipeline,
        complete: GateResult,
        rows: dict[str, PipelineRow],
        figures: dict[str, float],
        asked: tuple[str, ...],
    ) -> tuple[dict[str, GateResult], list[str]]:
        """The gates "latency" and "memory", if they are asked for; adds to rows and figures.

        Returns:
            the gates, and notes about them.
        """
        gates: dict[str, GateResult] = {}
        both = self._evidence.complete(self._fp32, other)
        if not (complete.ships and both):
            return {name: not_judged(name) for name in ("latency", "memory")}, []
        reports, problem = self._afresh(other, both, memory="memory" in asked)
        if "latency" in asked:
            with self._context.stage("pipeline: measuring its time", exclusive=True):
                timings, quotient = self._time(other, both)
            gates["latency"] = judge_latency(
                timings["shipped"], timings["fp32"], quotient, self._spec.limits
            )
            figures["latency_ratio"] = quotient
            for label in rows:
                rows[label] = replace(rows[label], timing=plain(timings[label]))
        if "memory" in asked:
            peaks = {label: report.peak for label, report in reports.items()}
            pair = peaks.get("fp32"), peaks.get("shipped")
            why = problem or "this system does not report it; run on Linux"
            gates["memory"] = judge_memory(*pair, why, self._spec.limits)
            for label, peak in peaks.items():
                if peak is not None:
                    rows[label] = replace(
                        rows[label], peak_mb=peak.peak_mb, imports_mb=peak.imports_mb
                    )
        if not problem:
            return gates, []
        return gates, [f"not known whether its functions keep answers between images: {problem}"]

    def _time(self, other: Pipeline, units: Sequence[Named]) -> tuple[dict[str, Timing], float]:
        """Timings by label, and the ratio of the shipped pipeline to FP32."""
        runners: dict[str, Runner] = {}
        load: dict[str, float] = {}
        first: dict[str, float] = {}
        for pipeline in (self._fp32, other):
            began = time.perf_counter()
            runners[pipeline.label] = run = _runner(pipeline, self._evidence.run)
            load[pipeline.label] = 1e3 * (time.perf_counter() - began)
            first[pipeline.label] = run(units[0]).wall_ns / 1e6
            for number in range(WARM_UP):
                run(units[number % len(units)])
        names = tuple(self._fp32.stages)
        timed = time_runs(runners["fp32"], runners["shipped"], units, self._spec.runs, names)
        traces = dict(zip(("fp32", "shipped"), timed, strict=True))
        timings = {
            label: summarise(traces[label], names, load[label], first[label]) for label in traces
        }
        return timings, ratio(*timed)

    def _afresh(
        self, other: Pipeline, units: Sequence[Named], *, memory: bool
    ) -> tuple[dict[str, Report], str]:
        """Run the largest images in new processes, and compare what they answer.

        Args:
            other: the shipped pipeline.
            units: what both pipelines find.
            memory: whether the memory of both is asked for.

        Returns:
            reports by the label of the pipeline, and why there are none; "" if there are.

        Raises:
            PipelineError: the shipped pipeline answers otherwise there.
        """
        watch, where = self._evidence.watch, self._spec.process
        sizes = [images.sizes for images in watch.images(self._evidence.shown(units))]
        pixels = np.sum([np.prod(each, axis=1) for each in sizes], axis=0)
        largest = np.argsort(pixels, kind="stable")[::-1][:MEMORY_IMAGES].tolist()
        chosen = self._evidence.shown([units[index] for index in largest])
        images, methods = watch.images(chosen), self._spec.methods
        # FP32 runs first here, so that nobody's answers can stand for its own.
        wanted = (self._fp32, other) if memory else () if other.is_fp32 else (other,)
        found = {}
        with self._context.stage("pipeline: running images in a new process"):
            for one in wanted:
                job = Job(one, str(where.gate_file), where.module, where.name, images, methods)
                try:
                    found[one.label] = job.run()
                except MeasurementError as error:
                    return {}, str(error)
        if not other.is_fp32 and other.label in found:
            told = [Seen.of(each) for each in found[other.label].told]
            watch.check_afresh(other, chosen, told)
        return found, ""


def _runner(pipeline: Pipeline, process: Callable[[Stages, Any], object]) -> Runner:
    stages = Stages(pipeline)
    return lambda unit: stages.trace(process, unit)


def _row(pipeline: Pipeline) -> PipelineRow:
    variants = {name: stage.variant for name, stage in pipeline.stages.items()}
    return PipelineRow(pipeline.label, variants, sum(s.size for s in pipeline.stages.values()))
