"""Why a model ships as it does, or does not ship, in sentences of the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..document import DecisionEntry, GateEntry, Report
from ..run_entries import OutcomeEntry
from .verdicts import unfinished

Reason = tuple[str, Sequence[str]]
"""Why something ships or does not, and what stands behind it."""

_SHOWN = 10
"""Tests that are named for one variant."""
_WORST_TESTS = ("failed", "failed, undecided", "failed as expected", "was skipped")
_SAYS = {
    "failed": "FAIL",
    "failed, undecided": "INCONCLUSIVE",
    "failed as expected": "failed as expected",
    "was skipped": "was skipped",
}


def together(gate: GateEntry, report: Report) -> Iterator[str]:
    """Name the pipelines that do not hold with what would ship alone."""
    for pipeline in report.pipelines:
        for stage, key in pipeline.models.items():
            if key != gate.key or pipeline.search is None:
                continue
            alone = pipeline.search["alone"][stage]
            if pipeline.search["variants"][stage] == gate.ship != alone:
                yield f"{pipeline.gate} does not hold with {alone}, which would ship alone"


def instead(gate: GateEntry, report: Report) -> str:
    """Why another variant ships than asked for, in a few words; "" if it does not."""
    if gate.ship is not None and unfinished(report):
        return f"{gate.ship} passes here"
    if any(together(gate, report)):
        return "the pipeline does not hold with a leaner one"
    lost = ", ".join(each.requested for each in gate.decisions if each.reasons)
    return f"{lost} did not pass" if lost else ""


def why(gate: GateEntry, report: Report) -> Iterator[Reason]:
    """Yield what decides about a model, the whole run first."""
    for line in together(gate, report):
        yield line, ()
    if gate.profile == "smoke":
        yield "the smoke profile clears nothing to ship", ()
    elif gate.incomplete:
        yield gate.incomplete, ()
    elif gate.ship is None:
        yield "no variant passes, not even FP32", ()
    elif left := unfinished(report):
        yield f"{gate.ship} passes the tests of this gate, but {left}", ()
    for decision in gate.decisions:
        yield from _fallback(decision, decided=not unfinished(report))
    for variant, told in gate.rejected.items():
        tests = sorted(_against(variant, gate, report), key=_order)
        if not tests:
            yield f"{variant} does not ship: {told}", ()
            continue
        lines = [f"{one.test}: {_SAYS[one.outcome]}" for one in tests[:_SHOWN]]
        if len(tests) > _SHOWN:
            lines.append(f"and {len(tests) - _SHOWN:,} more")
        yield f"{variant} does not ship:", lines


def _fallback(decision: DecisionEntry, *, decided: bool) -> Iterator[Reason]:
    if decision.reasons:
        ships = (decision.ships or "nothing") if decided else decision.judged
        yield f"{ships} instead of {decision.requested}:", decision.reasons
    if decision.note:
        yield f"{decision.requested}: {decision.note}", ()


def _against(variant: str, gate: GateEntry, report: Report) -> Iterator[OutcomeEntry]:
    """Yield the tests that did not clear a variant; `GatedModel.rejected` names the first."""
    judged = {each.requested: each.judged for each in gate.decisions}
    for told in gate.tests:
        if told.outcome not in _WORST_TESTS:
            continue
        torn = told.test in report.scope.torn and variant != "fp32"
        if torn or not told.precision or judged.get(told.precision) == variant:
            yield told


def _order(told: OutcomeEntry) -> tuple[int, str]:
    return _WORST_TESTS.index(told.outcome), told.test
