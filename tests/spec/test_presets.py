"""Presets fill in what common models need, and every value can be overridden."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_kycquant import (
    FaceVerification,
    KycModel,
    LivenessDetection,
    ObjectDetection,
    Preprocess,
    presets,
)
from pytest_kycquant.errors import SpecError


def test_arcface() -> None:
    model = presets.arcface("a.onnx", "faces", calibration="calibration", threshold=0.35)
    preprocess = Preprocess(size=(112, 112), mean=127.5, scale=1 / 127.5, channels="RGB")
    task = FaceVerification("faces", threshold=0.35)
    assert model == KycModel("a.onnx", preprocess, task, "calibration")


def test_minifasnet() -> None:
    model = presets.minifasnet("a.onnx", "captures", live_class=2, name="liveness")
    task = LivenessDetection("captures", live_class=2)
    preprocess = Preprocess(size=(80, 80), channels="BGR", resize="opencv-bilinear")
    assert model == KycModel("a.onnx", preprocess, task, None, "liveness")
    assert presets.minifasnet("a.onnx", "captures").task.live_class == 1  # type: ignore[attr-defined]


def test_minifasnet_knows_the_crops_of_the_original_networks() -> None:
    names = ["2.7_80x80_MiniFASNetV2.onnx", Path("models/MiniFASNetV1SE.onnx")]
    model = presets.minifasnet(names, "photographs", boxes="boxes.csv")
    assert model.paths == tuple(names)
    assert isinstance(model.task, LivenessDetection)
    assert model.task.crop_scale == (2.7, 4.0)
    one = presets.minifasnet(names[1], "photographs", boxes="boxes.csv")
    assert isinstance(one.task, LivenessDetection)
    assert one.task.crop_scale == 4.0
    with pytest.raises(
        SpecError,
        match=r"from the name mine.onnx which crop the model was trained on; .* crop_scale=2.7",
    ):
        presets.minifasnet("mine.onnx", "photographs", boxes="boxes.csv")


def test_yolov8() -> None:
    model = presets.yolov8("a.onnx", "images", "labels.json", ["face"], confidence=0.25)
    preprocess = Preprocess(
        size=(640, 640), scale=1 / 255, resize="opencv-bilinear", fit="letterbox"
    )
    task = ObjectDetection("images", "labels.json", ("face",), confidence=0.25)
    assert model == KycModel("a.onnx", preprocess, task)


@pytest.mark.parametrize(
    "made",
    [
        presets.arcface("a.onnx", "d", constants={"phase_train": False}),
        presets.minifasnet("a.onnx", "d", constants={"phase_train": False}),
        presets.yolov8("a.onnx", "d", "l", ["face"], constants={"phase_train": False}),
    ],
)
def test_inputs_that_never_change_can_be_given(made: KycModel) -> None:
    assert made.constants == {"phase_train": False}


def test_preprocessing_can_be_given() -> None:
    bgr = replace(presets.ARCFACE, channels="BGR")
    assert presets.arcface("a.onnx", "faces", preprocess=bgr).preprocess == bgr


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: presets.arcface("a.onnx", "faces", treshold=1),
            "presets.arcface: has no argument 'treshold'; did you mean 'threshold'",
        ),
        (
            lambda: presets.minifasnet("a.onnx", "faces", pairs="p.txt"),
            "its arguments are path, data",
        ),
        (
            lambda: presets.yolov8("a.onnx", "i", "l", ("a",), size=(3, 3)),
            "presets.yolov8(size=...): belongs to the preprocessing",
        ),
        (lambda: presets.arcface("a.onnx", "faces", threshold=3), "3.0 is not a cosine"),
    ],
)
def test_arguments_that_cannot_be(make: Callable[[], object], message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        make()
