"""How a gate or a pipeline stood in its run: its own verdict, apart from what ships.

FP32 may ship with a PASS of its own where the gate failed: what ships says nothing about the gate.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..verdicts import Verdict
from .document import GateEntry, Overall, PipelineEntry, Report
from .run_entries import CollectedGate


def standing(entry: GateEntry | PipelineEntry) -> Overall:
    """The verdict of one gate or pipeline, whatever ships, with its tests.

    Args:
        entry: what a report or evidence says of it.
    """
    outcomes = {told.outcome for told in entry.tests}
    if "failed" in outcomes or (isinstance(entry, PipelineEntry) and entry.not_shipped):
        return "FAIL"
    found = _judged(entry)
    if found is Verdict.FAIL:
        return "FAIL"
    if found is Verdict.INCONCLUSIVE or "failed, undecided" in outcomes:
        return "INCONCLUSIVE"
    if isinstance(entry, GateEntry) and entry.profile == "smoke":
        return "SMOKE"
    if not all(told.finished for told in entry.tests):
        return "INCOMPLETE"
    if isinstance(entry, GateEntry) and entry.incomplete:
        return "INCOMPLETE"
    return "WAIVED" if found is Verdict.WAIVED else "PASS"


def standing_in(report: Report, entry: GateEntry | PipelineEntry) -> Overall:
    """The same, within its run: one that could not be judged, or whose run lacks a part.

    Args:
        report: the report of the run.
        entry: one of its gates or pipelines.
    """
    if entry.gate in {one.test for one in report.scope.broken}:
        return "ERROR"
    found = standing(entry)
    return "INCOMPLETE" if found in ("PASS", "WAIVED") and lacking(report) else found


def lacking(report: Report) -> tuple[str, ...]:
    """Why a run as a whole cannot say what ships: what of it is missing; empty if nothing is.

    Gates that ended in an error are not among it: they are rows of their own.
    """
    scope = report.scope
    errors = {f"{one.test} was not judged: {one.message}" for one in scope.broken}
    errors |= {f"{name or 'something'} was not collected" for name in scope.uncollected}
    lines = [line for line in report.problems if line not in errors]
    if report.verdict == "INCOMPLETE" and not lines:
        lines = [f"{one.gate}: {one.incomplete}" for one in report.gates if one.incomplete]
        lines = lines or ["not everything was judged"]
    return tuple(lines)


def unjudged(report: Report) -> Iterator[tuple[CollectedGate, Overall]]:
    """Yield each gate and pipeline about which a report holds nothing else, with its verdict.

    A file that could not be collected stands for its gates, which nobody knows.
    """
    known = {entry.gate for entry in report.judged}
    broken = {one.test for one in report.scope.broken}
    smoke = any(gate.profile == "smoke" for gate in report.gates)  # it judges no pipelines
    for one in report.scope.gates:
        if one.gate in known:
            continue
        if one.gate in broken:
            yield one, "ERROR"
        elif one.key or not smoke:
            yield one, "INCOMPLETE"
    collected = {one.gate for one in report.scope.gates}
    for name in (*sorted(broken - known - collected), *report.scope.uncollected):
        yield CollectedGate(name or "something", "", ""), "ERROR"


def _judged(entry: GateEntry | PipelineEntry) -> Verdict:
    """The worst verdict of what the tests are asserted on."""
    if isinstance(entry, PipelineEntry):
        return Verdict(entry.verdict)
    rows = {row.variant: row.verdict for row in entry.variants}
    return Verdict.worst([Verdict(rows[one.judged]) for one in entry.decisions])
