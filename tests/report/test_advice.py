"""What the table says of each gate, why FP32 ships, and what to do next."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kycquant.bench.records import VariantRecord
from pytest_kycquant.bench.shipping import Shipment
from pytest_kycquant.report import render
from pytest_kycquant.report.records import Collected, GatedModel
from pytest_kycquant.report.terminal import next_command
from pytest_kycquant.results import GateResult
from pytest_kycquant.verdicts import Check, Verdict
from tests.worlds.findings import ENVIRONMENT
from tests.worlds.limits import below

PASS, FAIL, UNDECIDED = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
TEST = "test_gate.py::TestFace::test_mine[int8]"


def record(variant: str, **verdicts: Verdict) -> VariantRecord:
    gates = {
        name: GateResult(name, (Check(name, verdict, below(0.5), 0.3, 0.2, 0.4),))
        for name, verdict in verdicts.items()
    }
    return VariantRecord("face", variant, "ab", 4, 0.3, {}, gates)


def collected(*tried: VariantRecord, skipped: bool = False) -> Collected:
    """A run in which "int8" was asked for, and in which the last variant tried is what it got."""
    found = Collected(ENVIRONMENT)
    fp32 = record("fp32", far=PASS)
    shipment = Shipment("int8", tried[-1], ("because",) if len(tried) > 1 else (), tried)
    found.by_key["1"] = GatedModel(
        "face",
        "test_gate.py::TestFace",
        found.outcomes,
        variants={each.variant: each for each in (fp32, *tried)},
        shipments={"int8": shipment},
        tests={TEST: "int8"} if skipped else {},
    )
    if skipped:
        found.outcomes.add(TEST, "skipped", expected=False, phase="teardown")
    return found


def test_a_gate_that_is_undecided_does_not_fail() -> None:
    text = render("terminal", collected(record("int8", far=UNDECIDED, frr=PASS, latency=FAIL)))
    row = next(line for line in text.splitlines() if line.startswith("int8 "))
    assert row.endswith("FAIL latency; INCONCLUSIVE far")


@pytest.mark.parametrize(
    ("verdict", "skipped", "why"),
    [
        (PASS, True, "the quantized variants that pass do not ship, see above"),
        (UNDECIDED, False, "no quantized variant is shown to pass"),
        (FAIL, False, "no quantized variant passes"),
    ],
)
def test_why_fp32_ships(verdict: Verdict, skipped: bool, why: str) -> None:
    text = render("terminal", collected(record("int8", far=verdict), skipped=skipped))
    assert f"ship: fp32 ({why}: keep FP32)" in text.splitlines()


@pytest.mark.parametrize(
    ("tried", "failed", "words"),
    [
        ([record("int8", far=UNDECIDED)], 1, "next: judge as many people"),
        ([record("int8", far=FAIL)], 1, "next: pytest --lf"),
        ([record("int8", far=PASS)], 1, "next: pytest --lf"),  # a rule of the user's
        ([record("int8", far=PASS)], 0, "next: pytest --kycquant-report"),
        ([record("int8", far=FAIL), record("fp16", far=PASS)], 0, "next: ship the fallback"),
    ],
)
def test_what_to_do_next(tried: list[VariantRecord], failed: int, words: str) -> None:
    assert next_command(collected(*tried), failed).startswith(words)


def test_a_report_that_was_written_is_named() -> None:
    found = collected(record("int8", far=PASS))
    assert next_command(found, 0, Path("r.json")) == "next: keep r.json as evidence"
