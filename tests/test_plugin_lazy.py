"""A suite that uses no gate pays nothing: no heavy import, no output."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("onnx", "onnxruntime", "scipy", "PIL", "numpy", "tabulate")
CHECK = """
import sys
import pytest

class Watch:
    def pytest_unconfigure(self):
        heavy = {heavy!r}
        print("HEAVY:", [name for name in heavy if name in sys.modules])

code = pytest.main({arguments!r}, plugins=[Watch()])
print("CODE:", int(code), "PLUGIN:", "pytest_kycquant.plugin" in sys.modules)
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--fixtures"], ["--markers"], ["test_plain.py"], ["-n", "1", "test_plain.py"]],
    ids=" ".join,
)
def test_nothing_heavy_is_imported(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "test_plain.py").write_text("def test_it(): pass\n")
    result = subprocess.run(
        [sys.executable, "-c", CHECK.format(heavy=HEAVY, arguments=arguments)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "HEAVY: []" in result.stdout, result.stdout
    assert "CODE: 0 PLUGIN: True" in result.stdout, result.stdout


def test_worker_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text(
        f"import sys\ndef test_it():\n    assert not set({HEAVY}) & set(sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-n1", "-q"], cwd=tmp_path, capture_output=True, text=True
    )
    assert "1 passed" in result.stdout, result.stdout


def test_gate_file_collects_without_heavy_imports(tmp_path: Path) -> None:
    (tmp_path / "test_gate.py").write_text(
        "from pytest_kycquant import FaceGates, FaceVerification, KycModel, Preprocess\n"
        "class TestIt(FaceGates):\n"
        "    model = KycModel('m.onnx', preprocess=Preprocess((8, 8)), task=FaceVerification('d'))"
    )
    arguments = ["--collect-only", "-q"]
    result = subprocess.run(
        [sys.executable, "-c", CHECK.format(heavy=HEAVY, arguments=arguments)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "12 tests collected" in result.stdout
    assert "HEAVY: []" in result.stdout, result.stdout


def test_pipeline_collects_without_heavy_imports(tmp_path: Path) -> None:
    (tmp_path / "test_gate.py").write_text(
        "from pytest_kycquant import *\n"
        "class Face(FaceGates):\n"
        "    model = KycModel('f.onnx', Preprocess((8, 8)), FaceVerification('d'))\n"
        "class Detector(DetectionGates):\n"
        "    model = KycModel('d.onnx', Preprocess((8, 8)),\n"
        "                     ObjectDetection('d', 'l', classes=('face',)))\n"
        "class TestPipeline(PipelineGates):\n"
        "    images, detector, face, embedder = 'photos', Detector, 'face', Face\n"
    )
    arguments = ["--collect-only", "-q"]
    result = subprocess.run(
        [sys.executable, "-c", CHECK.format(heavy=HEAVY, arguments=arguments)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "3 tests collected" in result.stdout
    assert "HEAVY: []" in result.stdout, result.stdout
