"""Images without labels: which decisions flip, and how far answers drift."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pytest_kycquant import PipelineLimits, Verdict
from pytest_kycquant.pipeline.agreement import Agreement
from pytest_kycquant.pipeline.record import judge_complete, judge_finite
from pytest_kycquant.pipeline.seen import Seen
from pytest_kycquant.pipeline.transactions import Thresholds
from pytest_kycquant.tasks.face.measures import COSINE

NUMBER = 300
NAMES = tuple(f"{index:03d}.jpg" for index in range(NUMBER))
THRESHOLDS = Thresholds(0.5, 0.6, COSINE)


def seen(number: int = NUMBER, calls: int = 1) -> Seen:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(number, calls, 32)).astype(np.float32)
    return Seen(embeddings, np.ones(number, np.bool_), np.full(number, 0.9))


def agreement(fp32: Seen, shipped: Seen, thresholds: Thresholds = THRESHOLDS) -> Agreement:
    names = NAMES[: len(fp32.found)]
    return Agreement(names, fp32, shipped, thresholds, PipelineLimits())


def with_scores(one: Seen, chosen: list[int], score: float) -> Seen:
    scores = one.scores.copy()
    scores[chosen] = score
    return replace(one, scores=scores)


def with_embeddings(one: Seen, chosen: list[int], sign: float = -1.0) -> Seen:
    embeddings = one.embeddings.copy()
    embeddings[chosen] *= sign
    return replace(one, embeddings=embeddings)


def with_found(one: Seen, chosen: list[int]) -> Seen:
    found, embeddings = one.found.copy(), one.embeddings.copy()
    found[chosen], embeddings[chosen] = False, np.nan
    return replace(one, found=found, embeddings=embeddings)


def test_the_same_decisions_pass() -> None:
    gate = agreement(seen(), seen()).gate()
    assert gate.verdict is Verdict.PASS, gate.describe()
    assert [check.name for check in gate.checks] == ["flipped decisions", "flipped pairs"]
    assert gate.checks[1].detail.startswith("0 newly accepted and 0 newly rejected of 44,850 pairs")


@pytest.mark.parametrize(
    ("shipped", "kind"),
    [
        (with_scores(seen(), [1, 2], 0.59), "liveness 2"),
        (with_scores(seen(), [1, 2], np.nan), "liveness 2"),
        (with_embeddings(seen(), [1, 2]), "not recognized as the same face 2"),
        (with_embeddings(seen(), [1, 2], np.nan), "not recognized as the same face 2"),
        (with_embeddings(seen(), [1, 2], 0.0), "not recognized as the same face 2"),
        (with_found(seen(), [1, 2]), "no longer through every stage 2"),
    ],
)
def test_each_kind_of_flip(shipped: Seen, kind: str) -> None:
    gate = agreement(seen(), shipped).gate()
    assert gate.checks[0].detail.startswith(f"2 of 300 images with a face: {kind}")
    assert {offender.images[0] for offender in gate.offenders} == {"001.jpg", "002.jpg"}


def test_many_flips_fail() -> None:
    gate = agreement(seen(), with_scores(seen(), list(range(20)), 0.1)).gate()
    assert gate.checks[0].verdict is Verdict.FAIL
    assert "20 of 300 images with a face: liveness 20" in gate.describe()


def test_images_without_a_face_do_not_dilute_the_share() -> None:
    empty = list(range(100, NUMBER))
    sides = with_found(seen(), empty), with_found(with_scores(seen(), [1, 2], 0.1), empty)
    (flipped, *_) = agreement(*sides).gate().checks
    assert flipped.detail.startswith("2 of 100 images with a face: liveness 2")
    assert flipped.value == pytest.approx(0.02)


def test_a_face_that_only_the_shipped_pipeline_finds_flips() -> None:
    gate = agreement(with_found(seen(), [3]), seen()).gate()
    assert "newly through every stage 1" in gate.describe()
    both = agreement(with_found(seen(), [3]), with_found(seen(), [3])).gate()
    assert both.checks[0].value == 0


def test_pairs_that_flip_fail() -> None:
    """Each embedding is still taken for the same face, but all people have become alike."""
    one = seen()
    towards = np.full((NUMBER, 1, 32), 1.0, np.float32)
    other = replace(one, embeddings=one.embeddings + towards)
    gate = agreement(one, other).gate()
    assert gate.checks[1].verdict is Verdict.FAIL
    assert "newly accepted" in gate.checks[1].detail


def test_every_call_counts() -> None:
    """A pipeline that embeds a selfie and a document: the second one flips."""
    one = seen(calls=2)
    other = one.embeddings.copy()
    other[7, 1] *= -1
    found = agreement(one, replace(one, embeddings=other)).gate()
    assert "not recognized as the same face 1" in found.describe()
    fewer = replace(one, embeddings=one.embeddings[:, :1])
    assert agreement(one, fewer).gate().checks[0].value == 1.0


def test_few_images_prove_nothing() -> None:
    gate = agreement(seen(8), seen(8)).gate()
    assert gate.verdict is Verdict.INCONCLUSIVE
    assert "a claim needs at least 20 images" in gate.describe()


def test_without_an_embedder_or_a_liveness_model() -> None:
    nothing = np.full((NUMBER, 1, 1), np.nan, np.float32)
    only_live = replace(seen(), embeddings=nothing)
    gate = agreement(only_live, only_live, Thresholds(0.0, 0.6, None)).gate()
    assert [check.name for check in gate.checks] == ["flipped decisions"]
    assert gate.verdict is Verdict.PASS
    never = replace(seen(), scores=np.full(NUMBER, np.inf))
    assert agreement(never, never, Thresholds(0.5, None, COSINE)).gate().verdict is Verdict.PASS


def test_drift_end_to_end() -> None:
    one = Seen(
        np.array([[[1.0, 0.0]], [[1.0, 0.0]]], np.float32), np.ones(2, np.bool_), np.full(2, 0.9)
    )
    other = Seen(
        np.array([[[0.0, 0.0]], [[0.6, 0.8]]], np.float32),
        np.ones(2, np.bool_),
        np.array([0.9, 0.7]),
    )
    drift, farthest = agreement(one, other).figures()
    assert farthest == {"liveness": "001.jpg", "embedder": "000.jpg"}
    assert drift["score_drift_mean"] == pytest.approx(0.1)
    assert drift["score_drift_max"] == pytest.approx(0.2)
    # An embedding without direction counts as -1.
    assert drift["cosine_mean"] == pytest.approx((0.6 - 1) / 2)
    assert drift["cosine_min"] == -1.0


def test_every_stage_is_reached() -> None:
    assert judge_complete(5, {}, {}).verdict is Verdict.PASS
    lost = judge_complete(5, {"3.png": "liveness, embedder"}, {})
    assert lost.verdict is Verdict.FAIL
    assert "4 of 5, 3.png skips liveness, embedder" in lost.describe()
    broken = judge_complete(5, {}, {"2.png": "embedder"})
    assert broken.verdict is Verdict.FAIL
    nan = "FAIL images with NaN or Inf = 1 must be below 1\n  2.png in embedder"
    assert nan in broken.describe()
    assert judge_complete(0, {}, {}).verdict is Verdict.FAIL
    assert judge_finite(9, {}).verdict is Verdict.PASS
    assert judge_finite(9, {"a.png": "liveness"}).verdict is Verdict.FAIL
    copied = judge_finite(9, {}, ["s.png"])
    assert copied.verdict is Verdict.FAIL
    same = "FAIL selfies with the embedding of the document = 1 must be below 1\n  s.png"
    assert same in copied.describe()
