"""Real people on documents and selfies: landmarks of a real detector, alignment, a real embedder.

Each person is on two photographs: one is the document, one the selfie. Only faces that are cropped
already exist of them, so each is put on a plain canvas where the detector has to find it.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

PEOPLE, PHOTOGRAPHS = 200, 160
PARTS = {"calibration": slice(0, 60), "evaluation": slice(60, 160)}
GREY, SIDE = 114, 250  # of the canvas
# Other tests look for a combination that holds, and measure time and memory.
INI = """[pytest]
addopts = -k "not latency and not memory"
kycquant_strict = true
"""


@pytest.fixture(scope="module")
def records(
    real: Path,
    people: Path,
    tmp_path_factory: pytest.TempPathFactory,
    run_gate: Callable[[Path], Any],
) -> dict[str, dict[str, Any]]:
    """The pipelines of the report, by the name of their class."""
    root = tmp_path_factory.mktemp("applicants")
    shutil.copy(Path(__file__).with_name("gate_applicants.py"), root / "test_gate.py")
    (root / "pytest.ini").write_text(INI)
    for model in ("yolov8-lite-t", "mobilefacenet_fp32"):
        (root / f"{model}.onnx").symlink_to(real / "models" / f"{model}.onnx")
    (root / "embedder").mkdir()
    (root / "embedder" / "calibration").symlink_to(people / "calibration")
    (root / "embedder" / "evaluation").symlink_to(people / "selection")
    write_scenes(root, real)
    write_applicants(root, real)
    found = run_gate(root)
    print(found.printed[found.printed.rfind("= kycquant =") :])
    pipelines = {record["gate"].split("::")[-1]: record for record in found.report["pipelines"]}
    assert set(pipelines) == {"TestDefault", "TestPerTensor", "TestPhotographs"}, found.printed
    return pipelines


def write_scenes(root: Path, real: Path) -> None:
    """Link photographs for the detector, with boxes, and others without."""
    with (real / "scenes" / "face_boxes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = {f"detector/{part}": rows[which] for part, which in PARTS.items()}
    chosen["photographs"] = rows[-PHOTOGRAPHS:]
    for folder, images in chosen.items():
        (root / folder).mkdir(parents=True)
        with (root / f"{folder}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "class", "x1", "y1", "x2", "y2"])
            for row in images:
                name = Path(row["image"]).name
                (root / folder / name).symlink_to(real / "scenes" / "images" / name)
                writer.writerow([name, "face", *(row[key] for key in ("x1", "y1", "x2", "y2"))])


def write_applicants(root: Path, real: Path) -> None:
    """Put two faces of each person on a canvas, one as document and one as selfie."""
    lines = []
    for person in sorted((real / "faces" / "evaluation").iterdir())[:PEOPLE]:
        names = []
        for what, source in zip(("documents", "selfies"), sorted(person.iterdir()), strict=False):
            canvas = np.full((SIDE, SIDE, 3), GREY, np.uint8)
            with Image.open(source) as image:
                face = np.asarray(image.convert("RGB"))
            top, left = ((SIDE - side) // 2 for side in face.shape[:2])
            canvas[top : top + face.shape[0], left : left + face.shape[1]] = face
            names.append(f"{what}/{person.name}.png")
            (root / what).mkdir(exist_ok=True)
            Image.fromarray(canvas).save(root / names[-1], compress_level=1)
        lines.append([person.name, *names, "bona fide"])
    with (root / "applicants.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["person", "document", "selfie", "presentation"])
        writer.writerows(lines)


def worst(record: dict[str, Any], gate: str) -> set[str]:
    """The verdicts of the checks of a gate."""
    return {check["verdict"] for check in record["gates"][gate]["checks"]}


def test_int8_of_both_models_decides_as_fp32_does(records: dict[str, dict[str, Any]]) -> None:
    record = records["TestDefault"]
    assert record["shipped"]["variants"] == {"detector": "int8", "embedder": "int8"}
    assert {gate: worst(record, gate) for gate in record["gates"]} == {
        gate: {"PASS"} for gate in ("complete", "fta", "frr", "far", "degradation")
    }
    assert record["rates"]["fp32"]["FTA"]["errors"] == 0
    assert record["rates"]["fp32"]["FRR"]["value"] < 0.03  # as faces that others aligned


def test_a_simple_recipe_for_both_models_lets_impostors_in(
    records: dict[str, dict[str, Any]],
) -> None:
    """The gates of each model let it ship; FAR of both together is twice that of FP32."""
    record = records["TestPerTensor"]
    names = {"detector": "int8-per-tensor", "embedder": "int8-per-tensor"}
    assert record["shipped"]["variants"] == names
    assert "FAIL" in worst(record, "degradation")
    fp32, shipped = (record["rates"][label]["FAR"]["value"] for label in ("fp32", "shipped"))
    assert shipped > 1.5 * fp32
    assert record["rates"]["fp32"] == records["TestDefault"]["rates"]["fp32"]


def test_photographs_without_labels(records: dict[str, dict[str, Any]]) -> None:
    """No photograph is decided otherwise, which 160 of them show for 2 %."""
    record = records["TestPhotographs"]
    assert {gate: worst(record, gate) for gate in record["gates"]} == {
        gate: {"PASS"} for gate in ("complete", "agreement")
    }
    assert record["figures"]["cosine_min"] > 0.8
