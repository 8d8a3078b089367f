"""The small worlds of the other tests without their labels, and gate files for agreement."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from tests.worlds import population, presentations, scenery

GATE = """
from pytest_kycquant import (
    AgreementGates, DetectionLimits, FaceLimits, FaceVerification, KycModel, LivenessDetection,
    LivenessLimits, ObjectDetection, Preprocess, Recipe
)

class TestAgreement(AgreementGates):
    model = KycModel(
        "models/model.onnx",
        preprocess=Preprocess({preprocess}),
        calibration="calibration.npz",
        task={task}("images.npz", labelled=False, {options}),
    )
    # A latency of microseconds is not worth gating, nor is the size of such a small graph.
    limits = {limits_of}(latency_ratio=1000.0, size_ratio=10.0{limits})
    precisions = ({precisions},)
    fallback = {fallback!r}
"""
_SMALL = "size=(16, 16), mean=127.5, scale=1 / 127.5"
WORLDS = {
    "faces": ("FaceVerification", "FaceLimits", "threshold=0.7", _SMALL, '"int8"'),
    "liveness": ("LivenessDetection", "LivenessLimits", "threshold=0.5", _SMALL, '"int8"'),
    "detection": (
        "ObjectDetection",
        "DetectionLimits",
        'classes=("face", "card"), confidence=0.15',
        'size=(64, 64), scale=1 / 255, resize="letterbox"',
        'Recipe("int8", op_types=("Conv",))',
    ),
}


INT8_THAT_BREAKS = {
    world: population.without_repair('"int8"', '("Conv",)' if world == "detection" else "None")
    for world in WORLDS
}


def pixels(world: str, count: int, seed: int) -> np.ndarray:
    """Images of a world, (count, H, W, 3) uint8."""
    if world == "faces":
        return population.people(-(-count // 2), 2, seed=seed)[0][:count]
    if world == "liveness":
        return presentations.presentations(-(-count // 3), seed=seed)[0][:count]
    return scenery.scenes(count, seed=seed)[0]


def model(world: str, *, fragile: bool = False) -> bytes:
    """An FP32 model; INT8 breaks it if it is fragile."""
    if world == "liveness":
        return presentations.detector(fragile=fragile)
    made = population.embedder if world == "faces" else scenery.detector
    proto: onnx.ModelProto = made(fragile=fragile)
    return proto.SerializeToString()


def write_unlabelled(
    root: Path,
    world: str,
    *,
    precisions: str = "",
    fallback: str | None = "mixed",
    limits: str = "",
    options: str = "",
    fragile: bool = False,
    count: int = 400,
) -> Path:
    """Write a model, images without labels and a gate file below `root`; return the gate file."""
    task, limits_of, given, preprocess, int8 = WORLDS[world]
    (root / "models").mkdir(parents=True, exist_ok=True)
    (root / "models" / "model.onnx").write_bytes(model(world, fragile=fragile))
    for name, number, seed in (
        ("calibration", 110, 1),
        ("selection", 660, 2),
        ("images", count, 3),
    ):
        np.savez(root / f"{name}.npz", images=pixels(world, number, seed))
    gate = root / "test_gate.py"
    gate.write_text(
        GATE.format(
            task=task,
            limits_of=limits_of,
            limits=f", {limits}" if limits else "",
            options=f"{given}, {options}" if options else given,
            preprocess=preprocess,
            precisions=precisions or (INT8_THAT_BREAKS[world] if fragile else int8),
            fallback=fallback,
        )
    )
    return gate
