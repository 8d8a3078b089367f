"""A gate that exists but is not collected gates nothing, and must not do so silently."""

from __future__ import annotations

import pytest

HEAD = """
import dataclasses
import pytest
from pytest_kycquant import *
MODEL = KycModel("a.onnx", Preprocess(size=(16, 16)), FaceVerification("faces"))
"""


def collect(pytester: pytest.Pytester, body: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(test_gate=HEAD + body)
    return pytester.runpytest_inprocess("--collect-only", "-Wdefault", "-q", *arguments)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("class ArcFace(FaceGates):\n    model = MODEL", "gate class ArcFace"),
        ("class testFace(FaceGates):\n    model = MODEL", "gate class testFace"),
        ("class ArcFaceTest(FaceGates):\n    model = MODEL", "gate class ArcFaceTest"),
        ("class _TestFace(FaceGates):\n    model = MODEL", "gate class _TestFace"),
        (
            "class Models:\n    class TestFace(FaceGates):\n        model = MODEL",
            "gate class Models.TestFace",
        ),
        (
            "class Models:\n    class A:\n        class TestFace(FaceGates):\n"
            "            model = MODEL",
            "gate class Models.A.TestFace",
        ),
        ("@pytest.mark.kycquant(model=MODEL)\ndef face(candidate): pass", "gate face[(][)]"),
        ("class Flow(PipelineGates):\n    detector = None", "gate class Flow"),
        (
            "@pytest.mark.kycquant(model=MODEL)\nclass Strict:\n"
            "    def test_a(self, candidate): pass",
            "gate class Strict",
        ),
        (
            "class Strict:\n    @pytest.mark.kycquant(model=MODEL)\n"
            "    def test_a(self, candidate): pass",
            "gate class Strict",
        ),
        (
            "class Strict:\n    pytestmark = pytest.mark.kycquant(model=MODEL)\n"
            "    def test_a(self, candidate): pass",
            "gate class Strict",
        ),
        (
            "class Models:\n    class Strict:\n        @staticmethod\n"
            "        @pytest.mark.kycquant(model=MODEL)\n        def test_a(candidate): pass",
            "gate class Models.Strict",
        ),
        (
            "class TestAll:\n    @pytest.mark.kycquant(model=MODEL)\n"
            "    def a(self, candidate): pass",
            "gate TestAll.a[(][)]",
        ),
        (
            "class TestFace(FaceGates):\n    model = MODEL\n"
            "    @pytest.mark.kycquant(model=MODEL)\n    def mine(self, candidate): pass",
            "gate TestFace.mine[(][)]",
        ),
    ],
)
def test_warns(pytester: pytest.Pytester, body: str, named: str) -> None:
    result = collect(pytester, body)
    result.stdout.fnmatch_lines([f"*GateCollectionWarning: {named} is not collected, so it gates*"])


@pytest.mark.parametrize(
    "body",
    [
        "class TestFace(FaceGates):\n    model = MODEL",
        "class Base(FaceGates):\n    model = MODEL\nclass TestFace(Base): pass",
        "class Base(FaceGates):\n    strict = True",
        "class Helper(FaceGates):\n    __test__ = False\n    model = MODEL",
        "class TestAll:\n    class TestFace(FaceGates):\n        model = MODEL",
        "@pytest.mark.kycquant(model=MODEL)\ndef test_face(candidate): pass",
        "from pytest_kycquant import FaceGates as ArcFace",
        "@pytest.mark.kycquant(model=MODEL)\nclass TestIt:\n    def test_a(self, candidate): pass",
        "class Rules:\n    @pytest.mark.kycquant(model=MODEL)\n"
        "    def test_a(self, candidate): pass\nclass TestIt(Rules): pass",
        "@pytest.mark.slow\nclass Strict:\n    def test_a(self): pass",
        "@pytest.mark.kycquant(model=MODEL)\nclass Helper:\n    __test__ = False",
    ],
)
def test_does_not_warn(pytester: pytest.Pytester, body: str) -> None:
    result = collect(pytester, body)
    result.stdout.no_fnmatch_line("*GateCollectionWarning*")
    assert result.ret in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("class TestFace(FaceGates):\n    model = MODEL", "gate class TestFace"),
        (
            "@pytest.mark.kycquant(model=MODEL)\ndef test_face(candidate): pass",
            "gate test_face[(][)]",
        ),
        (
            "class TestIt:\n    @pytest.mark.kycquant(model=MODEL)\n"
            "    def test_a(self, candidate): pass",
            "gate class TestIt",
        ),
    ],
)
def test_conftest_is_not_collected(pytester: pytest.Pytester, body: str, named: str) -> None:
    pytester.makeconftest(HEAD + body)
    result = collect(pytester, "def test_other(): pass")
    result.stdout.fnmatch_lines([f"*{named} of conftest.py is not collected, so it gates nothing*"])
    result = collect(pytester, "", "-Werror")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


