"""Full INT8 on LiteRT of real weights, on people that it was not calibrated with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_kycquant.errors import RuntimeUnavailableError
from pytest_kycquant.runtimes import onnx2tf

pytest.importorskip("litert_quantizer", reason="pip install -e .[litert]")
GATE = Path(__file__).with_name("gate_litert.py")
LEAST = 0.992  # litert-quantizer alone gives .9875


def test_int8_keeps_its_cosine(
    real: Path, people: Path, tmp_path: Path, run_gate: Callable[[Path], Any]
) -> None:
    try:
        onnx2tf.version_there()
    except RuntimeUnavailableError:
        pytest.skip(f"there is no environment of onnx2tf; run: {onnx2tf.COMMAND}")
    shutil.copy(GATE, tmp_path / "test_gate.py")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "mobilefacenet_fp32.onnx").symlink_to(real / "models" / "mobilefacenet_fp32.onnx")
    (tmp_path / "evaluation").symlink_to(real / "faces" / "evaluation")
    (tmp_path / "calibration").symlink_to(people / "calibration")
    found = run_gate(tmp_path)
    (gate,) = found.report["gates"]
    variants = {each["variant"]: each for each in gate["variants"]}
    for name in ("int8-litert", "integers"):
        variant = variants[name]
        assert variant["verdict"] == "PASS", found.printed
        assert variant["figures"]["cosine_mean"] >= LEAST, found.printed
        assert variant["size_ratio"] < 0.36
    assert variants["integers"]["options"]["float_fallback"] is False
    assert not any("floating point" in note for note in variants["integers"]["notes"])
    assert "compute in floating point: 33 PRELU" in variants["int8-litert"]["notes"]
