"""Tasks without labels say so, have a threshold, and contain nothing that needs labels."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_kycquant import (
    AgreementGates,
    DetectionGates,
    FaceGates,
    FaceLimits,
    FaceVerification,
    KycModel,
    LivenessDetection,
    LivenessGates,
    ObjectDetection,
    Preprocess,
    presets,
)
from pytest_kycquant.errors import SpecError
from pytest_kycquant.spec.gates import GateSpec
from pytest_kycquant.spec.task import TaskSpec
from pytest_kycquant.tasks.registry import task_of
from pytest_kycquant.tasks.unlabelled import unsound


def faces(**options: Any) -> FaceVerification:
    return FaceVerification("d", **{"labelled": False, "threshold": 0.35, **options})


def captures(**options: Any) -> LivenessDetection:
    return LivenessDetection("d", **{"labelled": False, "threshold": 0.5, **options})


def scenes(**options: Any) -> ObjectDetection:
    given = {"classes": ("face",), "labelled": False, "confidence": 0.25, **options}
    return ObjectDetection("d", **given)


EVERY = pytest.mark.parametrize(
    ("make", "gates"),
    [(faces, FaceGates), (captures, LivenessGates), (scenes, DetectionGates)],
)


@EVERY
def test_gates_and_task(make: Callable[..., TaskSpec], gates: type) -> None:
    task = make()
    assert task.gates() == ("finite", "agreement", "latency", "size")
    assert hash(task) == hash(make())
    assert task == pickle.loads(pickle.dumps(task))
    model = KycModel("m.onnx", Preprocess((8, 8)), task)
    judge = task_of(model, task.limits(), lambda path, attribute: Path(str(path)))
    assert type(judge).__name__.startswith("Unlabelled")
    assert judge.name == type(task).__name__  # the name that messages tell the reader to change
    assert make(selection=0.3) != task


@EVERY
def test_gates_of_the_other_kind_refuse(make: Callable[..., TaskSpec], gates: type) -> None:
    task = make()
    model = KycModel("m.onnx", Preprocess((8, 8)), task)
    name = type(task).__name__
    wrong = type("TestIt", (gates,), {"model": model})
    with pytest.raises(
        SpecError, match=rf"TestIt: judges errors, but {name}\(labelled=False\) has"
    ):
        wrong.values()  # type: ignore[attr-defined]
    right = type("TestIt", (AgreementGates,), {"model": model})
    spec = GateSpec.of(right.values(), "here")  # type: ignore[attr-defined]
    assert isinstance(spec.limits, task.limits)
    assert not hasattr(right, "test_degradation")


@pytest.mark.parametrize(
    "task",
    [
        FaceVerification("d", threshold=0.35),
        LivenessDetection("d", threshold=0.5),
        ObjectDetection("d", "labels.csv", ("face",), confidence=0.25),
    ],
)
def test_agreement_gates_refuse_labels(task: TaskSpec) -> None:
    gate = type("TestIt", (AgreementGates,), {"model": KycModel("m", Preprocess((8, 8)), task)})
    with pytest.raises(SpecError, match=r"TestIt: judges agreement without labels, but the images"):
        gate.values()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: faces(threshold=None),
            "FaceVerification.threshold: is missing, and cannot be chosen without",
        ),
        (
            lambda: captures(threshold=None),
            "LivenessDetection.threshold: is missing, and cannot be chosen without",
        ),
        (
            lambda: scenes(confidence=None),
            "ObjectDetection.confidence: is missing, and cannot be chosen without",
        ),
        (lambda: faces(pairs="p.txt"), "FaceVerification.pairs: needs labels, but labelled=False"),
        (lambda: faces(max_impostor_pairs=9), "max_impostor_pairs: needs labels"),
        (lambda: faces(selection_far=0.001), "selection_far: needs labels"),
        (lambda: captures(selection_apcer=0.01), "selection_apcer: needs labels"),
        (lambda: scenes(labels="l.csv"), "ObjectDetection.labels: needs labels"),
        (
            lambda: scenes(selection="s", selection_labels="l.csv"),
            "selection_labels: needs labels",
        ),
        (lambda: scenes(selection_miss_rate=0.01), "selection_miss_rate: needs labels"),
        (lambda: faces(labelled=0), "FaceVerification.labelled: 0 is not a boolean"),
        (lambda: faces(labelled="no"), "labelled: 'no' is not a boolean"),
        (lambda: scenes(classes=()), r"classes: \(\) are not distinct names"),
        (
            lambda: ObjectDetection("d", classes=("face",)),
            "ObjectDetection.labels: are missing; .* labelled=False and subclass AgreementGates",
        ),
        (lambda: ObjectDetection("d", "labels.csv"), "classes: .* are not distinct names"),
        (lambda: FaceLimits(flips=5), "FaceLimits.flips: 5 is not a rate"),
        (lambda: FaceLimits(flips=None), "FaceLimits.flips: cannot be switched off"),
        (lambda: FaceLimits(certified=95), "FaceLimits.certified: 95 is not a share"),
    ],
)
def test_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()


def test_presets_take_it() -> None:
    for model in (
        presets.arcface("m.onnx", "d", labelled=False, threshold=0.35),
        presets.minifasnet("2.7_80x80_MiniFASNetV2.onnx", "d", labelled=False, threshold=0.5),
        presets.yolov8("m.onnx", "d", classes=("face",), labelled=False, confidence=0.25),
    ):
        assert model.task.gates() == ("finite", "agreement", "latency", "size")
    with pytest.raises(SpecError, match=r"ObjectDetection\.labels: are missing"):
        presets.yolov8("m.onnx", "d", classes=("face",))


def test_labels_stay_the_second_argument_of_detection() -> None:
    task = ObjectDetection("d", "labels.csv", ("face",))
    assert (task.labels, task.classes, task.selection) == ("labels.csv", ("face",), None)


def test_a_path_of_other_images_needs_no_labels() -> None:
    assert scenes(selection="other").selection == "other"
    assert scenes().selection is None


def test_an_unsound_baseline_names_every_file() -> None:
    model = KycModel(("a.onnx", "b.onnx"), Preprocess((8, 8)), captures())
    assert str(unsound(model, "scores all alike", "give others")).startswith("a.onnx, b.onnx: FP32")
