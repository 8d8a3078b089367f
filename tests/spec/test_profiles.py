"""The effect of each profile on limits."""

import copy
from dataclasses import asdict, fields, replace
from types import MappingProxyType

import numpy as np
import pytest

from pytest_kycquant import DetectionLimits, FaceLimits, LivenessLimits, Verdict
from pytest_kycquant.errors import SpecError
from pytest_kycquant.spec.profiles import (
    PROFILES,
    as_profile,
    describe,
    limits_under,
)
from pytest_kycquant.verdicts import Direction
from tests.worlds.embeddings import PEOPLE, comparison, embeddings

NIST = limits_under("nist63a4", FaceLimits())


def test_nist63a4_sets_the_rates_of_the_draft() -> None:
    assert (NIST.far, NIST.frr) == (1e-4, 1e-2)


def test_budgets_stay_the_same_share_of_their_limit() -> None:
    standard = FaceLimits()
    for kind in ("far", "frr"):
        for limits in (standard, NIST):
            assert getattr(limits, f"{kind}_degradation") / getattr(limits, kind) == pytest.approx(
                {"far": 0.5, "frr": 0.2}[kind]
            )
    assert NIST.flips / standard.flips == pytest.approx(0.1)


def test_no_rate_of_faces_is_left_as_it_was() -> None:
    """A rate that is added to `FaceLimits` must be handled by the profile, too."""
    rates = [f.name for f in fields(FaceLimits) if f.metadata["unit"] == "rate"]
    assert rates
    for name in rates:
        assert getattr(NIST, name) < getattr(FaceLimits(), name), name


def test_the_stricter_limit_holds() -> None:
    lax, strict = FaceLimits(far=0.01, frr=0.5), FaceLimits(far=1e-5, frr=1e-3, mean_cosine=0.999)
    assert limits_under("nist63a4", lax).far == NIST.far
    assert limits_under("nist63a4", lax).frr == NIST.frr
    kept = limits_under("nist63a4", strict)
    assert (kept.far, kept.frr, kept.mean_cosine) == (1e-5, 1e-3, 0.999)


@pytest.mark.parametrize("profile", PROFILES)
def test_other_tasks_keep_their_limits(profile: str) -> None:
    for limits in (LivenessLimits(apcer=0.2), DetectionLimits(recall=0.5)):
        assert limits_under(as_profile("here", profile), limits) == limits
    assert asdict(limits_under("smoke", FaceLimits())) == asdict(FaceLimits())


def test_the_stricter_limit_depends_on_its_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    field = copy.copy(FaceLimits.__dataclass_fields__["far"])
    field.metadata = MappingProxyType({**field.metadata, "direction": Direction.AT_LEAST})
    monkeypatch.setitem(FaceLimits.__dataclass_fields__, "far", field)
    assert limits_under("nist63a4", FaceLimits(far=0.5)).far == 0.5
    assert limits_under("nist63a4", FaceLimits(far=1e-5)).far == NIST.far


def test_other_tasks_are_told_that_nothing_is_set() -> None:
    assert "for comparing faces only" in describe("nist63a4", LivenessLimits())
    assert "FAR below 0.01 % and FRR below 1 %" in describe("nist63a4", FaceLimits())


def test_unknown_profile() -> None:
    with pytest.raises(SpecError, match="here: 'nist' is unknown; did you mean 'nist63a4'"):
        as_profile("here", "nist")


def test_far_that_standard_lets_pass() -> None:
    """Twenty people look like someone else: some 4e-4 of all comparisons."""
    variant = embeddings()
    for person in range(20):
        variant[2 * person : 2 * person + 2] = variant[2 * (person + 40) : 2 * (person + 40) + 2]
    found = comparison(variant)
    rate = found.accuracy()[0].checks[0]
    assert 1e-4 < rate.value < 1e-3  # type: ignore[operator]
    assert rate.verdict is Verdict.PASS
    nist = replace(found, limits=NIST).accuracy()[0]
    assert nist.verdict is Verdict.FAIL
    assert nist.checks[0].limit.value == 1e-4  # type: ignore[union-attr]
    assert np.isclose(found.baseline.comparisons.n_impostor, 2 * PEOPLE * (PEOPLE - 1))


def test_limits_that_are_looser_than_the_defaults_are_listed() -> None:
    loose = FaceLimits(frr=0.1, mean_cosine=0.95, far=0.0001, p1_cosine=0.98, latency_ms=5)
    assert describe("standard", FaceLimits()) == "standard"
    assert describe("standard", loose) == (
        "standard; looser than the defaults: frr 10 % (5 %), mean_cosine 0.9500 (0.9900)"
    )
