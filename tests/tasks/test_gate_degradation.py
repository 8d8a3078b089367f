"""The degradation gate: paired, one-sided, and with drift that no error rate shows."""

import numpy as np
import pytest

from pytest_kycquant import FaceLimits, Verdict
from pytest_kycquant.results import GateResult
from pytest_kycquant.verdicts import Check
from tests.worlds.embeddings import comparison, embeddings

RELAXED = FaceLimits(mean_cosine=0.0, p1_cosine=-1.0)


def check(result: GateResult, name: str) -> Check:
    return next(c for c in result.checks if name in c.name)


def noisy(amount: float, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return embeddings() + rng.normal(0, amount, (660, 64)).astype(np.float32)


def test_fp32_itself_passes() -> None:
    result = comparison(embeddings()).against_fp32(float_variant=True)
    assert result.verdict is Verdict.PASS
    assert check(result, "mean cosine").value == pytest.approx(1.0)


def test_scaling_is_no_drift() -> None:
    assert comparison(3 * embeddings()).against_fp32().verdict is Verdict.PASS


def test_higher_far_fails() -> None:
    result = comparison(embeddings() + np.float32(0.75), RELAXED).against_fp32()
    assert check(result, "increase of FAR").verdict is Verdict.FAIL


def test_higher_frr_fails() -> None:
    result = comparison(noisy(1.5), RELAXED).against_fp32()
    assert check(result, "increase of FRR").verdict is Verdict.FAIL


def test_fewer_errors_are_no_degradation() -> None:
    """The same difference in the other direction passes: the sign of the budget."""
    centers = np.repeat(embeddings().reshape(330, 2, 64).mean(axis=1), 2, axis=0)
    better = comparison(centers, RELAXED, threshold=0.93)
    worse = comparison(embeddings(), RELAXED, threshold=0.93).against_fp32()
    result = better.against_fp32()
    assert better.baseline.cell.rate(genuine=True).errors > 50
    assert check(result, "increase of FRR").verdict is Verdict.PASS
    assert (check(result, "increase of FRR").value or 0) < -0.1
    assert check(worse, "increase of FRR").value == 0


def test_drift_fails_where_no_error_rate_does() -> None:
    result = comparison(noisy(0.25)).against_fp32()
    assert check(result, "increase of FAR").verdict is Verdict.PASS
    assert check(result, "increase of FRR").verdict is Verdict.PASS
    assert check(result, "mean cosine").verdict is Verdict.FAIL


def test_drift_of_few_images_fails_the_percentile() -> None:
    variant = embeddings()
    variant[::30] = noisy(0.5)[::30]
    result = comparison(variant).against_fp32()
    assert check(result, "mean cosine").verdict is Verdict.PASS
    assert check(result, "1st percentile").verdict is Verdict.FAIL


def test_drift_near_the_limit_is_undecided() -> None:
    variant = embeddings()
    variant[::50] = noisy(1.0)[::50]  # a few images decide whether the mean is above .99
    mean = check(comparison(variant).against_fp32(), "mean cosine").value
    assert mean is not None
    result = comparison(variant, FaceLimits(mean_cosine=mean, p1_cosine=-1.0)).against_fp32()
    assert check(result, "mean cosine").verdict is Verdict.INCONCLUSIVE


def test_broken_embedding_counts_as_opposite() -> None:
    variant = embeddings()
    variant[:20] = np.nan
    result = comparison(variant).against_fp32()
    assert check(result, "1st percentile").verdict is Verdict.FAIL


def test_fp16_has_no_excuse() -> None:
    variant = embeddings()
    variant[5] = noisy(0.1)[5]
    relaxed = comparison(variant).against_fp32()
    strict = comparison(variant).against_fp32(float_variant=True)
    assert relaxed.verdict is Verdict.PASS
    assert check(strict, "smallest cosine").verdict is Verdict.FAIL
