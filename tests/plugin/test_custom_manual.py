"""The gate file in docs/custom.md runs unchanged, on a folder for each class."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.worlds.documents import CLASSES
from tests.worlds.population import Run
from tests.worlds.presentations import detector, presentations

PAGE = Path(__file__).parents[2] / "docs" / "custom.md"
KINDS = dict(zip(CLASSES, ("passport", "card", "licence"), strict=True))


@pytest.fixture
def project(pytester: pytest.Pytester) -> None:
    """Write the model of `presentations`, which reads only small images, and 660 people."""
    (pytester.path / "models").mkdir()
    (pytester.path / "models" / "document_type.onnx").write_bytes(detector())
    (pytester.path / "calibration" / "documents").mkdir(parents=True)
    for index, pixels in enumerate(presentations(40, seed=1)[0]):
        path = pytester.path / "calibration" / "documents" / f"{index:03d}.png"
        Image.fromarray(pixels).save(path)
    pixels, _, species, names = presentations(660, seed=3)
    for image, kind, name in zip(
        pixels, np.where(species == "", "live", species), names, strict=True
    ):
        folder = pytester.path / "data" / "documents" / KINDS[str(kind)] / str(name)
        folder.mkdir(parents=True)
        Image.fromarray(image).save(folder / "1.png")
    block = re.search(r"```python\n(from .*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    text = block[1].replace("size=(224, 224)", "size=(16, 16)")
    # A latency of microseconds is not worth gating, and so small a graph cannot shrink.
    limits = "degradation=0.01, latency_ratio=1000.0, size_ratio=10.0)"
    text = text.replace("degradation=0.01)", limits)
    (pytester.path / "test_gate.py").write_text(text)


def test_gate_file(project: None, run: Run) -> None:
    run("--kycquant-update-golden").assert_outcomes(passed=10)
    result = run()
    result.assert_outcomes(passed=10)
    result.stdout.fnmatch_lines(["document_type, test_gate.py::TestDocumentType"])
