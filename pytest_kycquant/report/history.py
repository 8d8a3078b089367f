"""Reports over time: what shipped, and how its figures stood against their limits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..runtimes.environment import Environment
from ..verdicts import Direction, Limit, Unit, Verdict
from .document import GateEntry, PipelineEntry, Report
from .result_entries import CheckEntry, ResultEntry

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
        machine: label of the machine in `History.machines`; "" if it is not known.
        ships: what ships: a variant, or those of the stages; "" if nothing does.
        verdict: the verdict of what ships, or of the worst that was asked for.
        size: bytes; None if nothing ships.
        size_ratio: relative to FP32, of the gate of a model.
        latency: ratio to FP32 with its bounds; None if it was not measured.
        latency_limit: the limit of that ratio; None if there is none.
        figures: its other figures.
    """

    started: str
    commit: str
    machine: str
    ships: str
    verdict: str
    size: int | None
    size_ratio: float | None
    latency: tuple[float, float, float] | None
    latency_limit: float | None
    figures: tuple[Figure, ...]

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
    row = rows.get(gate.ship or "")
    judged = [Verdict(rows[one.judged].verdict) for one in gate.decisions if one.judged in rows]
    verdict = row.verdict if row else Verdict.worst(judged).value
    if row is None and gate.incomplete:
        verdict = "INCOMPLETE"
    results = row.gates if row else {}
    return _point(
        report,
        machine,
        ships=gate.ship or "",
        verdict=verdict,
        size=row.size if row else None,
        size_ratio=row.size_ratio if row else None,
        results=results,
    )


def _of_pipeline(report: Report, machine: str, pipeline: PipelineEntry) -> Point:
    return _point(
        report,
        machine,
        ships=", ".join(pipeline.shipped.variants.values()),
        verdict=pipeline.verdict,
        size=pipeline.shipped.size,
        size_ratio=None,
        results=pipeline.gates,
        known=pipeline.figures.get("latency_ratio"),
    )


def _point(
    report: Report,
    machine: str,
    *,
    ships: str,
    verdict: str,
    size: int | None,
    size_ratio: float | None,
    results: Mapping[str, ResultEntry],
    known: float | None = None,
) -> Point:
    commit = report.provenance.commit
    timed = results["latency"].checks if "latency" in results else ()
    ratio = next((one for one in timed if one.unit == Unit.RATIO.value), None)
    latency = None if known is None else (known, known, known)
    if ratio is not None and ratio.value is not None:
        latency = _bounds(ratio)
    return Point(
        started=report.times.started,
        commit=commit.sha if commit else "",
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
