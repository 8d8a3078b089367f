"""A certified pair never flips, for any embeddings, in the arithmetic that decides pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pytest_kycquant.tasks.face.certificate import angles, certified, certified_share
from pytest_kycquant.tasks.face.flips import flips_at, pairs_of
from pytest_kycquant.tasks.face.measures import COSINE, normalise

Floats = NDArray[np.float32]


def pair_of_models(
    seed: int, images: int, dimensions: int, drift: float, spread: float
) -> tuple[Floats, Floats]:
    """Unit embeddings of FP32 and of a variant; a small spread makes all of them alike."""
    rng = np.random.default_rng(seed)
    exact = rng.normal(size=dimensions) + spread * rng.normal(size=(images, dimensions))
    turned = exact + drift * rng.normal(size=exact.shape) * rng.random((images, 1))
    return normalise(exact.astype(np.float32)), normalise(turned.astype(np.float32))


def mask(fp32: Floats, variant: Floats, threshold: float) -> NDArray[np.bool_]:
    """Which pairs are certified, (N, N)."""
    turned = angles(fp32, variant)
    scores = fp32 @ fp32.T
    return certified(scores, turned[:, None] + turned, threshold, fp32.shape[1])


@settings(max_examples=300)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(2, 24),
    dimensions=st.sampled_from([1, 2, 3, 16, 128, 512]),
    drift=st.sampled_from([0.0, 1e-8, 1e-7, 1e-6, 1e-4, 1e-2, 0.1, 1.0]),
    spread=st.sampled_from([1e-4, 0.1, 1.0, 10.0]),
    quantile=st.floats(0, 1),
    nudge=st.integers(-3, 3),
)
@example(seed=0, images=2, dimensions=1, drift=1.0, spread=1.0, quantile=0.0, nudge=0)
def test_a_certified_pair_never_flips(
    seed: int,
    images: int,
    dimensions: int,
    drift: float,
    spread: float,
    quantile: float,
    nudge: int,
) -> None:
    fp32, variant = pair_of_models(seed, images, dimensions, drift, spread)
    scores = fp32 @ fp32.T
    # A threshold at the exact score of a pair, or a few floats away, is the hardest case.
    limit = np.sort(scores[np.triu_indices(images, 1)])[int(quantile * 0.999 * (images - 1) / 2)]
    for _ in range(abs(nudge)):
        limit = np.nextafter(limit, np.float32(np.sign(nudge) * 2))
    safe = mask(fp32, variant, float(limit))
    for gallery in (variant, fp32):  # the second is a stored template
        flipped = (gallery @ variant.T >= limit) != (scores >= limit)
        assert not (safe & flipped).any()
        one_by_one = np.array([[np.dot(a, b) for b in variant] for a in gallery], np.float32)
        assert not (safe & ((one_by_one >= limit) != (scores >= limit))).any()
        pairs = pairs_of(images)
        found = flips_at(fp32, gallery, variant, pairs, float(limit))
        ids = np.concatenate([found.accepts, found.rejects])
        assert not safe[ids // images, ids % images].any()
    share = certified_share(fp32, variant, COSINE, float(limit))
    assert share == pytest.approx(safe[np.triu_indices(images, 1)].mean())


def test_the_worst_direction_is_where_the_certificate_ends() -> None:
    """Two embeddings turn towards each other: the bound is attained, so it is the best possible."""

    def at(degrees: float) -> Floats:
        radians = np.deg2rad(degrees)
        return np.array([np.cos(radians), np.sin(radians)], np.float32)

    fp32 = np.stack([at(0), at(60)])
    threshold = float(np.cos(np.deg2rad(50)))
    for turn, safe in ((4.99, True), (5.01, False)):
        variant = np.stack([at(turn), at(60 - turn)])
        assert bool(mask(fp32, variant, threshold)[0, 1]) is safe
        flips = flips_at(fp32, variant, variant, pairs_of(2), threshold)
        assert len(flips.accepts) == (0 if safe else 1)


def test_the_model_itself_is_certified_but_for_rounding() -> None:
    fp32, _ = pair_of_models(0, 400, 512, 0.0, 1.0)
    assert certified_share(fp32, fp32, COSINE, 0.345) > 0.99


def test_more_drift_certifies_less() -> None:
    shares = []
    for drift in (0.1, 1.0, 3.0, 10.0):
        fp32, variant = pair_of_models(0, 300, 64, drift, 10.0)
        shares.append(certified_share(fp32, variant, COSINE, 0.345))
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.9 > 0.5 > shares[-1]


def test_blocks_change_nothing() -> None:
    """More images than a block of rows holds."""
    fp32, variant = pair_of_models(1, 700, 16, 0.2, 10.0)
    safe = mask(fp32, variant, 0.5)[np.triu_indices(700, 1)]
    assert certified_share(fp32, variant, COSINE, 0.5) == pytest.approx(safe.mean())
    found = flips_at(fp32, variant, variant, pairs_of(700), 0.5)
    before, after = fp32 @ fp32.T >= 0.5, variant @ variant.T >= 0.5
    assert len(found.accepts) == np.triu(after & ~before, 1).sum() > 0
    assert len(found.rejects) == np.triu(before & ~after, 1).sum() > 0


def test_a_broken_embedding_flips_every_pair_and_certifies_none() -> None:
    fp32, _ = pair_of_models(2, 30, 16, 0.0, 10.0)
    variant = fp32.copy()
    variant[0] = np.nan
    found = flips_at(fp32, variant, variant, pairs_of(30), 0.5)
    assert len(found.accepts) + len(found.rejects) == 29
    assert angles(fp32, variant)[0] == np.pi
    assert not mask(fp32, variant, 0.5)[0, 1:].any()


def test_one_image_has_no_pairs() -> None:
    fp32, _ = pair_of_models(3, 1, 16, 0.0, 1.0)
    assert certified_share(fp32, fp32, COSINE, 0.5) == 0.0
