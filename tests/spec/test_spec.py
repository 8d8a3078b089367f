"""Descriptions that can never work are refused on construction."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_kycquant import (
    DetectionLimits,
    FaceLimits,
    FaceVerification,
    KycModel,
    ObjectDetection,
    Preprocess,
    Recipe,
    Verdict,
)
from pytest_kycquant.errors import SpecError
from pytest_kycquant.spec.recipe import as_recipe
from pytest_kycquant.spec.task import TaskSpec
from pytest_kycquant.tasks.registry import task_of
from pytest_kycquant.verdicts import Direction


def detection(**options: Any) -> ObjectDetection:
    return ObjectDetection("scenes", "labels", **{"classes": ("face",), **options})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Preprocess((0, 8)), r"Preprocess.size: .* \(height, width\)"),
        (lambda: Preprocess((8, 8), scale=0), "Preprocess.scale: 0 makes every image the same"),
        (lambda: Preprocess((8, 8), mean=float("nan")), "Preprocess.mean: nan"),
        (lambda: Preprocess((8, 8), mean=(1.0, 2.0)), "Preprocess.mean: .* does not fit RGB"),
        (lambda: Preprocess((8, 8), channels="RBG"), "Preprocess.channels: 'RBG' is unknown"),
        (lambda: FaceVerification("d", selection=1.5), "FaceVerification.selection: 1.5"),
        (
            lambda: FaceVerification("d", threshold=3),
            "FaceVerification.threshold: 3.0 is not a cosine",
        ),
        (lambda: FaceVerification("d", selection_far=2), "selection_far: 2.0 is not a rate"),
        (lambda: FaceVerification("d", max_impostor_pairs=0), "needs pairs=None and a positive"),
        (lambda: FaceVerification("d", pairs="p", max_impostor_pairs=9), "leave out one of"),
        (
            lambda: FaceLimits(far=0.1 * 100),
            "FaceLimits.far: 10.0 is not a rate; .* 0.1 % is 0.001",
        ),
        (lambda: FaceLimits(mean_cosine=1.0), "mean_cosine: 1.0 can never be met"),
        (lambda: FaceLimits(size_ratio=-1), "size_ratio: -1 can never be met"),
        (lambda: Recipe("int9"), "Recipe.precision: 'int9' is unknown"),
        (
            lambda: Recipe("fp16", per_channel=True),
            r"Recipe\('fp16'\): has no option 'per_channel'",
        ),
        (lambda: Recipe("mixed"), r"Recipe\('mixed'\): keep_fp32 is empty"),
        (
            lambda: Recipe("int8", percentile=99.9),
            "percentile: is used by only one calibration method",
        ),
        (
            lambda: Recipe("int8", calibration_method="percentile", percentile=10),
            r"10.0 is not in \(50, 100\]",
        ),
        (lambda: as_recipe("mixed"), "does not say which operators stay in FP32"),
        (
            lambda: KycModel("m", Preprocess((8, 8)), task="faces"),
            "KycModel.task: 'faces' is not a",
        ),
        (lambda: detection(classes=()), r"classes: \(\) are not distinct names"),
        (lambda: detection(classes=("a", "a")), "classes: .* are not distinct names"),
        (lambda: detection(classes=("a", "")), "classes: '' is not a name"),
        (lambda: detection(judged=("card",)), "judged: card are not classes of the model"),
        (lambda: detection(judged=()), "judged: .* are not distinct names"),
        (lambda: detection(confidence=0), "confidence: 0.0 is out of range"),
        (lambda: detection(confidence=25), "confidence: 25.0 is out of range"),
        (lambda: detection(nms_iou=1.0), "nms_iou: 1.0 is out of range"),
        (lambda: detection(selection_miss_rate=2), "selection_miss_rate: 2.0 is out of range"),
        (lambda: detection(scores="softmax"), "scores: 'softmax' is unknown"),
        (lambda: detection(keypoints=-1), "keypoints: -1 is negative"),
        (lambda: detection(selection=1.5), "selection: 1.5 is not a share"),
        (lambda: detection(selection="other"), "selection_labels: must be given if, and only if"),
        (
            lambda: detection(selection=0.5, selection_labels="l"),
            "selection_labels: must be given if",
        ),
        (lambda: detection(outputs=()), "outputs: .* are not distinct names"),
        (lambda: DetectionLimits(recall=95), "recall: 95 is not a share; .* 95 % is 0.95"),
        (lambda: DetectionLimits(map50_degradation=1), "map50_degradation: 1 is not a rate"),
    ],
)
def test_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Preprocess(16), "Preprocess.size: 16 is not a sequence"),
        (lambda: Preprocess((8.5, 8)), "Preprocess.size: 8.5 is not a whole number"),
        (lambda: Preprocess((8, 8), mean="127"), "Preprocess.mean: '127' is not a number"),
        (lambda: FaceVerification("d", threshold="0.5"), "threshold: '0.5' is not a number"),
        (lambda: detection(classes=(1,)), "classes: 1 is not a name"),
        (lambda: detection(confidence="0.5"), "confidence: '0.5' is not a number"),
        (lambda: detection(keypoints=5.5), "keypoints: 5.5 is not a whole number"),
        (lambda: FaceLimits(far="low"), "FaceLimits.far: 'low' is not a number"),
        (lambda: FaceLimits(far=None), "FaceLimits.far: cannot be switched off"),
        (lambda: Recipe("int8", op_types=5), "Recipe.op_types: 5 is not a sequence"),
        (lambda: Recipe("int8", keep_fp32=[5]), "Recipe.keep_fp32: 5 is not a name"),
    ],
)
def test_wrong_types_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()


def test_lists_and_numpy_numbers_become_plain() -> None:
    spec = Preprocess([16, 16], mean=[127.5] * 3, scale=np.float32(0.5))
    assert (spec.size, spec.mean) == ((16, 16), (127.5, 127.5, 127.5))
    assert type(spec.scale) is float
    task = FaceVerification("d", selection=np.float32(0.5), threshold=np.float32(0.25))
    assert (type(task.selection), type(task.threshold)) == (float, float)
    recipe = Recipe("int8", op_types=["Conv"], keep_fp32="first")
    assert (recipe.op_types, recipe.keep_fp32) == (("Conv",), ("first",))
    assert hash(KycModel("m", spec, task))
    assert hash(recipe)


def test_threshold_zero_is_a_threshold() -> None:
    task = FaceVerification("d", threshold=0.0)
    assert task.threshold == 0.0
    assert task.selection is None


def test_everybody_chooses_the_threshold_and_is_judged_by_default() -> None:
    assert FaceVerification("d").selection is None


def test_a_confidence_needs_no_selection() -> None:
    assert detection(classes="face").classes == ("face",)
    assert detection().selection is None
    assert detection(confidence=0.25).selection is None
    task = detection(classes=["a", "b"], confidence=np.float32(0.25), selection=0.3)
    assert (task.classes, type(task.confidence), task.selection) == (("a", "b"), float, 0.3)
    assert hash(task)


@pytest.mark.parametrize("limits", [FaceLimits, DetectionLimits])
def test_every_limit_has_a_direction(limits: type) -> None:
    for declared in fields(limits):
        assert declared.metadata["direction"] in (Direction.BELOW, Direction.AT_LEAST)


def test_worst_verdict_of_nothing_is_no_pass() -> None:
    assert Verdict.worst([]) is Verdict.INCONCLUSIVE
    assert Verdict.worst([Verdict.PASS, Verdict.INCONCLUSIVE]) is Verdict.INCONCLUSIVE
    assert Verdict.worst([Verdict.INCONCLUSIVE, Verdict.FAIL]) is Verdict.FAIL


def test_import_is_light() -> None:
    code = (
        "import sys, pytest_kycquant; "
        "print(*[m for m in ('onnx', 'onnxruntime', 'scipy', 'PIL', 'numpy') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "\n", result.stdout + result.stderr


def test_a_task_of_ones_own_is_refused_before_any_work() -> None:
    class Own(TaskSpec):
        limits = FaceLimits

    model = KycModel("m.onnx", Preprocess((8, 8)), Own())
    refusal = r"KycModel\.task: Own is not a supported task; use FaceVer"
    with pytest.raises(SpecError, match=refusal):
        task_of(model, FaceLimits(), lambda path, attribute: Path(str(path)))
