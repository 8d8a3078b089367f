"""The verdicts of the page: never better than what the report says in any of its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ...spec.flags import INCONCLUSIVE
from ..document import GateEntry, PipelineEntry, Report
from ..result_entries import ResultEntry

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
_POLICIES = {
    "warn": f"only warn ({INCONCLUSIVE}=warn, or the gate file)",
    "xfail": f"only count as failures that are expected ({INCONCLUSIVE}=xfail, or the gate file)",
}


def headline(report: Report) -> str:
    """What the verdict of the run means, in a few sentences."""
    means = _MEANS[report.verdict]
    if report.verdict in ("PASS", "WAIVED") and (undecided := list(_undecided(report))):
        means = f"Nothing failed, but not everything is decided: {'; '.join(undecided)}."
    if report.shard is None:
        return means
    shard = f"This is shard {report.shard.index} of {report.shard.of}"
    if report.verdict == "INCOMPLETE":
        return f"{shard}, so nothing is decided before kycquant merge unites all shards."
    return f"{means} {shard}: kycquant merge unites the reports of all shards."


def _undecided(report: Report) -> Iterator[str]:
    """Name what is undecided and let nothing fail, by the rule that allows it."""
    found: dict[str, list[str]] = {}
    for gate in report.gates:
        rows = {each.variant: each for each in gate.variants}
        for judged in dict.fromkeys(each.judged for each in gate.decisions):
            if rows[judged].verdict == "INCONCLUSIVE":
                _sort(f"{gate.model} {judged}", rows[judged].gates, gate.inconclusive, found)
    for entry in report.pipelines:
        if entry.verdict == "INCONCLUSIVE":
            name = entry.gate.rpartition("::")[2]
            _sort(f"pipeline {name}", entry.gates, entry.inconclusive, found)
    for allowed, names in found.items():
        yield f"{', '.join(names)}, {allowed}"


def _sort(
    name: str, gates: Mapping[str, ResultEntry], policy: str, found: dict[str, list[str]]
) -> None:
    names = [gate for gate, result in gates.items() if result.verdict == "INCONCLUSIVE"]
    for gate in names:
        # An undecided latency warns by itself, whatever the policy is.
        allowed = "which these gates allow"
        if gate == "latency":
            allowed = "and an undecided latency only warns"
        elif policy in _POLICIES:
            allowed = f"and undecided gates {_POLICIES[policy]}"
        found.setdefault(allowed, []).append(f"{gate} of {name}")


def unfinished(report: Report) -> str:
    """Why a report decides nothing about what ships, whatever passed in it; "" if it does."""
    if report.shard is not None:
        return f"this is shard {report.shard.index} of {report.shard.of}: nothing is decided yet"
    left = report.problems or any(gate.incomplete for gate in report.gates)
    if left or report.verdict in ("ERROR", "INCOMPLETE"):
        return "other parts of the run were not judged: nothing is decided yet"
    return ""


def shown(verdict: str, report: Report) -> str:
    """The verdict beside what ships: nothing passes in a run that decides nothing."""
    return "INCOMPLETE" if verdict in ("PASS", "WAIVED") and unfinished(report) else verdict


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
