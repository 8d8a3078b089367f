"""The finite gate of a custom task: NaN, Inf, and outputs that no longer depend on the image."""

from dataclasses import replace

import numpy as np
import pytest

from pytest_kycquant import Verdict
from pytest_kycquant.results import GateResult
from pytest_kycquant.tasks.custom.comparison import CustomComparison
from pytest_kycquant.tasks.custom.measured import distance
from pytest_kycquant.verdicts import Check
from tests.worlds.measurements import apart, compared, labelled

N = 40
OUTPUTS = np.random.default_rng(0).normal(0, 1, (N, 2, 3)).astype(np.float32)
TRUTH = labelled(np.arange(N))


def first(outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return apart(outputs[:, 0, 0], labels)


def compare(variant: np.ndarray, fp32: np.ndarray = OUTPUTS) -> CustomComparison:
    return compared(first, fp32, variant, TRUTH)


def check(result: GateResult, name: str) -> Check:
    return next(c for c in result.checks if name in c.name)


def test_fp32_itself_passes() -> None:
    result = compare(OUTPUTS).finite()
    assert result.verdict is Verdict.PASS
    assert check(result, "spread").value == 1.0


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_broken_images_are_named(broken: float) -> None:
    variant = OUTPUTS.copy()
    variant[5, 1, 1] = broken
    result = compare(variant).finite()
    assert result.verdict is Verdict.FAIL
    assert check(result, "images with").detail == "data.npz[5]"
    assert check(result, "spread").verdict is Verdict.PASS


def test_broken_edge_inputs() -> None:
    result = replace(compare(OUTPUTS), broken_edges=("black",)).finite()
    assert check(result, "edge inputs").verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("factor", "verdict"), [(0.6, Verdict.PASS), (0.4, Verdict.FAIL), (0.0, Verdict.FAIL)]
)
def test_collapse(factor: float, verdict: Verdict) -> None:
    mean = OUTPUTS.mean(axis=0)
    result = compare(mean + factor * (OUTPUTS - mean)).finite()
    assert result.verdict is verdict
    assert check(result, "spread").value == pytest.approx(factor, abs=1e-6)


def several(one: np.ndarray, other: np.ndarray) -> CustomComparison:
    base = compare(OUTPUTS)
    fp32 = replace(base.fp32, outputs=(OUTPUTS, np.ones((N, 4), np.float32)))
    return replace(base, fp32=fp32, variant=replace(base.variant, outputs=(one, other)))


def test_a_constant_output_may_stay_one() -> None:
    constant = np.ones((N, 4), np.float32)
    assert several(OUTPUTS, constant).finite().verdict is Verdict.PASS
    assert several(OUTPUTS * 0, constant).finite().verdict is Verdict.FAIL


def test_nothing_but_constants_is_a_collapse() -> None:
    constant = np.ones_like(OUTPUTS)
    assert compare(constant, constant).finite().verdict is Verdict.FAIL


def test_drift_is_relative_and_the_mean_over_outputs() -> None:
    first, second = np.full((3, 2), 2.0, np.float32), np.full((3, 1, 1), 100.0, np.float32)
    assert distance((first, second), (first, second)) == 0
    assert distance((first, second), (first * 1.5, second)) == pytest.approx(0.25)
    assert distance((first, second), (first, second * np.nan)) == 1.0
