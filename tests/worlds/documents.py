"""A project with a custom task: the captures of `presentations`, judged by a user's own metric."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.worlds.population import without_repair
from tests.worlds.presentations import detector, presentations

CLASSES = ("print", "live", "screen")  # in the order of the model's outputs

ERRORS = """
def misread(outputs, labels):
    return outputs.argmax(axis=1) != labels
"""
VALUES = """
def distance(outputs, labels):
    return np.linalg.norm(outputs - 8 * np.eye(3)[labels], axis=1)
"""
FIGURE = """
def accuracy(outputs, labels):
    return float((outputs.argmax(axis=1) == labels).mean())
"""

GATE = """
import numpy as np
from pytest_kycquant import CustomGates, CustomLimits, CustomTask, KycModel, Preprocess, Recipe

{metric}

class TestDocument(CustomGates):
    model = KycModel(
        "models/document.onnx",
        preprocess=Preprocess(size=(16, 16), mean=127.5, scale=1 / 127.5),
        calibration="calibration.npz",
        task=CustomTask(
            "documents.npz", metric={name}, classes=("print", "live", "screen"),
            selection={selection}{task}
        ),
    )
    # A latency of microseconds is not worth gating, nor is the size of such a small graph.
    limits = CustomLimits({limits}, latency_ratio=1000.0, size_ratio=10.0)
    precisions = ({precisions},)
    fallback = {fallback!r}
"""


def write_documents(path: Path, people: int, *, seed: int, known: bool = True) -> Path:
    """Write labelled images as an npz file, with or without subjects."""
    pixels, _, species, names = presentations(people, seed=seed)
    labels = np.where(species == "", "live", species)
    arrays = {"images": pixels, "labels": labels}
    np.savez(path, **(arrays | {"subjects": names} if known else arrays))
    return path


def write_document_project(
    root: Path,
    *,
    metric: str = ERRORS,
    limits: str = "metric=0.02, degradation=0.01",
    precisions: str = '"int8"',
    fallback: str | None = "mixed",
    selection: str = '"selection.npz"',
    task: str = "",
    fragile: bool = False,
    overflows: bool = False,
    people: int = 330,
    known: bool = True,
) -> Path:
    """Write a model, its data and a gate file below `root`; return the gate file."""
    (root / "models").mkdir(parents=True, exist_ok=True)
    model = detector(fragile=fragile, overflows=overflows)
    (root / "models" / "document.onnx").write_bytes(model)
    np.savez(root / "calibration.npz", images=presentations(40, seed=1)[0])
    write_documents(root / "selection.npz", 330, known=known, seed=2)
    write_documents(root / "documents.npz", people, known=known, seed=3)
    gate = root / "test_gate.py"
    gate.write_text(
        GATE.format(
            metric=metric.strip(),
            name=metric.split("def ")[1].split("(")[0],
            limits=limits,
            precisions=without_repair(precisions) if fragile else precisions,
            fallback=fallback,
            selection=selection,
            task=f", {task}" if task else "",
        )
    )
    return gate
