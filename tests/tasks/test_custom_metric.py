"""A custom metric is called with care, and its result decides how it is used."""

import random
import sys
from types import FunctionType
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta, t

from pytest_kycquant.errors import MetricError
from pytest_kycquant.tasks.custom.metric import Measurement, Metric, bounds
from tests.worlds.measurements import apart, correlation, labelled, measured, wrong
from tests.worlds.raised import RAISED

LABELS = labelled([0, 1, 2, 3], subjects=["a", "a", "b", "c"])
OUTPUTS = [0.0, 1.5, 2.0, 5.0]


def test_errors() -> None:
    found = measured(wrong, OUTPUTS, LABELS)
    assert found.form == "errors"
    assert found.errors.tolist() == [False, True, False, True]
    assert (found.rate().errors, found.rate().trials, found.rate().subjects) == (2, 4, 3)


def test_values() -> None:
    found = measured(apart, OUTPUTS, LABELS)
    assert found.form == "values"
    assert found.values.tolist() == [0, 0.5, 0, 2]
    assert found.value == 0.625
    # Without a: (0 + 2) / 2; without b: 2.5 / 3; without c: 0.5 / 3.
    assert found.without.tolist() == pytest.approx([1.0, 2.5 / 3, 0.5 / 3])


def test_figure() -> None:
    """The metric itself is called again without each subject."""
    found = measured(correlation, OUTPUTS, LABELS)
    assert found.form == "figure"
    x, y = np.array(OUTPUTS), np.arange(4)
    assert found.value == pytest.approx(np.corrcoef(x, y)[0, 1])
    kept = ([2, 3], [0, 1, 3], [0, 1, 2])
    wanted = [np.corrcoef(x[rows], y[rows])[0, 1] for rows in kept]
    assert found.without.tolist() == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        (np.array([1, 0, 2, 3]), "values"),
        ([0.5, 1.0, 0.25, 2.0], "values"),
        ([True, False, True, False], "errors"),
        (np.float32(0.5), "figure"),
        (3, "figure"),
        (np.array(0.25), "figure"),
    ],
)
def test_forms(answer: Any, form: str) -> None:
    assert measured(lambda o, t: answer, OUTPUTS, LABELS).form == form


def test_many_subjects_are_left_out_in_groups() -> None:
    calls = []

    def count(outputs: Any, labels: Any) -> float:
        calls.append(len(labels))
        return float(labels.sum())

    truth = labelled(np.ones(450))
    found = measured(count, np.zeros(450), truth)
    assert found.without.shape == (200,)
    assert set(found.without) == {447.0, 448.0}
    assert 450 * 200 - found.without.sum() == 450  # every subject is left out once
    assert len(calls) == 202


def test_several_outputs_are_a_tuple_and_may_be_changed_in_place() -> None:
    def changes(outputs: Any, labels: Any) -> Any:
        first, second = outputs
        first += second
        labels[:] = 0
        return first.sum(axis=1)

    first, second = np.ones((4, 2), np.float32), np.ones((4, 1), np.float32)
    metric = Metric(changes, "changes", higher=False)
    found = Measurement(metric, (first, second), np.ones(4, bool), LABELS)
    assert found.value == 4.0
    assert first.sum() == 8
    assert LABELS.labels.tolist() == [0, 1, 2, 3]


def test_the_metric_never_sees_an_image_that_is_not_finite() -> None:
    def checked(outputs: Any, labels: Any) -> Any:
        assert np.isfinite(outputs).all()
        return outputs != labels

    found = measured(checked, [0.0, np.nan, np.inf, 3.0], LABELS)
    assert found.errors.tolist() == [False, True, True, False]
    assert measured(checked, [np.nan] * 4, LABELS).form == "figure"


def test_what_is_not_finite_leaves_no_mean_and_no_figure() -> None:
    for function in (apart, correlation):
        found = measured(function, [0.0, np.nan, 2.0, 3.0], LABELS)
        assert np.isnan(found.value)
        assert not len(found.without)
    assert measured(apart, [0.0, np.nan, 2.0, 3.0], LABELS).broken() == ["data.npz[1]"]
    nan = measured(lambda o, t: np.where(t == 2, np.nan, o), OUTPUTS, LABELS)
    assert nan.broken() == ["data.npz[2]"]


