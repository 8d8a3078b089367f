"""Real weights on real photographs without labels: which variants provably decide as FP32 does?

Images and recipes are those of the tests with labels, so their cached artefacts are reused.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

GATE = """
from pytest_kycquant import (
    AgreementGates, FaceVerification, KycModel, LivenessDetection, ObjectDetection, Preprocess,
    Recipe
)

class TestAgreement(AgreementGates):
    model = KycModel("model.onnx", preprocess=Preprocess({preprocess}), calibration="calibration",
                     task={task})
    precisions = (
        "fp16", "int8",
        Recipe("int8", name="stock", per_channel=False, reduce_range=False,
               calibration_method="minmax", bias_correction=False),
    )
    fallback = None
    limits = model.task.limits(latency_ratio=10.0)  # decided at the first look
"""


@pytest.fixture(scope="module")
def judge(
    real: Path, tmp_path_factory: pytest.TempPathFactory, run_gate: Callable[[Path], Any]
) -> Callable[..., dict[str, Any]]:
    """Run a gate on images given by role, and return the variants of its report by name."""

    def run(
        model: str, preprocess: str, task: str, boxes: str = "", **roles: Path | list[Path]
    ) -> dict[str, Any]:
        root = tmp_path_factory.mktemp("agreement")
        (root / "pytest.ini").write_text("[pytest]\n")
        (root / "model.onnx").symlink_to(real / "models" / model)
        for role, images in roles.items():
            if isinstance(images, Path):
                (root / role).symlink_to(images)
                continue
            (root / role).mkdir()
            for image in images:
                (root / role / image.name).symlink_to(image)
        (root / "boxes.csv").write_text(boxes)
        (root / "test_gate.py").write_text(GATE.format(preprocess=preprocess, task=task))
        found = run_gate(root)
        assert len(found.report["gates"]) == 1, found.printed
        for line in found.printed.splitlines():
            if line.startswith(("variant", "----", "fp32", "fp16", "int8", "stock")):
                print(line)
        return {row["variant"]: row for row in found.report["gates"][0]["variants"]}

    return run


def checks(row: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The checks of the gate, by name."""
    return {check["name"]: check for check in row["gates"]["agreement"]["checks"]}


def verdict(row: dict[str, Any]) -> str:
    return str(row["gates"]["agreement"]["verdict"])


FLIPS, STORED = "decisions other than FP32's", "decisions other than FP32's, FP32 gallery"


@pytest.fixture(scope="module")
def faces(real: Path, people: Path, judge: Callable[..., Any]) -> dict[str, Any]:
    """MobileFaceNet on 1,096 photographs of unknown people."""
    return judge(  # type: ignore[no-any-return]
        "mobilefacenet_fp32.onnx",
        'size=(112, 112), mean=127.5, scale=1 / 128, channels="BGR"',
        'FaceVerification("images", labelled=False, threshold=0.345)',
        calibration=people / "calibration",
        images=real / "faces" / "evaluation",
    )


def test_fp16_of_a_face_model_agrees_and_nearly_all_of_it_is_certain(faces: dict[str, Any]) -> None:
    assert verdict(faces["fp16"]) == "PASS"
    assert faces["fp16"]["figures"]["certified"] > 0.999


def test_the_stock_recipe_decides_otherwise(faces: dict[str, Any]) -> None:
    """Its FAR is .15 % (FP32: .07 %), and agreement detects that without labels."""
    found = checks(faces["stock"])
    assert verdict(faces["stock"]) == "FAIL"
    assert found[FLIPS]["verdict"] == found["mean cosine to FP32"]["verdict"] == "FAIL"
    figures = faces["stock"]["figures"]
    assert figures["newly_accepted"] > 3 * figures["newly_rejected"]


def test_the_default_keeps_decisions(faces: dict[str, Any]) -> None:
    """It stays within the budget of flips and, if 7 bits are not needed, within that of drift."""
    found = checks(faces["int8"])
    assert found[FLIPS]["verdict"] == found[STORED]["verdict"] == "PASS"
    assert found["mean cosine to FP32"]["value"] > 0.985


def test_certified_shares_tell_the_recipes_apart(faces: dict[str, Any]) -> None:
    shares = [faces[name]["figures"]["certified"] for name in ("fp16", "int8", "stock")]
    assert shares == sorted(shares, reverse=True)
    assert shares[1] > 0.5
    assert shares[2] < 0.05


@pytest.fixture(scope="module")
def captures(real: Path, judge: Callable[..., Any]) -> dict[str, Any]:
    """MiniFASNet on crops of 380 press photographs, too many of which it rejects as attacks."""
    photographs = sorted((real / "scenes" / "images").iterdir())
    lines = (real / "scenes" / "face_boxes.csv").read_text().splitlines()[1:]
    boxes = {Path(line.split(",")[0]).name: line.split(",", 1)[1] for line in lines}
    roles = {"calibration": photographs[:120], "images": photographs[120:]}
    rows = [
        f"{role}/{image.name},{boxes[image.name]}"
        for role, images in roles.items()
        for image in images
    ]
    return judge(  # type: ignore[no-any-return]
        "MiniFASNetV2.onnx",
        'size=(80, 80), channels="BGR"',
        'LivenessDetection("images", labelled=False, threshold=0.5, boxes="boxes.csv", '
        "crop_scale=2.7)",
        "\n".join(["file,x1,y1,x2,y2", *rows]),
        **roles,
    )


def test_fp16_of_a_liveness_model_agrees(captures: dict[str, Any]) -> None:
    assert verdict(captures["fp16"]) == "PASS"
    figures = captures["fp16"]["figures"]
    assert figures["flipped"] == 0
    assert 0 < figures["accepted_fp32"] < 380  # FP32 classifies many of them as attacks


def test_int8_of_a_liveness_model_does_not(captures: dict[str, Any]) -> None:
    """The stock recipe changes two in five decisions; the default is better, not good enough."""
    assert verdict(captures["stock"]) == "FAIL"
    assert checks(captures["stock"])[FLIPS]["value"] > 0.2
    assert captures["int8"]["figures"]["flipped"] < captures["stock"]["figures"]["flipped"] / 3
    assert verdict(captures["int8"]) != "PASS"


@pytest.fixture(scope="module")
def scenes(real: Path, judge: Callable[..., Any]) -> dict[str, Any]:
    """A face detector on 400 photographs."""
    photographs = sorted((real / "scenes" / "images").iterdir())
    return judge(  # type: ignore[no-any-return]
        "yolov8-lite-t.onnx",
        'size=(640, 640), scale=1 / 255, resize="letterbox"',
        'ObjectDetection("images", classes=("face",), labelled=False, confidence=0.25, '
        'scores="logits", keypoints=5)',
        calibration=photographs[:100],
        images=photographs[100:],
    )


def test_fp16_of_a_detector_agrees(scenes: dict[str, Any]) -> None:
    assert verdict(scenes["fp16"]) == "PASS"
    assert scenes["fp16"]["figures"]["confidence_drift"] < 0.001


def test_int8_of_a_detector_agrees_less(scenes: dict[str, Any]) -> None:
    good, stock = scenes["int8"]["figures"], scenes["stock"]["figures"]
    assert good["confidence_drift"] < stock["confidence_drift"]
    assert good["overlap_p5"] > stock["overlap_p5"]
    assert verdict(scenes["stock"]) != "PASS"
