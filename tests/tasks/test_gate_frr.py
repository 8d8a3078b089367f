"""The FRR gate fails if customers are turned away."""

import numpy as np

from pytest_kycquant import Verdict
from pytest_kycquant.results import GateResult
from pytest_kycquant.tasks.face.comparison import FaceComparison
from tests.worlds.embeddings import comparison, embeddings


def frr(found: FaceComparison) -> GateResult:
    return found.accuracy()[1]


def test_passes() -> None:
    assert frr(comparison(embeddings())).verdict is Verdict.PASS


def test_noise_fails() -> None:
    rng = np.random.default_rng(1)
    variant = embeddings() + rng.normal(0, 1.5, (660, 64)).astype(np.float32)
    result = frr(comparison(variant))
    assert [check.verdict for check in result.checks] == [Verdict.FAIL] * 3


def test_stored_templates_fail_alone() -> None:
    """A rotation of all embeddings: new templates match each other, old ones do not."""
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(64, 64)))
    variant = (embeddings() @ rotation).astype(np.float32)
    result = frr(comparison(variant))
    assert [check.verdict for check in result.checks] == ["PASS", "FAIL", "FAIL"]


def test_broken_images_are_rejected_customers() -> None:
    variant = embeddings()
    variant[:80] = np.nan
    assert frr(comparison(variant)).verdict is Verdict.FAIL
