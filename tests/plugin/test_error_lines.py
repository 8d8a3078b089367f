"""What a gate file says wrongly is shown at its own line, which is the last one that is shown."""

from __future__ import annotations

import pytest

from tests.worlds.population import Run

HEAD = """
from dataclasses import replace

import pytest
from pytest_kycquant import (
    FaceGates, FaceLimits, FaceVerification, KycModel, Preprocess, Recipe, presets, quantize
)

MODEL = KycModel("a.onnx", Preprocess(size=(8, 8)), FaceVerification("faces"))
"""
# What a file adds, the line that is shown, and what is said.
WRONG = {
    "limit": (
        "class TestA(FaceGates):\n    model = MODEL\n    limits = FaceLimits(fra=0.1)\n",
        "limits = FaceLimits(fra=0.1)",
        "FaceLimits: has no argument 'fra'; did you mean 'far'?",
    ),
    "copy": (
        'CHANGED = replace(presets.ARCFACE, chanels="BGR")\n',
        'CHANGED = replace(presets.ARCFACE, chanels="BGR")',
        "Preprocess: has no argument 'chanels'; did you mean 'channels'?",
    ),
    "preset": (
        'MINE = presets.arcface("a.onnx", "faces", trheshold=0.3)\n',
        'MINE = presets.arcface("a.onnx", "faces", trheshold=0.3)',
        "presets.arcface: has no argument 'trheshold'; did you mean 'threshold'?",
    ),
    "missing": (
        'MINE = presets.arcface("a.onnx")\n',
        'MINE = presets.arcface("a.onnx")',
        "presets.arcface: missing a required argument: 'data'; its arguments are path, data, ",
    ),
    "helper": (
        'def made(**more):\n    return Recipe("int8", **more)\n\n\nMINE = made(methd="mse")\n',
        'return Recipe("int8", **more)',
        "Recipe: has no argument 'methd'; did you mean 'calibration_method'?",
    ),
    "attribute": (
        "class TestA(FaceGates):\n    model = MODEL\n    fallbck = None\n",
        "class TestA(FaceGates):",
        "TestA.fallbck: is not an attribute of gates; did you mean 'fallback'?",
    ),
    "fallback": (
        'class TestA(FaceGates):\n    model = MODEL\n\n    fallback = "mixd"\n',
        'fallback = "mixd"',
        "TestA.fallback: 'mixd' is unknown; did you mean 'mixed'?",
    ),
    "inherited": (
        'class Ours(FaceGates):\n    profile = "standrd"\n\n\n'
        "class TestA(Ours):\n    model = MODEL\n",
        'profile = "standrd"',
        "TestA.profile: 'standrd' is unknown; did you mean 'standard'?",
    ),
    "marker": (
        '@pytest.mark.skipif(False, reason="")\n@pytest.mark.kycquant(modle=MODEL)\n'
        "def test_a(candidate):\n    pass\n",
        "@pytest.mark.kycquant(modle=MODEL)",
        "test_a: unknown argument 'modle'; did you mean 'model'?",
    ),
}
RUNNING = """
import pytest
from pytest_kycquant import FaceLimits, quantize


@pytest.fixture
def made():
    return quantize("a.onnx", None, "int8", tthreads=1)


def test_fixture(made):
    pass


def limits():
    return FaceLimits(0.1)


def test_body():
    limits()
"""


def section(lines: list[str], title: str) -> list[str]:
    """The lines below a heading, up to the next one."""
    start = next(i for i, line in enumerate(lines) if line.strip("_ ") == title)
    end = next(i for i in range(start + 1, len(lines)) if lines[i][:1] in "_=")
    return lines[start + 1 : end]


def test_while_files_are_collected(pytester: pytest.Pytester, run: Run) -> None:
    for name, (text, _, _) in WRONG.items():
        pytester.path.joinpath(f"test_wrong_{name}.py").write_text(HEAD + text)
    result = run()
    for name, (text, shown, message) in WRONG.items():
        file = f"test_wrong_{name}.py"  # no name of a module of these tests
        found = section(result.outlines, f"ERROR collecting {file}")
        frames = [line for line in found if not line.startswith(("    ", "E "))]
        number = next(i for i, line in enumerate((HEAD + text).split("\n"), 1) if shown in line)
        assert all(frame.startswith(f"{file}:") for frame in frames), found
        assert frames[-1].startswith(f"{file}:{number}: in ")
        assert f"    {shown}" in found
        (said,) = (line for line in found if line.startswith("E "))
        assert message in said
    assert "Traceback" not in result.stdout.str()


def test_while_tests_run(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(RUNNING)
    result = run()
    fixture = section(result.outlines, "ERROR at setup of test_fixture")
    assert [line for line in fixture if line[:1] not in " E"] == [
        "test_while_tests_run.py:7: in made"
    ]
    assert "quantize: has no argument 'tthreads'; did you mean 'threads'?" in fixture[-1]
    body = section(result.outlines, "test_body")
    assert [line for line in body if line[:1] not in " E"] == [
        "test_while_tests_run.py:19: in test_body",
        "test_while_tests_run.py:15: in limits",
    ]
    assert "FaceLimits: too many positional arguments; its arguments are " in body[-1]
