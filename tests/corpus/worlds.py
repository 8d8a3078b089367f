"""The sound projects that are damaged: one for each way to give data. Each passes within seconds.

There are few people, so the limits are wide; what is tested is not where they are.
"""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.corpus.graphs import classifier, embedder
from tests.corpus.runner import run
from tests.corpus.trial import Trial
from tests.worlds.population import people, write_folders, write_npz
from tests.worlds.presentations import presentations
from tests.worlds.scenery import detector, scenes

_HEAD = """
import pytest
from pytest_kycquant import (
    CustomGates, CustomLimits, CustomTask, DetectionGates, DetectionLimits, FaceGates, FaceLimits,
    FaceVerification, KycModel, LivenessDetection, LivenessGates, LivenessLimits,
    ObjectDetection, Preprocess, Recipe,
)

"""
FACE = """
class TestFace(FaceGates):
    model = KycModel(
        "models/face.onnx",
        preprocess=Preprocess(size=(16, 16), mean=127.5, scale=1 / 127.5, channels="RGB"),
        calibration="calibration.npz",
        task=FaceVerification("faces.npz", selection="selection.npz"),
    )
    limits = FaceLimits(
        far=0.2, frr=0.2, far_degradation=0.2, frr_degradation=0.2, mean_cosine=0.5, p1_cosine=0.5,
        latency_ratio=1000.0, size_ratio=10.0,
    )
    precisions = ("int8",)
    fallback = None
"""
_FOLDERS = """
class TestFace(FaceGates):
    model = KycModel(
        "models/face.onnx",
        preprocess=Preprocess(size=(16, 16), mean=127.5, scale=1 / 127.5, channels="RGB"),
        calibration="calibration",
        task=FaceVerification(
            "faces", selection="selection", selection_far=0.03, pairs="pairs.csv",
            groups="groups.csv",
        ),
    )
    limits = FaceLimits(
        far=0.2, frr=0.2, far_degradation=0.2, frr_degradation=0.2, mean_cosine=0.5, p1_cosine=0.5,
        group_far_degradation=0.9, group_frr_degradation=0.9, latency_ratio=1000.0, size_ratio=10.0,
    )
    precisions = ("int8",)
    fallback = None
"""
_LIVENESS = """
class TestLiveness(LivenessGates):
    model = KycModel(
        "models/liveness.onnx",
        preprocess=Preprocess(size=(16, 16), mean=127.5, scale=1 / 127.5),
        calibration="calibration.npz",
        task=LivenessDetection("captures.csv", selection="selection.npz"),
    )
    limits = LivenessLimits(
        apcer=0.3, bpcer=0.3, apcer_degradation=0.3, bpcer_degradation=0.3, flips=0.3,
        score_drift=0.3, latency_ratio=1000.0, size_ratio=10.0,
    )
    precisions = ("int8",)
    fallback = None
"""
_CUSTOM = """
def misread(outputs, labels):
    return outputs.argmax(axis=1) != labels


class TestDocument(CustomGates):
    model = KycModel(
        "models/document.onnx",
        preprocess=Preprocess(size=(16, 16), mean=127.5, scale=1 / 127.5),
        calibration="calibration.npz",
        task=CustomTask(
            "documents", metric=misread, labels="labels.csv", classes=("print", "live", "screen")
        ),
    )
    limits = CustomLimits(metric=0.3, degradation=0.3, latency_ratio=1000.0, size_ratio=10.0)
    precisions = ("int8",)
    fallback = None
"""
_DETECTION = """
class TestDetector(DetectionGates):
    model = KycModel(
        "models/detector.onnx",
        preprocess=Preprocess(size=(64, 64), scale=1 / 255, resize="letterbox"),
        calibration="calibration.npz",
        task=ObjectDetection(
            "scenes", "boxes.json", classes=("face", "card"), selection="selection",
            selection_labels="selection.csv",
        ),
    )
    limits = DetectionLimits(
        recall=0.3, map50=0.3, recall_degradation=0.5, map50_degradation=0.5, map_degradation=0.5,
        agreement=0.5, overlap=0.5, latency_ratio=1000.0, size_ratio=10.0,
    )
    precisions = ("fp16",)
    fallback = None
"""
PEOPLE = 40


def _face(root: Path) -> None:
    (root / "models" / "face.onnx").write_bytes(embedder().SerializeToString())
    write_npz(root / "calibration.npz", 50, 2, seed=1)
    write_npz(root / "selection.npz", PEOPLE, 2, seed=2)
    write_npz(root / "faces.npz", PEOPLE, 2, seed=3)


def _folders(root: Path) -> None:
    (root / "models" / "face.onnx").write_bytes(embedder().SerializeToString())
    (root / "calibration").mkdir()
    for index, pixels in enumerate(people(110, 1, seed=1)[0]):
        Image.fromarray(pixels).save(root / "calibration" / f"{index:03d}.png")
    write_folders(root / "selection", PEOPLE, 2, seed=2)
    write_folders(root / "faces", PEOPLE, 2, seed=3)
    names = sorted(path.name for path in (root / "faces").iterdir())
    with (root / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("left", "right", "same"))
        for i, name in enumerate(names):
            table.writerow((f"{name}/{name}_0001.png", f"{name}/{name}_0002.png", 1))
            for other in (names[(i + step) % len(names)] for step in range(1, 7)):
                table.writerow((f"{name}/{name}_0001.png", f"{other}/{other}_0002.png", 0))
    known = sorted(
        path.name for folder in ("faces", "selection") for path in (root / folder).iterdir()
    )
    lines = [f"{name},{'young' if i % 2 else 'old'}" for i, name in enumerate(known)]
    (root / "groups.csv").write_text("\n".join(["subject,age", *lines, ""]), encoding="utf-8")


