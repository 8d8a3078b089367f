"""The gate of a custom metric: the interval for its form, the direction of its limit."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from pytest_kycquant import CustomLimits, Verdict
from pytest_kycquant.errors import SpecError
from pytest_kycquant.statistics import Counts, rate
from pytest_kycquant.tasks.custom.comparison import CustomComparison
from pytest_kycquant.verdicts import Check
from tests.worlds.measurements import apart, compared, correlation, labelled, wrong

N = 400
TRUTH = labelled(np.arange(N), subjects=[f"{i:03d}" for i in np.arange(N) // 2])


def check(comparison: CustomComparison, metric: float) -> Check:
    limits = CustomLimits(metric=metric, degradation=0.5)
    (result,) = replace(comparison, limits=limits).accuracy()
    (only,) = result.checks
    return only


def errors(count: int) -> CustomComparison:
    """The first `count` images are wrong."""
    outputs = np.arange(N) + (np.arange(N) < count)
    return compared(wrong, outputs, outputs, TRUTH)


def distances(mean: float) -> tuple[CustomComparison, np.ndarray]:
    values = np.random.default_rng(0).gamma(4, mean / 4, N)
    outputs = np.arange(N) + values
    return compared(apart, outputs, outputs, TRUTH), np.abs(np.float32(outputs) - np.arange(N))


def related(noise: float, *, higher: bool = True) -> CustomComparison:
    outputs = np.arange(N) + np.random.default_rng(0).normal(0, noise, N)
    return compared(correlation, outputs, outputs, TRUTH, higher=higher)


def test_errors_have_the_interval_of_rates() -> None:
    found = check(errors(12), 0.1)
    wanted = rate(Counts(12, N, np.r_[[2] * 6, [0] * 194], np.full(200, 2)))
    assert (found.value, found.lower, found.upper) == (0.03, wanted.lower, wanted.upper)
    assert wanted.deff == pytest.approx(2, rel=0.02)
    assert found.limit is not None
    assert (found.name, found.unit, found.limit.direction) == ("wrong", "rate", "below")
    assert found.detail == "12 errors in 400 images of 200 subjects, design effect 2.0"


@pytest.mark.parametrize(
    ("count", "verdict"),
    [(0, Verdict.PASS), (12, Verdict.INCONCLUSIVE), (60, Verdict.FAIL), (N, Verdict.FAIL)],
)
def test_errors_against_their_limit(count: int, verdict: Verdict) -> None:
    assert check(errors(count), 0.05).verdict is verdict


def test_values_have_the_interval_of_their_mean() -> None:
    comparison, values = distances(3.0)
    found = check(comparison, 4.0)
    means = np.array([(values.sum() - values[i : i + 2].sum()) / 398 for i in range(0, N, 2)])
    error = t.ppf(0.95, 199) * np.sqrt(199 / 200 * ((means - means.mean()) ** 2).sum())
    assert found.value == pytest.approx(values.mean())
    assert found.lower == pytest.approx(values.mean() - error, rel=1e-9)
    assert found.upper == pytest.approx(values.mean() + error, rel=1e-9)
    assert (found.name, found.unit) == ("mean apart", "metric")
    assert found.describe().startswith("PASS mean apart = 2.9")


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [(4.0, Verdict.PASS), (3.0, Verdict.INCONCLUSIVE), (2.0, Verdict.FAIL)],
)
def test_values_against_their_limit(limit: float, verdict: Verdict) -> None:
    assert check(distances(3.0)[0], limit).verdict is verdict


def test_an_undecided_mean_says_how_many_subjects_it_lacks() -> None:
    found = check(distances(3.0)[0], 3.0)
    assert found.detail.startswith("400 images of 200 subjects; about ")
    assert found.detail.endswith(" such subjects would decide")


@pytest.mark.parametrize(
    ("noise", "verdict"), [(10, Verdict.PASS), (56, Verdict.INCONCLUSIVE), (200, Verdict.FAIL)]
)
def test_higher_is_better(noise: float, verdict: Verdict) -> None:
    found = check(related(noise), 0.9)
    assert found.limit is not None
    assert (found.verdict, found.name) == (verdict, "correlation")
    assert found.limit.direction == "at least"


def test_lower_is_better_of_the_same_figure() -> None:
    assert check(related(10, higher=False), 0.9).verdict is Verdict.FAIL
    assert check(related(200, higher=False), 0.9).verdict is Verdict.PASS


@pytest.mark.parametrize(
    "function", [wrong, apart, lambda o, t: float(np.mean(o != t))], ids=["errors", "mean", "one"]
)
def test_few_subjects_are_undecided(function: Any) -> None:
    truth = labelled(np.arange(190), subjects=[f"{i:02d}" for i in np.arange(190) // 10])
    outputs = np.arange(190.0)
    found = check(compared(function, outputs, outputs, truth), 0.9)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "a claim needs at least 20 subjects" in found.detail


def test_images_of_unknown_subjects_count_as_one_each() -> None:
    truth = labelled(np.arange(N))
    outputs = np.arange(N) + 1.0
    assert check(compared(apart, outputs, outputs, truth), 2.0).detail == (
        "400 images, each counted as a subject"
    )


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_broken_images_are_errors(broken: float) -> None:
    outputs = np.arange(N, dtype=float)
    variant = outputs.copy()
    variant[:40] = broken
    found = check(compared(wrong, outputs, variant, TRUTH), 0.05)
    assert (found.verdict, found.value) == (Verdict.FAIL, 0.1)


@pytest.mark.parametrize(("function", "higher"), [(apart, False), (correlation, True)])
def test_broken_images_leave_no_mean_and_no_figure(function: Any, higher: bool) -> None:
    outputs = np.arange(N, dtype=float)
    variant = outputs.copy()
    variant[[3, 5]] = np.nan
    found = check(compared(function, outputs, variant, TRUTH, higher=higher), 0.9)
    assert (found.verdict, found.value, found.upper) == (Verdict.FAIL, None, None)
    assert found.detail == "not finite: data.npz[3], data.npz[5]"


def test_a_metric_that_is_nan_fails() -> None:
    def undefined(outputs: Any, labels: Any) -> float:
        return float("nan") if outputs.std() == 0 else 1.0

    outputs = np.arange(N, dtype=float)
    found = check(compared(undefined, outputs, np.ones(N), TRUTH, higher=True), 0.9)
    assert (found.verdict, found.detail) == (Verdict.FAIL, "the metric is not finite")


def test_a_metric_that_is_nan_without_somebody_is_undecided() -> None:
    """Only one subject has the second class: without it the figure is NaN."""

    def of_the_rare(outputs: Any, labels: Any) -> float:
        rare = labels >= N - 2
        return float(np.mean(outputs[rare] != labels[rare])) if rare.any() else float("nan")

    outputs = np.arange(N, dtype=float)
    found = check(compared(of_the_rare, outputs, outputs, TRUTH), 0.5)
    assert (found.verdict, found.lower, found.upper) == (Verdict.INCONCLUSIVE, None, None)
    assert "the figure is not finite when some of the subjects are left out" in found.detail


def test_a_perfect_figure_leaves_doubt() -> None:
    """An accuracy of 1 on 200 subjects only proves .985."""

    def accuracy(outputs: Any, labels: Any) -> float:
        return float(np.mean(outputs == labels))

    outputs = np.arange(N, dtype=float)
    comparison = compared(accuracy, outputs, outputs, TRUTH, higher=True)
    assert check(comparison, 0.98).verdict is Verdict.PASS
    found = check(comparison, 0.99)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert (found.lower, found.upper) == pytest.approx((0.05 ** (1 / 200), 1.0))


@pytest.mark.parametrize("limits", [(2.0, 0.5), (0.02, 1.0), (0.0, 0.5), (-1.0, 0.5)])
def test_limits_of_errors_are_rates(limits: tuple[float, float]) -> None:
    given = CustomLimits(metric=limits[0], degradation=limits[1])
    found = replace(errors(0), limits=given)
    wrong = found.against_fp32 if 0 < limits[0] < 1 else found.accuracy
    with pytest.raises(SpecError, match="is not a rate, but the metric returns errors"):
        wrong()
