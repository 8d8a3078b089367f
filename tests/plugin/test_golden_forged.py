"""A golden edited with its checksum made anew is compared with what model and data give."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_kycquant.context.cache import digest_of
from pytest_kycquant.tasks.base import Task
from pytest_kycquant.tasks.detection.task import DetectionTask
from pytest_kycquant.tasks.face.task import FaceTask
from pytest_kycquant.tasks.liveness.task import LivenessTask
from tests.worlds.documents import VALUES, write_document_project
from tests.worlds.population import Run
from tests.worlds.population import write_project as write_faces
from tests.worlds.presentations import write_liveness_project
from tests.worlds.scenery import write_project as write_scenes

WITH_THRESHOLD: list[tuple[Callable[..., Any], str, type[Task[Any, Any]]]] = [
    (write_faces, "face", FaceTask),
    (write_liveness_project, "liveness", LivenessTask),
    (write_scenes, "detector", DetectionTask),
]
RECORD = ("--kycquant-update-golden", "-q", "-k", "test_size")
MOVES: dict[str, Callable[[float], float]] = {
    "raised": lambda t: t * 1.1,
    "lowered": lambda t: t * 0.98,
}


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Edit a golden by hand and make its checksum anew."""
    values = json.loads(path.read_text())
    change(values)
    values.pop("checksum")
    path.write_text(json.dumps({**values, "checksum": digest_of(values)}))


def refused(run: Run, golden: Path, message: str) -> None:
    result = run("-k", "test_size")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{golden.name}: {message}; find out why; *update-golden*"])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize(("write", "name", "task"), WITH_THRESHOLD)
def test_threshold_with_everything_fitted_to_it(
    pytester: pytest.Pytester,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[..., Any],
    name: str,
    task: type[Task[Any, Any]],
) -> None:
    """The forger has the product itself count the errors at another threshold."""
    write(pytester.path, precisions='"fp16"')
    golden = pytester.path / "golden" / f"{name}.json"
    run(*RECORD).assert_outcomes(passed=1)
    true, honest = json.loads(golden.read_text())["threshold"], task.choose_threshold
    for move in MOVES.values():
        forged = move(true)

        def choose(self: Any, *given: Any, to: float = forged) -> tuple[float, str]:
            return to, honest(self, *given)[1]

        monkeypatch.setattr(task, "choose_threshold", choose)
        run(*RECORD).assert_outcomes(passed=1)
        monkeypatch.setattr(task, "choose_threshold", honest)
        assert json.loads(golden.read_text())["threshold"] == forged
        refused(run, golden, f"threshold is '{forged}', but model and data give '{true}'")
    run(*RECORD).assert_outcomes(passed=1)
    between = math.nextafter(true, 2.0)  # decides the same everywhere
    edit(golden, lambda g: g.update(threshold=between))
    refused(run, golden, f"threshold is '{between}', but model and data give '{true}'")
    edit(golden, lambda g: g.update(threshold=None))
    refused(run, golden, "threshold is 'null', but model and data give *")
    run(*RECORD).assert_outcomes(passed=1)
    run("-k", "test_size").assert_outcomes(passed=1)


@pytest.mark.parametrize("factor", [0.96, 1.3])
def test_threshold_under_a_forged_environment(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    """Another machine excuses a few decisions on the selection split, not another threshold."""
    write_faces(pytester.path, precisions='"fp16"')
    golden = pytester.path / "golden" / "face.json"
    honest = FaceTask.choose_threshold

    def choose(self: Any, *given: Any) -> tuple[float, str]:
        threshold, source = honest(self, *given)
        return threshold * factor, source

    monkeypatch.setattr(FaceTask, "choose_threshold", choose)
    run(*RECORD).assert_outcomes(passed=1)
    monkeypatch.setattr(FaceTask, "choose_threshold", honest)
    edit(golden, lambda g: g["environment"].update(cpu="Another"))
    refused(run, golden, "threshold is '* of * there)', but model and data give '*'")


def test_everything_else(pytester: pytest.Pytester, run: Run) -> None:
    write_faces(pytester.path, precisions='"fp16"')
    golden = pytester.path / "golden" / "face.json"
    run(*RECORD).assert_outcomes(passed=1)
    true = golden.read_text()
    edits: dict[str, Callable[[dict[str, Any]], object]] = {
        "threshold_source is 'given*', but model and data give 'smallest *'": (
            lambda g: g.update(threshold_source="given in the gate file")
        ),
        "rate FAR: upper is *": lambda g: g["rates"]["FAR"].update(upper=0.5),
    }
    for message, change in edits.items():
        golden.write_text(true)
        edit(golden, change)
        refused(run, golden, message)


@pytest.mark.parametrize("metric", ["errors", "values"])
def test_a_task_without_threshold(pytester: pytest.Pytester, run: Run, metric: str) -> None:
    given = {} if metric == "errors" else {"metric": VALUES, "limits": "metric=3, degradation=0.2"}
    write_document_project(pytester.path, precisions='"fp16"', **given)
    golden = pytester.path / "golden" / "document.json"
    run(*RECORD).assert_outcomes(passed=1)
    true = golden.read_text()
    edits: dict[str, Callable[[dict[str, Any]], object]] = {
        "threshold is '0.5', but model and data give 'null'": lambda g: g.update(threshold=0.5),
        "threshold_source is 'mine', *": lambda g: g.update(threshold_source="mine"),
    }
    if metric == "errors":
        edits["rate misread: value is *"] = lambda g: g["rates"]["misread"].update(value=0.4)
    else:
        edits["FP32 distance is *"] = lambda g: g["figures"].update(distance=2.9)
    for message, change in edits.items():
        golden.write_text(true)
        edit(golden, change)
        refused(run, golden, message)


def test_a_given_threshold(pytester: pytest.Pytester, run: Run) -> None:
    gate = write_faces(pytester.path, precisions='"fp16"')
    gate.write_text(gate.read_text().replace('selection="selection.npz"', "threshold=0.5"))
    golden = pytester.path / "golden" / "face.json"
    run(*RECORD).assert_outcomes(passed=1)
    edit(golden, lambda g: g.update(threshold=0.5 + 1e-12))
    edit(golden, lambda g: g["environment"].update(cpu="Another"))  # excuses nothing here
    refused(run, golden, "threshold is '0.500000000001', but model and data give '0.5'")


def test_smoke_takes_the_threshold_on_trust(pytester: pytest.Pytester, run: Run) -> None:
    """It claims nothing about error rates; docs/running.md says so."""
    write_faces(pytester.path, precisions='"fp16"')
    golden = pytester.path / "golden" / "face.json"
    run(*RECORD).assert_outcomes(passed=1)
    edit(golden, lambda g: g.update(threshold=g["threshold"] * 1.1))
    run("-k", "test_size", "--kycquant-profile=smoke").assert_outcomes(passed=1)
    refused(run, golden, "threshold is *")
    edit(golden, lambda g: g.update(threshold=None))  # but it must be one
    refused(
        lambda *given: run(*given, "--kycquant-profile=smoke"), golden, "threshold is 'null', *"
    )
