"""A sample of impostor pairs is distinct, seeded and even."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kycquant.data.faces import FaceSet
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.pairs import Comparisons, all_pairs, sample_pairs
from tests.worlds.pictures import npz_faces


def faces_of(labels: list[int]) -> FaceSet:
    names, subjects = np.unique(labels, return_inverse=True)
    array = np.zeros((len(labels), 1, 1, 3), dtype=np.uint8)
    images = ImageSet.from_array(array, Path("faces.npz"))
    return FaceSet(images, subjects.astype(np.int64), tuple(map(str, names)))


def as_sets(comparisons: Comparisons) -> tuple[list, list]:
    assert comparisons.left is not None
    assert comparisons.right is not None
    assert (comparisons.left < comparisons.right).all()
    pairs = list(zip(comparisons.left.tolist(), comparisons.right.tolist(), strict=True))
    same = comparisons.same
    return (
        [pair for pair, genuine in zip(pairs, same, strict=True) if genuine],
        [pair for pair, genuine in zip(pairs, same, strict=True) if not genuine],
    )


@given(
    labels=st.lists(st.integers(0, 5), min_size=2, max_size=14),
    limit=st.integers(1, 60),
    seed=st.integers(0, 2**32),
)
def test_all_genuine_and_so_many_distinct_impostors(
    labels: list[int], limit: int, seed: int
) -> None:
    faces = faces_of(labels)
    sample = sample_pairs(faces, limit, seed)
    if sample.left is None:
        assert limit >= all_pairs(faces).n_impostor
        return
    genuine, impostor = as_sets(sample)
    every = list(combinations(range(len(labels)), 2))
    assert sorted(genuine) == [pair for pair in every if labels[pair[0]] == labels[pair[1]]]
    assert len(set(impostor)) == len(impostor) == limit
    assert all(labels[one] != labels[other] for one, other in impostor)


def test_seeds() -> None:
    faces = faces_of([0, 0, 1, 1, 2, 2, 3, 3])
    first = as_sets(sample_pairs(faces, 6))
    assert first == as_sets(sample_pairs(faces, 6, seed=0))
    assert first != as_sets(sample_pairs(faces, 6, seed=1))


def test_sample_is_the_same_forever(tmp_path: Path) -> None:
    faces = npz_faces(tmp_path / "a.npz", [0, 1, 0, 2, 1])
    genuine, impostor = as_sets(sample_pairs(faces, 3))
    assert genuine == [(0, 2), (1, 4)]
    assert impostor == [(0, 1), (0, 4), (3, 4)]


@pytest.mark.parametrize("limit", [10, 50])  # below and above half of the 68 impostor pairs
def test_sample_is_even(limit: int) -> None:
    faces = faces_of([0] * 5 + [1] * 3 + [2] * 5 + [3])
    available = all_pairs(faces).n_impostor
    hits: dict = {}
    draws = 2000
    for seed in range(draws):
        for pair in as_sets(sample_pairs(faces, limit, seed))[1]:
            hits[pair] = hits.get(pair, 0) + 1
    expected = draws * limit / available
    spread = np.sqrt(expected * (1 - limit / available))
    assert len(hits) == available
    assert max(abs(count - expected) for count in hits.values()) < 5 * spread


def test_all_but_one_pair_do_not_wait_for_luck() -> None:
    faces = faces_of([0, *range(400)])
    available = all_pairs(faces).n_impostor
    assert sample_pairs(faces, available - 1).n_impostor == available - 1


def test_large_sets_are_not_written_out() -> None:
    faces = faces_of(np.arange(40_000).repeat(2).tolist())  # 3.2e9 impostor pairs
    sample = sample_pairs(faces, 1000)
    assert (sample.n_genuine, sample.n_impostor) == (40_000, 1000)
