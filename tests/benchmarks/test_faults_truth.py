"""Harmful, harmless or borderline: decided by both bounds of every error."""

from __future__ import annotations

from benchmarks.faults.judging import BORDERLINE, HARMFUL, HARMLESS, Verdicts, decide, usage
from pytest_kycquant.results import GateResult
from pytest_kycquant.verdicts import Check, Verdict


def check(verdict: Verdict, value: float = 0.02, name: str = "FRR") -> Check:
    return Check(name, verdict, value, value / 2, value * 2, 0.05)


def test_one_error_too_many_is_harm() -> None:
    sound, bad = check(Verdict.PASS), check(Verdict.FAIL, 0.2, "FAR")
    found = decide([sound, check(Verdict.INCONCLUSIVE, 0.04), bad], 0)
    assert found.kind == HARMFUL
    assert found.reason == "FAR 20 % [10 %, 40 %]"


def test_bounds_around_a_limit_are_borderline() -> None:
    assert decide([check(Verdict.PASS), check(Verdict.INCONCLUSIVE)], 0).kind == BORDERLINE


def test_all_inside_is_harmless() -> None:
    found = decide([check(Verdict.PASS, 0.001, "FAR"), check(Verdict.PASS, 0.02)], 0)
    assert found.kind == HARMLESS
    assert found.reason.startswith("FRR")  # the one nearest to its limit


def test_nan_is_harm_whatever_the_errors() -> None:
    found = decide([check(Verdict.PASS)], 3)
    assert (found.kind, found.reason) == (HARMFUL, "NaN or Inf for 3 images")


def test_stored_nan_is_harm_wherever_kernels_hide_it() -> None:
    found = decide([check(Verdict.PASS)], 0, ["w_scale"])
    assert (found.kind, found.reason) == (HARMFUL, "NaN or Inf is stored in w_scale")


def test_usage() -> None:
    assert round(usage(Check("FRR", Verdict.PASS, 0.02, limit=0.05)), 9) == 0.4
    recall = Check("recall", Verdict.PASS, 0.98, limit=0.95, direction="at least")
    assert round(usage(recall), 9) == 0.4


def test_outcome_of_all_gates() -> None:
    def verdicts(**gates: Verdict) -> str:
        return Verdicts({n: GateResult(n, (check(v),)) for n, v in gates.items()}).outcome

    assert verdicts(far=Verdict.PASS, frr=Verdict.PASS) == "PASS"
    assert verdicts(far=Verdict.PASS, frr=Verdict.INCONCLUSIVE) == "INCONCLUSIVE"
    assert verdicts(far=Verdict.FAIL, frr=Verdict.INCONCLUSIVE) == "FAIL"
    assert verdicts(far=Verdict.PASS, latency=Verdict.INCONCLUSIVE) == "PASS"  # only warns
    assert Verdicts({}, "cannot be loaded").outcome == "ERROR"


def test_drift_is_what_counts_no_errors() -> None:
    assert Verdicts.is_drift("degradation", check(Verdict.FAIL, name="mean cosine to FP32"))
    assert not Verdicts.is_drift("degradation", check(Verdict.FAIL, name="increase of FAR"))
    assert not Verdicts.is_drift("degradation", check(Verdict.FAIL, name="drop of mAP50"))
    assert not Verdicts.is_drift("far", check(Verdict.FAIL, name="FAR"))
