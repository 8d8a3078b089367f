"""A small world for tests: synthetic people, and an embedder that tells them apart.

Each identity is a fixed random pattern; its images are that pattern with noise. The embedder is a
random projection, so genuine pairs score high and impostor pairs near zero. Everything is seeded.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

Run = Callable[..., pytest.RunResult]  # type of the fixture `run`
SIZE = 16
WIDTH = 24
EMBEDDING = 96
# Equalization would repair what is fragile.
PLAIN = (
    'Recipe("int8", op_types={types}, equalize=False, bias_correction=False, '
    'calibration_method="moving-average", weight_type="uint8")'
)
# The head of a gate file that uses the marker, next to a project of `write_project`.
FUNCTION = """
import pytest
from pytest_kycquant import FaceLimits, FaceVerification, KycModel, Preprocess, Prequantized, Recipe

MODEL = KycModel(
    "models/face.onnx",
    preprocess=Preprocess(size=(16, 16), mean=127.5, scale=1 / 127.5),
    calibration="calibration.npz",
    task=FaceVerification("faces.npz", selection="selection.npz"),
)
LIMITS = FaceLimits(latency_ratio=1000.0, size_ratio=10.0)
"""


def leanest(report: Path) -> str:
    """The variant of a report with the smallest product of size and latency; all must pass."""
    (gate,) = json.loads(report.read_text())["gates"]
    quantized = gate["variants"][1:]
    assert all(variant["verdict"] == "PASS" for variant in quantized)
    return str(
        min(
            quantized,
            key=lambda v: v["size_ratio"] * v["gates"]["latency"]["checks"][0]["value"],
        )["variant"]
    )


def without_repair(precisions: str, types: str = "None") -> str:
    """Precisions of a gate file, with an "int8" that breaks a fragile model."""
    return precisions.replace('"int8"', PLAIN.format(types=types))


def people(
    identities: int, images: int = 2, *, seed: int = 0, noise: float = 14.0
) -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
    """Images (N, 16, 16, 3) uint8 and subject names (N)."""
    rng = np.random.default_rng(seed)
    patterns = rng.normal(128, 45, (identities, 1, SIZE, SIZE, 3))
    samples = patterns + rng.normal(0, noise, (identities, images, SIZE, SIZE, 3))
    pixels = samples.clip(0, 255).astype(np.uint8).reshape(-1, SIZE, SIZE, 3)
    names = np.repeat([f"person{seed}_{i:03d}" for i in range(identities)], images)
    return pixels, names


def write_npz(path: Path, identities: int, images: int = 2, **options: float) -> Path:
    """Write people as an npz file."""
    pixels, names = people(identities, images, **options)  # type: ignore[arg-type]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, images=pixels, subjects=names)
    return path


def write_folders(path: Path, identities: int, images: int = 2, **options: float) -> Path:
    """Write people as one folder for each identity."""
    pixels, names = people(identities, images, **options)  # type: ignore[arg-type]
    for index, (image, name) in enumerate(zip(pixels, names, strict=True)):
        folder = path / str(name)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{name}_{index % images + 1:04d}.png")
    return path


def embedder(*, fragile: bool = False, seed: int = 0, width: int = WIDTH) -> onnx.ModelProto:
    """A face embedder, input 1 x 3 x 16 x 16, output 1 x 96.

    Args:
        fragile: whether the scales of the channels between two convolutions spread over four
            decades. FP32 is not affected; per-tensor INT8 loses the small ones.
        seed: seed of the weights.
        width: number of channels.
    """
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> NDArray[np.float32]:
        return (rng.normal(0, 1, shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    first = weights(width, 3, 4, 4)
    second, third = weights(width, width, 1, 1), weights(width, width, 1, 1)
    if fragile:
        scales = np.logspace(0, -4, width).astype(np.float32)
        second *= scales[:, None, None, None]
        third /= scales[None, :, None, None]
    arrays = {
        "first.w": first,
        "slope": np.full((width, 1, 1), 0.6, np.float32),
        "second.w": second,
        "third.w": third,
        "fourth.w": weights(width, width, 1, 1),
        "fifth.w": weights(width, width, 1, 1),
        "gemm.w": weights(EMBEDDING, width * (SIZE // 4) ** 2),
        "gemm.b": weights(EMBEDDING, 1).reshape(-1) * 0,
    }
    nodes = [
        helper.make_node("Conv", ["input", "first.w"], ["a"], name="first", strides=[4, 4]),
        helper.make_node("PRelu", ["a", "slope"], ["b"], name="prelu"),
        helper.make_node("Conv", ["b", "second.w"], ["c"], name="second"),
        helper.make_node("Conv", ["c", "third.w"], ["d"], name="third"),
        helper.make_node("PRelu", ["d", "slope"], ["e"], name="prelu2"),
        helper.make_node("Conv", ["e", "fourth.w"], ["f"], name="fourth"),
        helper.make_node("Conv", ["f", "fifth.w"], ["g"], name="fifth"),
        helper.make_node("Flatten", ["g"], ["h"], name="flatten"),
        helper.make_node("Gemm", ["h", "gemm.w", "gemm.b"], ["output"], name="gemm", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "embedder",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, EMBEDDING])],
        [numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


GATE = """
from pytest_kycquant import (
    FaceGates, FaceLimits, FaceVerification, KycModel, Preprocess, Prequantized, Recipe, Runtime
)

class TestFace(FaceGates):
    model = KycModel(
        "models/face.onnx",
        preprocess=Preprocess(size=(16, 16), mean=127.5, scale=1 / 127.5, channels="RGB"),
        calibration="calibration.npz",
        task=FaceVerification("faces.npz", selection="selection.npz"),
    )
    # A latency of microseconds is not worth gating, nor is the size of such a small graph.
    limits = FaceLimits(latency_ratio=1000.0, size_ratio=10.0{limits})
    precisions = ({precisions},)
    fallback = {fallback!r}
"""


def write_project(
    root: Path,
    *,
    precisions: str = '"int8"',
    fallback: str | None = "mixed",
    limits: str = "",
    fragile: bool = False,
    identities: int = 330,
) -> Path:
    """Write a model, its data and a gate file below `root`; return the gate file."""
    (root / "models").mkdir(parents=True, exist_ok=True)
    onnx.save(embedder(fragile=fragile), root / "models" / "face.onnx")
    write_npz(root / "calibration.npz", 60, 2, seed=1)
    write_npz(root / "selection.npz", 330, 2, seed=2)
    write_npz(root / "faces.npz", identities, 2, seed=3)
    gate = root / "test_gate.py"
    limits = f", {limits}" if limits else ""
    if fragile and "Recipe" not in precisions:
        precisions = without_repair(precisions)
    gate.write_text(GATE.format(precisions=precisions, fallback=fallback, limits=limits))
    return gate
