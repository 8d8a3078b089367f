"""Goldens that no gate uses are named at the end of a full run, and stay."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worlds.population import Run


@pytest.fixture
def orphan(project: Callable[..., None], pytester: pytest.Pytester) -> Path:
    project()
    folder = pytester.path / "golden"
    shutil.copy(folder / "face.json", folder / "face.nist63a4.json")  # of another profile
    (folder / "notes.json").write_text("{}")
    pytester.makeini("[pytest]\n")
    path = folder / "old face.json"
    shutil.copy(folder / "face.json", path)
    return path


@pytest.mark.parametrize("options", [(), (".",), ("-k", "size"), ("-n", "1")], ids=str)
def test_named_on_full_runs(orphan: Path, run: Run, options: tuple[str, ...]) -> None:
    result = run(*options)
    told = [line for line in result.outlines if line.startswith("golden: no gate uses ")]
    assert told == [
        "golden: no gate uses 'golden/old face.json'; delete what you no longer need, or give a "
        "model its name back: KycModel(name=...)"
    ]
    assert result.ret == 0
    assert orphan.exists()


@pytest.mark.parametrize(
    "options",
    [("test_gate.py",), ("test_gate.py::TestFace",), ("--ignore=other",), ("--lf",)],
    ids=str,
)
def test_not_told_where_other_gates_may_use_them(
    orphan: Path, run: Run, options: tuple[str, ...]
) -> None:
    assert "no gate uses" not in run("-k", "size", *options).stdout.str()


def test_not_told_where_a_file_could_not_be_collected(
    orphan: Path, run: Run, pytester: pytest.Pytester
) -> None:
    (pytester.path / "test_broken.py").write_text("import nothing_of_this_name")
    result = run("-k", "size", "--continue-on-collection-errors")
    assert "no gate uses" not in result.stdout.str()


def test_stages_of_a_pipeline_are_used(pipeline_project: Callable[..., Path], run: Run) -> None:
    root = pipeline_project()
    stored = root / "golden" / "face.json"
    assert stored.exists()
    shutil.copy(stored, stored.with_name("gone.json"))
    result = run("-k", "complete")
    told = [line for line in result.outlines if "no gate uses" in line]
    assert len(told) == 1
    assert "golden/gone.json;" in told[0]
