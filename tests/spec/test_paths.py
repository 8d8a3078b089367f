"""What is not a path, and what is not a name, is refused where it is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_kycquant import (
    CustomTask,
    FaceVerification,
    KycModel,
    LivenessDetection,
    ObjectDetection,
    Preprocess,
    Recipe,
)
from pytest_kycquant.errors import SpecError

BAD = [5, 1.5, True, b"faces", "", "  ", "a\0b", "x" * 5000, {"a": 1}, object(), Path]


def metric(outputs: Any, labels: Any) -> Any:
    return outputs


def model(**changes: Any) -> KycModel:
    given = {"path": "a.onnx", "preprocess": Preprocess((16, 16)), "task": FaceVerification("f")}
    return KycModel(**{**given, **changes})


MAKERS: list[tuple[str, Callable[[Any], Any]]] = [
    ("KycModel.path", lambda bad: model(path=bad)),
    ("KycModel.path", lambda bad: model(path=("a.onnx", bad))),
    ("KycModel.calibration", lambda bad: model(calibration=bad)),
    ("FaceVerification.data", lambda bad: FaceVerification(bad)),
    ("FaceVerification.pairs", lambda bad: FaceVerification("f", pairs=bad)),
    ("FaceVerification.groups", lambda bad: FaceVerification("f", groups=bad)),
    ("LivenessDetection.data", lambda bad: LivenessDetection(bad)),
    ("LivenessDetection.groups", lambda bad: LivenessDetection("f", groups=bad)),
    ("ObjectDetection.data", lambda bad: ObjectDetection(bad, "boxes")),
    ("ObjectDetection.labels", lambda bad: ObjectDetection("f", bad)),
    ("CustomTask.labels", lambda bad: CustomTask("f", bad, metric=metric)),
]


@pytest.mark.parametrize(("where", "make"), MAKERS)
@pytest.mark.parametrize("bad", BAD, ids=lambda bad: repr(bad)[:20])
def test_what_is_not_a_path(where: str, make: Callable[[Any], Any], bad: Any) -> None:
    with pytest.raises(SpecError) as caught:
        make(bad)
    message = str(caught.value)
    assert message.startswith(f"{where}: "), message
    assert len(message) < 600


@pytest.mark.parametrize("bad", [0, 1, -0.5, True, b"f", "", "a\0", ["a"], object()])
def test_what_is_not_a_selection(bad: Any) -> None:
    with pytest.raises(SpecError, match=r"^FaceVerification\.selection: "):
        FaceVerification("f", selection=bad)


@pytest.mark.parametrize(
    "bad", [5, None, b"f", ".", "..", "a/b", "a\\b", "a\0", "a\tb", "\udcff", "é" * 51]
)
def test_what_is_not_a_name_of_a_model(bad: Any) -> None:
    with pytest.raises(SpecError, match=r"^KycModel\.name: .* is not a file name"):
        model(name=bad)


@pytest.mark.parametrize("stem", ["face", "face v2 (1)", "Gesicht-ü", "a+b", "a.b.c", "x" * 100])
def test_what_is_one(stem: str) -> None:
    assert model(path=f"models/{stem}.onnx").name == stem


@pytest.mark.parametrize("bad", [5, " a", "a\n", "\x1b[2J", "x" * 201])
def test_what_is_not_a_name_of_a_recipe(bad: Any) -> None:
    with pytest.raises(SpecError, match=r"^Recipe\.name: .* is not a name"):
        Recipe("int8", name=bad)
