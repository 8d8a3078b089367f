"""Which profile applies, and what "nist63a4" requires beyond "standard"."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_kycquant.spec.gates import GateSpec
from pytest_kycquant.spec.model import KycModel, Preprocess
from pytest_kycquant.spec.tasks import FaceVerification
from tests.worlds.options import settings_of
from tests.worlds.outcomes import stopped
from tests.worlds.population import Run, write_npz, write_project
from tests.worlds.processes import PYTEST

NIST = "--kycquant-profile=nist63a4"
Project = Callable[..., None]


@pytest.fixture
def large_project(project: Project, run: Run, pytester: pytest.Pytester) -> Project:
    """A project with enough people to bound FAR by 5e-5, with the golden of "standard"."""

    def write(**options: object) -> None:
        project(golden=False, identities=450, **options)
        write_npz(pytester.path / "selection.npz", 450, 2, seed=2)
        run("--kycquant-update-golden", "-q", "-k", "test_size").assert_outcomes(passed=1)

    return write


@pytest.mark.parametrize("ini", [None, "smoke", "nist63a4"])
@pytest.mark.parametrize("option", [None, "smoke", "standard"])
@pytest.mark.parametrize("attribute", [None, "standard", "nist63a4"])
def test_truth_table(
    pytester: pytest.Pytester, ini: str | None, option: str | None, attribute: str | None
) -> None:
    settings = settings_of(
        pytester,
        f"kycquant_profile = {ini}" if ini else "",
        *([f"--kycquant-profile={option}"] if option else []),
    )
    model = KycModel("m.onnx", preprocess=Preprocess((8, 8)), task=FaceVerification("d"))
    spec = GateSpec.of({"model": model, "profile": attribute}, "here")
    assert spec.effective_profile(settings) == (attribute or option or ini or "standard")


@pytest.mark.parametrize(
    ("ini", "arguments", "where"),
    [
        ("", ["--kycquant-profile=nist"], "--kycquant-profile"),
        ("kycquant_profile = nist", [], "ini option kycquant_profile"),
    ],
)
def test_unknown(pytester: pytest.Pytester, ini: str, arguments: list[str], where: str) -> None:
    pytester.makeini(f"[pytest]\n{ini}\n")
    result = pytester.runpytest_inprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"ERROR: {where}: 'nist' is unknown; did you mean 'nist63a4'? choose from 'smoke', *"]
    )


def test_unknown_in_the_gate_class(project: Project, run: Run, pytester: pytest.Pytester) -> None:
    project(golden=False)
    gate = pytester.path / "test_gate.py"
    gate.write_text(gate.read_text() + '    profile = "nist"\n')
    result = run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*.profile: 'nist' is unknown; did you mean 'nist63a4'? choose from *"]
    )


def test_golden_of_its_own_with_a_stricter_threshold(
    large_project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    large_project()
    folder = pytester.path / "golden"
    before = (folder / "face.json").read_text()
    result = run(NIST)
    stopped(result, 6)
    command = f"pytest test_gate.py::TestFace --kycquant-update-golden {NIST}"
    result.stdout.fnmatch_lines(
        [f"*face.nist63a4.json: there is no golden baseline yet; record it with: {command}"]
    )
    run(NIST, "--kycquant-update-golden", "-k", "size").assert_outcomes(passed=1)
    assert (folder / "face.json").read_text() == before
    mine, other = json.loads((folder / "face.nist63a4.json").read_text()), json.loads(before)
    assert mine["threshold"] > other["threshold"]
    assert (mine["inputs"]["selection FAR"], other["inputs"]["selection FAR"]) == (5e-5, 5e-4)
    # An edited one names the same command.
    path = folder / "face.nist63a4.json"
    path.write_text(path.read_text().replace(str(mine["threshold"]), "0.1"))
    run(NIST).stdout.fnmatch_lines([f"*was edited by hand *record it anew with: {command}"])


def test_what_passes_standard_may_not_pass_nist63a4(
    large_project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    """450 people can show that FRR rises by less than 1 point, but not by less than 0.2."""
    large_project(limits="far=0.01, frr=0.5, far_degradation=0.005")  # laxer than either profile
    run().assert_outcomes(passed=6)
    result = run(NIST, "--kycquant-update-golden", "--kycquant-report=report.json")
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(
        [
            "kycquant: *; profile nist63a4",
            "face: int8 INCONCLUSIVE degradation",
            "INCONCLUSIVE increase of FRR over FP32 = 0 % [[]*, 0.66* %[]] must be below 0.2 %",
            "profile: nist63a4 (FAR below 0.01 % and FRR below 1 %, or the limit of the gate *",
        ]
    )
    (gate,) = json.loads((pytester.path / "report.json").read_text())["gates"]
    assert gate["profile"] == "nist63a4"
    gates = gate["variants"][1]["gates"]
    found = {check["name"]: check["limit"] for name in gates for check in gates[name]["checks"]}
    assert (found["FAR"], found["FRR"]) == (1e-4, 1e-2)
    assert found["increase of FAR over FP32"] == 5e-5


def test_liveness_is_told_that_nothing_is_set(
    liveness_project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    liveness_project()
    result = run(NIST, "--kycquant-update-golden")
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(
        [
            "profile: nist63a4 (it sets limits for comparing faces only: "
            "the limits of the gate apply here); *"
        ]
    )


def test_two_workers(tmp_path: Path) -> None:
    """Workers of pytest-xdist get the profile from the controller."""
    write_project(tmp_path, precisions='"fp16", "int8"')

    def run(*arguments: str) -> tuple[str, dict[str, object]]:
        command = [
            *PYTEST, "-q", "--kycquant-report=report.json",
            "--kycquant-cache=cache", "--kycquant-profile=smoke", *arguments,
        ]  # fmt: skip
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert "6 passed, 6 skipped" in result.stdout, result.stdout + result.stderr
        (gate,) = json.loads((tmp_path / "report.json").read_text())["gates"]
        gate["golden"].pop("latency_ms")
        return result.stdout, gate

    output, workers = run("-n2", "--kycquant-update-golden")
    assert "ship: smoke: no claim about error rates, nothing is cleared to ship" in output
    assert workers == run()[1]
