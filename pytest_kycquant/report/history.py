"""Reports over time: what shipped, and how its figures stood against their limits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..runtimes.environment import Environment
from ..verdicts import Direction, Limit, Unit
from .document import GateEntry, PipelineEntry, Report
from .result_entries import CheckEntry, ResultEntry
from .run_entries import Commit
from .standing import lacking, standing_in, unjudged

_AT_MOST_ONE = (Unit.SHARE.value, Unit.COSINE.value)


@dataclass(frozen=True)
class Figure:
    """One figure of a run, as the share of its limit that it uses: beyond 1 it does not pass.

    Of a figure that must be high, it is the share of the distance from the limit to 1.

    Args:
        gate: the gate that compared it, such as "far".
        name: what was measured.
        value: the estimate.
        lower: the bound on the side of a perfect model; equal to `value` without bounds.
        upper: the bound that decides.
    """

    gate: str
    name: str
    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Point:
    """What one run found about one gate or pipeline.

    Args:
        started: when the run began, UTC.
        commit: full name of the commit; "" if it is not known.
        changed: whether tracked files differed from that commit.
        machine: label of the machine in `History.machines`; "" if it is not known.
        ships: what ships: a variant, or those of the stages; "" if nothing does, or if the run
            lacks a part and so cannot say it.
        verdict: the verdict of the gate in that run, whatever ships.
        size: bytes; None if nothing ships.
        size_ratio: relative to FP32, of the gate of a model.
        latency: ratio to FP32 with its bounds; None if it was not measured.
        latency_limit: the limit of that ratio; None if there is none.
        figures: its other figures.
    """

    started: str
    commit: str
    changed: bool
    machine: str
    ships: str
    verdict: str
    size: int | None
    size_ratio: float | None
    latency: tuple[float, float, float] | None
    latency_limit: float | None
    figures: tuple[Figure, ...]

    @property
    def short_commit(self) -> str:
        """The commit in few characters, with a plus sign if files differed from it."""
        return Commit(self.commit, self.changed).short if self.commit else "unknown"

    @property
    def worst(self) -> Figure | None:
        """The figure whose bound uses most of its limit."""
        return max(self.figures, key=lambda one: one.upper, default=None)


@dataclass(frozen=True)
class History:
    """All runs.

    Args:
        machines: the machines in the order in which they appear, by their label: A, B, ...
        gates: the runs of each gate and pipeline in the order of time, by node id.
    """

    machines: Mapping[str, str]
    gates: Mapping[str, tuple[Point, ...]]


def history_of(reports: Iterable[Report]) -> History:
    """Put reports in the order of time.

    Args:
        reports: reports of whole runs; one that is given twice counts once.
    """
    distinct = {report.digest: report for report in reports}.values()
    ordered = sorted(distinct, key=lambda one: (one.times.started, one.digest))
    machines: dict[str, str] = {}
    gates: dict[str, list[Point]] = {}
    for report in ordered:
        for entry in report.judged:
            label = _label(_machine_of(report, entry.gate), machines)
            if isinstance(entry, GateEntry):
                name, found = f"{entry.gate}, {entry.model}", _of_gate(report, label, entry)
            else:
                name, found = entry.gate, _of_pipeline(report, label, entry)
            gates.setdefault(name, []).append(found)
        label = _label(report.environment, machines)
        for one, verdict in unjudged(report):
            name = f"{one.gate}, {one.model}" if one.model else one.gate
            point = _point(report, label, ships="", verdict=verdict)
            if point not in gates.setdefault(name, []):  # a function may be several gates
                gates[name].append(point)
    named = {label: described for described, label in machines.items()}
    return History(named, {name: tuple(points) for name, points in sorted(gates.items())})


def _machine_of(report: Report, gate: str) -> Environment | None:
    """The machine that judged a gate, which in a united report is that of one of its parts."""
    if report.environment is not None:
        return report.environment
    found = {one.environment for one in report.parts if gate in one.gates}
    return found.pop() if len(found) == 1 else None


def _label(machine: Environment | None, known: dict[str, str]) -> str:
    """The label of a machine: what latency depends on tells them apart."""
    if machine is None:
        return ""
    features = ", ".join(machine.features) or "no known vector features"
    described = f"{machine.cpu} ({features}), {machine.system}, onnxruntime {machine.onnxruntime}"
    return known.setdefault(described, _letters(len(known)))


def _letters(number: int) -> str:
    return (_letters(number // 26 - 1) if number >= 26 else "") + chr(ord("A") + number % 26)


def _of_gate(report: Report, machine: str, gate: GateEntry) -> Point:
    rows = {row.variant: row for row in gate.variants}
    row = None if lacking(report) else rows.get(gate.ship or "")
    return _point(
        report,
        machine,
        ships=row.variant if row else "",
        verdict=standing_in(report, gate),
        size=row.size if row else None,
        size_ratio=row.size_ratio if row else None,
        results=row.gates if row else {},
    )


def _of_pipeline(report: Report, machine: str, pipeline: PipelineEntry) -> Point:
    verdict = standing_in(report, pipeline)
    known = not lacking(report) and verdict != "INCOMPLETE"
    return _point(
        report,
        machine,
        ships=", ".join(pipeline.shipped.variants.values()) if known else "",
        verdict=verdict,
        size=pipeline.shipped.size if known else None,
        results=pipeline.gates,
        known=pipeline.figures.get("latency_ratio"),
    )


def _point(
    report: Report,
    machine: str,
    *,
    ships: str,
    verdict: str,
    size: int | None = None,
    size_ratio: float | None = None,
    results: Mapping[str, ResultEntry] | None = None,
    known: float | None = None,
) -> Point:
    commit, results = report.provenance.commit, results or {}
    timed = results["latency"].checks if "latency" in results else ()
    ratio = next((one for one in timed if one.unit == Unit.RATIO.value), None)
    latency = None if known is None else (known, known, known)
    if ratio is not None and ratio.value is not None:
        latency = _bounds(ratio)
    return Point(
        started=report.times.started,
        commit=commit.sha if commit else "",
        changed=commit is not None and commit.changed,
        machine=machine,
        ships=ships,
        verdict=verdict,
        size=size,
        size_ratio=size_ratio,
        latency=latency,
        latency_limit=ratio.limit if ratio else None,
        figures=tuple(
            figure
            for name, result in results.items()
            for check in result.checks
            if check is not ratio and (figure := _figure(name, check)) is not None
        ),
    )


def _bounds(check: CheckEntry) -> tuple[float, float, float]:
    assert check.value is not None
    lower = check.value if check.lower is None else check.lower
    upper = check.value if check.upper is None else check.upper
    return check.value, lower, upper


def _figure(gate: str, check: CheckEntry) -> Figure | None:
    """A figure relative to its limit; None without one, or if that leaves no room at all."""
    if check.value is None or check.limit is None:
        return None
    used = [_used(check.limit, check, one) for one in _bounds(check)]
    if not all(map(math.isfinite, used)):
        return None
    return Figure(gate, check.name, used[0], min(used), max(used))


def _used(limit: float, check: CheckEntry, value: float) -> float:
    """The share of a limit that a value uses; NaN if there is none."""
    if check.direction == Direction.AT_LEAST.value and check.unit in _AT_MOST_ONE:
        return (1 - value) / (1 - limit) if limit < 1 else math.nan
    if limit == 0:
        return math.nan
    return 1 + Limit("", limit, Direction(check.direction), Unit(check.unit)).excess(value)
