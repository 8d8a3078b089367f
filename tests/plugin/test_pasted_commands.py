"""Commands in messages can be pasted where pytest was started, whatever the folders are named."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_kycquant.files import from_here
from tests.worlds.population import write_project
from tests.worlds.processes import PYTEST


def test_paths_are_shown_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a b" / "deep"
    folder.mkdir(parents=True)
    assert from_here(folder / "x.json", folder) == "x.json"
    assert from_here(tmp_path / "x.json", folder) == "../../x.json"
    assert from_here(Path("/x.json"), folder) == "/x.json"  # where the whole path is shorter
    monkeypatch.chdir(folder)
    assert from_here(tmp_path / "a b" / "x.json") == "../x.json"


@pytest.mark.parametrize("start", ["", "my gates", "other folder"])
def test_record_and_commit(
    pytester: pytest.Pytester,
    measured_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    start: str,
) -> None:
    """What a missing golden asks for, and then what the recorded golden asks for."""
    monkeypatch.setenv("PYTEST_ADDOPTS", f"--kycquant-cache={measured_cache}")
    root = pytester.path
    write_project(root / "my gates")
    (root / "other folder").mkdir()
    (root / "pytest.ini").write_text("[pytest]\nkycquant_golden = the goldens\n")

    def shell(*words: str) -> str:
        done = subprocess.run(words, cwd=root / start, capture_output=True, text=True, check=False)
        return done.stdout

    gate = from_here(root / "my gates" / "test_gate.py", root / start)
    shown = shell(*PYTEST, gate, "-k", "size")
    advised = re.search(r"record it with: pytest (.+)", shown)
    assert advised is not None, shown
    recorded = shell(*PYTEST, *shlex.split(advised[1]), "-k", "size")
    commit = re.search(r"golden: recorded [^;]+; commit it:\s+git add (.+)", recorded)
    assert commit is not None, recorded
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run(["git", "add", *shlex.split(commit[1])], cwd=root / start, check=True)
    added = subprocess.run(
        ["git", "ls-files"], cwd=root, check=True, capture_output=True, text=True
    ).stdout
    assert added == "the goldens/face.json\n"


def test_a_stage_that_ships_nothing_names_the_command(
    pipeline_project: Callable[..., Path], measured_cache: Path
) -> None:
    root = pipeline_project()
    gate = root / "face" / "gate.py"
    text = gate.read_text().replace("size_ratio=10.0", "size_ratio=0.01, size_mb=1e-6")
    gate.write_text(text)
    shown = subprocess.run(
        [*PYTEST, "..", "-k", "complete", f"--kycquant-cache={measured_cache}"],
        cwd=root / "face",
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert "see why with: pytest gate.py" in shown, shown
