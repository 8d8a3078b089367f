"""Whole photographs without labels are cropped around their faces, for one model and for a pair."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tests.worlds.population import Run
from tests.worlds.unlabelled import pixels, write_unlabelled


def photographs(pytester: pytest.Pytester) -> None:
    """Write captures as the middle of photographs twice as large, with a box around the face."""
    root = pytester.path
    rng = np.random.default_rng(0)
    rows = ["file,x1,y1,x2,y2"]
    for role, count, seed in (("calibration", 100, 1), ("images", 200, 3)):
        (root / role).mkdir()
        for index, capture in enumerate(pixels("liveness", count, seed)):
            image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            image[8:24, 8:24] = capture
            Image.fromarray(image).save(root / role / f"{index:03d}.png")
            rows.append(f"{role}/{index:03d}.png,12,12,20,20")
    (root / "boxes.csv").write_text("\n".join(rows))


def write(pytester: pytest.Pytester, scale: str) -> None:
    options = f'boxes="boxes.csv", crop_scale={scale}'
    gate = write_unlabelled(pytester.path, "liveness", precisions='"fp16"', options=options)
    text = (
        gate.read_text().replace("images.npz", "images").replace("calibration.npz", "calibration")
    )
    gate.write_text(text.replace("(16, 16)", '(16, 16), resize="bilinear"'))


def test_crops(pytester: pytest.Pytester, run: Run) -> None:
    photographs(pytester)
    write(pytester, "1.8")
    result = run("--kycquant-update-golden", "-k", "test_agreement")
    result.assert_outcomes(passed=1, deselected=3)
    golden = json.loads((pytester.path / "golden" / "model.json").read_text())
    rejected = golden["rates"]["rejected captures"]
    assert 100 < rejected["errors"] < 160  # two in three are attacks
    assert rejected["trials"] == 200
    write(pytester, "1.5")
    run("-k", "test_agreement").stdout.fnmatch_lines(["*model.json: is stale: crops changed *"])


def test_a_pair_of_models(pytester: pytest.Pytester, run: Run) -> None:
    photographs(pytester)
    write(pytester, "(1.8, 2.0)")
    gate = pytester.path / "test_gate.py"
    pair = '("models/model.onnx", "models/second.onnx"), name="pair"'
    gate.write_text(gate.read_text().replace('"models/model.onnx"', pair))
    model = (pytester.path / "models" / "model.onnx").read_bytes()
    (pytester.path / "models" / "second.onnx").write_bytes(model)
    result = run("--kycquant-update-golden", "-k", "test_agreement")
    result.assert_outcomes(passed=1, deselected=3)
    result.stdout.fnmatch_lines(["fp16 * PASS (only agreement)"])


def test_a_photograph_without_a_box(pytester: pytest.Pytester, run: Run) -> None:
    photographs(pytester)
    write(pytester, "1.8")
    boxes = pytester.path / "boxes.csv"
    boxes.write_text("\n".join(boxes.read_text().splitlines()[:-1]))
    result = run("--kycquant-update-golden", "-k", "test_agreement")
    result.assert_outcomes(errors=1, deselected=3)
    result.stdout.fnmatch_lines(["*199.png*"])
