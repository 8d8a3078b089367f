"""A small world for tests: scenes with red faces and blue cards, and a detector that finds them.

A scene is 64 x 48 pixels of noise with one red and one blue square of 16 x 16 pixels on a grid of
8. The detector averages each colour over windows of that size; a window that is bright enough is
an object. Everything is seeded.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

WIDTH, HEIGHT = 64, 48  # of a scene; the detector sees it in the middle of 64 x 64
INPUT = 64
CELL = 8
CLASSES = ("face", "card")
_COLOUR = {"face": 0, "card": 2}
_CHANNELS = 12


def scenes(
    count: int, *, seed: int = 0, dim: float = 0.0
) -> tuple[NDArray[np.uint8], list[list[tuple[str, int, int]]]]:
    """Images (N, 48, 64, 3) uint8, and (class, left, top) of the objects in each.

    Args:
        count: number of scenes.
        seed: seed of all random numbers.
        dim: share of objects that are too dark for the detector.
    """
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (count, HEIGHT, WIDTH, 3), dtype=np.uint8)
    objects = []
    for image in images:
        halves = rng.permutation([0, WIDTH // 2])
        placed = []
        for name, half in zip(CLASSES, halves, strict=True):
            left = int(half) + CELL * int(rng.integers(0, 3))
            top = CELL * int(rng.integers(0, HEIGHT // CELL - 1))
            # A few are hard to see; the confidence is chosen among their scores.
            hard = rng.random() < 0.03
            brightness = int(rng.integers(160, 200)) if hard else int(rng.integers(228, 250))
            if rng.random() < dim:
                brightness = 100
            image[top : top + 16, left : left + 16, _COLOUR[name]] = brightness
            placed.append((name, left, top))
        objects.append(placed)
    return images, objects


def write_scenes(root: Path, name: str, count: int, **options: float) -> None:
    """Write ``name.npz`` and the boxes in ``name.csv``."""
    images, objects = scenes(count, **options)  # type: ignore[arg-type]
    root.mkdir(parents=True, exist_ok=True)
    np.savez(root / f"{name}.npz", images=images)
    with (root / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "class", "x1", "y1", "x2", "y2"])
        for index, placed in enumerate(objects):
            for kind, left, top in placed:
                writer.writerow([f"{name}.npz[{index}]", kind, left, top, left + 16, top + 16])


def detector(
    *, fragile: bool = False, poisoned: bool = False, logits: bool = False, blind: bool = False
) -> onnx.ModelProto:
    """A detector, input 1 x 3 x 64 x 64 (RGB / 255), output 1 x 6 x 49.

    Args:
        fragile: whether blue is ten thousand times smaller than red between two convolutions. FP32
            is not affected; INT8, which has one scale for both, loses it.
        poisoned: whether a white input gives infinite scores, by a division by zero.
        logits: whether the final sigmoid is left out.
        blind: whether every score is too low to be a candidate.
    """
    windows = INPUT // CELL - 1
    colour = np.arange(_CHANNELS) % 3
    scale = np.where((colour == _COLOUR["card"]) & fragile, 1e-4, 1.0)
    first = np.zeros((_CHANNELS, 3, CELL, CELL))
    first[np.arange(_CHANNELS), colour] = (scale / CELL**2)[:, None, None]
    second = np.zeros((_CHANNELS, _CHANNELS, 2, 2))
    second[np.arange(_CHANNELS), np.arange(_CHANNELS)] = (1 / scale / 4)[:, None, None]
    same = np.eye(_CHANNELS)[:, :, None, None]
    head = np.zeros((2, _CHANNELS, 1, 1))
    for row, name in enumerate(CLASSES):
        mine = colour == _COLOUR[name]
        head[row, mine] = 255 * 0.05 / mine.sum()  # a twentieth of a grey level
    centre = CELL * (1 + np.indices((windows, windows)).reshape(2, -1)[::-1])
    boxes = np.concatenate([centre, np.full_like(centre, 16)])[None]
    arrays = {
        "first.w": first,
        "second.w": second,
        "third.w": same,
        "fourth.w": same,
        "head.w": head,
        "head.b": np.full(2, -99.0 if blind else -9.0),
        "boxes": boxes,
        "one": np.ones(()),
    }
    nodes = [
        helper.make_node("Conv", ["input", "first.w"], ["a"], name="first", strides=[CELL, CELL]),
        helper.make_node("Conv", ["a", "second.w"], ["b"], name="second"),
        helper.make_node("Conv", ["b", "third.w"], ["c"], name="third"),
        helper.make_node("Relu", ["c"], ["d"], name="relu"),
        helper.make_node("Conv", ["d", "fourth.w"], ["e"], name="fourth"),
        helper.make_node("Conv", ["e", "head.w", "head.b"], ["f"], name="head"),
        helper.make_node("Flatten", ["f"], ["g"], name="flatten", axis=2),
        helper.make_node("Reshape", ["g", "shape"], ["h"], name="reshape"),
    ]
    arrays_int = {"shape": np.array([1, 2, -1], np.int64)}
    last = "h"
    if not logits:
        nodes.append(helper.make_node("Sigmoid", [last], ["s"], name="sigmoid"))
        last = "s"
    if poisoned:
        nodes += [
            helper.make_node("ReduceMin", ["input"], ["t"], name="darkest", keepdims=0),
            helper.make_node("Sub", ["one", "t"], ["u"], name="sub"),
            helper.make_node("Ceil", ["u"], ["w"], name="ceil"),
            helper.make_node("Div", [last, "w"], ["x"], name="div"),
        ]
        last = "x"
    graph = helper.make_graph(
        [*nodes, helper.make_node("Concat", ["boxes", last], ["output0"], name="concat", axis=1)],
        "detector",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, INPUT, INPUT])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 6, windows**2])],
        [
            *(numpy_helper.from_array(v.astype(np.float32), k) for k, v in arrays.items()),
            *(numpy_helper.from_array(v, k) for k, v in arrays_int.items()),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


GATE = """
from pytest_kycquant import (
    DetectionGates, DetectionLimits, KycModel, ObjectDetection, Preprocess, Recipe
)

