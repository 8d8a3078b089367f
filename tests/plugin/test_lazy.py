"""A suite without gates pays nothing: no heavy import, no output."""

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
print("CODE:", int(code), "PLUGIN:", "pytest_kycquant.plugin.hooks" in sys.modules)
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


# The modules that a suite without gates loads, from the first option to the last line. Each of
# these is imported by every pytest on the machine: add one only if nothing else will do.
LOADED = [
    "",
    ".errors",
    ".plugin",
    ".plugin.collection",
    ".plugin.fixtures",
    ".plugin.gated",
    ".plugin.hooks",
    ".plugin.options",
    ".plugin.session",
    ".plugin.shadowed",
    ".plugin.summary",
    ".spec",
    ".spec.flags",
]
LIST = """
import sys
import pytest

class Watch:
    def pytest_unconfigure(self):
        print("OURS:", sorted(name for name in sys.modules if name.startswith("pytest_kycquant")))

print("CODE:", int(pytest.main({arguments!r}, plugins=[Watch()])))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--fixtures"],
        ["--markers"],
        ["test_plain.py"],
        ["-n", "1", "test_plain.py"],
        ["--kycquant-threads=2", "--kycquant-strict", "test_plain.py"],
    ],
    ids=" ".join,
)
def test_only_the_beginning_is_loaded(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "test_plain.py").write_text(PLAIN)
    (tmp_path / "pytest.ini").write_text("[pytest]\nkycquant_inconclusive = warn\n")
    result = subprocess.run(
        [sys.executable, "-c", LIST.format(arguments=arguments)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"OURS: {[f'pytest_kycquant{name}' for name in LOADED]}" in result.stdout, result.stdout
    assert "CODE: 0" in result.stdout, result.stdout


PLAIN = f"""
import sys
import pytest

class TestPlain:
    def test_method(self):
        pass

@pytest.mark.parametrize("number", [1, 2])
def test_it(number):
    found = sorted(name for name in sys.modules if name.startswith("pytest_kycquant"))
    assert found == {[f"pytest_kycquant{name}" for name in LOADED]}
"""


FACE = """
from pytest_kycquant import FaceGates, FaceVerification, KycModel, Preprocess
class TestIt(FaceGates):
    model = KycModel("m.onnx", preprocess=Preprocess((8, 8)), task=FaceVerification("d"))
"""
PIPELINE = """
from pytest_kycquant import *
class Face(FaceGates):
    model = KycModel("f.onnx", Preprocess((8, 8)), FaceVerification("d"))
class Detector(DetectionGates):
    model = KycModel("d.onnx", Preprocess((8, 8)), ObjectDetection("d", "l", classes=("face",)))
class TestPipeline(PipelineGates):
    images, detector, face, embedder = "photos", Detector, "face", Face
"""


@pytest.mark.parametrize(("gate", "tests"), [(FACE, 12), (PIPELINE, 4)])
def test_gate_file_collects_without_heavy_imports(tmp_path: Path, gate: str, tests: int) -> None:
    (tmp_path / "test_gate.py").write_text(gate)
    arguments = ["--collect-only", "-q"]
    result = subprocess.run(
        [sys.executable, "-c", CHECK.format(heavy=HEAVY, arguments=arguments)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{tests} tests collected" in result.stdout
    assert "HEAVY: []" in result.stdout, result.stdout
