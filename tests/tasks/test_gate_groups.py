"""Groups of people in the degradation gates: damage to one group does not hide among all."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pytest_kycquant import FaceLimits, LivenessLimits, Verdict
from pytest_kycquant.data.groups import Group
from pytest_kycquant.data.liveness import LIVE
from pytest_kycquant.data.pairs import Comparisons
from pytest_kycquant.plain import from_plain, plain
from pytest_kycquant.results import GateResult, GroupIncrease, worst_of
from pytest_kycquant.tasks.checks import group_checks
from pytest_kycquant.tasks.face.comparison import FaceComparison
from pytest_kycquant.tasks.liveness.comparison import LivenessComparison
from pytest_kycquant.verdicts import Check, Direction
from tests.worlds import scores as scores_for_tests
from tests.worlds.embeddings import PEOPLE, comparison, embeddings
from tests.worlds.limits import below

LIMITS = FaceLimits(mean_cosine=0.0, p1_cosine=-1.0)
FEW = 110  # people of the smaller group
SUBJECTS = np.repeat(np.arange(PEOPLE), 2)


def halves(few: int = FEW, subjects: NDArray[np.int64] = SUBJECTS) -> tuple[Group, ...]:
    return Group("tone dark", subjects < few), Group("tone light", subjects >= few)


def faces(
    variant: NDArray[np.float32],
    few: int = FEW,
    *,
    limits: FaceLimits = LIMITS,
    comparisons: Comparisons | None = None,
) -> FaceComparison:
    found = comparison(variant, limits, comparisons=comparisons)
    return replace(found, baseline=replace(found.baseline, groups=halves(few)))


def strangers_to_themselves(people: list[int]) -> NDArray[np.float32]:
    """Embeddings where the second image of some people matches no one."""
    variant = embeddings()
    seconds = 2 * np.array(people) + 1
    variant[seconds] = np.random.default_rng(9).normal(size=(len(people), variant.shape[1]))
    return variant


def check(result: GateResult, name: str) -> Check:
    return next(c for c in result.checks if name in c.name)


def of(found: list[GroupIncrease], group: str, measure: str) -> GroupIncrease:
    (one,) = (i for i in found if (i.group, i.measure) == (group, measure))
    return one


def test_without_groups_nothing_changes() -> None:
    found = comparison(embeddings(), LIMITS)
    assert found.groups() == []
    names = [c.name for c in found.against_fp32().checks]
    assert not any("group" in name for name in names)


def test_fp32_itself_passes() -> None:
    found = comparison(embeddings())
    baseline = replace(found.baseline, groups=halves())
    itself = FaceComparison(baseline, baseline.embeddings, LIMITS)
    result = itself.against_fp32()
    assert result.verdict is Verdict.PASS
    assert all(part.cell is part.baseline.cell for part in itself.by_group)


def test_what_hurts_one_group_passes_pooled_and_fails() -> None:
    """The same budget for all and for each group: 12 of 330 are inside it, 12 of 110 are not."""
    limits = replace(LIMITS, frr_degradation=0.065, group_frr_degradation=0.065)
    variant = strangers_to_themselves(list(range(0, 36, 3)))
    result = faces(variant, limits=limits).against_fp32()
    assert check(result, "increase of FRR over FP32").verdict is Verdict.PASS
    worst = check(result, "increase of FRR over FP32, worst of 2 groups")
    assert worst.value == pytest.approx(12 / 110)
    assert worst.verdict is Verdict.INCONCLUSIVE
    assert worst.detail.startswith("tone dark: 12 comparisons newly wrong, 0 newly right; about ")
    variant = strangers_to_themselves(list(range(0, 48, 3)))
    limits = replace(LIMITS, frr_degradation=0.08, group_frr_degradation=0.08)
    result = faces(variant, limits=limits).against_fp32()
    assert check(result, "increase of FRR over FP32").verdict is Verdict.PASS
    assert check(result, "worst of 2 groups").verdict is Verdict.PASS  # FAR
    assert check(result, "increase of FRR over FP32, worst").verdict is Verdict.FAIL
    assert result.verdict is Verdict.FAIL


def test_the_same_harm_to_everybody_passes() -> None:
    variant = strangers_to_themselves(list(range(0, PEOPLE, 28)))
    limits = replace(LIMITS, frr_degradation=0.08, group_frr_degradation=0.1)
    assert faces(variant, limits=limits).against_fp32().verdict is Verdict.PASS


def test_a_group_that_is_taken_for_one_another_fails() -> None:
    """FAR rises among the pairs within a group, which are few among all pairs."""
    variant = embeddings()
    variant[: 2 * FEW] += np.float32(0.9)
    limits = replace(LIMITS, far_degradation=0.1, group_far_degradation=0.1)
    result = faces(variant, limits=limits).against_fp32()
    assert check(result, "increase of FAR over FP32").verdict is Verdict.PASS
    worst = check(result, "increase of FAR over FP32, worst of 2 groups")
    assert worst.verdict is Verdict.FAIL
    assert "tone dark" in worst.detail
    assert "tone light" not in worst.detail


def test_impostors_are_two_of_the_group() -> None:
    found = faces(embeddings()).groups()
    images = 2 * FEW
    assert of(found, "tone dark", "FAR").fp32["trials"] == images * (images - 1) // 2 - FEW
    assert of(found, "tone dark", "FAR").fp32["subjects"] == FEW
    assert of(found, "tone light", "FRR").fp32["trials"] == PEOPLE - FEW


def test_listed_pairs_within_the_group() -> None:
    left, right = np.array([0, 0, 2, 300]), np.array([1, 2, 400, 302])
    comparisons = Comparisons(SUBJECTS, left, right)
    listed = faces(embeddings(), comparisons=comparisons)
    trials = {(one.group, one.measure): one.fp32["trials"] for one in listed.groups()}
    assert trials == {
        ("tone dark", "FAR"): 1,  # (2, 400) spans two groups
        ("tone light", "FAR"): 1,
        ("tone dark", "FRR"): 1,
        ("tone light", "FRR"): 0,
    }
    result = listed.against_fp32()
    assert check(result, "increase of FRR over FP32, worst").verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("few", [19, 1, 0])
def test_a_small_group_is_undecided(few: int) -> None:
    result = faces(embeddings(), few).against_fp32()
    for measure in ("FAR", "FRR"):
        worst = check(result, f"increase of {measure} over FP32, worst")
        assert worst.verdict is Verdict.INCONCLUSIVE
        # One person has a genuine pair, but no impostor pair.
        there = 0 if (few, measure) == (1, "FAR") else few
        wanted = f"such comparisons from at least 20 identities; it has {there}"
        assert wanted in worst.detail
        assert "tone dark: " in worst.detail


def test_a_group_that_is_large_enough_but_for_the_budget_says_how_many_it_lacks() -> None:
    result = faces(embeddings(), 31).against_fp32()
    worst = check(result, "increase of FRR over FP32, worst")
    assert worst.verdict is Verdict.INCONCLUSIVE
    # With 32 people, a kind that uses three budgets of 3 points would hardly be missing.
    assert "about 32 identities would decide" in worst.detail
    more = faces(embeddings(), 32).against_fp32()
    assert check(more, "increase of FRR over FP32, worst").verdict is Verdict.PASS


def test_a_group_that_fares_better_is_no_degradation() -> None:
    bad = strangers_to_themselves(list(range(20)))
    found = faces(embeddings())
    fp32 = replace(found.baseline.embeddings, values=bad)
    better = replace(found, baseline=replace(found.baseline, embeddings=fp32))
    increase = of(better.groups(), "tone dark", "FRR")
    assert increase.check.value == pytest.approx(-20 / FEW)
    assert increase.check.verdict is Verdict.PASS


def test_broken_embeddings_of_a_group_are_rejects_of_that_group() -> None:
    variant = embeddings()
    variant[:40:2] = np.nan
    found = faces(variant).groups()
    assert of(found, "tone dark", "FRR").check.verdict is Verdict.FAIL
    assert of(found, "tone light", "FRR").variant["errors"] == 0


@settings(max_examples=20)
@given(st.data())
def test_genuine_pairs_of_all_are_the_sum_of_those_of_the_groups(data: st.DataObject) -> None:
    kinds = np.array(data.draw(st.lists(st.integers(0, 4), min_size=PEOPLE, max_size=PEOPLE)))
    worse = data.draw(st.lists(st.integers(0, PEOPLE - 1), unique=True, max_size=40))
    found = comparison(strangers_to_themselves(worse) if worse else embeddings(), LIMITS)
    groups = tuple(Group(f"kind {kind}", (kinds == kind)[SUBJECTS]) for kind in range(5))
    parted = replace(found, baseline=replace(found.baseline, groups=groups))
    increases = [one for one in parted.groups() if one.measure == "FRR"]
    whole = found.cell.rate(genuine=True)
    for key in ("errors", "trials", "subjects"):
        assert sum(one.variant[key] for one in increases) == getattr(whole, key)
    pooled = check(found.against_fp32(), "increase of FRR").value
    weighted = sum((one.check.value or 0) * one.fp32["trials"] for one in increases)
    assert weighted / whole.trials == pytest.approx(pooled)


# Liveness

ALL = scores_for_tests.captures()
STANDARD = LivenessLimits()
WIDE = LivenessLimits(bpcer_degradation=0.08, group_bpcer_degradation=0.08, flips=0.05)


def captures(
    variant: NDArray[np.float32], few: int = FEW, *, limits: LivenessLimits = STANDARD
) -> LivenessComparison:
    found = scores_for_tests.comparison(variant, ALL, limits)
    return replace(found, group_table=halves(few, ALL.subjects))


def rejected(count: int) -> NDArray[np.float32]:
    rows = scores_for_tests.of_kind(ALL, LIVE, count)
    return scores_for_tests.swapped(scores_for_tests.logits(ALL), rows)


def test_live_people_of_one_group_turned_away_fail() -> None:
    limits = replace(WIDE, score_drift=0.5)
    result = captures(rejected(16), limits=limits).against_fp32()
    assert check(result, "increase of BPCER over FP32").verdict is Verdict.PASS
    worst = check(result, "increase of BPCER over FP32, worst of 2 groups")
    assert worst.verdict is Verdict.FAIL
    assert worst.value == pytest.approx(16 / 110)
    assert worst.detail == "tone dark: 16 captures newly wrong, 0 newly right"
    assert {c.name for c in result.checks if c.verdict is Verdict.FAIL} == {worst.name}


def test_harmless_passes() -> None:
    result = captures(scores_for_tests.logits(ALL)).against_fp32()
    assert result.verdict is Verdict.PASS


def test_a_small_group_of_live_people_is_undecided() -> None:
    found = captures(scores_for_tests.logits(ALL), 19)
    worst = check(found.against_fp32(), "worst of 2 groups")
    assert worst.verdict is Verdict.INCONCLUSIVE
    assert "such captures from at least 20 people; it has 19" in worst.detail


def test_rates_of_a_group_are_of_its_live_captures() -> None:
    found = captures(rejected(16), limits=WIDE).groups()
    assert of(found, "tone dark", "BPCER").fp32["errors"] == 0
    assert of(found, "tone dark", "BPCER").variant["errors"] == 16
    assert of(found, "tone dark", "BPCER").variant["trials"] == FEW
    assert of(found, "tone light", "BPCER").variant["errors"] == 0


# The worst of several


def increase(group: str, verdict: Verdict, value: float, upper: float) -> GroupIncrease:
    return GroupIncrease(group, "FRR", {}, {}, Check("x", verdict, below(0.03), value, 0.0, upper))


def test_the_worst_verdict_comes_first_and_the_others_are_named() -> None:
    found = [
        increase("a", Verdict.PASS, 0.02, 0.029),
        increase("b", Verdict.INCONCLUSIVE, 0.0, 1.0),
        increase("c", Verdict.FAIL, 0.05, 0.06),
        increase("d", Verdict.FAIL, 0.04, 0.07),
    ]
    (worst,) = group_checks(found)
    assert worst.verdict is Verdict.FAIL
    assert worst.value == 0.05
    assert worst.detail == "c: ; INCONCLUSIVE b; FAIL d"
    (undecided,) = group_checks(found[:2])
    assert (undecided.verdict, undecided.value) == (Verdict.INCONCLUSIVE, 0.0)


def test_the_worst_of_equals_depends_on_the_direction_of_the_limit() -> None:
    found = [
        increase(group, Verdict.FAIL, value, value) for group, value in (("a", 0.1), ("b", 0.2))
    ]
    assert worst_of(found).group == "b"
    limit = replace(below(0.03), direction=Direction.AT_LEAST)
    turned = [replace(one, check=replace(one.check, limit=limit)) for one in found]
    assert worst_of(turned).group == "a"


def test_records_survive_json() -> None:
    for one in faces(embeddings(), 0).groups():
        assert from_plain(GroupIncrease, json.loads(json.dumps(plain(one)))) == one