class TestDetector(DetectionGates):
    model = KycModel(
        "models/detector.onnx",
        preprocess=Preprocess(
            size=(64, 64), scale=1 / 255, channels="{channels}", resize="letterbox"
        ),
        calibration="calibration.npz",
        task=ObjectDetection(
            "scenes.npz",
            "scenes.csv",
            classes=("face", "card"),
            selection="selection.npz",
            selection_labels="selection.csv",{task}
        ),
    )
    # A latency of microseconds is not worth gating, nor is the size of such a small graph.
    limits = DetectionLimits(latency_ratio=1000.0, size_ratio=10.0{limits})
    precisions = ({precisions},)
    fallback = {fallback!r}
"""


def write_project(
    root: Path,
    *,
    precisions: str = '"int8"',
    fallback: str | None = "mixed",
    limits: str = "",
    task: str = "",
    channels: str = "RGB",
    count: int = 400,
    model: onnx.ModelProto | None = None,
) -> Path:
    """Write a detector, its data and a gate file below `root`; return the gate file."""
    (root / "models").mkdir(parents=True, exist_ok=True)
    onnx.save(detector() if model is None else model, root / "models" / "detector.onnx")
    write_scenes(root, "calibration", 110, seed=1)
    write_scenes(root, "selection", count, seed=2)
    write_scenes(root, "scenes", count, seed=3)
    gate = root / "test_gate.py"
    gate.write_text(
        GATE.format(
            precisions=precisions,
            fallback=fallback,
            limits=f", {limits}" if limits else "",
            task=f"\n            {task}," if task else "",
            channels=channels,
        )
    )
    return gate
