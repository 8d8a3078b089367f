"""The declaration of a liveness task is checked before anything is read."""

from dataclasses import replace

import numpy as np
import pytest

from pytest_kycquant import (
    FaceVerification,
    KycModel,
    LivenessDetection,
    LivenessLimits,
    Preprocess,
)
from pytest_kycquant.errors import SpecError
from pytest_kycquant.verdicts import Direction


def test_defaults() -> None:
    task = LivenessDetection("data")
    assert (task.selection, task.threshold, task.live_class, task.scores) == (
        None,
        None,
        1,
        "logits",
    )
    assert LivenessDetection("data", threshold=0.5).selection is None
    assert task.gates() == ("finite", "apcer", "bpcer", "degradation", "latency", "size")
    assert KycModel("a.onnx", Preprocess(size=(80, 80)), task).name == "a"


def test_a_copy_says_the_same() -> None:
    for classes in (("attack",), ("live",), ("spoof", "live"), None):
        task = LivenessDetection("data", classes=classes)
        assert replace(task, threshold=0.5).live_class == task.live_class


@pytest.mark.parametrize(
    ("classes", "live"),
    [(("attack",), 0), (("attack", "live"), "attack"), (("spoof", "live"), 0)],
)
def test_what_is_called_an_attack_is_not_the_live_class(
    classes: tuple[str, ...], live: int | str
) -> None:
    with pytest.raises(SpecError, match=r"live_class: .* is the name of an attack"):
        LivenessDetection("data", classes=classes, live_class=live)


def test_numbers_become_plain() -> None:
    task = LivenessDetection(
        "data", threshold=np.float32(0.5), live_class=np.int64(2), boxes="b.csv", crop_scale=4
    )
    assert (task.threshold, task.live_class, task.crop_scale) == (0.5, 2, 4.0)
    assert {type(value) for value in (task.threshold, task.crop_scale)} == {float}
    assert type(task.live_class) is int


@pytest.mark.parametrize(
    ("options", "where", "problem"),
    [
        ({"selection": 1.5}, "selection", "1.5 is not a share"),
        ({"selection_apcer": 2.5}, "selection_apcer", "2.5 is not a rate"),
        ({"selection_apcer": "low"}, "selection_apcer", "'low' is not a number"),
        ({"threshold": 0.0}, "threshold", "0.0 is out of range"),
        ({"threshold": 50}, "threshold", "50.0 is out of range"),
        ({"threshold": float("nan")}, "threshold", "nan is not finite"),
        ({"scores": "softmax"}, "scores", "'softmax' is unknown"),
        ({"live_class": -1}, "live_class", "-1 is not an index"),
        ({"live_class": 0.5}, "live_class", "0.5 is not a whole number"),
        ({"live_class": "live"}, "live_class", "'live' needs the names of the classes"),
        (
            {"classes": ("spoof", "live"), "live_class": "liv"},
            "live_class",
            "'liv' is unknown",
        ),
        (
            {"classes": ("spoof", "live"), "live_class": 2},
            "live_class",
            "2 is not one of the 2 classes",
        ),
        (
            {"classes": ("a", "b")},
            "live_class",
            "does not follow from the names of the classes 'a', 'b'",
        ),
        (
            {"classes": ("score",)},
            "live_class",
            "does not follow from the names of the classes 'score'",
        ),
        ({"classes": ("live",), "live_class": 1}, "live_class", "1 is not one of the 1 classes"),
        ({"classes": ("live", "live")}, "classes", "('live', 'live') are not distinct names"),
        ({"pool": "max"}, "pool", "'max' is unknown"),
        ({"boxes": "b.csv"}, "crop_scale", "boxes and crop_scale must be given together"),
        ({"crop_scale": 2.7}, "crop_scale", "boxes and crop_scale must be given together"),
        ({"boxes": "b.csv", "crop_scale": 0.5}, "crop_scale", "0.5 cuts off the face"),
    ],
)
def test_impossible_tasks(options: dict[str, object], where: str, problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        LivenessDetection("data", **options)  # type: ignore[arg-type]
    assert caught.value.where == f"LivenessDetection.{where}"
    assert caught.value.problem == problem


@pytest.mark.parametrize("name", ["apcer", "bpcer", "apcer_degradation", "flips", "score_drift"])
def test_impossible_limits(name: str) -> None:
    with pytest.raises(SpecError, match=rf"LivenessLimits\.{name}: 5 is not a rate"):
        LivenessLimits(**{name: 5})
    assert LivenessLimits()[name].direction is Direction.BELOW


MINI = Preprocess(size=(80, 80))


def test_several_files() -> None:
    task = LivenessDetection("data", boxes="b.csv", crop_scale=[2.7, np.float64(4)])  # type: ignore[arg-type]
    model = KycModel(["models/v2.onnx", "models/v1se.onnx"], MINI, task)  # type: ignore[arg-type]
    assert model.name == "v2+v1se"
    assert model.paths == ("models/v2.onnx", "models/v1se.onnx")
    assert model.preprocesses == (MINI, MINI)
    assert task.crop_scales(2) == (2.7, 4.0)
    assert LivenessDetection("data", boxes="b.csv", crop_scale=3).crop_scales(2) == (3.0, 3.0)
    assert LivenessDetection("data").crop_scales(2) == ()
    hash(model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": ("a.onnx", "b.onnx", "c.onnx")}, r"crop_scale: there are 2 for 3 files"),
        ({"path": ("x/a.onnx", "y/a.onnx")}, "does not give files with different names"),
        ({"path": ()}, "does not give files with different names"),
        ({"preprocess": (MINI,) * 3}, r"preprocess: there are 3 for 2 files"),
        ({"preprocess": (MINI, "BGR")}, "is not a Preprocess"),
        ({"task": FaceVerification("faces")}, "2 files, but FaceVerification judges a single one"),
        (
            {"task": LivenessDetection("data", output=("a", "b", "c"))},
            r"output: there are 3 for 2 files",
        ),
    ],
)
def test_files_that_do_not_fit(options: dict[str, object], message: str) -> None:
    task = LivenessDetection("data", boxes="b.csv", crop_scale=(2.7, 4.0))
    given = {"path": ("a.onnx", "b.onnx"), "preprocess": MINI, "task": task}
    with pytest.raises(SpecError, match=message):
        KycModel(**(given | options))  # type: ignore[arg-type]
