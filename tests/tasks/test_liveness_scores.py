"""From outputs to scores and decisions: softmax by hand, NaN as the worst case, ISO's figures."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pytest_kycquant.data.liveness import LIVE
from pytest_kycquant.errors import ModelError
from pytest_kycquant.statistics import Counts, design_effect
from pytest_kycquant.tasks.liveness.scores import (
    Decisions,
    bpcer_at_apcer,
    check_scale,
    live_scores,
    wrong_at,
)
from pytest_kycquant.tasks.outputs import Outputs
from tests.worlds.scores import captures, logits, of_kind, swapped


def outputs(values: object, finite: list[bool] | None = None) -> Outputs:
    rows = np.asarray(values, np.float32)
    return Outputs(rows, np.asarray(finite or np.isfinite(rows).all(axis=1), np.bool_))


def test_softmax_by_hand() -> None:
    """Exp(ln 1), exp(ln 2), exp(ln 5): 1 / 8, 2 / 8, 5 / 8."""
    found = outputs(np.log([[1, 2, 5]]))
    for live, expected in enumerate((1 / 8, 2 / 8, 5 / 8)):
        assert live_scores(found, live, probabilities=False) == pytest.approx([expected])


def test_single_logit_is_a_logistic() -> None:
    found = live_scores(outputs([[0.0], [np.log(3)], [-200.0]]), 0, probabilities=False)
    assert found == pytest.approx([0.5, 0.75, 0.0])


def test_probabilities_are_taken_as_they_are() -> None:
    values = np.array([[0.1, 0.7, 0.2]], np.float32)
    found = live_scores(outputs(values), 1, probabilities=True)
    assert found.tolist() == [float(values[0, 1])]


@given(
    values=hnp.arrays(np.float32, (4, 3), elements=st.floats(-(2.0**120), 2.0**120, width=32)),
    live=st.integers(0, 2),
)
def test_scores_are_probabilities_for_any_logits(values: np.ndarray, live: int) -> None:
    found = [live_scores(outputs(values), k, probabilities=False) for k in range(3)]
    assert np.sum(found, axis=0) == pytest.approx(np.ones(4))
    assert ((found[live] >= 0) & (found[live] <= 1)).all()


@pytest.mark.parametrize("probabilities", [True, False])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_anything_not_finite_is_no_score(bad: float, probabilities: bool) -> None:
    """A NaN in another class, or in another output of the model, also leaves no score."""
    found = outputs([[0.1, 0.9, bad], [0.2, 0.7, 0.1], [0.2, 0.7, 0.1]], [False, True, False])
    scores = live_scores(found, 1, probabilities=probabilities)
    assert np.isnan(scores).tolist() == [True, False, True]


def test_argmax_would_say_live() -> None:
    """Why NaN must be the worst case: numpy's argmax stops at the first NaN."""
    values = np.array([[0.1, np.nan, 0.2]], np.float32)
    assert np.argmax(values) == 1
    scores = live_scores(outputs(values), 1, probabilities=True)
    assert wrong_at(scores, np.array([True]), 0.5).tolist() == [True]
    assert wrong_at(scores, np.array([False]), 0.5).tolist() == [True]


def test_a_score_at_the_threshold_is_accepted() -> None:
    scores = np.array([0.5, 0.5, np.nextafter(0.5, 0), np.nextafter(0.5, 0)])
    live = np.array([True, False, True, False])
    assert wrong_at(scores, live, 0.5).tolist() == [False, True, True, False]


def test_logits_declared_as_probabilities() -> None:
    with pytest.raises(ModelError, match=r"values -1, 4, 2 are not probabilities; set .*logits"):
        check_scale(outputs([[-1, 4, 2]]), probabilities=True)
    with pytest.raises(
        ModelError, match=r"values 0\.9, 0\.9 are .*each is a probability by itself"
    ):
        check_scale(outputs([[0.5, 0.5], [0.9, 0.9]]), probabilities=True)
    with pytest.raises(ModelError, match=r"values 0\.9, 1\.1 are not probabilities"):
        check_scale(outputs([[0.5, 0.5], [0.9, 1.1]]), probabilities=True)
    with pytest.raises(ModelError, match=r"values 1\.5 are not probabilities"):
        check_scale(outputs([[0.5], [1.5]]), probabilities=True)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.linspace(0, 1, 20)[:, None], r"for all 20 captures .*set .*scores=\"probabilities\""),
        (np.linspace(0, 1, 40).reshape(20, 2), r"each is a probability by itself; .*\(\"live\",\)"),
    ],
)
def test_logits_that_are_all_between_0_and_1_hide_what_changes(values: Any, why: str) -> None:
    with pytest.raises(ModelError, match=why):
        check_scale(outputs(values), probabilities=False)
    check_scale(outputs(values[:19]), probabilities=False)  # a few may happen to be there
    check_scale(outputs(values - 0.01), probabilities=False)


