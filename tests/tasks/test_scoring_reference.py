"""Blocks of scores give the results of all scores at once, bit for bit, for any number of threads.

Embeddings are multiples of 1/8, so that every product is exact in float32 in whatever order it is
added up, and many scores tie.
"""

import os
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pytest_kycquant.data.pairs import Comparisons
from pytest_kycquant.tasks.face import pair_scores
from pytest_kycquant.tasks.face import scores as scoring

Floats = NDArray[np.float32]


@dataclass
class World:
    """Embeddings of both sides, the comparisons, and a list of every pair."""

    gallery: Floats
    probe: Floats
    comparisons: Comparisons
    ids: NDArray[np.int64]
    scores: Floats
    same: NDArray[np.bool_]


def world(seed: int, images: int, subjects: int, broken: int, listed: bool) -> World:
    rng = np.random.default_rng(seed)
    identity = np.unique(rng.integers(0, subjects, images), return_inverse=True)[1]
    gallery, probe = (rng.integers(-8, 9, (images, 3)).astype(np.float32) / 8 for _ in range(2))
    gallery[rng.integers(0, images, broken)] = np.nan
    probe[rng.integers(0, images, broken)] = np.nan
    if listed:
        left, right = rng.integers(0, images, (2, 5 * images))
        comparisons = Comparisons(identity, left, right)
        ids = np.arange(len(left))
    else:
        left, right = np.triu_indices(images, 1)
        comparisons = Comparisons(identity)
        ids = left * images + right
    scores = (gallery @ probe.T)[left, right]
    return World(gallery, probe, comparisons, ids, scores, identity[left] == identity[right])


worlds = given(
    seed=st.integers(0, 10_000),
    images=st.integers(2, 60),
    subjects=st.integers(1, 30),
    broken=st.sampled_from([0, 0, 1, 5]),
    listed=st.booleans(),
    block=st.sampled_from([1, 7, 59, 256]),
)


@settings(max_examples=150)
@worlds
def test_errors(
    seed: int, images: int, subjects: int, broken: int, listed: bool, block: int
) -> None:
    it = world(seed, images, subjects, broken, listed)
    for threshold in (-np.inf, -1.0, 0.0, 0.25, 9.0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pair_scores, "_ROWS", block)
            patch.setattr(pair_scores, "_LISTED", block)
            found = scoring.errors_at(it.gallery, it.probe, it.comparisons, threshold)
        accepted = it.scores >= threshold
        no_score = np.isnan(it.scores)
        assert np.array_equal(found.false_accepts, it.ids[~it.same & (accepted | no_score)])
        assert np.array_equal(found.false_rejects, it.ids[it.same & ~accepted])


@settings(max_examples=150)
@worlds
@pytest.mark.parametrize("keep", [1, 30, 400])
def test_extremes(
    keep: int,
    seed: int,
    images: int,
    subjects: int,
    broken: int,
    listed: bool,
    block: int,
) -> None:
    it = world(seed, images, subjects, broken, listed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_scores, "_ROWS", block)
        patch.setattr(pair_scores, "_LISTED", block)
        found = scoring.extremes(it.gallery, it.probe, it.comparisons, keep)

    def worst(scores: Floats, ids: NDArray[np.int64], number: int) -> tuple[Floats, object]:
        order = np.lexsort((ids, -scores))[:number]
        return scores[order], ids[order]

    bad = np.nan_to_num(it.scores, nan=np.inf)
    scores, ids = worst(bad[~it.same], it.ids[~it.same], keep)
    assert np.array_equal(found.impostor_scores, scores)
    assert np.array_equal(found.impostor_ids, ids)
    bad = np.nan_to_num(-it.scores, nan=np.inf)
    scores, ids = worst(bad[it.same], it.ids[it.same], scoring.RULE_OF_30)
    assert np.array_equal(found.genuine_scores, -scores)
    assert np.array_equal(found.genuine_ids, ids)
    assert found.impostor_scores.dtype == found.genuine_scores.dtype == np.float32


THREADS = """
import hashlib
import numpy as np
from pytest_kycquant.tasks.face import pair_scores
from pytest_kycquant.tasks.face import scores as scoring
from pytest_kycquant.tasks.face.measures import normalise
from pytest_kycquant.tasks.face.measures import normalise
from pytest_kycquant.data.pairs import Comparisons

rng = np.random.default_rng(0)
unit = normalise(rng.normal(size=(900, 512)).astype(np.float32))
comparisons = Comparisons(np.repeat(np.arange(300), 3))
found = scoring.extremes(unit, unit, comparisons, 500)
errors = scoring.errors_at(unit, unit, comparisons, 0.1)
parts = [*vars(found).values(), *vars(errors).values()]
print(hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest())
"""


def test_threads_change_nothing() -> None:
    digests = set()
    for threads in ("1", "2", "3"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        result = subprocess.run(
            [sys.executable, "-c", THREADS],
            env={**os.environ, **dict.fromkeys(names, threads)},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(result.stdout)
    assert len(digests) == 1
