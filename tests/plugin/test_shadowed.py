"""Gates that nobody runs: hidden by a second definition, or without a fixture to judge by."""

from __future__ import annotations

import types

import pytest

from pytest_kycquant.errors import GateCollectionWarning, SpecError
from pytest_kycquant.plugin.shadowed import refuse_shadowed

HEAD = """
import pytest
import pytest_kycquant as kyc
from pytest_kycquant import FaceGates, FaceVerification, KycModel, Preprocess

MODEL = KycModel("face.onnx", preprocess=Preprocess(size=(16, 16)), task=FaceVerification("d"))
marked = pytest.mark.kycquant(model=MODEL)

"""
GATE = "class TestFace(FaceGates):\n    model = MODEL\n"
MARKED = "@pytest.mark.kycquant(model=MODEL)\n"


def collect(pytester: pytest.Pytester, body: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(test_gate=HEAD + body)
    return pytester.runpytest_inprocess("--collect-only", *options)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (GATE + GATE, "TestFace"),
        (GATE + "class TestFace:\n    def test_it(self): pass\n", "TestFace"),
        (GATE + "def TestFace(): pass\n", "TestFace"),
        (GATE.replace("(FaceGates)", "(kyc.FaceGates)") + GATE, "TestFace"),
        (
            "class Base(FaceGates):\n    strict = True\n"
            "class TestA(Base):\n    model = MODEL\nclass TestA(Base):\n    model = MODEL\n",
            "TestA",
        ),
        (f"{MARKED}def test_a(candidate): pass\n" * 2, "test_a"),
        (f"{MARKED}class TestA:\n    def test_a(self, candidate): pass\n" * 2, "TestA"),
        (
            GATE + "    def test_mine(self, candidate): assert 0\n"
            "    def test_mine(self, candidate): pass\n",
            "TestFace.test_mine",
        ),
        (
            "class TestA:\n    pytestmark = pytest.mark.kycquant(model=MODEL)\n"
            "    def test_a(self, candidate): assert 0\n    def test_a(self, candidate): pass\n",
            "TestA.test_a",
        ),
        (
            "pytestmark = pytest.mark.kycquant(model=MODEL)\n"
            + "def test_a(candidate): pass\n" * 2,
            "test_a",
        ),
    ],
)
def test_a_definition_that_hides_another_is_refused(
    pytester: pytest.Pytester, body: str, name: str
) -> None:
    result = collect(pytester, body)
    result.stdout.fnmatch_lines(
        [f"*test_gate.py: {name}: is defined in line * and again in line *"]
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED


@pytest.mark.parametrize(
    "body",
    [
        GATE,
        "if MODEL:\n    class TestA(FaceGates):\n        model = MODEL\n"
        "else:\n    class TestA(FaceGates):\n        model = None\n",
        GATE + "class TestOther:\n    def test_a(self): pass\n    def test_a(self): pass\n",
        GATE + "def helper(): pass\ndef helper(): pass\n",
        GATE + "    @property\n    def size(self): return 1\n"
        "    @size.setter\n    def size(self, value): pass\n",
    ],
)
def test_other_definitions_are_left_alone(pytester: pytest.Pytester, body: str) -> None:
    result = collect(pytester, body)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("*again in line*")


def test_a_file_that_is_no_source_any_more_is_left_alone(pytester: pytest.Pytester) -> None:
    file = pytester.path / "test_gone.py"
    names = {"error": SpecError}
    refuse_shadowed(file, names)
    file.write_bytes(b"def \xff(")
    refuse_shadowed(file, names)


@pytest.mark.parametrize(
    "body",
    [
        f"{MARKED}def test_a(): pass\n",
        f"{MARKED}class TestA:\n    def test_a(self): pass\n    def test_b(self, tmp_path): pass\n",
        f"import unittest\n{MARKED}class TestA(unittest.TestCase):\n    def test_a(self): pass\n",
    ],
)
def test_a_gate_without_a_fixture_to_judge_by_is_warned_of(
    pytester: pytest.Pytester, body: str
) -> None:
    result = collect(pytester, body)
    result.stdout.fnmatch_lines(["*GateCollectionWarning: gate test_gate.py::* judges nothing: *"])


def test_a_gate_that_only_looks_at_its_golden_is_left_alone(pytester: pytest.Pytester) -> None:
    result = collect(pytester, f"{MARKED}def test_a(golden): pass\n")
    result.stdout.no_fnmatch_line(f"*{GateCollectionWarning.__name__}*")


@pytest.mark.parametrize("fixture", ["candidate", "golden", "quantize"])
def test_a_fixture_with_a_default_is_refused(pytester: pytest.Pytester, fixture: str) -> None:
    result = collect(pytester, f"{MARKED}def test_a({fixture}=None): pass\n")
    result.stdout.fnmatch_lines([f"*gives the fixture '{fixture}' a default value*"])
    assert result.ret == pytest.ExitCode.INTERRUPTED


@pytest.mark.parametrize("name", ["__class__", "__module__", "__name__"])
def test_objects_that_refuse_to_be_looked_at_are_not_looked_at(
    pytester: pytest.Pytester, name: str
) -> None:
    """Proxies of web frameworks raise outside of a request, and the plugin sees every suite."""

    def refuse(self: object) -> None:
        raise RuntimeError("outside of a request")

    proxy = type("Proxy", (), {name: property(refuse)})()
    refuse_shadowed(pytester.path / "test_any.py", {"request": proxy})


@pytest.mark.parametrize("name", ["__module__", "__name__"])
def test_classes_and_modules_that_refuse_are_not_looked_at(
    pytester: pytest.Pytester, name: str
) -> None:
    def refuse(*arguments: object) -> None:
        raise RuntimeError("not yet")

    lazy = types.ModuleType("lazy")
    del lazy.__name__
    lazy.__getattr__ = refuse  # type: ignore[method-assign]
    model = type("Meta", (type,), {name: property(refuse)})("Model", (), {})
    refuse_shadowed(pytester.path / "test_any.py", {"lazy": lazy, "Model": model})