def test_probabilities_declared_as_logits() -> None:
    found = outputs([[0.1, 0.7, 0.2], [0.3, 0.3, 0.4]])
    with pytest.raises(ModelError, match=r"already probabilities .* set .*scores=\"probabilities"):
        check_scale(found, probabilities=False)
    check_scale(found, probabilities=True)


def test_scales_that_are_right() -> None:
    check_scale(outputs([[-1, 4, 2], [0.1, 0.7, 0.2]]), probabilities=False)
    check_scale(outputs([[0.5], [0.1]]), probabilities=False)
    check_scale(outputs([[0.5], [0.1]]), probabilities=True)
    check_scale(outputs([[0.1, 0.9], [np.nan, 0.9]]), probabilities=True)
    check_scale(outputs([[np.nan, 0.9]]), probabilities=False)


def test_rates_by_hand() -> None:
    """Of 20 people, 3 live captures are rejected, 2 prints and 1 screen accepted."""
    of = captures(20)
    values = swapped(logits(of), of_kind(of, LIVE, 3))
    values = swapped(swapped(values, of_kind(of, 0, 2)), of_kind(of, 1, 1))
    found = Decisions(live_scores(outputs(values), 1, probabilities=False), of, 0.5)
    assert found.rate(LIVE).value == 3 / 20
    assert {name: rate.errors for name, rate in found.species_rates.items()} == {
        "print": 2,
        "screen": 1,
    }
    assert found.rate(0).trials == found.rate(0).subjects == 20


def test_bpcer_at_apcer_by_hand() -> None:
    """Ten prints .1 to 1.0, live .85 or .95: t is just above .9 at APCER 10 %, above .8 at 20 %."""
    of = captures(10, species=("print",))
    scores = np.empty(20)
    scores[of.species == 0] = np.arange(1, 11) / 10
    scores[of.live] = np.tile([0.85, 0.95], 5)
    found = Decisions(scores, of, 0.5)
    assert bpcer_at_apcer(found, 0.1) == 0.5
    assert bpcer_at_apcer(found, 0.2) == 0.0
    assert bpcer_at_apcer(found, 0.05) == 1.0


def test_bpcer_at_apcer_looks_at_the_worst_species() -> None:
    of = captures(10)
    scores = np.zeros(30)
    scores[of.live] = 0.9
    scores[of_kind(of, 1, 2)] = 0.95
    assert bpcer_at_apcer(Decisions(scores, of, 0.5), 0.1) == 1.0
    scores[of_kind(of, 1, 2)] = np.nan, 0.0  # always accepted: the one in ten that is permitted
    assert bpcer_at_apcer(Decisions(scores, of, 0.5), 0.1) == 0.0
    assert bpcer_at_apcer(Decisions(scores, of, 0.5), 0.05) == 1.0


@pytest.mark.parametrize("kind", [0, LIVE])
def test_few_errors_take_the_design_effect_of_the_most_dangerous_captures(kind: int) -> None:
    """Three errors, but the 30 most dangerous captures all belong to six of the 60 people."""
    of = captures(60, species=("print",), each=5)
    of = of.subset(np.random.default_rng(0).permutation(600))
    members = of_kind(of, kind, 300)
    members = members[np.argsort(of.subjects[members], kind="stable")]
    wrong = 0.1 if kind == LIVE else 0.9
    right = 1 - wrong
    scores = np.where(of.live, 0.9, 0.1)
    scores[members[-30:]] = 0.5 + 0.1 * (right - 0.5)
    scores[members[[-1, -8, -15]]] = wrong
    found = Decisions(scores, of, 0.5).rate(kind)
    counts = Counts(30, 300, np.r_[np.full(6, 5), np.zeros(54, int)], np.full(60, 5))
    assert found.errors == 3
    assert found.deff == pytest.approx(design_effect(counts))
    assert found.deff > 5.05  # the mean number of captures of a person is the least
    scores[members[[-1, -8, -15]]] = np.nan
    assert Decisions(scores, of, 0.5).rate(kind) == found
