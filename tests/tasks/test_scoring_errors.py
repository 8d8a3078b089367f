"""Errors at a threshold and extreme scores, against brute force over all pairs."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pytest_kycquant.data.pairs import Comparisons
from pytest_kycquant.tasks.face import pair_scores
from pytest_kycquant.tasks.face import scores as scoring
from pytest_kycquant.tasks.face.measures import normalise


def world(seed: int, images: int, subjects: int) -> tuple[NDArray[np.float32], Comparisons]:
    rng = np.random.default_rng(seed)
    identity = rng.integers(0, subjects, images)
    centers = rng.normal(size=(subjects, 6))
    unit = normalise((centers[identity] + rng.normal(size=(images, 6))).astype(np.float32))
    return unit, Comparisons(identity.astype(np.int64))


def brute_force(
    gallery: NDArray[np.float32],
    probe: NDArray[np.float32],
    comparisons: Comparisons,
    threshold: float,
) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    accepts, rejects = set(), set()
    for i, j in combinations(range(len(comparisons.subjects)), 2):
        score = float(gallery[i] @ probe[j])
        same = comparisons.subjects[i] == comparisons.subjects[j]
        if same and not score >= threshold:
            rejects.add((i, j))
        if not same and (score >= threshold or np.isnan(score)):
            accepts.add((i, j))
    return accepts, rejects


def as_pairs(comparisons: Comparisons, ids: NDArray[np.int64]) -> set[tuple[int, int]]:
    left, right = pair_scores.pair_images(comparisons, ids)
    return set(zip(left.tolist(), right.tolist(), strict=True))


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), images=st.integers(2, 40), rows=st.sampled_from([1, 7, 256]))
def test_all_pairs_equal_brute_force(seed: int, images: int, rows: int) -> None:
    unit, comparisons = world(seed, images, 5)
    other, _ = world(seed + 1, images, 5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_scores, "_ROWS", rows)
        found = scoring.errors_at(unit, other, comparisons, 0.3)
    accepts, rejects = brute_force(unit, other, comparisons, 0.3)
    assert as_pairs(comparisons, found.false_accepts) == accepts
    assert as_pairs(comparisons, found.false_rejects) == rejects
    assert sorted(found.false_accepts) == list(found.false_accepts)


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), size=st.sampled_from([1, 5, 1000]))
def test_listed_pairs_equal_all_pairs(seed: int, size: int) -> None:
    unit, comparisons = world(seed, 25, 5)
    left, right = np.triu_indices(25, 1)
    listed = Comparisons(comparisons.subjects, left, right)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_scores, "_LISTED", size)
        found = scoring.errors_at(unit, unit, listed, 0.3)
    whole = scoring.errors_at(unit, unit, comparisons, 0.3)
    assert as_pairs(listed, found.false_accepts) == as_pairs(comparisons, whole.false_accepts)
    assert as_pairs(listed, found.false_rejects) == as_pairs(comparisons, whole.false_rejects)


def test_a_broken_embedding_is_its_own_worst_case() -> None:
    unit, comparisons = world(3, 30, 5)
    unit[4] = np.nan
    found = scoring.errors_at(unit, unit, comparisons, 2.0)  # nothing else is accepted
    others = set(range(30)) - {4}
    strangers = {o for o in others if comparisons.subjects[o] != comparisons.subjects[4]}
    expected = {(min(4, o), max(4, o)) for o in strangers}
    assert as_pairs(comparisons, found.false_accepts) == expected
    assert len(found.false_rejects) == comparisons.n_genuine


def test_zero_and_infinite_embeddings_are_broken() -> None:
    values = np.asarray([[0, 0], [np.inf, 1], [3, 4]], np.float32)
    unit = normalise(values)
    assert np.isnan(unit[:2]).all()
    assert unit[2] == pytest.approx([0.6, 0.8])


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), keep=st.integers(1, 60), rows=st.sampled_from([1, 7, 256]))
def test_extremes_are_the_sorted_ends(seed: int, keep: int, rows: int) -> None:
    unit, comparisons = world(seed, 30, 5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_scores, "_ROWS", rows)
        found = scoring.extremes(unit, unit, comparisons, keep)
    scores = unit @ unit.T
    i, j = np.triu_indices(30, 1)
    same = comparisons.subjects[i] == comparisons.subjects[j]
    impostor = np.sort(scores[i, j][~same])[::-1][:keep]
    genuine = np.sort(scores[i, j][same])[: scoring.RULE_OF_30]
    assert found.impostor_scores == pytest.approx(impostor, abs=1e-6)
    assert found.genuine_scores == pytest.approx(genuine, abs=1e-6)


def test_counts_touch_two_subjects_for_impostors() -> None:
    comparisons = Comparisons(np.asarray([0, 0, 1, 2], np.int64))
    ids = np.asarray([0 * 4 + 2, 1 * 4 + 2])  # both images of subject 0 against subject 1
    counts = scoring.counts_of(comparisons, ids, genuine=False)
    assert counts.errors == 2
    assert counts.trials == 5
    assert counts.subject_errors.tolist() == [2, 2, 0]
    assert counts.subject_trials.tolist() == [4, 3, 3]
