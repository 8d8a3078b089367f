"""What a test sends with its report: serialized, read back, and merged over the tests of a run."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pytest_kycquant.bench.shipping import Shipment
from pytest_kycquant.report import render
from pytest_kycquant.report.found import Found
from pytest_kycquant.report.records import Collected
from pytest_kycquant.results import GateResult
from pytest_kycquant.verdicts import Check, Verdict
from tests.worlds.findings import (
    ENVIRONMENT,
    FAR_TEST,
    GATE,
    MIXED,
    ORIGIN,
    PATHS,
    PIPELINE,
    record,
)
from tests.worlds.limits import below


@pytest.mark.parametrize(
    "found", [Found(ORIGIN, "fail", GATE), Found(ORIGIN, "fail", pipeline=PIPELINE)]
)
def test_round_trip(found: Found) -> None:
    text = found.dump()
    assert Found.load(text) == found
    assert Found.load(text).dump() == text


def test_fallback() -> None:
    assert Found(ORIGIN, "fail", GATE).fallback == "int8>mixed"
    asked = replace(GATE, shipment=Shipment("int8>mixed", MIXED, (), (MIXED,)))
    assert Found(ORIGIN, "fail", asked).fallback == ""
    assert Found(ORIGIN, "fail", pipeline=PIPELINE).fallback == ""


def test_what_arrives_twice_is_one() -> None:
    collected = Collected()
    for _ in range(2):
        collected.add(Found(ORIGIN, "fail", GATE))
        collected.add(Found(ORIGIN, "fail", pipeline=PIPELINE))
    assert (collected.built, collected.reused) == (2, 1)
    (gate,) = collected.gates
    assert list(gate.shipments) == ["int8"]
    assert [row.variant for row in gate.rows()] == ["fp32", "int8", "int8>mixed"]
    assert collected.pipelines == {"test_p.py::TestIt": PIPELINE}
    assert collected.environment == ENVIRONMENT


def test_merging() -> None:
    """Two precisions of a gate, from two workers: all files are kept, and the first name."""
    fp16 = Shipment("fp16", record("fp16"), (), (record("fp16"),))
    other = replace(GATE, gate="test_a.py::TestIt", shipment=fp16, paths={"fp16": ("d.onnx",)})
    collected = Collected()
    collected.add(Found(ORIGIN, "fail", GATE))
    collected.outcomes.add(FAR_TEST, "failed", expected=False, phase="call")
    collected.add(Found(replace(ORIGIN, worker="gw1"), "fail", other))
    (gate,) = collected.gates
    assert gate.name == "test_a.py::TestIt"
    assert gate.paths == PATHS | {"fp16": ("d.onnx",)}
    assert gate.rejected == {"int8>mixed": f"{FAR_TEST} failed"}
    assert sorted(gate.shipments) == ["fp16", "int8"]
    assert collected.built == 4


def test_table_says_that_a_latency_is_undecided() -> None:
    check = Check("latency ratio to FP32", Verdict.INCONCLUSIVE, below(1.12), 1.1, 1.08, 1.2)
    gates = {"latency": GateResult("latency", (check,))}
    slow = replace(record("int8"), gates=record("int8").gates | gates)
    collected = Collected()
    for phase in ("setup", "call", "teardown"):
        collected.outcomes.add(FAR_TEST, "passed", expected=False, phase=phase)
    collected.add(
        Found(ORIGIN, "fail", replace(GATE, shipment=Shipment("int8", slow, (), (slow,))))
    )
    (row,) = [
        line for line in render("terminal", collected).splitlines() if line.startswith("int8  ")
    ]
    assert row.endswith("INCONCLUSIVE latency")
    text = " ".join(render("terminal", collected).split())
    assert "its latency is undecided" in text
    assert json.loads(render("json", collected))["gates"][0]["variants"][1]["verdict"] == (
        "INCONCLUSIVE"
    )
    assert collected.unanswered() == []  # it warns, whatever the policy
