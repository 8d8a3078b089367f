"""From a gate file to a record: chooses what ships at each stage, and measures both pipelines."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..bench.run import key_of
from ..bench.shipping import to_ship
from ..context.cache import digest_of
from ..data.images import ImageSet
from ..data.unlabelled import load_images
from ..errors import BaselineError, MeasurementError, QuantizationError
from ..measure.memory import Peak
from ..plain import from_plain, plain
from .memory import Job
from .record import (
    GATES,
    PipelineRecord,
    PipelineRow,
    judge_complete,
    judge_latency,
    judge_memory,
    not_judged,
)
from .stages import (
    Photo,
    Pipeline,
    Stage,
    Stages,
)
from .timing import (
    Coverage,
    Runner,
    Timing,
    cover,
    ratio,
    summarise,
    time_runs,
)

if TYPE_CHECKING:
    from ..bench.records import VariantRecord
    from ..bench.run import Run
    from ..context import Context
    from ..spec.pipeline import PipelineSpec, ProcessSpec, StageSpec

Process = Callable[[Stages, Photo], object]
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
        process: Process,
        gate: str,
        asked: Collection[str] | None = None,
    ) -> PipelineRecord:
        """Measure the shipped pipeline and FP32, once in a run, and judge it by its limits.

        Args:
            spec: the pipeline, as the gate file describes it.
            process: the function that processes one image: the bound method `process` of the
                class that `spec` names.
            gate: node id of that class.
            asked: names of the gates to judge, the same in the whole run; None for all.

        Raises:
            KycquantError: a stage cannot be judged, or nothing ships there; the images cannot be
                used; or FP32 reaches every stage on none of them.
        """
        if spec not in self._records:
            wanted = GATES if asked is None else tuple(g for g in GATES if g in asked)
            self._records[spec] = _judge(self._run, spec, process, gate, wanted)
        return self._records[spec]


def _judge(
    run: Run, spec: PipelineSpec, process: Process, gate: str, asked: tuple[str, ...]
) -> PipelineRecord:
    space = run.workspace
    images = load_images(space.resolve(spec.images, f"{gate} images", spec.process.gate_file))
    fp32, shipped = _pipelines(run, spec)
    name = f"pipeline-{digest_of([gate, repr(spec), repr(fp32), repr(shipped)])[:32]}"
    keys = {s.name: key_of(s.gate, s.gate_file, space.root) for s in spec.stages}
    return space.context.store.once(
        name,
        lambda: plain(
            _measure(space.context, spec, process, gate, fp32, shipped, images, keys, asked)
        ),
        lambda found: from_plain(PipelineRecord, found),
    )


def _pipelines(run: Run, spec: PipelineSpec) -> tuple[Pipeline, Pipeline]:
    """Both pipelines: with all stages in FP32, and with the variants that their gates let ship."""
    fp32: dict[str, Stage] = {}
    shipped: dict[str, Stage] = {}
    for stage in spec.stages:
        judge = run.judge(stage.gate, stage.gate_file)
        threshold = judge.require_golden().threshold  # raises the error that its own gates raise
        assert threshold is not None  # only custom tasks, which cannot be a stage, have none
        for stages, record in ((fp32, judge.fp32_record), (shipped, _ships(run, stage))):
            variant = judge.variant_of(record)
            stages[stage.name] = Stage(
                judge.variants.model,
                record.variant,
                variant.paths,
                threshold,
                variant.size,
                variant.runtime,
                tuple(file.sha256 for file in variant.files),
                judge.variants.learned(),
                tuple(source.feeding for source in judge.variants.sources),
                tuple(file.interface for file in variant.files),
            )
    threads, exact = spec.threads, run.workspace.settings.exact
    return Pipeline("fp32", fp32, threads, exact), Pipeline("shipped", shipped, threads, exact)


def _ships(run: Run, stage: StageSpec) -> VariantRecord:
    """What a stage's own gates let ship, by the same rule as the line `ship:` of the report."""
    judge = run.judge(stage.gate, stage.gate_file)
    judged = {"fp32": judge.fp32_record}
    for recipe in stage.gate.precisions:
        try:
            shipment = run.shipment(stage.gate, stage.gate_file, recipe)
        except QuantizationError:
            continue  # its own gates report this error; other precisions may ship
        judged |= {record.variant: record for record in shipment.tried}
    by = stage.gate.effective_ship_by(run.workspace.settings)
    ship = to_ship(judged.values(), ship_by=by)
    if ship is None:
        raise BaselineError(
            f"{stage.name} ({judge.variants.model.name})",
            "no variant passes its own gates, not even FP32",
            f"run {stage.gate_file} to see why",
        )
    return ship


