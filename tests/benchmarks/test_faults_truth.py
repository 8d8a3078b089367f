"""Harmful, harmless or borderline: decided by both bounds of every error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.faults.judging import (
    BORDERLINE,
    HARMFUL,
    HARMLESS,
    Verdicts,
    decide,
    is_drift,
    usage,
)
from pytest_kycquant import DetectionLimits, FaceLimits
from pytest_kycquant.data.groups import Group
from pytest_kycquant.results import GateResult
from pytest_kycquant.tasks.checks import count
from pytest_kycquant.verdicts import Check, Verdict
from tests.worlds import detections, embeddings, scores

FACES, SCENES = FaceLimits(frr=0.05), DetectionLimits(recall=0.95)


def check(verdict: Verdict, value: float = 0.02, name: str = "FRR") -> Check:
    return Check(name, verdict, FACES["frr"], value, value / 2, value * 2)


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
    assert round(usage(FACES["frr"].point("FRR", 0.02)), 9) == 0.4
    assert round(usage(SCENES["recall"].point("recall", 0.98)), 9) == 0.4


def test_outcome_of_all_gates() -> None:
    def verdicts(**gates: Verdict) -> str:
        return Verdicts({n: GateResult(n, (check(v),)) for n, v in gates.items()}).outcome

    assert verdicts(far=Verdict.PASS, frr=Verdict.PASS) == "PASS"
    assert verdicts(far=Verdict.PASS, frr=Verdict.INCONCLUSIVE) == "INCONCLUSIVE"
    assert verdicts(far=Verdict.FAIL, frr=Verdict.INCONCLUSIVE) == "FAIL"
    assert verdicts(far=Verdict.PASS, latency=Verdict.INCONCLUSIVE) == "PASS"  # only warns
    assert Verdicts({}, "cannot be loaded").outcome == "ERROR"


def test_drift_is_what_counts_no_errors() -> None:
    """The kind of the limit decides, not the name of the check."""

    def drifts(limits: FaceLimits | DetectionLimits, name: str) -> bool:
        return is_drift(limits[name].point("mean cosine to FP32", 0.5))

    assert drifts(FACES, "mean_cosine")
    assert drifts(FACES, "flips")
    assert drifts(SCENES, "agreement")
    assert not drifts(FACES, "far_degradation")
    assert not drifts(SCENES, "map50_degradation")
    assert not drifts(FACES, "far")
    assert not drifts(FACES, "size_ratio")
    assert not is_drift(count("images with NaN or Inf", ["a.jpg"]))
    assert not is_drift(Check("latency", Verdict.FAIL))


def halves(count: int) -> tuple[Group, ...]:
    first = np.arange(count) < count // 2
    return Group("half first", first), Group("half second", ~first)


def test_the_degradation_gates_are_divided_into_errors_and_drift() -> None:
    """With groups of people, and with the limits of float variants, no check is left over."""
    captures, truth = scores.captures(30), detections.objects(60)
    faces = embeddings.comparison(embeddings.embeddings())
    compared = (
        replace(faces, baseline=replace(faces.baseline, groups=halves(len(embeddings.NAMES)))),
        replace(
            scores.comparison(scores.logits(captures), captures),
            group_table=halves(len(captures.images)),
        ),
        replace(
            detections.comparison(detections.found(truth), truth),
            group_table=halves(truth.images),
        ),
    )
    checks = [c for one in compared for c in one.against_fp32(float_variant=True).checks]
    errors = [c.name for c in checks if not is_drift(c)]
    assert errors == [c.name for c in checks if c.name.startswith(("increase of ", "drop of "))]
    assert len([name for name in errors if "worst of 2 groups" in name]) == 4
    assert len(checks) - len(errors) == 9
