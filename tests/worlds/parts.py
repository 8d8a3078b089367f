"""Invented runs of several gates and pipelines, and their reports as the parts of one run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_kycquant.context.cache import digest_of
from pytest_kycquant.pipeline.record import PipelineRecord
from pytest_kycquant.plain import from_plain, plain
from pytest_kycquant.report.document import Report
from pytest_kycquant.report.found import Found, Origin, Present
from pytest_kycquant.report.json_report import report_of
from pytest_kycquant.report.merging import Given
from pytest_kycquant.report.records import Collected
from pytest_kycquant.report.run_entries import Commit, Shard
from pytest_kycquant.verdicts import Verdict
from tests.worlds.findings import GATE, GOLDEN, ORIGIN, PIPELINE, record

COMMIT = Commit("c" * 40, changed=False)


@dataclass(frozen=True)
class OfGate:
    """What a run finds about one gate.

    Args:
        name: node id of its class.
        found: what its tests send; empty if it cannot be judged.
        outcomes: "passed", "failed", "undecided", "skipped", "xfailed" or "not run", by test.
        broken: why it cannot be judged; "" if it can.
        torn: whether a teardown fails after its last test.
    """

    name: str
    found: tuple[Found, ...] = ()
    outcomes: dict[str, str] = field(default_factory=dict)
    broken: str = ""
    torn: bool = False


def of_gate(
    name: str,
    verdict: Verdict = Verdict.PASS,
    outcome: str = "passed",
    *,
    origin: Origin = ORIGIN,
    **more: Any,
) -> OfGate:
    """A gate of one model with two precisions, of which int8 has this verdict and outcome."""
    gate = f"{name}.py::TestIt"
    tests = {f"{gate}::test_far[{label}]": label for label in ("int8", "fp16")}
    found = []
    for label in ("int8", "fp16"):
        row = replace(record(label, verdict if label == "int8" else Verdict.PASS), model=name)
        fp32 = replace(record("fp32"), model=name)
        shipment = replace(GATE.shipment, requested=label, record=row, tried=(row,), reasons=())
        golden = replace(GOLDEN, model={"size": 9, "name": name})
        sent = replace(
            GATE, key=f"key of {name}", gate=gate, golden=golden, fp32=fp32, shipment=shipment,
            tests=tests,
        )  # fmt: skip
        found.append(Found(origin, "fail", sent))
    outcomes = {test: outcome if label == "int8" else "passed" for test, label in tests.items()}
    if more.get("broken"):
        found, outcomes = [], dict.fromkeys(outcomes, "failed")
    return OfGate(gate, tuple(found), outcomes, **more)


def of_pipeline(
    name: str, stages: Sequence[str], ran: str = "int8", alone: str = "", outcome: str = "passed"
) -> OfGate:
    """A pipeline of stages that have gates of these names.

    Args:
        name: name of its file.
        stages: names of the gates of its stages.
        ran: the variant that every stage ran.
        alone: the variant that would ship at every stage alone, if a search found a combination.
        outcome: that of its test.
    """
    gate = f"{name}.py::TestIt"
    test = f"{gate}::test_latency"
    variants = dict.fromkeys(stages, ran)
    search = {"alone": dict.fromkeys(stages, alone), "variants": variants} if alone else None
    made: PipelineRecord = replace(
        PIPELINE,
        gate=gate,
        fp32=replace(PIPELINE.fp32, variants=dict.fromkeys(stages, "fp32")),
        shipped=replace(PIPELINE.shipped, variants=variants),
        models={stage: f"key of {stage}" for stage in stages},
        search=search,
    )
    return OfGate(gate, (Found(ORIGIN, "fail", pipeline=made, members=(test,)),), {test: outcome})


def run_of(
    gates: Iterable[OfGate],
    ran: Collection[str] | None = None,
    shard: Shard | None = None,
    uncollected: Sequence[str] = (),
) -> Collected:
    """What a run collects.

    Args:
        gates: all gates of the run.
        ran: node ids of the gates or tests that this part of it ran; None for all.
        shard: the shard that it is, if it is one.
        uncollected: node ids of what could not be collected.
    """
    gates = list(gates)
    found = Collected(commit=COMMIT, started="2026-11-30T12:00:00+00:00", finished="later")
    for gate in gates:
        for sent in gate.found:
            own = _tests_of(sent, gate)
            if ran is None or gate.name in ran or own & set(ran):
                found.add(sent)
        for test, outcome in gate.outcomes.items():
            if ran is None or gate.name in ran or test in ran:
                _note(found, test, outcome)
                if gate.broken:
                    found.broken[gate.name] = gate.broken
        if gate.torn and (ran is None or gate.name in ran):
            last = list(gate.outcomes)[-1]
            found.outcomes.torn = sorted({*found.outcomes.torn, last})
            found.outcomes.add(last, "failed", expected=False, phase="teardown")
            found.errors[last] = "teardown"
    found.outcomes.uncollected = sorted(uncollected)
    models = {
        sent.gate.key: (sent.gate.fp32.model, gate.name)
        for gate in gates for sent in gate.found if sent.gate
    }  # fmt: skip
    models |= {f"key of {gate.name}": ("broken", gate.name) for gate in gates if gate.broken}
    pipelines = {gate.name for gate in gates for sent in gate.found if sent.pipeline}
    found.present = Present(models, pipelines=tuple(sorted(pipelines)), shard=shard)
    return found


def _tests_of(sent: Found, gate: OfGate) -> set[str]:
    if sent.gate is None:
        return set(gate.outcomes)
    wanted = sent.gate.shipment.requested
    return {test for test, label in sent.gate.tests.items() if label == wanted}


def _note(found: Collected, test: str, outcome: str) -> None:
    if outcome == "not run":
        return
    reported = {"xfailed": "skipped", "undecided": "failed"}.get(outcome, outcome)
    for phase in ("setup", "call", "teardown"):
        happened = reported if phase == "call" else "passed"
        found.outcomes.add(
            test,
            happened,
            expected=outcome == "xfailed",
            phase=phase,
            undecided=outcome == "undecided",
        )
    found.seconds[test] = 1.0
    if reported == "failed":
        found.errors[test] = "assert 0"


def shards_of(gates: Sequence[OfGate], places: Sequence[int], of: int) -> list[Report]:
    """The reports of all shards, if each gate runs in the shard of its place."""
    reports = []
    for index in range(1, of + 1):
        mine = tuple(
            sorted(gate.name for gate, place in zip(gates, places, strict=True) if place == index)
        )
        shard = Shard(index, of, mine, "the run")
        reports.append(written(report_of(run_of(gates, mine, shard))))
    return reports


def written(report: Report) -> Report:
    """A report as it is read from its file."""
    values = plain(report)
    del values["digest"]
    return from_plain(Report, values | {"digest": digest_of(values)}, strict=True)


def given(reports: Iterable[Report]) -> list[Given]:
    """Reports as they are united, with the names of files."""
    return [Given(Path(f"{index}.json"), one) for index, one in enumerate(reports)]


def comparable(report: Report) -> dict[str, Any]:
    """What must not depend on the parts: all but times, the machine and the parts themselves."""
    values: dict[str, Any] = plain(report)
    for key in ("times", "environment", "shard", "parts", "digest"):
        del values[key]
    return values