def _measure(
    context: Context,
    spec: PipelineSpec,
    process: Process,
    gate: str,
    fp32: Pipeline,
    shipped: Pipeline,
    images: ImageSet,
    models: Mapping[str, str],
    asked: tuple[str, ...],
) -> PipelineRecord:
    names = tuple(fp32.stages)
    photos = [Photo(images, index) for index in range(len(images))]
    with context.stage("pipeline: running both ways", len(photos)) as advance:
        coverage = cover(_runner(fp32, process), _runner(shipped, process), photos, names, advance)
    gates = {"complete": judge_complete(coverage)}
    rows = {pipeline.label: _row(pipeline) for pipeline in (fp32, shipped)}
    figures = dict(coverage.drift)
    if not coverage.complete:
        gates |= {gate: not_judged(gate) for gate in GATES if gate != "complete"}
    else:
        if "latency" in asked:
            with context.stage("pipeline: measuring its time", exclusive=True):
                timings, quotient = _time(fp32, shipped, process, coverage.reached, spec.runs)
            gates["latency"] = judge_latency(
                timings["shipped"], timings["fp32"], quotient, spec.limits
            )
            figures["latency_ratio"] = quotient
            for label in rows:
                rows[label] = replace(rows[label], timing=plain(timings[label]))
        if "memory" in asked:
            with context.stage("pipeline: measuring its memory"):
                peaks, problem = _peaks(spec, fp32, shipped, coverage.reached)
            both = peaks.get("fp32"), peaks.get("shipped")
            gates["memory"] = judge_memory(*both, problem, spec.limits)
            for label, peak in peaks.items():
                rows[label] = replace(rows[label], peak_mb=peak.peak_mb, imports_mb=peak.imports_mb)
    return PipelineRecord(
        gate=gate,
        fp32=rows["fp32"],
        shipped=rows["shipped"],
        models=models,
        gates={name: gates[name] for name in asked},
        figures=figures,
        farthest=coverage.farthest,
        notes=_notes(coverage, shipped, images),
    )


def _runner(pipeline: Pipeline, process: Process) -> Runner:
    stages = Stages(pipeline)
    return lambda photo: stages.trace(process, photo)


def _time(
    fp32: Pipeline, shipped: Pipeline, process: Process, photos: Sequence[Photo], runs: int
) -> tuple[dict[str, Timing], float]:
    """Timings by label, and the ratio of the shipped pipeline to FP32."""
    runners: dict[str, Runner] = {}
    load: dict[str, float] = {}
    first: dict[str, float] = {}
    for pipeline in (fp32, shipped):
        began = time.perf_counter()
        runners[pipeline.label] = run = _runner(pipeline, process)
        load[pipeline.label] = 1e3 * (time.perf_counter() - began)
        first[pipeline.label] = run(photos[0]).wall_ns / 1e6
        for number in range(WARM_UP):
            run(photos[number % len(photos)])
    names = tuple(fp32.stages)
    timed = time_runs(runners["fp32"], runners["shipped"], photos, runs, names)
    traces = dict(zip(("fp32", "shipped"), timed, strict=True))
    timings = {
        label: summarise(traces[label], names, load[label], first[label]) for label in traces
    }
    return timings, ratio(*timed)


def _peaks(
    spec: PipelineSpec, fp32: Pipeline, shipped: Pipeline, photos: Sequence[Photo]
) -> tuple[dict[str, Peak], str]:
    """Peak memory by label on the largest images; if unknown, an empty dict and the reason."""
    images = photos[0].images.subset([photo.index for photo in photos])
    pixels = [height * width for height, width in images.sizes]
    largest = images.subset(np.argsort(pixels, kind="stable")[::-1][:MEMORY_IMAGES])
    try:
        return {
            pipeline.label: _job(spec.process, pipeline, largest).measure()
            for pipeline in (fp32, shipped)
        }, ""
    except MeasurementError as error:
        return {}, str(error)


def _job(process: ProcessSpec, pipeline: Pipeline, images: ImageSet) -> Job:
    return Job(pipeline, str(process.gate_file), process.module, process.name, images)


def _row(pipeline: Pipeline) -> PipelineRow:
    variants = {name: stage.variant for name, stage in pipeline.stages.items()}
    return PipelineRow(pipeline.label, variants, sum(s.size for s in pipeline.stages.values()))


def _notes(coverage: Coverage, shipped: Pipeline, images: ImageSet) -> tuple[str, ...]:
    notes = []
    if short := coverage.images - len(coverage.reached):
        notes.append(
            f"{short:,} of {coverage.images:,} images are not used: FP32 does not reach every "
            "stage on them"
        )
    if images.is_array:
        notes.append("the images are rows of an array, so the time does not include decoding")
    if all(stage.variant == "fp32" for stage in shipped.stages.values()):
        notes.append("every stage ships FP32, so both rows are the same pipeline")
    return tuple(notes)
