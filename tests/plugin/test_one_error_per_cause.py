"""The first test that fails by a cause explains it; all others name that test in one line."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worlds.outcomes import stopped
from tests.worlds.population import Run

SHORT = "; see the error of "


def errors(result: pytest.RunResult) -> list[str]:
    """The messages of all errors, as they stand below their headings."""
    text = result.stdout.str().partition("= ERRORS")[2].partition("= short test summary")[0]
    text = text.partition("= kycquant =")[0]
    lines = [line.removeprefix("E").strip() for line in text.splitlines()]
    return [line for line in lines if ": " in line and "; " in line and line[:1] not in "_=["]


@pytest.mark.parametrize("options", [(), ("-n", "2"), ("--kycquant-profile=smoke",)], ids=str)
def test_a_wrong_model_path_is_said_first_and_once(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    """Nothing else of these gates exists, either: no data, no calibration set, no golden."""
    project(golden=False, precisions='"fp16", "int8"')
    gate = pytester.path / "test_gate.py"
    text = gate.read_text().replace("models/face.onnx", "models/fase.onnx")
    gate.write_text(text.replace('"faces.npz"', '"no.npz"').replace("calibration.npz", "no.npz"))
    (pytester.path / "test_other.py").write_text(gate.read_text())
    result = run(*options, "--junitxml=j.xml")
    stopped(result, 24)
    (message,) = errors(result)
    assert message.startswith("KycModel.path: ")
    assert message.endswith("models/fase.onnx does not exist; did you mean 'face.onnx'?")
    # Reports for machines keep all of them, and say where to look.
    cases = list(ET.parse(pytester.path / "j.xml").getroot().iter("error"))
    assert len(cases) == 24
    short = [case for case in cases if SHORT in str(case.get("message"))]
    assert len(short) == 23
    assert len({case.get("message") for case in short}) == 1


def test_each_precision_that_cannot_be_made(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project(golden=False, precisions='Recipe("int8", keep_fp32=("nothing",)), "fp16"')
    result = run("--kycquant-update-golden", "--kycquant-report=r.json")
    stopped(result, 6, passed=6)
    (message,) = errors(result)
    assert "nothing" in message
    # What others read has the whole text, whichever test came first.
    assert message in "\n".join(json.loads((pytester.path / "r.json").read_text())["problems"])


def test_a_pipeline_and_the_gates_of_its_stages(
    pipeline_project: Callable[..., Path], run: Run, pytester: pytest.Pytester
) -> None:
    root = pipeline_project()
    (root / "golden" / "face.json").unlink()
    gate = root / "face" / "gate.py"
    gate.rename(gate.with_name("test_face.py"))
    pipeline = root / "test_pipeline.py"
    pipeline.write_text(
        pipeline.read_text().replace("from face import gate", "from face import test_face")
    )
    result = run()
    stopped(result, 10)
    messages = errors(result)
    assert len(messages) == 1
    assert all("face.json: there is no golden baseline yet" in message for message in messages)
    result.stdout.fnmatch_lines(
        [
            "kycquant: ERROR: there is no golden baseline yet: golden/face.json",
            "next: pytest*--kycquant-update-golden* records the golden that is missing",
        ]
    )


def test_what_is_wrong_comes_first_and_recording_names_the_gates(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    """To record all goldens would replace one that was edited, and with it what it shows."""
    project()
    golden = pytester.path / "golden" / "face.json"
    golden.write_text(golden.read_text().replace('"latency_ms":', '"latency_ms": 1, "was":'))
    gate = (pytester.path / "test_gate.py").read_text()
    second = gate.replace('face.onnx"', 'face.onnx", name="second"').replace("TestFace", "TestNext")
    (pytester.path / "test_next.py").write_text(second)
    result = run("--kycquant-report=r.json")
    assert result.parseoutcomes() == {"errors": 2, "unjudged": 10}
    result.stdout.fnmatch_lines(
        [
            "kycquant: ERROR: TestFace: has the wrong fields *; and 1 more",
            "next: restore it from version control, or record it anew with: pytest "
            "test_gate.py::TestFace --kycquant-update-golden",
        ]
    )
    again = run("--kycquant-update-golden", "-k", "TestFace")
    again.stdout.fnmatch_lines(["golden: the one that this replaces has the wrong fields *"])
    run().stdout.fnmatch_lines(
        [
            "kycquant: ERROR: there is no golden baseline yet: golden/second.json",
            "next: pytest test_next.py::TestNext --kycquant-update-golden records the golden *",
        ]
    )


def test_an_fp32_that_fails_is_the_verdict_with_what_to_do(
    document_project: Callable[..., None], run: Run
) -> None:
    metric = "def misread(outputs, labels):\n    return outputs.argmax(axis=1) == labels\n"
    document_project(golden=False, metric=metric)
    result = run("--kycquant-update-golden", "-q")
    result.stdout.fnmatch_lines(
        [
            "kycquant: ERROR: TestDocument: FP32 itself fails its limits (FAIL misread = 100 % *",
            "next: check *",
        ]
    )


def test_the_models_of_all_stages_are_looked_for_first(
    pipeline_project: Callable[..., Path], run: Run
) -> None:
    root = pipeline_project()
    (root / "golden" / "detector.json").unlink()
    gate = root / "face" / "gate.py"
    gate.write_text(gate.read_text().replace("models/face.onnx", "models/fase.onnx"))
    result = run()
    stopped(result, 4)
    (message,) = errors(result)
    assert "fase.onnx" in message
    assert "did you mean 'face.onnx'?" in message


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=str)
def test_files_that_import_each_other(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    project(golden=False)
    gate = pytester.path / "test_gate.py"
    gate.write_text(gate.read_text().replace("size_ratio=", "size_ration="))
    (pytester.path / "test_later.py").write_text("import test_gate\n")
    (pytester.path / "test_next.py").write_text("from test_gate import TestFace as Face\n")
    result = run(*workers)
    messages = [message for message in errors(result) if SHORT not in message]
    (message,) = messages
    assert "FaceLimits: has no argument 'size_ration'; did you mean 'size_ratio'?" in message
    result.stdout.fnmatch_lines(
        ["FaceLimits: this file cannot be collected; see the error of test_gate.py"]
    )
    if not workers:  # pytest-xdist stops early
        result.assert_outcomes(errors=3)
