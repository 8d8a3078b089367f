"""Pipelines whose gate files import each other, with `--import-mode=importlib`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worlds.population import Run

STAGES = {"detector": "detection", "face": "faces", "liveness": "presentations"}


@pytest.fixture
def neighbours(pipeline_project: Callable[..., Path]) -> Callable[[str], Path]:
    """Move all gate files into one folder, in which they import each other."""

    def write(statement: str) -> Path:
        root = pipeline_project()
        folder = root / "checks" / "gatefiles"
        folder.mkdir(parents=True)
        pipeline = (root / "test_pipeline.py").read_text()
        (root / "test_pipeline.py").unlink()
        for name, alias in STAGES.items():
            text = (root / name / "gate.py").read_text()
            (root / name / "gate.py").unlink()
            (root / name / "__init__.py").unlink()
            text = re.sub(r'"([\w/]+\.(?:npz|onnx|csv))"', rf'"{name}/\1"', text)
            (folder / f"test_{name}_gate.py").write_text(text)
            told = f"{statement.format(name=f'test_{name}_gate')} as {alias}"
            pipeline = pipeline.replace(f"from {name} import gate as {alias}", told)
        (folder / "test_pipeline_gate.py").write_text(pipeline)
        return folder

    return write


@pytest.mark.parametrize(
    ("statement", "package", "ini"),
    [
        ("from . import {name}", True, ""),
        ("from . import {name}", False, ""),
        ("import {name}", False, "pythonpath = checks/gatefiles"),
    ],
    ids=["package", "folder", "pythonpath"],
)
def test_importlib(
    neighbours: Callable[[str], Path],
    run: Run,
    pytester: pytest.Pytester,
    statement: str,
    package: bool,
    ini: str,
) -> None:
    """Also in the new process that measures memory."""
    folder = neighbours(statement)
    if package:
        for place in (folder, folder.parent):
            (place / "__init__.py").touch()
    (pytester.path / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
    file = folder / "test_pipeline_gate.py"
    result = run("--import-mode=importlib", str(file), "-k", "memory or complete")
    result.assert_outcomes(passed=2, deselected=2)
    assert "not known whether its functions" not in result.stdout.str()


def test_a_neighbour_that_is_not_found_is_explained(
    neighbours: Callable[[str], Path], run: Run
) -> None:
    folder = neighbours("import {name}")
    result = run("--import-mode=importlib", str(folder / "test_pipeline_gate.py"))
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "E   ModuleNotFoundError: No module named 'test_detector_gate'",
            "E   test_detector_gate.py lies beside test_pipeline_gate.py, but --import-mode="
            "importlib does not look there; write `from . import test_detector_gate`, or add *",
        ]
    )