def _liveness(root: Path) -> None:
    (root / "models" / "liveness.onnx").write_bytes(classifier())
    np.savez(root / "calibration.npz", images=presentations(40, seed=1)[0])
    pixels, labels, species, names = presentations(PEOPLE, seed=2)
    np.savez(root / "selection.npz", images=pixels, labels=labels, species=species, subjects=names)
    pixels, labels, species, names = presentations(PEOPLE, seed=3)
    (root / "captures").mkdir()
    with (root / "captures.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("file", "label", "species", "subject"))
        for i, (image, *row) in enumerate(zip(pixels, labels, species, names, strict=True)):
            Image.fromarray(image).save(root / "captures" / f"{i:03d}.png")
            table.writerow((f"captures/{i:03d}.png", *row))


def _custom(root: Path) -> None:
    (root / "models" / "document.onnx").write_bytes(classifier())
    np.savez(root / "calibration.npz", images=presentations(40, seed=1)[0])
    pixels, _, species, names = presentations(PEOPLE, seed=3)
    (root / "documents").mkdir()
    with (root / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("file", "subject", "kind"))
        for i, (image, kind, name) in enumerate(zip(pixels, species, names, strict=True)):
            Image.fromarray(image).save(root / "documents" / f"{i:03d}.png")
            table.writerow((f"{i:03d}.png", name, kind or "live"))


def _detection(root: Path) -> None:
    (root / "models" / "detector.onnx").write_bytes(detector().SerializeToString())
    np.savez(root / "calibration.npz", images=scenes(100, seed=1)[0])
    pixels, placed = scenes(PEOPLE, seed=2)
    (root / "selection").mkdir()
    with (root / "selection.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("file", "class", "x1", "y1", "x2", "y2"))
        for i, (image, objects) in enumerate(zip(pixels, placed, strict=True)):
            Image.fromarray(image).save(root / "selection" / f"{i:03d}.png")
            for name, x, y in objects:
                table.writerow((f"{i:03d}.png", name, x, y, x + 16, y + 16))
    images: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    (root / "scenes").mkdir()
    for i, (image, objects) in enumerate(zip(*scenes(PEOPLE, seed=3), strict=True)):
        Image.fromarray(image).save(root / "scenes" / f"{i:03d}.png")
        images.append({"id": i, "file_name": f"{i:03d}.png", "width": 64, "height": 48})
        for name, x, y in objects:
            kind = 1 + ("face", "card").index(name)
            box = {"id": len(boxes), "image_id": i, "category_id": kind, "bbox": [x, y, 16, 16]}
            boxes.append(box | {"area": 256, "iscrowd": 0})
    kinds = [{"id": 1, "name": "face"}, {"id": 2, "name": "card"}]
    labels = {"images": images, "annotations": boxes, "categories": kinds}
    (root / "boxes.json").write_text(json.dumps(labels), encoding="utf-8")


_WORLDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "face": (_face, FACE),
    "folders": (_folders, _FOLDERS),
    "liveness": (_liveness, _LIVENESS),
    "custom": (_custom, _CUSTOM),
    "detection": (_detection, _DETECTION),
}
WORLDS = tuple(_WORLDS)


class Worlds:
    """Sound projects, each made once with its golden and its warm cache, and copied.

    Args:
        folder: where they are kept; several processes may share it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sound(self, name: str) -> dict[str, Any]:
        """The verdicts of a project before any damage, which it makes if need be.

        Raises:
            AssertionError: it does not pass, so that nothing would be learnt from damaging it.
        """
        from filelock import FileLock

        self._folder.mkdir(parents=True, exist_ok=True)
        known = self._folder / f"{name}.json"
        with FileLock(self._folder / f"{name}.lock"):
            if not known.exists():
                known.write_text(json.dumps(self._make(name)), encoding="utf-8")
        verdicts: dict[str, Any] = json.loads(known.read_text(encoding="utf-8"))
        return verdicts

    def copy(self, name: str, root: Path, seed: object = 0) -> Trial:
        """A fresh copy to damage."""
        self.sound(name)
        shutil.copytree(self._folder / name, root, symlinks=True)
        cache = root / "project" / ".pytest_cache" / "kycquant"
        return Trial(root, random.Random(str(seed)), cache=cache)

    def _make(self, name: str) -> dict[str, Any]:
        root = self._folder / name
        shutil.rmtree(root, ignore_errors=True)
        for folder in ("project/models", "home", "tmp"):
            (root / folder).mkdir(parents=True)
        write, gate = _WORLDS[name]
        write(root / "project")
        (root / "project" / "test_gate.py").write_text(_HEAD + gate, encoding="utf-8")
        (root / "project" / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        recorded = run(Trial(root, arguments=["--kycquant-update-golden"], report=False))
        assert recorded.status == 0, recorded.text
        found = run(Trial(root))
        assert found.status == 0, found.text
        assert found.ships, found.text
        os.remove(root / "report.json")
        shutil.rmtree(root / "home" / ".cache", ignore_errors=True)
        return found.verdicts
