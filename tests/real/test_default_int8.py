"""The default INT8 of real detectors finds the faces that FP32 finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import pytest_kycquant
from pytest_kycquant import Recipe
from pytest_kycquant.runtimes.ort import open_session

Outputs = dict[str, NDArray[np.float32]]


def retinaface(outputs: Outputs) -> float:
    """Largest score of a face."""
    (scores,) = (array for array in outputs.values() if array.shape[-1] == 2)
    return float(scores[..., 1].max())


def yunet(outputs: Outputs) -> float:
    """Largest score of a face: the root of class times objectness, at three strides."""
    pairs = ((outputs[f"cls_{s}"], outputs[f"obj_{s}"]) for s in (8, 16, 32))
    return max(float(np.sqrt(a * b).max()) for a, b in pairs)


@pytest.mark.parametrize(
    ("name", "mean", "score"),
    [
        ("RetinaFace_mobile320.onnx", (104, 117, 123), retinaface),
        ("yunet_n_dynamic.onnx", (0, 0, 0), yunet),
    ],
)
def test_no_face_is_lost(
    real: Path,
    tmp_path: Path,
    name: str,
    mean: tuple[float, float, float],
    score: Callable[[Outputs], float],
) -> None:
    files = sorted((real / "scenes" / "images").iterdir())

    def tensor(file: Path) -> NDArray[np.float32]:
        picture = Image.open(file).convert("RGB").resize((320, 320))
        pixels = np.asarray(picture, np.float32)[..., ::-1] - np.array(mean, np.float32)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])

    source = real / "models" / name
    recipe = Recipe("int8", rewrites=False)
    target = tmp_path / "int8.onnx"
    made = pytest_kycquant.quantize(source, map(tensor, files[:16]), recipe, output=target)

    def scores(content: bytes) -> NDArray[np.float64]:
        session = open_session(content)
        names = [info.name for info in session.get_outputs()]
        (given,) = session.get_inputs()
        runs = (session.run(names, {given.name: tensor(file)}) for file in files[100:130])
        return np.array([score(dict(zip(names, each, strict=True))) for each in runs])

    fp32, int8 = scores(source.read_bytes()), scores(made.path.read_bytes())
    assert (fp32 >= 0.5).all()
    assert (int8 >= 0.5).all()
    assert np.abs(int8 - fp32).mean() < 0.1
