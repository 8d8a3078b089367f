"""What `candidate.check` does with each verdict."""

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_kycquant import Candidate, FaceVerification, Verdict
from pytest_kycquant.bench.records import VariantRecord
from pytest_kycquant.bench.shipping import Shipment
from pytest_kycquant.errors import InconclusiveWarning, SpecError
from pytest_kycquant.plain import from_plain, plain
from pytest_kycquant.results import GateResult
from pytest_kycquant.verdicts import Check
from tests.worlds.limits import below


def candidate(gate: str, verdict: Verdict, policy: Any = "fail", **options: Any) -> Candidate:
    result = GateResult(gate, (Check("figure", verdict, below(1.2), 1.0, 0.5, 1.5),), "Do this.")
    record = VariantRecord("face", "int8", "", 1, 0.3, {}, {gate: result})
    decision = Shipment("int8", record, (), (record,))
    known = FaceVerification("faces").gates()
    return Candidate("int8", "int8", (Path("x"),), 1, None, decision, policy, known, **options)  # type: ignore[arg-type]


def test_pass_is_silent() -> None:
    candidate("far", Verdict.PASS).check("far")


@pytest.mark.parametrize("policy", ["fail", "warn", "xfail"])
@pytest.mark.parametrize("gate", ["far", "latency"])
def test_fail_fails_whatever_the_policy(gate: str, policy: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=f"face: int8 FAIL {gate}\nFAIL figure"):
        candidate(gate, Verdict.FAIL, policy).check(gate)


def test_undecided_fails_by_default() -> None:
    with pytest.raises(pytest.fail.Exception, match="face: int8 INCONCLUSIVE far"):
        candidate("far", Verdict.INCONCLUSIVE).check("far")


def test_undecided_warns() -> None:
    with pytest.warns(InconclusiveWarning, match="INCONCLUSIVE far"):
        candidate("far", Verdict.INCONCLUSIVE, "warn").check("far")


def test_undecided_is_an_expected_failure() -> None:
    with pytest.raises(pytest.xfail.Exception, match="INCONCLUSIVE far"):
        candidate("far", Verdict.INCONCLUSIVE, "xfail").check("far")


def test_undecided_fails_under_runxfail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytest, "xfail", lambda reason: None)  # as --runxfail does
    with pytest.raises(pytest.fail.Exception, match="INCONCLUSIVE far"):
        candidate("far", Verdict.INCONCLUSIVE, "xfail").check("far")


def test_undecided_latency_warns_whatever_the_policy() -> None:
    with pytest.warns(InconclusiveWarning, match="INCONCLUSIVE latency"):
        candidate("latency", Verdict.INCONCLUSIVE, "fail").check("latency")


def test_unknown_gate_is_an_error() -> None:
    with pytest.raises(
        SpecError,
        match=r"candidate.check: 'fra' is unknown; did you mean 'far'\? choose from 'finite', ",
    ):
        candidate("far", Verdict.PASS).check("fra")


def test_undecided_latency_does_not_keep_a_variant_from_shipping() -> None:
    record = candidate("latency", Verdict.INCONCLUSIVE).decision.record
    assert record.verdict is Verdict.INCONCLUSIVE
    assert record.ships
    assert not record.failed
    assert candidate("latency", Verdict.FAIL).decision.record.failed
    assert candidate("far", Verdict.INCONCLUSIVE).decision.record.failed


def test_a_record_without_gates_is_no_pass() -> None:
    record = VariantRecord("face", "int8", "", 1, 0.3, {}, {})
    assert record.verdict is Verdict.INCONCLUSIVE
    assert not record.ships


def test_round_trip_through_json() -> None:
    record = candidate("far", Verdict.FAIL).decision.record
    assert from_plain(VariantRecord, json.loads(json.dumps(plain(record)))) == record
