"""The verdicts of the page: never better than what the report says in any of its parts."""

from __future__ import annotations

from ..document import GateEntry, PipelineEntry, Report

ORDER = ("FAIL", "INCONCLUSIVE", "WAIVED", "PASS")
"""Verdicts of gates, the worst first."""
_MEANS = {
    "PASS": "Every gate was judged by all of its tests, and passed.",
    "WAIVED": "Every gate passed, but a failure is waived for a time.",
    "FAIL": "A gate, or a test of one, failed.",
    "INCONCLUSIVE": "Nothing failed, but the data cannot decide figures that must be decided.",
    "ERROR": "Something could not be judged or collected.",
    "INCOMPLETE": "Tests of gates were not run, so nothing is decided.",
    "SMOKE": "No damage was found. The smoke profile clears nothing to ship.",
}
_ALLOWED = "Nothing failed, but the data cannot decide some figures, which these gates allow."


def headline(report: Report) -> str:
    """What the verdict of the run means, in one sentence."""
    decided = {gate_verdict(gate) for gate in report.gates}
    decided |= {pipeline_verdict(entry) for entry in report.pipelines}
    if report.verdict in ("PASS", "WAIVED") and "INCONCLUSIVE" in decided:
        return _ALLOWED
    return _MEANS[report.verdict]


def gate_verdict(gate: GateEntry) -> str:
    """The verdict of a gate: that of the variants that its tests were asserted on.

    A failure is one whatever else is not known.
    """
    verdicts = {each.variant: each.verdict for each in gate.variants}
    decided = {verdicts[each.judged] for each in gate.decisions}
    if "FAIL" in decided or any(told.outcome == "failed" for told in gate.tests):
        return "FAIL"
    if gate.profile == "smoke":
        return "SMOKE"
    if gate.incomplete:
        return "INCOMPLETE"
    for each in gate.decisions:  # a test of the user's own may object to what passes its gates
        if each.ships is None and verdicts[each.judged] == "PASS":
            decided.add("FAIL")
    return next((verdict for verdict in ORDER if verdict in decided), "INCONCLUSIVE")


def pipeline_verdict(entry: PipelineEntry) -> str:
    """The verdict of a pipeline: that of its gates, unless its tests or its stages object."""
    failed = any(told.outcome == "failed" for told in entry.tests)
    if failed or entry.not_shipped:
        return "FAIL"
    if entry.verdict != "FAIL" and not all(told.finished for told in entry.tests):
        return "INCOMPLETE"
    return entry.verdict
