"""A small world of applicants whose faces are aligned by landmarks before they are embedded.

The detector of `scenery` also gives five landmarks, in the layout of YOLO-pose: those of an upright
face that fills the box. The embedder of `population` sees 112 x 112 pixels, which it averages to
its 16 x 16. Photographs are those of `applicants`, without attacks: there is no liveness model.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from pytest_kycquant import quantize
from pytest_kycquant.data.landmarks import TEMPLATE
from tests.worlds import population, scenery
from tests.worlds.applicants import SIZE, write_applicants

SIDE = 112  # of an aligned face, in pixels
EYES = float(TEMPLATE[1, 0] - TEMPLATE[0, 0]) * SIZE / SIDE  # their distance in a photograph
GATE = """
from detector import gate as detection
from face import gate as faces
from pytest_kycquant import PipelineGates, PipelineLimits

class TestPipeline(PipelineGates):
    applicants = "applicants.csv"
    detector = detection.TestDetector
    face = "face"
    embedder = faces.TestFace
    align = True
"""


def landmarks() -> NDArray[np.float64]:
    """Landmarks in each window of the detector, in pixels of its input, (49, 5, 2)."""
    windows = scenery.INPUT // scenery.CELL - 1
    centres = scenery.CELL * (1 + np.indices((windows, windows)).reshape(2, -1)[::-1]).T
    return centres[:, None] - SIZE / 2 + TEMPLATE.astype(np.float64) * (SIZE / SIDE)


def shifted(share: float, *, seed: int = 0) -> NDArray[np.float64]:
    """Landmarks that each window shifts its own way by a share of the distance of the eyes."""
    turns = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(landmarks()))
    way = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    return landmarks() + share * EYES * way[:, None]


def swapped(every: int = 1) -> NDArray[np.float64]:
    """Landmarks whose left eye is the right one, in every such window."""
    points = landmarks()
    points[::every] = points[::every, [1, 0, 2, 3, 4]]
    return points


def collapsed() -> NDArray[np.float64]:
    """Landmarks that are all where the nose is."""
    return np.repeat(landmarks()[:, 2:3], 5, axis=1)


def detector(points: NDArray[np.float64] | None = None) -> onnx.ModelProto:
    """The detector of `scenery` with landmarks, output 1 x 21 x 49."""
    given = landmarks() if points is None else points
    seen = np.ones((*given.shape[:2], 1))
    channels = np.concatenate([given, seen], axis=2).reshape(len(given), -1).T[None]
    model = scenery.detector()
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(channels.astype(np.float32), "points"))
    (last,) = (node for node in graph.node if node.name == "concat")
    last.input.append("points")
    graph.output[0].type.tensor_type.shape.dim[1].dim_value += channels.shape[1]
    return model


def embedder() -> onnx.ModelProto:
    """The embedder of `population` behind an average of 7 x 7 pixels."""
    model = population.embedder()
    graph, window = model.graph, SIDE // SIZE
    pool = helper.make_node(
        "AveragePool", ["input"], ["small"], name="pool",
        kernel_shape=[window] * 2, strides=[window] * 2,
    )  # fmt: skip
    graph.node[0].input[0] = "small"
    graph.node.insert(0, pool)
    for axis in (2, 3):
        graph.input[0].type.tensor_type.shape.dim[axis].dim_value = SIDE
    return model


def write_upright(root: Path, *, people: int = 200) -> Path:
    """Write both models with data and gates, applicants and a pipeline; return its gate file.

    The detector that ships is the file that `ship` writes, whatever its landmarks are.
    """
    gate = scenery.write_project(
        root / "detector",
        precisions='Prequantized("../other.onnx")',
        fallback=None,
        task="keypoints=5, confidence=0.5",
        limits="keypoint_error=0.99, keypoint_error_p95=0.99",
        model=detector(),
    )
    text = gate.read_text().replace("Preprocess, Recipe", "Prequantized, Preprocess, Recipe")
    (root / "detector" / "gate.py").write_text(text)
    gate.unlink()
    gate = population.write_project(root / "face", precisions='"fp16"', fallback=None)
    onnx.save(embedder(), root / "face" / "models" / "face.onnx")
    # Faces of applicants are bright red, so those of others are alike, and the threshold is high.
    for name, number, seed in (("calibration", 60, 1), ("selection", 330, 2), ("faces", 330, 3)):
        population.write_npz(root / "face" / f"{name}.npz", number, seed=seed, noise=4.0)
    text = gate.read_text().replace("size=(16, 16)", f"size=({SIDE}, {SIDE})")
    given = 'selection="selection.npz"'
    text = text.replace(given, f"{given}, threshold=0.96")
    text = text.replace("size_ratio=10.0", "size_ratio=10.0, frr=0.5")
    (root / "face" / "gate.py").write_text(text)
    gate.unlink()
    for name in ("detector", "face"):
        (root / name / "__init__.py").touch()
    write_applicants(root, people, attacked=0)
    ship(root, landmarks())
    return write_gate(root)


def ship(root: Path, points: NDArray[np.float64]) -> None:
    """Write the detector that ships, with other landmarks."""
    onnx.save(detector(points), root / "moved.onnx")
    quantize(root / "moved.onnx", None, "int8-weights", output=root / "other.onnx", overwrite=True)


def write_gate(root: Path, body: str = "") -> Path:
    """Write the pipeline's gate file with additional lines in its class."""
    gate = root / "test_pipeline.py"
    gate.write_text(GATE + textwrap.indent(textwrap.dedent(body), "    "))
    return gate
