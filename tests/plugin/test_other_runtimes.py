"""Variants on other runtimes, from the gate file to the export."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_kycquant.errors import SpecError
from pytest_kycquant.spec.runtime import RUNTIMES, Runtime, RuntimeLine
from tests.worlds.pipelines import write_pipeline
from tests.worlds.population import Run

Project = Callable[..., None]
GATES = 6


def rows_of(root: Path) -> dict[str, Any]:
    (gate,) = json.loads((root / "report.json").read_text())["gates"]
    return {row["variant"]: row for row in gate["variants"]}


@pytest.fixture
def openvino() -> None:
    pytest.importorskip("openvino", reason="pip install -e .[openvino]")


@pytest.mark.usefixtures("openvino")
def test_the_same_precisions_on_openvino(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    there = ", ".join(
        f'Recipe("{name}", runtime="openvino")' for name in ("int8", "int8-weights", "fp16")
    )
    project(precisions=there)
    result = run("--kycquant-report=report.json", "--kycquant-export=out", "-v")
    result.assert_outcomes(passed=3 * GATES)
    result.stdout.fnmatch_lines(
        [
            "fp32-openvino * PASS",
            "int8-openvino * PASS",
            "remark on *int8-openvino*: runs on openvino *, float32",
            "ship: *-openvino (*",
            "exported: *face.onnx (*-openvino)",
            "deploy face on openvino * with PERFORMANCE_HINT=LATENCY, * as it was judged",
        ]
    )
    result.stdout.no_fnmatch_line("feed face: *")  # it is fed as FP32 is
    rows = rows_of(pytester.path)
    assert rows["fp32-openvino"]["sha256"] == rows["fp32"]["sha256"]
    assert rows["fp32-openvino"]["gates"]["degradation"]["verdict"] == "PASS"
    deployed = json.loads((pytester.path / "out/face.json").read_text())["found"]
    ship = next(row for row in deployed["variants"] if row["variant"] == deployed["ship"])
    assert ship["runtime"]["settings"]["INFERENCE_PRECISION_HINT"] == "f32"
    assert set(ship["runtime"]["packages"]) == {"openvino"}
    # Nothing is left in float, and nothing is rounded between a convolution and its activation.
    said = rows["int8-openvino"]["notes"] + rows["int8-openvino"]["remarks"]
    assert not [note for note in said if "in float" in note]


@pytest.mark.usefixtures("openvino")
def test_the_search_judges_candidates_on_the_runtime_that_ships(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    broken = (
        'Recipe("int8", runtime="openvino", equalize=False, bias_correction=False, '
        'calibration_method="moving-average", weight_type="uint8", per_channel=False)'
    )
    project(precisions=broken, fragile=True)
    result = run("--kycquant-report=report.json", "-v")
    assert result.parseoutcomes() == {"fallback": GATES}
    result.stdout.fnmatch_lines(["int8-openvino>mixed * PASS", "ship: int8-openvino>mixed *"])
    rows = rows_of(pytester.path)
    assert "openvino" in rows["int8-openvino>mixed"]["runtime"]["description"]


@pytest.mark.usefixtures("openvino")
def test_a_stage_of_a_pipeline_runs_where_it_ships(run: Run, pytester: pytest.Pytester) -> None:
    write_pipeline(pytester.path, precisions='Recipe("fp16", runtime="openvino")')
    run("--kycquant-update-golden", "-q", "-k", "complete")
    result = run("-k", "complete", "--kycquant-report=report.json")
    result.assert_outcomes(passed=1)
    report = json.loads((pytester.path / "report.json").read_text())
    (pipeline,) = report["pipelines"]
    assert any("openvino" in label for label in pipeline["shipped"]["variants"].values())


@pytest.mark.parametrize(("runtime", "package"), [("litert", "ai-edge-litert"), ("openvino",) * 2])
def test_an_extra_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, project: Project, run: Run, runtime: str, package: str
) -> None:
    project(precisions=f'Recipe("int8", runtime="{runtime}")')
    known = importlib.metadata.version

    def version(name: str) -> str:
        if name in RUNTIMES[runtime].packages:
            raise importlib.metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    result = run("-k", "finite")
    result.assert_outcomes(errors=1, deselected=GATES - 1)
    wanted = f"*{package} is not installed; run: pip install --upgrade *kycquant?{runtime}?*"
    result.stdout.fnmatch_lines([wanted])
    result.stdout.no_fnmatch_line("*PackageNotFoundError*")


def test_a_runtime_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, project: Project, run: Run
) -> None:
    """One error that names the command; the other precisions are judged."""
    line = RuntimeLine("nowhere:Nothing", packages={"no-such-package": "1.0"}, extra="nowhere")
    monkeypatch.setitem(RUNTIMES, "nowhere", line)
    project(precisions='"int8-weights", Recipe("int8-weights", runtime="nowhere")')
    result = run("-k", "finite")
    result.assert_outcomes(passed=1, errors=1, deselected=10)
    result.stdout.fnmatch_lines(
        [
            "runtime 'nowhere': no-such-package is not installed; run: pip install --upgrade "
            '"pytest-kycquant[[]nowhere[]]"'
        ]
    )


def test_a_runtime_that_is_too_old(
    monkeypatch: pytest.MonkeyPatch, project: Project, run: Run
) -> None:
    line = RUNTIMES["onnxruntime"]._replace(packages={"onnxruntime": "99.0"}, providers=False)
    monkeypatch.setitem(RUNTIMES, "newer", line)
    project(precisions='Recipe("int8-weights", runtime="newer")')
    result = run("-k", "finite")
    result.assert_outcomes(errors=1, deselected=5)
    result.stdout.fnmatch_lines(["runtime 'newer': onnxruntime * is too old: 99.0 is the oldest *"])


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        ("CUDAExecutionProvider", "*onnxruntime * does not have it here: it has *"),
        ("CUDA", "*onnxruntime * does not have it here: *did you mean 'CUDAExecutionProvider'? *"),
        ("AzureExecutionProvider", "*AzureExecutionProvider leaves * operators to the CPU: *Conv*"),
    ],
)
def test_a_provider_that_is_missing_or_leaves_operators_to_the_cpu(
    project: Project, run: Run, provider: str, message: str
) -> None:
    import onnxruntime

    if provider.startswith("Azure") and provider not in onnxruntime.get_available_providers():
        pytest.skip(f"onnxruntime has no {provider}")
    if provider.startswith("CUDA") and provider in onnxruntime.get_available_providers():
        pytest.skip(f"onnxruntime has {provider}")
    project(precisions=f'Recipe("int8-weights", runtime=Runtime(provider="{provider}"))')
    result = run("-k", "finite")
    result.assert_outcomes(errors=1, deselected=5)
    result.stdout.fnmatch_lines([message])


def test_a_provider_that_may_leave_operators_to_the_cpu(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    import onnxruntime

    provider = "AzureExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        pytest.skip(f"onnxruntime has no {provider}")
    runtime = f'Runtime(provider="{provider}", allow_cpu=True)'
    project(precisions=f'Recipe("int8-weights", runtime={runtime})')
    result = run("-v")
    result.assert_outcomes(passed=GATES)
    result.stdout.fnmatch_lines(
        ["remark on *int8-weights-azure*: runs on onnxruntime *, part of it on the CPU"]
    )


def test_options_that_nothing_would_take() -> None:
    """The CPU kernels of onnxruntime have none; a report would name them all the same."""
    for provider in ("", "CPUExecutionProvider"):
        with pytest.raises(SpecError, match="has no effect on the CPU kernels of onnxruntime"):
            Runtime("onnxruntime", provider=provider, options={"spinning": 0})


def test_a_float_file_for_litert_that_does_not_exist(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    """It is an error also where no variant uses it: a path that was misspelt once stays so."""
    project()
    gate = pytester.path / "test_gate.py"
    gate.write_text(gate.read_text().replace("task=FaceV", 'litert="m.tflite", task=FaceV'))
    result = run("-k", "size")
    assert result.parseoutcomes().keys() == {"errors", "deselected"}
    result.stdout.fnmatch_lines(["KycModel.litert: *m.tflite does not exist; *"])