CALLS: list[Any] = [
    (lambda o, t: None, "returned None for 4 images"),
    (lambda o, t: "good", "returned 'good' for 4 images"),
    (lambda o, t: {"f1": 0.5}, "returned {'f1': 0.5} for 4 images"),
    (lambda o, t: 1j, "returned 1j for 4 images"),
    (lambda o, t: np.zeros(3), "returned float64 of shape (3,) for 4 images"),
    (lambda o, t: np.zeros((4, 1)), "returned float64 of shape (4, 1) for 4 images"),
    (lambda o, t: [], "returned float64 of shape (0,) for 4 images"),
    (lambda o, t: np.array(["a"] * 4), "returned <U1 of shape (4,) for 4 images"),
    (lambda o, t: True, "returned a single bool"),
    (lambda o, t: [[1], [2, 3]], "raised ValueError: "),
    (lambda o, t: o["score"], "raised IndexError on line "),
    (lambda o, t: 1 / 0, "raised ZeroDivisionError on line "),
    (
        lambda o, t: random.random(),
        "does not return the same result for the same outputs and labels",
    ),
    (lambda o, t: np.random.default_rng().random(4), "does not return the same result"),
    (
        lambda o, t: 1.0 if len(t) == 4 else np.zeros(len(t)),
        "returned one number for all images but a number for each image for some of them",
    ),
]


@pytest.mark.parametrize(("function", "problem"), CALLS, ids=[problem for _, problem in CALLS])
def test_metrics_that_cannot_be_judged(function: Any, problem: str) -> None:
    random.seed()
    with pytest.raises(MetricError) as caught:
        len(measured(function, OUTPUTS, LABELS).without)
    assert caught.value.where == "metric <lambda>"
    assert caught.value.problem.startswith(problem)
    assert "\n" not in str(caught.value)


def test_an_error_says_what_the_metric_was_given() -> None:
    with pytest.raises(MetricError, match=r"outputs of shape \(4,\) and labels of shape "):
        assert measured(lambda o, t: o[:, 1], OUTPUTS, LABELS).form


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_a_metric_raises_is_its_error(error: BaseException) -> None:
    """A skip in it must not skip the gate, and nothing but Ctrl+C ends the run."""

    def raises(outputs: Any, labels: Any) -> Any:
        raise error

    with pytest.raises(MetricError) as caught:
        assert measured(raises, OUTPUTS, LABELS).form
    line = raises.__code__.co_firstlineno + 1
    start = f"raised {type(error).__name__} on line {line} of test_custom_metric.py: "
    assert caught.value.problem.startswith(start)
    assert len(str(caught.value)) < 2000
    assert str(caught.value).isprintable()


