"""What the table says of each gate, why FP32 ships, and what to do next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_kycquant.bench.records import VariantRecord
from pytest_kycquant.bench.shipping import Shipment
from pytest_kycquant.report import render
from pytest_kycquant.report.advice import headline, next_step, ship_line
from pytest_kycquant.report.records import Collected, GatedModel
from pytest_kycquant.report.spans import text_of
from pytest_kycquant.report.terminal import lines
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
    found = collected(record("int8", far=UNDECIDED, frr=PASS, latency=FAIL))
    row = next(text for text in map(text_of, lines(found, 160)) if text.startswith("int8 "))
    assert row.endswith("FAIL latency; INCONCLUSIVE far")
    narrow = render("terminal", found).splitlines()
    at = next(at for at, text in enumerate(narrow) if text.startswith("int8 "))
    assert [text.split("  ")[-1] for text in narrow[at : at + 2]] == [
        "FAIL latency",
        "INCONCLUSIVE far",
    ]


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
    assert text_of(next_step(collected(*tried), failed)).startswith(words)


def test_a_report_that_was_written_is_named() -> None:
    found = collected(record("int8", far=PASS))
    assert text_of(next_step(found, 0, Path("r.json"))) == "next: keep r.json as evidence"


def test_goldens_that_are_missing_are_recorded_by_one_command() -> None:
    found = Collected(no_golden={"test_a.py::A": "golden/a.json", "test_b.py::B": "golden/b.json"})
    found.broken = dict.fromkeys(found.no_golden, "there is none")
    for name in found.no_golden:
        command = f"pytest tests/{name} --kycquant-update-golden --kycquant-golden='my goldens'"
        found.reasons[name] = "there is no golden baseline yet", f"record it with: {command}"
    assert text_of(next_step(found, 2)) == (
        "next: pytest tests/test_a.py::A tests/test_b.py::B --kycquant-update-golden "
        "'--kycquant-golden=my goldens' records the 2 goldens that are missing"
    )
    assert text_of(headline(found)) == (
        "kycquant: ERROR: there is no golden baseline yet: golden/a.json, golden/b.json"
    )
    assert "was not judged" not in render("terminal", found)
    found.broken["test_c.py::C"] = "there are no images; give some"
    assert text_of(headline(found)) == "kycquant: ERROR: test_c.py::C was not judged; and 1 more"
    assert "there are no images; give some" in render("terminal", found, verbose=True)
    found.no_golden = {}
    del found.broken["test_b.py::B"], found.broken["test_a.py::A"]
    assert text_of(headline(found)) == "kycquant: ERROR: test_c.py::C was not judged"


def test_what_is_wrong_comes_before_what_is_missing() -> None:
    """Recording all goldens would replace one that was edited, and with it what it shows."""
    found = Collected(no_golden={"test_a.py::A": "golden/a.json"})
    found.broken = {"test_a.py::A": "there is none", "test_b.py::B": "golden/b.json: was edited"}
    remedy = "restore it, or record it anew with: pytest test_b.py::B --kycquant-update-golden"
    found.reasons = {
        "test_a.py::A": ("there is no golden baseline yet", "record it with: pytest x"),
        "test_b.py::B": ("was edited by hand; perhaps", remedy),
    }
    assert text_of(headline(found)) == "kycquant: ERROR: B: was edited by hand; and 1 more"
    assert text_of(next_step(found, 2)) == f"next: {remedy}"


def test_where_fp32_is_undecided_it_is_named_and_no_other_recipe_is_advised() -> None:
    found = collected(record("fp32", far=UNDECIDED), record("int8", far=UNDECIDED))
    assert text_of(headline(found)) == "kycquant: INCONCLUSIVE: face fp32, int8 (far)"
    assert "not gated yet" not in render("terminal", found)
    sound = collected(record("int8", far=FAIL))
    assert "not gated yet" in render("terminal", sound)


def test_what_failed_is_named_before_what_is_undecided_too() -> None:
    found = collected(record("int8", size=FAIL, far=UNDECIDED))
    assert text_of(headline(found)) == "kycquant: FAIL: face int8 (size, far undecided)"


def ran(found: Collected, **outcomes: str) -> GatedModel:
    """The gate of a run in which each precision had a test with such an outcome."""
    (gate,) = found.gates
    for requested, outcome in outcomes.items():
        test = f"test_gate.py::TestFace::test_far[{requested}]"
        gate.tests[test] = requested
        found.outcomes.add(test, outcome, expected=False, phase="teardown")
        found.outcomes.add(test, "passed", expected=False, phase="call")
        found.outcomes.add(test, "passed", expected=False, phase="teardown")
    return gate


@pytest.mark.parametrize(
    ("tried", "outcomes", "said"),
    [
        # Nobody knows what a precision is whose tests did not judge it.
        (
            record("int8", far=FAIL),
            {"int8": "failed", "fp16": "skipped"},
            "fp32 (no quantized variant passes; fp16 was not judged: keep FP32)",
        ),
        (
            record("int8", far=UNDECIDED),
            {"int8": "failed", "fp16": "failed", "int4-weights": "skipped"},
            "fp32 (no quantized variant is shown to pass; fp16 and int4-weights were not judged: "
            "keep FP32)",
        ),
        (
            record("int8", far=PASS),
            {"int8": "failed", "fp16": "passed"},
            "fp32 (the quantized variants that pass do not ship, see above; fp16 was not judged: "
            "keep FP32)",
        ),
        (record("int8", far=PASS), {"int8": "passed", "fp16": "failed"}, "int8 (0.30 of the size"),
    ],
)
def test_what_was_not_judged_is_not_said_to_fail(
    tried: VariantRecord, outcomes: dict[str, str], said: str
) -> None:
    found = collected(tried)
    ran(found, **outcomes)
    assert shipped(found).startswith(f"ship: {said}")


def shipped(found: Collected) -> str:
    (gate,) = found.gates
    return text_of(ship_line(gate))


def test_nothing_but_fp32_was_judged() -> None:
    found = collected(record("fp32", far=PASS))
    assert shipped(found) == "ship: fp32 (no quantized variant was judged: keep FP32)"


@pytest.mark.parametrize(
    ("fp32", "int8", "said"),
    [
        (FAIL, FAIL, "nothing: no variant passes, not even FP32"),
        (UNDECIDED, FAIL, "nothing: no variant is shown to pass, not even FP32"),
        (FAIL, UNDECIDED, "nothing: no variant is shown to pass, not even FP32"),
    ],
)
def test_why_nothing_ships(fp32: Verdict, int8: Verdict, said: str) -> None:
    found = collected(record("int8", far=int8))
    (gate,) = found.gates
    gate.variants["fp32"] = record("fp32", far=fp32)
    assert shipped(found) == f"ship: {said}"


def test_a_test_about_all_variants_rejects_what_passes() -> None:
    """A rule about the golden failed: every variant passes its gates, and none ships."""
    found = collected(record("int8", far=PASS))
    ran(found, **{"": "failed"})
    assert shipped(found) == "ship: nothing: the variants that pass do not ship, see above"
    text = render("terminal", found)
    assert "fp32, int8 pass, but do not ship: test_gate.py::TestFace::test_far[] failed" in text


def test_a_run_that_is_not_complete_decides_nothing() -> None:
    found = collected(record("int8", far=PASS))
    (gate,) = found.gates
    gate.tests["test_gate.py::TestFace::test_far[fp16]"] = "fp16"
    text = render("terminal", found)
    assert text.startswith("kycquant: INCOMPLETE: not every test of face was run\n")
    assert "ship: nothing yet: 1 of 1 tests of this gate did not run to the end" in text
    assert "fp16 was not judged" not in text  # it may be judged by the tests that remain
    assert "does not pass" not in text
    assert "no quantized variant" not in text


def test_another_float_variant_that_ships() -> None:
    rewritten = replace(record("fp32-optimized", far=PASS), options={"precision": "fp32-optimized"})
    found = collected(record("int8", far=FAIL), rewritten)
    assert shipped(found) == (
        "ship: fp32-optimized (0.30 of the size of FP32; no quantized variant passes)"
    )
    found = collected(rewritten)
    ran(found, int8="passed", fp16="skipped")
    assert shipped(found) == (
        "ship: fp32-optimized (0.30 of the size of FP32; no quantized variant was judged; fp16 was "
        "not judged)"
    )


def test_a_failure_of_the_user_beside_an_undecided_figure_is_a_failure() -> None:
    """A test that an undecided gate does not explain fails the run."""
    found = collected(record("int8", far=UNDECIDED))
    (gate,) = found.gates
    far, mine = (f"test_gate.py::TestFace::test_{name}[int8]" for name in ("far", "mine"))
    gate.tests |= {far: "int8", mine: "int8"}
    for test in (far, mine):
        found.outcomes.add(test, "passed", expected=False, phase="teardown")
    found.outcomes.add(far, "failed", expected=False, phase="call", undecided=True)
    assert found.verdict == "INCONCLUSIVE"
    assert text_of(headline(found)) == "kycquant: INCONCLUSIVE: face int8 (far)"
    assert text_of(next_step(found, 1)).startswith("next: judge as many people")
    found.outcomes.add(mine, "failed", expected=False, phase="call")
    assert found.verdict == "FAIL"
    assert text_of(next_step(found, 2)).startswith("next: pytest --lf")


def test_an_error_after_an_undecided_gate_is_a_failure() -> None:
    found = collected(record("int8", far=UNDECIDED))
    (gate,) = found.gates
    gate.tests["test_gate.py::TestFace::test_far[int8]"] = "int8"
    for phase, undecided in (("call", True), ("teardown", False)):
        test = "test_gate.py::TestFace::test_far[int8]"
        found.outcomes.add(test, "failed", expected=False, phase=phase, undecided=undecided)
    assert found.verdict == "FAIL"
