"""No verdict on the page is better than what the report says in any of its parts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_kycquant.report.document import Report
from pytest_kycquant.report.json_report import report_of
from pytest_kycquant.report.merging import united
from pytest_kycquant.report.page import page
from pytest_kycquant.report.page.verdicts import gate_verdict, headline, pipeline_verdict
from pytest_kycquant.report.run_entries import Shard
from pytest_kycquant.verdicts import Verdict
from tests.worlds import pages
from tests.worlds.parts import OfGate, given, of_gate, run_of, shards_of, written


def reported(gate: OfGate) -> Report:
    return report_of(run_of([gate]))


def with_gate(gate: OfGate, **changes: str) -> OfGate:
    found = (replace(one, gate=replace(one.gate, **changes)) for one in gate.found if one.gate)
    return replace(gate, found=tuple(found))


def test_a_failure_is_one_though_tests_are_missing() -> None:
    (gate,) = reported(of_gate("test_a", Verdict.FAIL, "not run")).gates
    assert gate.incomplete
    assert gate_verdict(gate) == "FAIL"
    (gate,) = reported(of_gate("test_a", Verdict.PASS, "not run")).gates
    assert gate_verdict(gate) == "INCOMPLETE"


def test_a_failure_is_one_in_the_smoke_profile() -> None:
    bad = reported(with_gate(of_gate("test_a", Verdict.FAIL, "failed"), profile="smoke"))
    assert (bad.verdict, gate_verdict(bad.gates[0])) == ("FAIL", "FAIL")
    good = reported(with_gate(of_gate("test_a"), profile="smoke"))
    assert (good.verdict, gate_verdict(good.gates[0])) == ("SMOKE", "SMOKE")


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("warn", "only warn (--kycquant-inconclusive=warn, or the gate file)"),
        (
            "xfail",
            "only count as failures that are expected (--kycquant-inconclusive=xfail, or the gate "
            "file)",
        ),
    ],
)
def test_what_is_undecided_did_not_pass(policy: str, said: str) -> None:
    """The run is green, since its gates allow that; the page names what did not pass, and why."""
    gate = of_gate("test_a", Verdict.INCONCLUSIVE)
    found = tuple(replace(one, inconclusive=policy) for one in gate.found)  # type: ignore[arg-type]
    report = reported(replace(gate, found=found))
    assert report.verdict == "PASS"
    assert headline(report) == (
        f"Nothing failed, but not everything is decided: far of test_a int8, and undecided "
        f"gates {said}."
    )
    assert headline(reported(of_gate("test_a"))).endswith("and passed.")


@pytest.mark.parametrize(
    ("outcome", "finished", "verdict"),
    [
        ("passed", True, "INCONCLUSIVE"),
        ("failed", True, "FAIL"),
        ("failed, undecided", True, "INCONCLUSIVE"),
        ("did not finish", False, "INCOMPLETE"),
    ],
)
def test_a_pipeline_is_no_better_than_its_tests(outcome: str, finished: bool, verdict: str) -> None:
    entry = report_of(pages.collected()).pipelines[0]
    test = replace(
        reported(of_gate("test_a")).gates[0].tests[0],
        outcome=outcome,  # type: ignore[arg-type]
        finished=finished,
    )
    assert pipeline_verdict(replace(entry, tests=(test,))) == verdict
    assert pipeline_verdict(replace(entry, not_shipped=("int8 ran, but fp16 ships",))) == "FAIL"


def test_parts_and_their_machines_are_named() -> None:
    parts = shards_of([of_gate("test_a"), of_gate("test_b")], (1, 2), 2)
    text = page(written(report_of(united(given(parts)))))
    assert "United from 2 reports" in text
    for number, name in (("1/2", "test_a"), ("2/2", "test_b")):
        line = next(line for line in text.split("<li>") if line.startswith(f"shard {number}, "))
        assert f"{name}.py::TestIt" in line
        assert "INCOMPLETE, " in line
    shard = replace(parts[0], shard=Shard(1, 2, (), "run"))
    assert "Shard 1 of 2: kycquant merge" in page(shard)
