"""Embeddings of imaginary people, good enough to pass every face gate until a test breaks them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pytest_kycquant import FaceLimits
from pytest_kycquant.data.pairs import Comparisons
from pytest_kycquant.tasks.face.comparison import FaceComparison
from pytest_kycquant.tasks.face.embeddings import FaceBaseline
from pytest_kycquant.tasks.outputs import Outputs

PEOPLE = 330
THRESHOLD = 0.5
LIMITS = FaceLimits()
NAMES = tuple(f"{i}.jpg" for i in range(2 * PEOPLE))


def embeddings(seed: int = 0, dimensions: int = 64) -> NDArray[np.float32]:
    """Embeddings, (660, 64) float32, of two images a person."""
    rng = np.random.default_rng(seed)
    centers = np.repeat(rng.normal(size=(PEOPLE, dimensions)), 2, axis=0)
    return (centers + 0.25 * rng.normal(size=centers.shape)).astype(np.float32)


def comparison(
    variant: NDArray[np.float32],
    limits: FaceLimits = LIMITS,
    *,
    threshold: float = THRESHOLD,
    broken_edges: tuple[str, ...] = (),
    comparisons: Comparisons | None = None,
) -> FaceComparison:
    """Compare `variant` with `embeddings()`."""
    subjects = np.repeat(np.arange(PEOPLE), 2)
    fp32 = Outputs(embeddings(), np.ones(len(subjects), np.bool_))
    return FaceComparison(
        FaceBaseline(fp32, comparisons or Comparisons(subjects), threshold, NAMES),
        Outputs(variant, np.isfinite(variant).all(axis=1), broken_edges),
        limits,
    )