@pytest.mark.parametrize(
    "body",
    [
        "class Base(FaceGates):\n    model = MODEL",  # its subclasses may be elsewhere
        "class TestBase(FaceGates):\n    strict = True",
        "@pytest.fixture\ndef test_data(): pass",
        "",
    ],
)
def test_conftest_without_gates(pytester: pytest.Pytester, body: str) -> None:
    pytester.makeconftest(HEAD + body)
    result = collect(pytester, "def test_other(): pass")
    result.stdout.no_fnmatch_line("*GateCollectionWarning*")


def test_conftest_that_is_collected(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\npython_files = *.py")
    pytester.makeconftest(HEAD + "class TestFace(FaceGates):\n    model = MODEL")
    result = pytester.runpytest_inprocess("--collect-only", "-Wdefault", "-q")
    result.stdout.fnmatch_lines(["conftest.py::TestFace::test_far*"])
    result.stdout.no_fnmatch_line("*GateCollectionWarning*")


def test_imported_class_is_left_to_its_own_module(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(stages=HEAD + "class ArcFace(FaceGates):\n    model = MODEL")
    result = collect(pytester, "from stages import ArcFace")
    result.stdout.no_fnmatch_line("*GateCollectionWarning*")


def test_pattern_of_classes_is_respected(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\npython_classes = *Gates Check*")
    result = collect(
        pytester,
        "class CheckFace(FaceGates):\n    model = MODEL\n"
        "class TestFace(FaceGates):\n    model = MODEL",
    )
    result.stdout.fnmatch_lines(
        ["*::CheckFace::test_far*", "*gate class TestFace is not collected*"]
    )


def test_warning_can_be_an_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_gate=HEAD + "class ArcFace(FaceGates):\n    model = MODEL")
    result = pytester.runpytest_inprocess("-Werror")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*gate class ArcFace is not collected*"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (
            "@dataclasses.dataclass\nclass TestFace(FaceGates):\n    model = MODEL",
            "TestFace: has __init__, so pytest does not collect its gates",
        ),
        (
            "class TestFace(FaceGates):\n    model = MODEL\n"
            "TestFace.test_far = lambda self, candidate: None",
            "TestFace.test_far: replaces a gate of FaceGates",
        ),
        (
            "class TestFace(FaceGates):\n    model = MODEL\nTestFace.test_far = None",
            "TestFace.test_far: replaces a gate of FaceGates",
        ),
        (
            "class TestFace(FaceGates):\n    model = MODEL\n"
            "def new(self): pass\nTestFace.__init__ = new",
            "TestFace: has __init__, so pytest does not collect its gates",
        ),
    ],
)
def test_class_that_was_changed_afterwards(
    pytester: pytest.Pytester, body: str, problem: str
) -> None:
    result = collect(pytester, body)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([f"*{problem}*"])


def test_pattern_of_functions_that_excludes_the_gates(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\npython_functions = check_*")
    result = collect(
        pytester,
        "class TestFace(FaceGates):\n    model = MODEL\n    def check_mine(self, candidate): pass",
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["*this gate is not collected, because of the ini option python_f*"]
    )
