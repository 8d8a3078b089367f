"""The declaration of a custom task is checked before anything is read."""

from functools import partial
from typing import Any

import pytest

from pytest_kycquant import CustomGates, CustomLimits, CustomTask, KycModel, Preprocess
from pytest_kycquant.errors import SpecError
from pytest_kycquant.spec.gates import GateSpec


def misread(outputs: Any, labels: Any) -> Any:
    return outputs.argmax(axis=1) != labels


class Adjustable:
    """An object hides its parameters, so the golden would not notice a change."""

    def __call__(self, outputs: Any, labels: Any) -> Any:
        return labels


def model(task: CustomTask) -> KycModel:
    return KycModel("a.onnx", Preprocess(size=(8, 8)), task)


def test_defaults() -> None:
    task = CustomTask("data", metric=misread)
    assert (task.name, task.direction, task.selection, task.classes) == (
        "misread",
        "lower",
        None,
        None,
    )
    assert task.gates() == ("finite", "metric", "degradation", "latency", "size")


def test_names_become_tuples() -> None:
    task = CustomTask("data", metric=misread, classes=["a", "b"], outputs="scores")  # type: ignore[arg-type]
    assert task.classes == ("a", "b")
    assert task.outputs == ("scores",)


def test_a_spec_is_a_key_and_names_no_address() -> None:
    """Workers of pytest-xdist each import the gate file: their specs must read the same."""
    tasks = [CustomTask("data", metric=metric) for metric in (misread, lambda o, t: t)]
    assert len(set(tasks)) == 2
    assert [task.name for task in tasks] == ["misread", "<lambda>"]
    assert "0x" not in repr(model(tasks[0]))
    assert "misread" in repr(model(tasks[0]))


def test_a_metric_may_have_a_name() -> None:
    assert CustomTask("data", metric=misread, name="wrong type").name == "wrong type"


@pytest.mark.parametrize(
    ("options", "where", "problem"),
    [
        ({"metric": "f1"}, "metric", "'f1' is not a function"),
        ({"metric": Adjustable()}, "metric", " is not a function"),
        ({"metric": partial(misread)}, "metric", " is not a function"),
        ({"metric": len}, "metric", "<built-in function len> is not a function"),
        ({"metric": None}, "metric", "None is not a function"),
        ({"direction": "up"}, "direction", "'up' is unknown"),
        ({"classes": ("a", "a")}, "classes", "('a', 'a') are not distinct names"),
        ({"classes": ("a",)}, "classes", "('a',) is only one class"),
        ({"outputs": ()}, "outputs", "() are not distinct names"),
        ({"selection": 1.5}, "selection", "1.5 is not a share"),
        (
            {"selection_labels": "x.csv"},
            "selection_labels",
            "is used only if selection is a path of other images",
        ),
        (
            {"selection_labels": "x.csv", "selection": 0.5},
            "selection_labels",
            "is used only if selection is a path of other images",
        ),
    ],
)
def test_impossible_tasks(options: dict[str, Any], where: str, problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        CustomTask("data", **{"metric": misread, **options})
    assert caught.value.where == f"CustomTask.{where}"
    assert problem in caught.value.problem


@pytest.mark.parametrize(
    ("options", "name", "problem"),
    [
        ({}, "metric", "has no default"),
        ({"metric": 0.02}, "degradation", "has no default"),
        ({"degradation": 0.02}, "metric", "has no default"),
        ({"metric": 0.02, "degradation": 0}, "degradation", "0.0 can never be met"),
        ({"metric": 0.02, "degradation": -0.1}, "degradation", "-0.1 can never be met"),
        ({"metric": float("nan"), "degradation": 0.1}, "metric", "nan is not finite"),
        ({"metric": 1, "degradation": 1, "agreement": 1}, "agreement", "for a task with labels"),
    ],
)
def test_impossible_limits(options: dict[str, float], name: str, problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        CustomTask("data", metric=misread).check_limits(CustomLimits(**options))
    assert caught.value.where == f"CustomLimits.{name}"
    assert problem in caught.value.problem


def test_a_gate_without_limits_is_an_error() -> None:
    class Gate(CustomGates):
        model = model(CustomTask("data", metric=misread))

    with pytest.raises(SpecError, match=r"CustomLimits.metric: has no default, .* limits = "):
        GateSpec.of(Gate.values(), "here")


@pytest.mark.parametrize(
    ("options", "name", "problem"),
    [
        ({}, "agreement", "has no default"),
        ({"agreement": 0.1, "metric": 0.1}, "metric", "needs labels"),
        ({"agreement": 0.1, "degradation": 0.1}, "degradation", "needs labels"),
    ],
)
def test_limits_without_labels(options: dict[str, float], name: str, problem: str) -> None:
    task = CustomTask("data", metric=misread, labelled=False)
    assert task.gates() == ("finite", "agreement", "latency", "size")
    with pytest.raises(SpecError) as caught:
        task.check_limits(CustomLimits(**options))
    assert caught.value.where == f"CustomLimits.{name}"
    assert problem in caught.value.problem


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"labels": "l.csv"}, "labels"),
        ({"classes": ("a", "b")}, "classes"),
    ],
)
def test_what_needs_labels(options: dict[str, object], where: str) -> None:
    with pytest.raises(SpecError) as caught:
        CustomTask("data", metric=misread, labelled=False, **options)  # type: ignore[arg-type]
    assert caught.value.where == f"CustomTask.{where}"


async def waits(outputs: Any, labels: Any) -> Any:
    return labels


def yields(outputs: Any, labels: Any) -> Any:
    yield labels


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (lambda: 0, "cannot be called with 2 arguments"),
        (lambda outputs: 0, "cannot be called with 2 arguments"),
        (lambda outputs, labels, more: 0, "cannot be called with 2 arguments"),
        (lambda outputs, *, labels: 0, "cannot be called with 2 arguments"),
        (waits, "is asynchronous"),
        (yields, "is a generator"),
    ],
)
def test_a_metric_that_cannot_work(metric: Any, message: str) -> None:
    with pytest.raises(SpecError, match=f"CustomTask.metric: {message}.*; define it as a function"):
        CustomTask("d", metric=metric)
    assert CustomTask("d", metric=lambda *args: 0).name == "<lambda>"
