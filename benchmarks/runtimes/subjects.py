"""Models with a gate file each: those of this repository, and real ones where they are present."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.real import OTHERS, REAL, linked
from models.rendering.sets import ensure

HERE = Path(__file__).resolve().parents[2]
GATE_FILE = "test_gate.py"
CROPS = {"calibration": slice(0, 150), "evaluation": slice(150, 500)}
"""Rows of `face_boxes.csv` in each set of the real liveness model."""


@dataclass(frozen=True)
class Subject:
    """A model and how to judge it.

    Args:
        name: name in the table and on the command line.
        model: path of the FP32 file.
        gates: name of the class that the gate inherits from.
        given: attribute `model` of the gate, as code.
        limits: attribute `limits` as code; "" for the defaults.
        fill: puts what the gate file names into an empty rootdir.
        op_types: types of operators that static INT8 of ONNX files quantizes; None for all.
    """

    name: str
    model: Path
    gates: str
    given: str
    fill: Callable[[Path], None]
    limits: str = ""
    op_types: tuple[str, ...] | None = None

    @property
    def present(self) -> bool:
        """Whether the model exists; images of the repository are rendered."""
        return self.model.is_file()

    def write(self, root: Path, precisions: Sequence[str]) -> None:
        """Write a rootdir with a gate file.

        Args:
            root: an empty folder.
            precisions: what to judge, as code.
        """
        root.mkdir(parents=True, exist_ok=True)
        self.fill(root)
        (root / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        lines = [
            "from dataclasses import replace",
            "",
            "from pytest_kycquant import *",
            "from pytest_kycquant import presets",
            "",
            "",
            f"class TestModel({self.gates}):",
            f"    model = {self.given}",
            *([f"    limits = {self.limits}"] if self.limits else []),
            "    fallback = None",
            "    precisions = (",
            *(f"        {each}," for each in precisions),
            "    )",
        ]
        (root / GATE_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _reference(root: Path) -> None:
    """Link the images of this repository, which are rendered where they are missing."""
    ensure(HERE / "data")
    for name in ("models", "data", "calibration"):
        (root / name).symlink_to(HERE / name)


def _faces(root: Path) -> None:
    linked(root)


def _crops(root: Path) -> None:
    """Link photographs of faces, and write where the faces are."""
    (root / "MiniFASNetV2.onnx").symlink_to(REAL / "models" / "MiniFASNetV2.onnx")
    with (REAL / "scenes" / "face_boxes.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (root / "boxes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "x1", "y1", "x2", "y2"])
        for part, chosen in CROPS.items():
            (root / part).mkdir()
            for row in rows[chosen]:
                link = root / part / Path(row["image"]).name
                link.symlink_to(REAL / "scenes" / row["image"])
                box = (row[key] for key in ("x1", "y1", "x2", "y2"))
                writer.writerow([f"{part}/{link.name}", *box])


_ARCFACE = """presets.arcface(
        "models/arcface_fp32.onnx",
        "data/faces",
        selection="data/faces-selection",
        calibration="calibration/faces",
    )"""
_MINIFASNET = """presets.minifasnet(
        "models/minifasnet_fp32.onnx",
        "data/liveness",
        selection="data/liveness-selection",
        calibration="calibration/liveness",
    )"""
_YOLOV8 = """presets.yolov8(
        "models/yolov8_fp32.onnx",
        "data/documents/images",
        "data/documents/labels.json",
        ("document", "portrait"),
        preprocess=replace(presets.YOLOV8, size=(320, 320)),
        selection="data/documents-selection/images",
        selection_labels="data/documents-selection/labels.json",
        confidence=0.25,
        calibration="calibration/documents",
    )"""
_MOBILEFACENET = f"""KycModel(
        "mobilefacenet_fp32.onnx",
        preprocess=Preprocess(size=(112, 112), mean=127.5, scale=1 / 128, channels="BGR"),
        calibration="calibration",
        task=FaceVerification("evaluation", selection="{OTHERS}", threshold=0.345),
    )"""
_MINIFASNETV2 = """KycModel(
        "MiniFASNetV2.onnx",
        preprocess=Preprocess(size=(80, 80), channels="BGR"),
        calibration="calibration",
        task=LivenessDetection(
            "evaluation", labelled=False, threshold=0.5, boxes="boxes.csv", crop_scale=2.7
        ),
    )"""

_MODELS = HERE / "models"
SUBJECTS: dict[str, Subject] = {
    subject.name: subject
    for subject in (
        Subject("arcface", _MODELS / "arcface_fp32.onnx", "FaceGates", _ARCFACE, _reference),
        Subject(
            "minifasnet", _MODELS / "minifasnet_fp32.onnx", "LivenessGates", _MINIFASNET, _reference
        ),
        Subject(
            "yolov8",
            _MODELS / "yolov8_fp32.onnx",
            "DetectionGates",
            _YOLOV8,
            _reference,
            op_types=("Conv",),
        ),
        Subject(
            "mobilefacenet-real",
            REAL / "models" / "mobilefacenet_fp32.onnx",
            "FaceGates",
            _MOBILEFACENET,
            _faces,
            # 300 people with five genuine pairs each cannot decide whether FRR rises by a point.
            "FaceLimits(frr_degradation=0.02)",
        ),
        Subject(
            "minifasnetv2-real",
            REAL / "models" / "MiniFASNetV2.onnx",
            "AgreementGates",
            _MINIFASNETV2,
            _crops,
            "LivenessLimits()",
        ),
    )
}
