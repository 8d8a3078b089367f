"""A small world of captures: live faces, prints and screens, and a model that tells them apart.

Every person is a random pattern; a print adds a fixed coarse texture, a screen a fine one. The
model is the convolutions of `population.embedder` with a last layer fitted by least squares to
other people. Everything is seeded.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.worlds.population import SIZE, embedder, without_repair

SPECIES = ("", "print", "screen")  # as in an npz: "" is live


def presentations(
    people: int, *, seed: int = 0, strength: float = 30.0
) -> tuple[NDArray[np.uint8], NDArray[np.str_], NDArray[np.str_], NDArray[np.str_]]:
    """A live capture, a print and a screen of each person: images, labels, species, subjects."""
    rng = np.random.default_rng(seed)
    faces = rng.normal(128, 25, (people, 1, SIZE, SIZE, 3))
    rows, columns = np.mgrid[:SIZE, :SIZE]
    textures = np.stack(
        [
            np.zeros((SIZE, SIZE)),
            np.sign(np.sin(rows * np.pi / 4) * np.sin(columns * np.pi / 4)),
            np.where((rows + columns) % 2, 1.0, -1.0),
        ]
    )
    captured = faces + strength * textures[None, :, :, :, None]
    captured = captured + rng.normal(0, 4, captured.shape)
    pixels = captured.clip(0, 255).astype(np.uint8).reshape(-1, SIZE, SIZE, 3)
    species = np.tile(SPECIES, people)
    labels = np.where(species == "", "live", "attack")
    names = np.repeat([f"person{seed}_{i:03d}" for i in range(people)], len(SPECIES))
    return pixels, labels, species, names


def write_presentations(path: Path, people: int, *, known: bool = True, **options: float) -> Path:
    """Write captures as an npz file, with or without subjects."""
    pixels, labels, species, names = presentations(people, **options)  # type: ignore[arg-type]
    arrays = {"images": pixels, "labels": labels, "species": species}
    np.savez(path, **(arrays | {"subjects": names} if known else arrays))
    return path


@cache
def detector(
    *, fragile: bool = False, probabilities: bool = False, overflows: bool = False
) -> bytes:
    """A liveness model, input 1 x 3 x 16 x 16 (RGB, (x - 127.5) / 127.5), output 1 x 3.

    Args:
        fragile: whether per-tensor INT8, but not FP32, breaks it, as in `population.embedder`.
        probabilities: whether the model ends in a softmax.
        overflows: whether the model divides by a number that is .004 in FP32 and 0 in INT8, since
            it shares its scale with a much larger one.
    """
    model = embedder(fragile=fragile)
    graph = model.graph
    pixels, _, species, _ = presentations(600, seed=99)
    graph.output[0].CopyFrom(helper.make_tensor_value_info("h", TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    inputs = ((pixels.astype(np.float32) - 127.5) / 127.5).transpose(0, 3, 1, 2)
    features = np.concatenate([session.run(None, {"input": one[None]})[0] for one in inputs])
    # Target columns: class 0 is a print, 1 is live, 2 is a screen, as in MiniFASNet.
    order = [SPECIES.index(name) for name in ("print", "", "screen")]
    wanted = 8.0 * np.eye(3)[[order.index(SPECIES.index(name)) for name in species]]
    design = np.hstack([features, np.ones((len(features), 1))]).astype(np.float64)
    ridge = design.T @ design + 1e-3 * np.eye(design.shape[1])
    weights = np.linalg.solve(ridge, design.T @ wanted).astype(np.float32)
    arrays = {}
    if overflows:
        graph.node[-1].output[0] = "small"
        weights = weights * np.float32(0.004)
        rows = np.random.default_rng(0).normal(0, 1e-6, (2, features.shape[1]))
        arrays |= {
            "two.w": rows.astype(np.float32),
            "two.b": np.array([5.0, 0.004], np.float32),
            "second": np.array([1], np.int64),
        }
        graph.node.extend(
            [
                helper.make_node("Gemm", ["h", "two.w", "two.b"], ["two"], name="two", transB=1),
                helper.make_node("Gather", ["two", "second"], ["tiny"], name="pick", axis=1),
                helper.make_node("Div", ["small", "tiny"], ["output"], name="divide"),
            ]
        )
    kept = [w for w in graph.initializer if not w.name.startswith("gemm.")]
    del graph.initializer[:]
    graph.initializer.extend(
        [
            *kept,
            *(numpy_helper.from_array(value, name) for name, value in arrays.items()),
            numpy_helper.from_array(np.ascontiguousarray(weights[:-1].T), "gemm.w"),
            numpy_helper.from_array(weights[-1], "gemm.b"),
        ]
    )
    if probabilities:
        graph.node[-1].output[0] = "logits"
        graph.node.append(helper.make_node("Softmax", ["logits"], ["output"], name="softmax"))
    graph.output[0].CopyFrom(helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3]))
    onnx.checker.check_model(model)
    return model.SerializeToString()


GATE = """
from pytest_kycquant import (
    KycModel, LivenessDetection, LivenessGates, LivenessLimits, Preprocess, Recipe
)

class TestLiveness(LivenessGates):
    model = KycModel(
        "models/liveness.onnx",
        preprocess=Preprocess(size=(16, 16), {preprocess}),
        calibration="calibration.npz",
        task=LivenessDetection("captures.npz", selection={selection}{task}),
    )
    # A latency of microseconds is not worth gating, nor is the size of such a small graph.
    limits = LivenessLimits(latency_ratio=1000.0, size_ratio=10.0{limits})
    precisions = ({precisions},)
    fallback = {fallback!r}
"""


def write_liveness_project(
    root: Path,
    *,
    precisions: str = '"int8"',
    fallback: str | None = "mixed",
    limits: str = "",
    task: str = "",
    selection: str = '"selection.npz"',
    preprocess: str = "mean=127.5, scale=1 / 127.5",
    fragile: bool = False,
    probabilities: bool = False,
    overflows: bool = False,
    people: int = 330,
    known: bool = True,
) -> Path:
    """Write a model, its data and a gate file below `root`; return the gate file."""
    (root / "models").mkdir(parents=True, exist_ok=True)
    model = detector(fragile=fragile, probabilities=probabilities, overflows=overflows)
    (root / "models" / "liveness.onnx").write_bytes(model)
    calibration = presentations(40, seed=1)[0]
    np.savez(root / "calibration.npz", images=calibration)
    write_presentations(root / "selection.npz", 330, known=known, seed=2)
    write_presentations(root / "captures.npz", people, known=known, seed=3)
    gate = root / "test_gate.py"
    gate.write_text(
        GATE.format(
            precisions=without_repair(precisions) if fragile else precisions,
            fallback=fallback,
            limits=f", {limits}" if limits else "",
            task=f", {task}" if task else "",
            selection=selection,
            preprocess=preprocess,
        )
    )
    return gate
