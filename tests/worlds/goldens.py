"""A golden of a model that does not exist, for tests of its file."""

from __future__ import annotations

from pytest_kycquant.bench.golden import Golden
from pytest_kycquant.plain import plain
from pytest_kycquant.statistics import rate_with

RATES = {"FAR": plain(rate_with(12, 10_000, 200, 2.5, 3))}
MODEL = {"name": "face", "sha256": "ab" * 32, "size": 100, "opset": 17}
INPUTS = {"evaluation": "cd", "pairs": None, "preprocess": {"size": [16, 16], "mean": 127.5}}
HERE = {
    "onnxruntime": "1.31",
    "onnx": "1.23",
    "numpy": "2.4",
    "pillow": "13",
    "python": "3.11",
    "system": "Linux",
    "cpu": "A",
    "features": ["avx2"],
    "u8s8_saturates": True,
}
FIGURES = {"mAP": 0.5}
GOLDEN = Golden(MODEL, INPUTS, 0.345, "given", RATES, 4.5, HERE, FIGURES)
COMMAND = "pytest test_face.py --kycquant-update-golden"
