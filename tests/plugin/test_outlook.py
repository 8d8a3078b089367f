"""Before anything is quantized, a run says what the data at hand can decide."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import pytest_kycquant
from pytest_kycquant import FaceLimits, LivenessLimits, presets
from pytest_kycquant.errors import DataError, SpecError
from tests.worlds.population import Run, write_npz

Project = Callable[..., None]
CAN = "kycquant: face: 330 identities can decide FAR, FRR, the increase of FAR and the increase *"


def test_is_said_before_the_golden_is_even_looked_for(project: Project, run: Run) -> None:
    project(golden=False)
    result = run()
    result.stdout.fnmatch_lines([CAN, "*there is no golden baseline yet*"])


def test_is_said_once(project: Project, run: Run) -> None:
    project()
    text = run().stdout.str()
    assert text.count("can decide FAR") == 1


def test_workers_say_it_too(project: Project, run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    project()
    capfd.readouterr()
    shown = run("-n", "2").stdout.str()
    found = capfd.readouterr()  # workers inherit the standard error
    assert found.err.count("can decide FAR") == 1
    assert "can decide FAR" not in shown


def test_quiet_runs_and_smoke_say_nothing(project: Project, run: Run) -> None:
    project()
    for options in (["-q"], ["--kycquant-profile=smoke"]):
        assert "can decide" not in run(*options).stdout.str()


def test_too_few_people_are_told_how_many_would_do(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    project(golden=False)
    write_npz(pytester.path / "faces.npz", identities=60)
    result = run()
    line = "kycquant: face: 60 people cannot decide the increase of FRR below 1 %: at best *"
    result.stdout.fnmatch_lines(
        [
            f"{line} give about 99 people, or set the limit *",
            "*: about * people would do for all of it, and about * if the error rates are half *",
        ]
    )


def test_the_function_says_the_same(project: Project, pytester: pytest.Pytester) -> None:
    project(golden=False)
    model = presets.arcface("models/face.onnx", "faces.npz", name="face")
    found = pytest_kycquant.outlook(model, root=pytester.path)
    assert found.cannot == ()
    assert "the increase of FRR" in found.can
    (line,) = found.lines()
    assert line == CAN.removeprefix("kycquant: ").replace("*", "of FRR, if hardly any ") + (
        "decision is wrong or changes"
    )
    strict = pytest_kycquant.outlook(
        model, FaceLimits(frr_degradation=0.0001), root=str(pytester.path)
    )
    assert len(strict.cannot) == 1
    assert str(strict) == "\n".join(strict.lines())
    assert f"face: {strict.cannot[0]}\n" in str(strict)


def test_missing_data_is_an_error(pytester: pytest.Pytester) -> None:
    model = presets.arcface("face.onnx", "nowhere.npz", name="face")
    with pytest.raises(DataError, match=r"nowhere\.npz: does not exist"):
        pytest_kycquant.outlook(model, root=pytester.path)


def test_limits_of_another_task_are_refused() -> None:
    model = presets.arcface("face.onnx", "faces.npz", name="face")
    with pytest.raises(SpecError, match=r"LivenessLimits does not belong to FaceVerification"):
        pytest_kycquant.outlook(model, LivenessLimits())