def test_ctrl_c_ends_the_run() -> None:
    def interrupted(outputs: Any, labels: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        assert measured(interrupted, OUTPUTS, LABELS).form


class Unshowable:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __repr__(self) -> str:
        raise self.error


class Unreadable(Unshowable):
    def __array__(self, *args: Any, **given: Any) -> Any:
        raise self.error


@pytest.mark.parametrize("kind", [Unshowable, Unreadable])
@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_a_result_that_raises(kind: Any, error: BaseException) -> None:
    with pytest.raises(MetricError) as caught:
        assert measured(lambda o, t: kind(error), OUTPUTS, LABELS).form
    assert len(str(caught.value)) < 2000
    assert str(caught.value).isprintable()


def test_bools_are_errors_and_never_higher_is_better() -> None:
    with pytest.raises(
        MetricError, match='returned bools, which mark errors, although direction="higher"'
    ):
        assert measured(wrong, OUTPUTS, LABELS, higher=True).form


def test_another_kind_of_answer_for_a_variant() -> None:
    def moody(outputs: Any, labels: Any) -> Any:
        return np.abs(outputs) if outputs.max() > 9 else outputs != labels

    expected = measured(moody, OUTPUTS, LABELS).form
    metric = Metric(moody, "moody", higher=False)
    outputs = (np.full(4, 10, np.float32),)
    variant = Measurement(metric, outputs, np.ones(4, bool), LABELS, expected)
    with pytest.raises(MetricError, match="a number for each image for a variant and a bool for"):
        assert variant.errors.any()


def first(outputs: Any, labels: Any) -> Any:
    return outputs != labels


def second(outputs: Any, labels: Any) -> Any:
    return outputs == labels


def test_identity_changes_with_the_source() -> None:
    identities = [
        Metric(function, "same name", higher=False).identity()
        for function in (first, second, lambda o, t: o != t)
    ]
    assert [entry["metric"] for entry in identities[:2]] == ["first", "second"]
    assert len({entry["metric source"] for entry in identities}) == 3
    assert identities[0] == Metric(first, "other name", higher=True).identity()


LIMIT = 1


def third(outputs: Any, labels: Any) -> Any:
    return abs(outputs - labels) > LIMIT


def test_identity_changes_with_what_the_metric_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    def again() -> Any:
        """The same function, as another process would load it."""
        return FunctionType(third.__code__, third.__globals__)

    before, same = (Metric(again(), "metric", higher=False).identity() for _ in range(2))
    monkeypatch.setattr(sys.modules[__name__], "LIMIT", 2)
    assert before == same != Metric(again(), "metric", higher=False).identity()


def test_a_metric_without_source() -> None:
    metric = Metric(eval("lambda o, t: o != t"), "opaque", higher=False)
    refusal = r"has no readable source code, .*; define it in the"
    with pytest.raises(MetricError, match=refusal):
        metric.identity()


def test_bounds_are_those_of_a_direct_jackknife() -> None:
    values = np.random.default_rng(0).gamma(2, 3, 60)
    subjects = np.repeat(np.arange(30), 2)
    found = measured(lambda o, t: values, np.zeros(60), labelled(np.zeros(60), subjects))
    means = np.array([values[subjects != g].mean() for g in range(30)])
    error = t.ppf(0.95, 29) * np.sqrt(29 / 30 * ((means - means.mean()) ** 2).sum())
    wanted = (values.mean() - error, values.mean() + error)
    assert bounds(found.value, found.without, share=False) == pytest.approx(wanted, rel=1e-9)
    assert not found.may_be_share


def test_bounds_of_what_may_be_a_share_are_the_wider_ones() -> None:
    without = np.array([0.95, 0.94, 0.96, 0.98])
    plain = bounds(0.96, without, share=False)
    lower, upper = bounds(0.96, without, share=True)
    assert lower < plain[0]
    assert upper == plain[1]


def test_where_nobody_makes_a_difference_there_is_still_doubt() -> None:
    """An F1 of 1 on 60 subjects is worth no errors in 60 trials: 4.87 %."""
    width = beta.ppf(0.95, 1, 60)
    found = bounds(1.0, np.ones(60), share=True)
    assert found == pytest.approx((1 - width, 1 + width))
    assert width == pytest.approx(0.0487, abs=1e-4)


def test_one_subject_leaves_no_bounds() -> None:
    found = measured(apart, OUTPUTS, labelled([0, 1, 2, 3], subjects=["a"] * 4))
    assert bounds(found.value, found.without, share=True) == (-np.inf, np.inf)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda out, lab: np.ma.masked, np.nan),
        (lambda out, lab: np.ma.masked_invalid(np.full(4, np.nan)).mean(), np.nan),
        (lambda out, lab: np.ma.masked_where([1, 0, 0, 0], out), [np.nan, 1, 2, 3]),
        (lambda out, lab: np.ma.masked_where([1, 0, 0, 0], np.zeros(4, bool)), [1, 0, 0, 0]),
        (lambda out, lab: np.ma.array([5, 1, 2, 3], mask=[1, 0, 0, 0]), [np.nan, 1, 2, 3]),
        (lambda out, lab: np.ma.array(out), [0, 1, 2, 3]),  # nothing is masked
    ],
)
def test_what_is_masked_could_not_be_measured(function: Any, expected: Any) -> None:
    metric = Metric(function, "masked", higher=False)
    found = metric((np.arange(4, dtype=np.float32),), np.zeros(4, np.int64))
    assert np.array_equal(found, np.asarray(expected), equal_nan=True)
