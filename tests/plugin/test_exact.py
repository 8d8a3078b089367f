"""``--kycquant-exact``: INT8 without saturation, and what the report says about other CPUs.

The tests pass on CPUs of either kind. If a test sets the kind of this CPU, that affects only the
choice of the recipe and the report: the outputs come from the real kernels.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_kycquant.bench.portability import Saturated, exposure_note
from pytest_kycquant.quantize import Exposure
from pytest_kycquant.runtimes import OpenModel
from pytest_kycquant.runtimes.environment import environment, u8s8_saturates
from pytest_kycquant.runtimes.ort import OnnxRuntime
from tests.worlds.population import Run

EXACT = "--kycquant-exact"
REPORT = "--kycquant-report=report.json"
REDUCED = 'Recipe("int8", reduce_range=True)'
Project = Callable[..., None]


def spy_on(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each model that the runtime opens from now on, whether INT8 must not saturate."""
    found: list[bool] = []
    real = OnnxRuntime.open

    def spied(self: OnnxRuntime, model: bytes | Path, **given: Any) -> OpenModel:
        found.append(bool(given.get("exact", False)))
        return real(self, model, **given)

    monkeypatch.setattr(OnnxRuntime, "open", spied)
    return found


@pytest.fixture
def said_to_saturate(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Tell the plugin what kind of CPU this is."""

    def say(saturates: bool) -> None:
        known = replace(environment(), u8s8_saturates=saturates)
        monkeypatch.setattr("pytest_kycquant.bench.workspace.environment", lambda: known)

    return say


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each session that ran or timed a model, whether it was opened with the option."""
    return spy_on(monkeypatch)


def report_of(root: Path) -> dict[str, Any]:
    return dict(json.loads((root / "report.json").read_text()))


def int8_of(root: Path) -> dict[str, Any]:
    (gate,) = report_of(root)["gates"]
    return dict(next(row for row in gate["variants"] if row["variant"] == "int8"))


def test_variants_are_those_of_a_cpu_that_does_not_saturate(
    project: Project, run: Run, pytester: pytest.Pytester, said_to_saturate: Callable[[bool], None]
) -> None:
    project()
    digests = {}
    for saturates, option in ((True, []), (True, [EXACT]), (False, [])):
        said_to_saturate(saturates)
        run("--kycquant-update-golden", REPORT, *option)
        row = int8_of(pytester.path)
        assert row["options"]["reduce_range"] is (saturates and not option)
        digests[saturates, bool(option)] = row["sha256"]
    assert digests[True, True] == digests[False, False] != digests[True, False]
    said_to_saturate(True)
    result = run("--kycquant-update-golden", EXACT, "-v")
    result.stdout.fnmatch_lines(
        ["recipe of int8: full range: run without saturation (session.x64quantprecision=1); *"]
    )


def test_runs_and_latency_know_it(
    project: Project, run: Run, pytester: pytest.Pytester, opened: list[bool]
) -> None:
    project()
    assert not any(opened)
    opened.clear()
    cache = pytester.path / "own-cache"
    arguments = (f"--kycquant-cache={cache}", REPORT)
    run(*arguments)
    plain = len(list((cache / "outputs").iterdir()))
    opened.clear()
    run(*arguments, EXACT)
    # For images, three timed sessions, and two to check FP32's outputs on both splits; if
    # saturation shows, once more with saturation.
    assert opened.count(True) == 6
    assert opened.count(False) == u8s8_saturates()
    # Outputs of FP32 are reused, those of INT8 are not.
    assert len(list((cache / "outputs").iterdir())) == plain + 1 + u8s8_saturates()
    opened.clear()
    run(*arguments, EXACT)
    # Only latency is measured again; each set of outputs is checked.
    assert len(opened) == 3 + 3 + u8s8_saturates()


def test_header_report_and_evidence(project: Project, run: Run, pytester: pytest.Pytester) -> None:
    project()
    result = run(EXACT, REPORT, "--kycquant-export=ship", "-v")
    result.stdout.fnmatch_lines(
        [
            "kycquant: *; INT8 without saturation; *",
            "onnxruntime *, INT8 run with session.x64quantprecision=1)",
            "note on int8: 6 of 6 convolutions and matrix products (*) could saturate *deploy it *",
            "exported: *face.onnx (int8)",
            "deploy face with the session option session.x64quantprecision=1, as it was judged",
        ]
    )
    evidence = json.loads((pytester.path / "ship" / "face.json").read_text())
    for found in (report_of(pytester.path), evidence):
        assert found["session_config"] == {"session.x64quantprecision": "1"}
        assert found["environment"]["onnxruntime"]
        assert "features" in found["environment"]
        assert found["environment"]["u8s8_saturates"] is u8s8_saturates()
    assert evidence["found"]["golden"]["environment"] == evidence["environment"]
    result = run(REPORT, "--kycquant-export=ship")
    result.stdout.no_fnmatch_line("*deploy face with*")
    assert report_of(pytester.path)["session_config"] == {}


def test_stages_of_a_pipeline(
    pipeline_project: Callable[..., Path], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline_project()
    run(EXACT, "-k", "complete")  # what ships at each stage is in the cache from now on
    found = spy_on(monkeypatch)
    run(EXACT, "-k", "complete").assert_outcomes(passed=1)
    assert found
    # Where kernels saturate, the outputs with saturation are known as well, and looked at again.
    assert found.count(False) <= 3 * u8s8_saturates()
    assert found.count(True) > found.count(False)


def test_ini_twin(project: Project, run: Run, pytester: pytest.Pytester) -> None:
    project()
    pytester.makeini("[pytest]\nkycquant_exact = true\n")
    run().stdout.fnmatch_lines(["kycquant: *; INT8 without saturation; *"])


def test_what_could_saturate_elsewhere(
    project: Project, run: Run, pytester: pytest.Pytester, said_to_saturate: Callable[[bool], None]
) -> None:
    said_to_saturate(False)
    project()
    result = run(REPORT, "-v")
    result.stdout.fnmatch_lines(
        [
            "note on int8: 6 of 6 convolutions and matrix products (*) could saturate on x86 CPUs "
            "without VNNI, *Recipe(reduce_range=True)*judge it with --kycquant-exact"
        ]
    )
    figures = int8_of(pytester.path)["figures"]
    assert figures["integer_operators"] == figures["saturable_operators"] == 6
    assert 0 < figures["saturable_weight_pairs"] < figures["weight_pairs"]


def test_seven_bits_cannot_saturate(project: Project, run: Run, pytester: pytest.Pytester) -> None:
    project(precisions=f'{REDUCED}, "fp16"')
    for option in ([], [EXACT]):
        result = run(REPORT, *option)
        result.stdout.no_fnmatch_line("*saturate on *")
        figures = int8_of(pytester.path)["figures"]
        assert (figures["integer_operators"], figures["saturable_operators"]) == (6, 0)


def test_both_ways_on_a_cpu_that_saturates(
    project: Project, run: Run, pytester: pytest.Pytester, said_to_saturate: Callable[[bool], None]
) -> None:
    """If the kernels saturate, the runs differ; otherwise they are the same."""
    said_to_saturate(True)
    project()
    result = run(EXACT, REPORT, "-v")
    result.stdout.fnmatch_lines(
        ["remark on int8: without session.x64quantprecision=1 this CPU saturates: * of 217,470 *"]
    )
    figures = int8_of(pytester.path)["figures"]
    assert figures["saturation_decisions_of"] == 217_470
    assert (figures["saturation_drift"] > 1e-4) is u8s8_saturates()
    assert (figures["saturation_decisions"] > 0) is u8s8_saturates()


@pytest.mark.parametrize("saturates", [False, True])
@pytest.mark.parametrize("exact", [False, True])
def test_notes(saturates: bool, exact: bool) -> None:
    assert exposure_note(Exposure(5, 0, 10, 0), exact=exact, saturates=saturates) == ""
    note = exposure_note(Exposure(5, 3, 10, 7), exact=exact, saturates=saturates)
    assert note.startswith("3 of 5 convolutions and matrix products (7 of 10 pairs of weights) c")
    assert ("on this CPU, and these verdicts" in note) == (saturates and not exact)
    assert ("deploy it" in note) == exact


def test_note_of_a_task_without_decisions() -> None:
    found = Saturated(0.25, None, 0, "")
    assert found.note().endswith("this CPU saturates: outputs differ by 0.25")
    assert found.figures() == {"saturation_drift": 0.25}
