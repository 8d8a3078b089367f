"""The published JSON as dataclasses: the report of a run, and the evidence for an exported model.

`docs/report.schema.json` is generated from these classes (`report.schema`), so every key is
declared and described here. Keys and nesting are an interface: any change to them must change
`SCHEMA`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..bench.file_ports import FilePorts
from ..curves import Curves
from ..pipeline.record import PipelineRow, Yardstick
from ..runtimes import Deployment
from ..runtimes.environment import Environment
from .result_entries import CheckEntry, GroupEntry, ResultEntry
from .run_entries import ErrorEntry, OutcomeEntry, Part, Provenance, Scope, Shard, Times

if TYPE_CHECKING:
    from ..spec.limits import CheckedLimits
    from ..tasks.base import TaskData

SCHEMA = 8

Overall = Literal["PASS", "WAIVED", "FAIL", "INCONCLUSIVE", "ERROR", "INCOMPLETE", "SMOKE"]
"""PASS: every gate that was collected was judged by all of its tests, and passed, perhaps on a
fallback. WAIVED: the same, but a failure is waived. FAIL: a gate or a test of one failed.
INCONCLUSIVE: nothing failed, but figures are undecided that must not be. ERROR: something could not
be judged or collected. INCOMPLETE: tests of gates were not run. SMOKE: nothing failed, but the
smoke profile clears nothing."""


@dataclass(frozen=True)
class LimitEntry:
    """A limit of a gate, as it was judged.

    Args:
        name: name of the limit, such as "far".
        value: the limit, a fraction for rates; null if it is off.
        direction: the side on which figures must lie, "below" or "at least".
        unit: unit of the limit, such as "rate" or "ms".
    """

    name: str
    value: float | None
    direction: str
    unit: str

    @classmethod
    def all_of(cls, limits: CheckedLimits) -> tuple[LimitEntry, ...]:
        """All limits as they are judged, those that are off included."""
        return tuple(
            cls(name, getattr(limits, name), said["direction"].value, said["unit"].value)
            for name, said in ((n, one.metadata) for n, one in limits.__dataclass_fields__.items())
        )


@dataclass(frozen=True)
class DataEntry:
    """Images that a gate used.

    Args:
        images: number of images.
        sha256: digest of the names and contents of all images, independent of their order.
    """

    images: int
    sha256: str

    @classmethod
    def all_of(cls, data: TaskData[Any]) -> dict[str, DataEntry]:
        """The images of a gate, by their role."""
        images = {
            "evaluation": data.evaluation.images,
            "selection": data.selection.images if data.selection else None,
            "calibration": data.calibration,
        }
        return {role: cls(len(one), one.digest) for role, one in images.items() if one}


@dataclass(frozen=True)
class VariantEntry:
    """A variant of a model and everything that was found about it.

    Args:
        model: name of the model.
        variant: label, such as "int8" or "int8>mixed".
        sha256: digest of the file, or of the digests of several.
        size: file size in bytes, of all files together.
        size_ratio: size relative to FP32.
        options: the recipe as finally used, with the reason for each choice.
        gates: results by name of the gate, in the order in which they were judged.
        figures: further figures, by name: drift, latency, memory.
        notes: caveats.
        remarks: what else is worth knowing, such as what stays in FP32 and why.
        shown: further columns of the table in the terminal, as cell by header.
        files: SHA-256 of each file, by the name of the FP32 file that it replaces.
        groups: error rates of each group of people, if the data names groups.
        runtime: the runtime that it was judged on; null if it was not judged.
        companions: text of files that production needs beside each file, by the name of the FP32
            file and by their endings.
        ports: inputs and outputs of each file that is not fed as FP32 is, by the name of the FP32
            file.
        preprocess: how pixels become the input, by the name of the FP32 file.
        curves: what plots show beside FP32; null for FP32 itself, and where nothing was judged.
        verdict: the worst verdict of the gates.
    """

    model: str
    variant: str
    sha256: str
    size: int
    size_ratio: float
    options: Mapping[str, Any]
    gates: Mapping[str, ResultEntry]
    figures: Mapping[str, float]
    notes: tuple[str, ...]
    remarks: tuple[str, ...]
    shown: Mapping[str, str]
    files: Mapping[str, str]
    groups: tuple[GroupEntry, ...]
    runtime: Deployment | None
    companions: Mapping[str, Mapping[str, str]]
    ports: Mapping[str, FilePorts]
    preprocess: Mapping[str, Mapping[str, Any]]
    curves: Curves | None
    verdict: str


@dataclass(frozen=True)
class DecisionEntry:
    """What ships for one precision that the gate file asks for.

    Args:
        model: name of the model.
        requested: label of that precision.
        judged: label of the variant that the tests of that precision are asserted on.
        ships: label of the variant that ships for it; null if none does.
        reasons: why that is not the requested one.
        note: why nothing else was tried.
        undecidable: the figure that the data cannot decide even for FP32 compared with itself, so
            that nothing else was tried; null if there is none.
        tried: labels of all variants that were judged on the way.
        searches: attempts of the search for mixed precision.
    """

    model: str
    requested: str
    judged: str
    ships: str | None
    reasons: tuple[str, ...]
    note: str
    undecidable: CheckEntry | None
    tried: tuple[str, ...]
    searches: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class GateEntry:
    """A gate: a model under one set of precisions and limits.

    Args:
        model: name of the model.
        gate: node id of the gate's class or function.
        key: digest that identifies the gate, by which pipelines name their stages.
        profile: the profile under which it was judged.
        profile_note: what that profile means here, and which limits are looser than the defaults.
        inconclusive: what an undecided gate does to its test: "fail", "warn" or "xfail".
        fallback: the first precision to try if one does not pass; null for none.
        ship_by: what decides among variants that pass: "product", "size" or "latency".
        limits: the limits.
        data: the images that were used, by their role: "evaluation", "selection", "calibration".
        ship: label of the variant that ships; null if none does.
        incomplete: why this run cannot decide what ships; "" if it can.
        not_run: node ids of the tests of this gate that did not run to their end, such as
            deselected ones.
        tests: all tests of this gate, with what became of them.
        unjudged: names of the gates that no test of this run asks for.
        golden: the golden FP32 baseline, as its file holds it.
        rejected: variants that a test did not clear, each with that test and its outcome.
        variants: FP32 first; then the others, the worst first.
        decisions: what ships for each requested precision.
        advice: what to try next, or why not to quantize, as docs/decide.md has it.
    """

    model: str
    gate: str
    key: str
    profile: str
    profile_note: str
    inconclusive: str
    fallback: str | None
    ship_by: str
    limits: tuple[LimitEntry, ...]
    data: Mapping[str, DataEntry]
    ship: str | None
    incomplete: str
    not_run: tuple[str, ...]
    tests: tuple[OutcomeEntry, ...]
    unjudged: tuple[str, ...]
    golden: Mapping[str, Any]
    rejected: Mapping[str, str]
    variants: tuple[VariantEntry, ...]
    decisions: tuple[DecisionEntry, ...]
    advice: tuple[str, ...]


@dataclass(frozen=True)
class PipelineEntry:
    """A whole pipeline: what ships, compared with FP32.

    Args:
        gate: node id of the class that defines it.
        inconclusive: what an undecided gate does to its test.
        limits: the limits.
        fp32: the row of FP32.
        shipped: the row of what ships.
        gates: results of the shipped pipeline, by name of the gate.
        models: key of each stage's own gate.
        figures: further figures: latency relative to FP32, drift of the answers.
        farthest: the image whose answer differs most from FP32's, by stage.
        notes: caveats.
        remarks: what else is worth knowing, such as what stays in FP32 and why.
        rates: rates of transactions with their bounds, by pipeline ("fp32", "shipped") and name.
        reasons: number of customers who are turned away, by pipeline and reason.
        stopped: number of attacks that are stopped, by pipeline, species and reason.
        groups: rates within each group of people.
        yardsticks: figures beside those that public yardsticks ask for.
        search: what a search for a combination found; null if there was none.
        verdict: the worst verdict of the gates.
        not_shipped: stages that ran a variant which does not ship.
        tests: all tests of the pipeline, with what became of them.
    """

    gate: str
    inconclusive: str
    limits: tuple[LimitEntry, ...]
    fp32: PipelineRow
    shipped: PipelineRow
    gates: Mapping[str, ResultEntry]
    models: Mapping[str, str]
    figures: Mapping[str, float]
    farthest: Mapping[str, str]
    notes: tuple[str, ...]
    remarks: tuple[str, ...]
    rates: Mapping[str, Mapping[str, Any]]
    reasons: Mapping[str, Mapping[str, int]]
    stopped: Mapping[str, Mapping[str, Mapping[str, int]]]
    groups: tuple[GroupEntry, ...]
    yardsticks: tuple[Yardstick, ...]
    search: Mapping[str, Any] | None
    verdict: str
    not_shipped: tuple[str, ...]
    tests: tuple[OutcomeEntry, ...]


@dataclass(frozen=True)
class Report:
    """The report of a run.

    Args:
        schema: version of this format.
        verdict: the verdict of the whole run.
        provenance: what made the report.
        shard: the part of a run that this is the report of; null for a whole run.
        parts: the reports that were united; empty for the report of one run.
        environment: the machine that ran the gates; null if none ran, or if the parts ran on
            several.
        session_config: entries of onnxruntime's session configuration that verdicts depend on.
        scope: what was collected, and what of it could not be judged.
        problems: what was collected but has no verdict, and why.
        errors: tests of gates that failed, with their messages.
        gates: the gates of models.
        pipelines: the gates of pipelines.
        times: when, and how long.
        digest: SHA-256 of all other keys: of their canonical JSON (sorted keys, no white space).
    """

    schema: int
    verdict: Overall
    provenance: Provenance
    shard: Shard | None
    parts: tuple[Part, ...]
    environment: Environment | None
    session_config: Mapping[str, str]
    scope: Scope
    problems: tuple[str, ...]
    errors: tuple[ErrorEntry, ...]
    gates: tuple[GateEntry, ...]
    pipelines: tuple[PipelineEntry, ...]
    times: Times
    digest: str = ""

    @property
    def judged(self) -> tuple[GateEntry | PipelineEntry, ...]:
        """The gates of models and of pipelines."""
        return (*self.gates, *self.pipelines)


@dataclass(frozen=True)
class Evidence:
    """The evidence for an exported model, which lies beside it.

    Args:
        schema: version of this format.
        files: SHA-256 of each exported file, by name; empty if FP32 ships, which is not copied.
        replaced: SHA-256 of each file of an earlier export that these replace, by name.
        provenance: what made the export.
        environment: the machine that ran the gates.
        session_config: entries of onnxruntime's session configuration that verdicts depend on.
        written: when it was written, UTC, ISO 8601.
        model: name of the model.
        gate: node id of its gate.
        found: everything that was found about the model.
        pipelines: the pipelines with which it was judged.
        digest: SHA-256 of all other keys, as in a report. Whoever signs it signs all of them, and
            by their digests the exported files, the golden and the images.
    """

    schema: int
    files: Mapping[str, str]
    replaced: Mapping[str, str]
    provenance: Provenance
    environment: Environment | None
    session_config: Mapping[str, str]
    written: str
    model: str
    gate: str
    found: GateEntry
    pipelines: tuple[PipelineEntry, ...]
    digest: str = ""
