"""How much worse than FP32 a custom metric may be: paired, and of the right sign."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from pytest_kycquant import CustomLimits, Verdict
from pytest_kycquant.statistics import Counts, noninferiority, rate
from pytest_kycquant.tasks.custom.comparison import CustomComparison
from pytest_kycquant.verdicts import Check
from tests.worlds.measurements import apart, compared, correlation, labelled, wrong

N = 400
rows = np.arange(N)
TRUTH = labelled(rows, subjects=[f"{i:03d}" for i in rows // 2])
EXACT = rows.astype(float)


def check(comparison: CustomComparison, degradation: float) -> Check:
    limits = CustomLimits(metric=0.9, degradation=degradation)
    (only,) = replace(comparison, limits=limits).against_fp32().checks
    return only


def shifted(amount: float, scale: float = 0.1) -> np.ndarray:
    return EXACT + np.random.default_rng(1).normal(amount, scale, N)


def similarity(outputs: Any, labels: Any) -> Any:
    """A number for each image; higher is better."""
    return -np.abs(outputs - labels)


def test_errors_are_paired() -> None:
    """FP32 misreads images 0 to 19, the variant 10 to 39: 20 newly wrong, 10 newly right."""
    fp32 = EXACT + (rows < 20)
    variant = EXACT + ((rows >= 10) & (rows < 40))
    found = check(compared(wrong, fp32, variant, TRUTH), 0.1)
    worse = rate(Counts(20, N, np.r_[[0] * 10, [2] * 10, [0] * 180], np.full(200, 2)))
    better = rate(Counts(10, N, np.r_[[2] * 5, [0] * 195], np.full(200, 2)))
    wanted = noninferiority(worse, better)
    assert found.value == pytest.approx(0.025)
    assert (found.lower, found.upper) == (wanted.lower, wanted.upper)
    assert found.name == "increase of wrong over FP32"
    assert found.detail == "20 images newly wrong, 10 newly right"


@pytest.mark.parametrize(
    ("count", "verdict"), [(0, Verdict.PASS), (12, Verdict.INCONCLUSIVE), (60, Verdict.FAIL)]
)
def test_more_errors(count: int, verdict: Verdict) -> None:
    found = check(compared(wrong, EXACT, EXACT + (rows < count), TRUTH), 0.05)
    assert found.verdict is verdict


def test_fewer_errors_are_no_degradation() -> None:
    found = check(compared(wrong, EXACT + (rows < 60), EXACT, TRUTH), 0.05)
    assert found.verdict is Verdict.PASS
    assert found.value == -0.15


def test_values_are_paired_by_image() -> None:
    """Distances vary by far more than their differences: without pairing nothing could be said."""
    base = 1 + np.random.default_rng(0).gamma(1, 50, N)
    extra = np.random.default_rng(1).normal(0.05, 0.1, N)
    fp32, variant = np.float32(EXACT + base), np.float32(EXACT + base + extra)
    comparison = compared(apart, fp32, variant, TRUTH)
    found = check(comparison, 0.1)
    difference = np.float64(variant) - np.float64(fp32)
    sums = difference.reshape(200, 2).sum(axis=1)
    means = (difference.sum() - sums) / 398
    error = t.ppf(0.95, 199) * np.sqrt(199 / 200 * ((means - means.mean()) ** 2).sum())
    assert found.verdict is Verdict.PASS
    assert found.value == pytest.approx(difference.mean(), rel=1e-6)
    assert found.upper == pytest.approx(difference.mean() + error, rel=1e-6)
    limits = CustomLimits(metric=60.0, degradation=0.1)
    (unpaired,) = replace(comparison, limits=limits).accuracy()
    assert unpaired.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("amount", "verdict"),
    [(0.05, Verdict.PASS), (0.1, Verdict.INCONCLUSIVE), (0.2, Verdict.FAIL)],
)
def test_larger_values(amount: float, verdict: Verdict) -> None:
    """Lower is better: a distance that grows is worse, one that shrinks is not."""
    grown = check(compared(apart, shifted(1), shifted(1 + amount), TRUTH), 0.1)
    shrunk = check(compared(apart, shifted(1 + amount), shifted(1), TRUTH), 0.1)
    assert (grown.verdict, shrunk.verdict) == (verdict, Verdict.PASS)
    assert grown.value == pytest.approx(amount, rel=0.02)
    assert shrunk.value == pytest.approx(-amount, rel=0.02)
    assert grown.name == "increase of apart over FP32"


@pytest.mark.parametrize(
    ("amount", "verdict"),
    [(0.05, Verdict.PASS), (0.1, Verdict.INCONCLUSIVE), (0.2, Verdict.FAIL)],
)
def test_values_of_which_higher_is_better(amount: float, verdict: Verdict) -> None:
    worse = compared(similarity, shifted(1), shifted(1 + amount), TRUTH, higher=True)
    better = compared(similarity, shifted(1 + amount), shifted(1), TRUTH, higher=True)
    found = check(worse, 0.1)
    assert found.limit is not None
    assert (found.verdict, found.limit.direction) == (verdict, "below")
    assert found.value == pytest.approx(amount, rel=0.02)
    assert found.name == "drop of similarity from FP32"
    assert check(better, 0.1).verdict is Verdict.PASS


def noisy(scale: float) -> np.ndarray:
    return EXACT + np.random.default_rng(2).normal(0, scale, N)


def test_a_figure_is_paired_by_leaving_out_the_same_subjects() -> None:
    found = check(compared(correlation, noisy(50), noisy(60), TRUTH, higher=True), 0.1)

    def relation(outputs: np.ndarray, kept: np.ndarray) -> float:
        return float(np.corrcoef(np.float32(outputs)[kept], rows[kept])[0, 1])

    def drop(kept: np.ndarray) -> float:
        return relation(noisy(50), kept) - relation(noisy(60), kept)

    drops = np.array([drop(rows // 2 != g) for g in range(200)])
    error = t.ppf(0.95, 199) * np.sqrt(199 / 200 * ((drops - drops.mean()) ** 2).sum())
    assert found.value == pytest.approx(drop(rows >= 0))
    assert found.upper == pytest.approx(drop(rows >= 0) + error)
    assert found.name == "drop of correlation from FP32"


@pytest.mark.parametrize(
    ("scale", "verdict"), [(60, Verdict.PASS), (75, Verdict.INCONCLUSIVE), (150, Verdict.FAIL)]
)
def test_a_figure_that_drops(scale: float, verdict: Verdict) -> None:
    found = check(compared(correlation, noisy(50), noisy(scale), TRUTH, higher=True), 0.07)
    assert found.verdict is verdict


def test_a_figure_that_rises() -> None:
    """Lower is better; a change in the other direction is not a degradation."""
    better, worse = noisy(150), noisy(50)
    assert check(compared(correlation, better, worse, TRUTH), 0.07).verdict is Verdict.FAIL
    found = check(compared(correlation, better, worse, TRUTH, higher=True), 0.07)
    assert found.verdict is Verdict.PASS
    assert (found.value or 0) < -0.1


@pytest.mark.parametrize(
    ("function", "higher"), [(wrong, False), (apart, False), (correlation, True)]
)
def test_fp32_itself_passes(function: Any, higher: bool) -> None:
    found = check(compared(function, noisy(50), noisy(50), TRUTH, higher=higher), 0.03)
    assert (found.verdict, found.value) == (Verdict.PASS, 0.0)


def test_a_figure_that_does_not_change_though_outputs_do_leaves_doubt() -> None:
    """None of 200 subjects makes a difference: all that is known is a drop below 1.5 %."""

    def accuracy(outputs: Any, labels: Any) -> float:
        return float(np.mean(np.rint(outputs) == labels))

    comparison = compared(accuracy, EXACT, EXACT + 0.1, TRUTH, higher=True)
    assert check(comparison, 0.02).verdict is Verdict.PASS
    assert check(comparison, 0.01).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("function", [apart, correlation])
def test_broken_images_fail(function: Any) -> None:
    variant = noisy(1)
    variant[7] = np.nan
    found = check(compared(function, noisy(1), variant, TRUTH), 0.9)
    assert (found.verdict, found.value) == (Verdict.FAIL, None)
    assert found.detail == "not finite: data.npz[7]"


def test_broken_images_are_newly_wrong() -> None:
    variant = EXACT.copy()
    variant[:60] = np.nan
    found = check(compared(wrong, EXACT, variant, TRUTH), 0.05)
    assert (found.verdict, found.value) == (Verdict.FAIL, 0.15)


@pytest.mark.parametrize("function", [wrong, apart, correlation])
def test_few_subjects_are_undecided(function: Any) -> None:
    truth = labelled(rows[:19])
    found = check(compared(function, noisy(1)[:19], noisy(1.1)[:19], truth), 0.9)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "a claim needs at least 20 images" in found.detail
