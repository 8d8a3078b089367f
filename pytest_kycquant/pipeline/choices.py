"""The variants that may stand at each stage of a pipeline: those that their own gates clear."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..bench.shipping import to_ship
from ..errors import BaselineError, QuantizationError
from ..files import from_here
from ..spec.profiles import looser
from ..spec.waivers import waive, waivers_of
from ..verdicts import Verdict
from .combination import Choice, Choices
from .models import Stage

if TYPE_CHECKING:
    from ..bench.judge import Judge
    from ..bench.records import VariantRecord
    from ..bench.run import Run
    from ..spec.pipeline import PipelineSpec, StageSpec
    from .record import PipelineRecord


@dataclass(frozen=True)
class Cleared:
    """What the gates of all stages clear.

    Args:
        choices: the variants that ship alone, FP32 first, by stage.
        alone: the variant that ships, by stage.
        looser: notes about stages whose limits are looser than the defaults.
    """

    choices: Mapping[str, Sequence[Choice]]
    alone: Choices
    looser: tuple[str, ...] = ()

    @property
    def fp32(self) -> Choices:
        """FP32 at every stage."""
        return {stage: given[0] for stage, given in self.choices.items()}

    def named(self, variants: Mapping[str, str]) -> Choices:
        """The variants with these labels, by stage."""
        return {
            stage: next(one for one in given if one.variant == variants[stage])
            for stage, given in self.choices.items()
        }


def cleared(run: Run, spec: PipelineSpec) -> Cleared:
    """Find what the gates of each stage clear, by the same rule as the line `ship:` of the report.

    Raises:
        KycquantError: a stage cannot be judged, or nothing ships there.
    """
    choices: dict[str, list[Choice]] = {}
    alone: dict[str, Choice] = {}
    for stage in spec.stages:
        judge = run.judge_of(stage)
        threshold = judge.require_golden().threshold  # raises the error that its own gates raise
        assert threshold is not None  # only custom tasks, which cannot be a stage, have none
        records = _judged(run, stage)
        ship = to_ship(
            records.values(), ship_by=stage.gate.effective_ship_by(run.workspace.settings)
        )
        if ship is None:
            shown = from_here(stage.gate_file, run.workspace.settings.start)
            raise BaselineError(
                f"{stage.name} ({judge.variants.model.name})",
                "no variant passes its own gates, not even FP32",
                f"see why with: {shlex.join(['pytest', shown])}",
            )
        fp32_ms = _fp32_ms(records)
        given = {
            label: Choice(_stage(judge, record, threshold), _ms(record, fp32_ms))
            for label, record in records.items()
            if record.ships or label == "fp32"
        }
        alone[stage.name] = given[ship.variant]
        rest = sorted(label for label in given if label != "fp32")
        choices[stage.name] = [given["fp32"], *(given[label] for label in rest)]
    return Cleared(choices, alone, tuple(_looser(run, spec)))


def _looser(run: Run, spec: PipelineSpec) -> Iterator[str]:
    stages: dict[str, list[str]] = {}
    for stage in spec.stages:
        limits = run.judge(stage.gate, stage.gate_file).limits
        if found := ", ".join(looser(limits)):
            stages.setdefault(found, []).append(stage.name)
    for found, names in stages.items():
        yield f"limits of the {', '.join(names)} looser than the defaults: {found}"


def with_waivers(run: Run, spec: PipelineSpec, record: PipelineRecord) -> PipelineRecord:
    """The record with its waivers, and with those by which its stages ship what they ship."""
    notes = tuple(
        f"{stage.name} {variant}: {result.gate} is {result.waiver.describe()}"
        for stage in spec.stages
        for variant, result in run.waived_in(stage)
        if result.waiver and result.verdict is Verdict.WAIVED
        if variant == record.shipped.variants[stage.name]
    )
    record = replace(record, notes=(*record.notes, *notes))
    if run.workspace.settings.strict:
        return record
    waivers = waivers_of(run.waivers, (record.gate,))
    found = {
        name: waive(result, record.shipped.label, waivers) for name, result in record.gates.items()
    }
    return replace(record, gates=found)


def _judged(run: Run, stage: StageSpec) -> dict[str, VariantRecord]:
    judge = run.judge_of(stage)
    judged = {"fp32": judge.fp32_record}
    for recipe in stage.gate.precisions:
        try:
            shipment = run.shipment_of(stage, recipe)
        except QuantizationError:
            continue  # its own gates report this error; other precisions may ship
        judged |= {record.variant: record for record in shipment.tried}
    return judged


def _fp32_ms(records: Mapping[str, VariantRecord]) -> float | None:
    """Median CPU time of FP32 in ms, as measured beside the variants; None if it was not."""
    found = [one.figures["fp32_cpu_ms"] for one in records.values() if "fp32_cpu_ms" in one.figures]
    return float(np.median(found)) if found else None


def _ms(record: VariantRecord, fp32_ms: float | None) -> float | None:
    if fp32_ms is None or record.variant == "fp32":
        return fp32_ms
    ratio = record.latency_ratio
    return None if ratio is None else ratio * fp32_ms


def _stage(judge: Judge, record: VariantRecord, threshold: float) -> Stage:
    variant = judge.variant_of(record)
    return Stage(
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
        judge.variants.input_facts(),
    )
