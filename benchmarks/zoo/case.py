"""One model of the zoo, and the small project in which pytest gates it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import onnx

from pytest_kycquant.data.files import find_images
from pytest_kycquant.data.sampling import spread

PRECISIONS = ("fp16", "int8-weights", "int8", "int8-dynamic")
DAMAGED = "damaged"
GATES = ("finite", "agreement")
"""The gates whose verdicts are compared with the truth; latency is not measured."""

_CALIBRATION = 60
_CONFTEST = f"""
from pytest_kycquant.spec.recipe import RECIPES, Precision

RECIPES["{DAMAGED}"] = Precision("benchmarks.zoo.damage:DAMAGED")
"""
_GATE = """
import shutil
from pathlib import Path

import numpy as np
from pytest_kycquant import (
    AgreementGates,
    CustomLimits,
    CustomTask,
    DetectionLimits,
    FaceLimits,
    FaceVerification,
    KycModel,
    LivenessDetection,
    LivenessLimits,
    ObjectDetection,
    Preprocess,
)


def drift(outputs, fp32):
    "Error of the worst output, relative to how much that of FP32 differs between images."
    several = isinstance(outputs, tuple)
    found = []
    for ours, theirs in zip(*(outputs, fp32) if several else ((outputs,), (fp32,))):
        spread = np.linalg.norm(theirs - theirs.mean(axis=0))
        found.append(np.linalg.norm(ours - theirs) / max(spread, 1e-30))
    return float(max(found))


class TestModel(AgreementGates):
    model = KycModel(
        "{model}",
        preprocess=Preprocess({preprocess}),
        calibration="calibration",
        task={task},{more}
    )
    precisions = {precisions}
    limits = {limits}
    fallback = None

    def test_copy(self, candidate):
        folder = Path("variants") / candidate.precision
        folder.mkdir(parents=True, exist_ok=True)
        for path in candidate.paths:
            shutil.copy(path, folder)
"""
CLOSE = "CustomLimits(agreement=0.3)"
"""Limits of such a task."""


def drifting(model: Path) -> str:
    """Source of a task for any model: all its outputs are compared with those of FP32."""
    proto = onnx.load(model, load_external_data=False)
    names = tuple(output.name for output in proto.graph.output)
    outputs = f", outputs={names!r}" if len(names) > 1 else ""
    return f"CustomTask('images', metric=drift, labelled=False{outputs})"


@dataclass(frozen=True)
class Case:
    """A model, how a gate file describes it, and images for it.

    Args:
        name: label of the row.
        model: the FP32 file.
        task: source of the task; its images are in the folder ``images``.
        preprocess: source of the arguments of `Preprocess`.
        limits: source of the limits.
        images: folders that images are taken from, for evaluation and for calibration; if they are
            the same, the images are shared out.
        count: number of images to evaluate.
        more: source of further arguments of `KycModel`.
        boxes: table of a face box in each image, ``image,x1,y1,x2,y2``; it becomes ``boxes.csv``.
    """

    name: str
    model: Path
    task: str
    preprocess: str
    limits: str
    images: tuple[Path, Path]
    count: int = 200
    more: str = ""
    boxes: Path | None = None

    def project(self, root: Path) -> None:
        """Write the gate file beside links to the model, its data and its images."""
        evaluation, calibration = self._images()
        for role, paths in (("images", evaluation), ("calibration", calibration)):
            (root / role).mkdir(parents=True)
            for number, path in enumerate(paths):
                (root / role / _called(number, path)).symlink_to(path.resolve())
        (root / self.model.name).symlink_to(self.model.resolve())  # its weights are found there
        if self.boxes is not None:
            (root / "boxes.csv").write_text(_boxes(self.boxes, evaluation, calibration))
        (root / "pytest.ini").write_text("[pytest]\n")
        (root / "conftest.py").write_text(_CONFTEST)
        text = _GATE.format(
            model=self.model.name,
            preprocess=self.preprocess,
            task=self.task,
            limits=self.limits,
            precisions=(*PRECISIONS, DAMAGED),
            more=f"\n        {self.more}," if self.more else "",
        )
        (root / "test_gate.py").write_text(text)

    def _images(self) -> tuple[list[Path], list[Path]]:
        first, second = (find_images(folder) for folder in self.images)
        if self.images[0] != self.images[1]:
            return _taken(first, self.count), _taken(second, _CALIBRATION)
        both = _taken(first, self.count + _CALIBRATION)
        return both[_CALIBRATION:], both[:_CALIBRATION]


def _boxes(table: Path, evaluation: list[Path], calibration: list[Path]) -> str:
    with table.open(newline="") as file:
        rows = {Path(row["image"]).name: row for row in csv.DictReader(file)}
    lines = ["file,x1,y1,x2,y2"]
    for role, paths in (("images", evaluation), ("calibration", calibration)):
        for number, path in enumerate(paths):
            box = ",".join(rows[path.name][side] for side in ("x1", "y1", "x2", "y2"))
            lines.append(f"{role}/{_called(number, path)},{box}")
    return "\n".join(lines) + "\n"


def _called(number: int, path: Path) -> str:
    """A name that no image of another folder has."""
    return f"{number:04}-{path.name}"


def _taken(paths: list[Path], count: int) -> list[Path]:
    return [paths[index] for index in spread(len(paths), min(count, len(paths)))]
