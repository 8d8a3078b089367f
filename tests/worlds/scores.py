"""Logits of imaginary captures, good enough for every liveness gate until a test breaks them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pytest_kycquant import LivenessLimits
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.liveness import LIVE, LivenessSet
from pytest_kycquant.tasks.liveness.comparison import LivenessComparison
from pytest_kycquant.tasks.liveness.scores import Decisions, live_scores
from pytest_kycquant.tasks.outputs import Outputs

PEOPLE = 330
SPECIES = ("print", "screen")
THRESHOLD = 0.5
LIMITS = LivenessLimits()


def captures(
    people: int = PEOPLE, *, known: bool = True, species: tuple[str, ...] = SPECIES, each: int = 1
) -> LivenessSet:
    """For each person, `each` live captures, then as many of each species."""
    kinds = np.tile(np.repeat(np.arange(LIVE, len(species)), each), people)
    array = np.zeros((len(kinds), 1, 1, 3), np.uint8)
    images = ImageSet.from_array(array, Path("captures.npz"))
    subjects = np.repeat(np.arange(people), (len(species) + 1) * each)
    if not known:
        return LivenessSet(images, kinds, species, np.arange(len(kinds)), ())
    return LivenessSet(images, kinds, species, subjects, tuple(f"{i:03d}" for i in range(people)))


def logits(of: LivenessSet, seed: int = 0) -> NDArray[np.float32]:
    """Logits, (N, 3) float32, class 1 = live, every capture on the right side of 1/2."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 0.4, (len(of.images), 3))
    values[of.live, 1] += 5
    values[~of.live, 0] += 5
    return values.astype(np.float32)


def comparison(
    variant: NDArray[np.float32],
    of: LivenessSet,
    limits: LivenessLimits = LIMITS,
    *,
    fp32: NDArray[np.float32] | None = None,
    threshold: float = THRESHOLD,
    broken_edges: tuple[str, ...] = (),
) -> LivenessComparison:
    """Compare `variant` with `fp32`, by default `logits(of)`."""

    def decide(values: NDArray[np.float32]) -> Decisions:
        outputs = Outputs(values, np.isfinite(values).all(axis=1))
        return Decisions(live_scores(outputs, 1, probabilities=False), of, threshold)

    finite = np.isfinite(variant).all(axis=1)
    baseline = decide(logits(of) if fp32 is None else fp32)
    return LivenessComparison(baseline, decide(variant), limits, finite, broken_edges)


def of_kind(of: LivenessSet, kind: int, count: int) -> NDArray[np.int64]:
    """Indices of the first captures of a kind."""
    found: NDArray[np.int64] = np.flatnonzero(of.species == kind)[:count]
    return found


def swapped(values: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """The same logits with the opposite answer for some captures."""
    values = values.copy()
    values[rows] = values[rows][:, [1, 0, 2]]
    return values
