"""All real models in sequence on real photographs, within eight seconds."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

GATES = Path(__file__).parent
PARTS = {"calibration": slice(0, 100), "evaluation": slice(100, 500)}
PIPELINE = """
from detector import gate as detection
from face import gate as embedding
from liveness import gate as presentations
from pytest_kycquant import PipelineGates

class TestPipeline(PipelineGates):
    images = "photos"
    detector = detection.Stage
    face = "face"
    liveness = presentations.Stage
    embedder = embedding.Stage
"""
# What ships must not depend on which variant is faster here, since the pipeline is timed.
STAGE = """

import dataclasses

class Stage({base}):
    limits = dataclasses.replace({base}.limits, latency_ratio=10.0)
    precisions = ("fp16", "int8")
    fallback = None
"""


@pytest.fixture(scope="module")
def record(
    real: Path,
    people: Path,
    tmp_path_factory: pytest.TempPathFactory,
    run_gate: Callable[[Path], Any],
) -> dict[str, Any]:
    """The pipeline's part of the report."""
    root = tmp_path_factory.mktemp("pipeline")
    (root / "pytest.ini").write_text("[pytest]\n")
    (root / "test_gate.py").write_text(PIPELINE)
    for folder, gate, base, models in (
        ("detector", "gate_yolov8_face.py", "TestRecipes", ["yolov8-lite-t"]),
        ("face", "gate_mobilefacenet.py", "TestRecipes", ["mobilefacenet_fp32"]),
        ("liveness", "gate_minifasnet.py", "TestPair", ["MiniFASNetV2", "MiniFASNetV1SE"]),
    ):
        (root / folder).mkdir()
        (root / folder / "__init__.py").touch()
        text = (GATES / gate).read_text() + STAGE.format(base=base)
        (root / folder / "gate.py").write_text(text)
        for model in models:
            target = real / "models" / f"{model}.onnx"
            (root / folder / target.name).symlink_to(target)
    (root / "face" / "evaluation").symlink_to(real / "faces" / "evaluation")
    for role in ("calibration", "selection"):
        (root / "face" / role).symlink_to(people / role)
    with (real / "scenes" / "face_boxes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    write_scenes(root, real, rows)
    found = run_gate(root)
    assert len(found.report["pipelines"]) == 1, found.printed
    print(found.printed[found.printed.rfind("= kycquant =") :])
    return dict(found.report["pipelines"][0])


def write_scenes(root: Path, real: Path, rows: list[dict[str, str]]) -> None:
    """Link photographs for detector, liveness and pipeline, and write their boxes."""
    for part, chosen in PARTS.items():
        with (root / "detector" / f"{part}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "class", "x1", "y1", "x2", "y2"])
            for row in rows[chosen]:
                name = Path(row["image"]).name
                writer.writerow([name, "face", *(row[key] for key in ("x1", "y1", "x2", "y2"))])
        for folder in ("detector", "liveness"):
            (root / folder / part).mkdir()
            for row in rows[chosen]:
                link(root / folder / part, real, row)
    with (root / "liveness" / "boxes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "x1", "y1", "x2", "y2"])
        for part, chosen in PARTS.items():
            for row in rows[chosen]:
                name = f"{part}/{Path(row['image']).name}"
                writer.writerow([name, *(row[key] for key in ("x1", "y1", "x2", "y2"))])
    (root / "photos").mkdir()
    for row in rows[100:260]:
        link(root / "photos", real, row)


def link(folder: Path, real: Path, row: dict[str, str]) -> None:
    name = Path(row["image"]).name
    (folder / name).symlink_to(real / "scenes" / "images" / name)


def test_every_face_goes_through_every_stage(record: dict[str, Any]) -> None:
    (through, finite) = record["gates"]["complete"]["checks"]
    assert through["verdict"] == finite["verdict"] == "PASS"
    assert through["detail"] == "160 of 160"
    assert record["notes"] == []


def test_nothing_is_decided_otherwise(record: dict[str, Any]) -> None:
    """Sixty photographs could not show that fewer than one in fifty are."""
    assert {c["verdict"] for c in record["gates"]["agreement"]["checks"]} == {"PASS"}


def test_within_eight_seconds(record: dict[str, Any]) -> None:
    """Of 59 runs, the slowest counts."""
    assert record["gates"]["latency"]["verdict"] == "PASS"
    for name in ("fp32", "shipped"):
        timing = record[name]["timing"]
        assert timing["runs"] == 59
        assert 0 < timing["bound"] == timing["slowest"] < 8000


def test_peak_memory_is_no_more_than_with_fp32(record: dict[str, Any]) -> None:
    assert record["gates"]["memory"]["verdict"] == "PASS"
    assert record["fp32"]["peak_mb"] > record["fp32"]["imports_mb"] + 5


def test_quantized_variants_ship_and_answer_as_fp32_does(record: dict[str, Any]) -> None:
    variants = record["shipped"]["variants"]
    assert list(variants) == ["detector", "liveness", "embedder"]
    assert all(variant != "fp32" for variant in variants.values()), variants
    assert record["shipped"]["size"] < 0.75 * record["fp32"]["size"]
    # Each photograph shows one person, so both pipelines look at the same face.
    assert record["figures"]["cosine_min"] > 0.85
    assert record["figures"]["score_drift_max"] < 0.3
