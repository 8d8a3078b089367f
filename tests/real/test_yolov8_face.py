"""A real face detector on real photographs: the published figures, and INT8 next to FP32."""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_kycquant import DetectionLimits
from pytest_kycquant.errors import ModelError
from pytest_kycquant.runtimes import library
from pytest_kycquant.tasks.detection.decode import Decoder, check_scores
from pytest_kycquant.tasks.detection.likeness import agreement
from pytest_kycquant.tasks.detection.task import DetectionTask
from pytest_kycquant.tasks.outputs import run_model

GATE = Path(__file__).with_name("gate_yolov8_face.py")
PARTS = {"calibration": slice(0, 100), "evaluation": slice(100, 500), "all": slice(0, 500)}


@pytest.fixture(scope="module")
def project(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rootdir with the gate file and the photographs in disjoint parts."""
    root = tmp_path_factory.mktemp("detector")
    shutil.copy(GATE, root / "test_gate.py")
    (root / "pytest.ini").write_text("[pytest]\n")
    (root / "yolov8-lite-t.onnx").symlink_to(real / "models" / "yolov8-lite-t.onnx")
    with (real / "scenes" / "face_boxes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for part, chosen in PARTS.items():
        (root / part).mkdir()
        with (root / f"{part}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "class", "x1", "y1", "x2", "y2"])
            for row in rows[chosen]:
                name = Path(row["image"]).name
                (root / part / name).symlink_to(real / "scenes" / "images" / name)
                writer.writerow([name, "face", *(row[key] for key in ("x1", "y1", "x2", "y2"))])
    return root


@pytest.fixture(scope="module")
def task(project: Path) -> DetectionTask:
    """The task of the gate, on all photographs."""
    sys.path.insert(0, str(GATE.parent))
    try:
        from gate_yolov8_face import MODEL
    finally:
        sys.path.remove(str(GATE.parent))
    parts = {"evaluation": "all", "evaluation.csv": "all.csv"}

    def resolve(path: object, attribute: str) -> Path:
        return project / parts.get(str(path), str(path))

    model = MODEL.__class__(MODEL.path, MODEL.preprocess, MODEL.task)
    return DetectionTask(model, DetectionLimits(), resolve)


def test_every_face_is_found(task: DetectionTask, project: Path) -> None:
    part = task.load().evaluation
    model = library().open(project / "yolov8-lite-t.onnx")
    names = task.choose_outputs(model.outputs, project)
    fp32 = run_model(
        model, task.tensors(part.images), task.edge_inputs(), names, task.read, threads=2
    )
    detector = task.baseline(part, fp32, 0.25).fp32
    rate = detector.matching.miss_rate(0.25, 0)
    assert (rate.errors, rate.trials) == (0, 500)
    best = agreement(
        detector.matching.predictions.above(0.25),
        # The labels in place of a variant's detections.
        type(detector.predictions)(
            detector.truth.boxes,
            np.ones(500),
            detector.truth.classes,
            detector.truth.image_index,
        ),
        detector.truth,
    )
    assert best.overlap.mean() == pytest.approx(0.929, abs=0.002)
    assert detector.matching.average_precisions[0] > 0.99


def test_logits_and_keypoints_must_be_declared(task: DetectionTask, project: Path) -> None:
    model = library().open(project / "yolov8-lite-t.onnx")
    part = task.load().evaluation
    outputs = model.run({"images": next(task.tensors(part.images))[1]})
    found = Decoder(1, 5, "probabilities", 0.7, (640, 640))(outputs)
    with pytest.raises(ModelError, match='scores="logits"'):
        check_scores(found.scores, "probabilities", "yolov8-lite-t.onnx")
    with pytest.raises(
        ModelError, match=r"shapes \(1, 80, 80, 80\), \(1, 80, 40, 40\), .* match no"
    ):
        Decoder(1, 0, "logits", 0.7, (640, 640))(outputs)


@pytest.fixture(scope="module")
def report(project: Path, run_gate: Callable[[Path], Any]) -> dict[str, Any]:
    """The variants of the gate's JSON report, by name."""
    found = run_gate(project)
    assert len(found.report["gates"]) == 1, found.printed
    return {variant["variant"]: variant for variant in found.report["gates"][0]["variants"]}


def verdict(report: dict[str, Any], variant: str, gate: str) -> str:
    return str(report[variant]["gates"][gate]["verdict"])


def test_fp16_ships(report: dict[str, Any]) -> None:
    for gate in ("finite", "recall", "map", "degradation", "size"):
        assert verdict(report, "fp16", gate) == "PASS", report["fp16"]["gates"][gate]
    assert report["fp16"]["figures"]["agreement_recall"] >= 0.995


@pytest.mark.parametrize("variant", ["int8", "int8-stock"])
def test_no_recipe_loses_faces(report: dict[str, Any], variant: str) -> None:
    for gate in ("finite", "recall", "map", "size"):
        assert verdict(report, variant, gate) == "PASS"


def test_the_default_agrees_with_fp32_better_than_the_stock_recipe(report: dict[str, Any]) -> None:
    """Recall and mAP do not differ, but additional detections and positions do."""
    good, stock = report["int8"]["figures"], report["int8-stock"]["figures"]
    for figure in ("agreement_recall", "agreement_precision", "overlap_p5"):
        assert good[figure] > stock[figure]
    assert good["confidence_drift"] < stock["confidence_drift"]
    assert verdict(report, "int8-stock", "degradation") != "PASS"
