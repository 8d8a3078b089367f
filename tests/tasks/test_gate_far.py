"""The FAR gate fails if impostors get in, on both sides or against stored templates."""

from dataclasses import replace

import numpy as np
import pytest

from pytest_kycquant import FaceLimits, Verdict
from pytest_kycquant.data.pairs import Comparisons
from pytest_kycquant.results import GateResult
from pytest_kycquant.statistics import design_effect
from pytest_kycquant.tasks.face.comparison import FaceComparison
from pytest_kycquant.tasks.face.scores import counts_of
from tests.worlds.embeddings import PEOPLE, comparison, embeddings


def far(found: FaceComparison) -> GateResult:
    return found.accuracy()[0]


def test_passes() -> None:
    result = far(comparison(embeddings()))
    assert result.verdict is Verdict.PASS
    names = ["FAR", "FAR, FP32 gallery", "FAR, FP32 gallery, sides swapped"]
    assert [check.name for check in result.checks] == names


def test_scores_that_rise_fail() -> None:
    """A common offset makes all people look more alike."""
    variant = embeddings() + np.float32(0.75)
    result = far(comparison(variant))
    assert result.verdict is Verdict.FAIL
    assert result.checks[0].verdict is Verdict.FAIL


def test_stored_templates_fail_alone() -> None:
    """New templates agree among themselves, but each looks like its neighbour's old one."""
    for shift, verdicts in ((2, ["PASS", "FAIL", "PASS"]), (-2, ["PASS", "PASS", "FAIL"])):
        variant = np.roll(embeddings(), shift, axis=0)
        result = far(comparison(variant))
        assert [check.verdict for check in result.checks] == verdicts
        assert result.verdict is Verdict.FAIL


def test_nan_does_not_lower_far() -> None:
    """``nan >= t`` is False: ten broken images must count as accepted by everyone."""
    variant = embeddings()
    variant[:10] = np.nan
    result = far(comparison(variant))
    assert result.verdict is Verdict.FAIL


def test_few_people_are_undecided() -> None:
    few = Comparisons(np.repeat(np.arange(PEOPLE // 22), 44))
    result = far(comparison(embeddings(), threshold=1.0, comparisons=few))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "a claim needs at least 20 identities" in result.describe()


def test_few_pairs_are_undecided_and_say_how_many_decide() -> None:
    subjects = np.repeat(np.arange(PEOPLE), 2)
    left, right = np.arange(0, 600), np.arange(2, 602)
    some = Comparisons(subjects, np.r_[left, [0]], np.r_[right, [1]])
    result = far(comparison(embeddings(), comparisons=some))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "identities would decide" in result.describe()


def test_pairs_without_identities_are_undecided() -> None:
    left = np.repeat(np.arange(300), 2)
    right = np.tile([301, 302], 300)
    anonymous = Comparisons(
        np.zeros(660, np.int64), left, right, np.zeros(600, np.bool_), has_subjects=False
    )
    result = far(comparison(embeddings(), comparisons=anonymous))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "a claim needs identities" in result.describe()


def test_the_limit_itself_does_not_pass() -> None:
    found = far(comparison(embeddings(), threshold=0.4)).checks[0]
    assert found.upper is not None
    at_limit = far(comparison(embeddings(), FaceLimits(far=found.upper), threshold=0.4))
    assert at_limit.checks[0].verdict is not Verdict.PASS


def test_few_errors_take_the_design_effect_of_their_own_cell() -> None:
    """All probes drift towards one enrolled person, so the cell's risk depends on her alone."""
    person = embeddings()[0] / np.linalg.norm(embeddings()[0])
    variant = embeddings() + np.float32(2.5) * person
    found = comparison(variant, threshold=0.99)
    nearest = counts_of(found.stored.comparisons, found.stored.worst.impostor_ids, genuine=False)
    own = design_effect(replace(nearest, couples=None))  # with few errors, nothing is subtracted
    assert found.stored.rate(genuine=False).errors < 10
    assert found.stored.rate(genuine=False).deff == pytest.approx(own)
    assert own != pytest.approx(found.cell.rate(genuine=False).deff)


@pytest.mark.parametrize("genuine", [False, True])
def test_stored_templates_are_judged_in_both_directions(*, genuine: bool) -> None:
    """Recounted the slow, obvious way: the template of either image, the probe of the other."""
    rng = np.random.default_rng(3)
    variant = embeddings() + rng.normal(0, 0.9, (660, 64)).astype(np.float32)
    found = comparison(variant, threshold=0.35)
    exact, mine = (
        (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float64)
        for raw in (embeddings(), variant)
    )
    people = np.repeat(np.arange(PEOPLE), 2)
    expected = []
    for gallery, probe in ((mine, mine), (exact, mine), (mine, exact)):
        wrong = 0
        for i in range(660):
            scores = probe[i + 1 :] @ gallery[i]
            same = people[i + 1 :] == people[i]
            wrong += int(((scores < 0.35) & same if genuine else (scores >= 0.35) & ~same).sum())
        expected.append(wrong)
    assert len(set(expected)) == 3 or genuine
    counted = [len(cell.wrong(genuine=genuine)) for cell in found.cells.values()]
    assert counted == expected
    gate = found.accuracy()[genuine]
    errors = [check.detail.split(" errors")[0].replace(",", "") for check in gate.checks]
    assert errors == list(map(str, expected))


def test_the_swapped_direction_alone_fails() -> None:
    """Only as the probe against the FP32 template of the other image, a first image is accepted."""
    left = np.arange(0, 656, 2)
    right = left + 3  # the second image of the next person
    people = np.repeat(np.arange(PEOPLE), 2)
    pairs = Comparisons(people, np.r_[left, [0]], np.r_[right, [1]])
    variant = embeddings(seed=9)
    variant[left] = embeddings()[right]
    result = far(comparison(variant, comparisons=pairs))
    both, stored, swapped = result.checks
    assert (both.value, stored.value, swapped.value) == (0, 0, 1)
    assert swapped.verdict is result.verdict is Verdict.FAIL
