"""What somebody sees who makes the commonest mistakes, or follows the advice of a message."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds.population import Run, write_npz, write_project


def pytest_in(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("text", ["falback = None", 'precisions = ("int-8",)', "limits = 3"])
def test_a_mistake_in_a_gate_file_is_shown_without_frames_of_others(
    pytester: pytest.Pytester, text: str
) -> None:
    write_project(pytester.path)
    gate = pytester.path / "test_gate.py"
    gate.write_text(
        re.sub(r"(class Test\w+\(FaceGates\):\n)", rf"\1    {text}\n", gate.read_text())
    )
    assert text in gate.read_text()
    shown = pytest_in(pytester.path).stdout
    errors = shown.partition("ERRORS")[2].partition("short test summary")[0]
    assert "Test" in errors
    assert "_pytest/" not in shown
    assert "importlib" not in shown
    assert len(errors.splitlines()) < 16, errors


@pytest.mark.parametrize("folder", ["baselines", "my baselines"])
def test_the_advised_command_records_the_golden_that_is_missing(
    pytester: pytest.Pytester, folder: str
) -> None:
    write_project(pytester.path)
    assert pytest_in(pytester.path, "--kycquant-update-golden", "-k", "size").returncode == 0
    other = next((pytester.path / "golden").glob("*.json"))
    before = other.stat().st_mtime_ns, other.read_bytes()
    shown = pytest_in(pytester.path, f"--kycquant-golden={folder}", "-k", "size").stdout
    advised = re.search(r"no golden baseline yet; record it with: pytest (.+)", shown)
    assert advised is not None, shown
    done = pytest_in(pytester.path, *shlex.split(advised[1]), "-k", "size")
    assert done.returncode == 0, done.stdout
    assert (pytester.path / folder / other.name).exists()
    assert (other.stat().st_mtime_ns, other.read_bytes()) == before


def test_a_warning_that_is_an_error_is_shown_in_one_line_and_once(
    pytester: pytest.Pytester, run: Run
) -> None:
    write_project(pytester.path)
    write_npz(pytester.path / "calibration.npz", 20, 2, seed=1)
    run("--kycquant-update-golden", "-k", "size").assert_outcomes(passed=1)
    output = run("-W", "error::pytest_kycquant.errors.CalibrationWarning").stdout.str()
    errors = output.partition("= ERRORS")[2].partition("short test summary")[0]
    assert errors.count("40 different calibration images") == 1
    assert "def " not in errors
    assert len(errors.splitlines()) < 16, errors


def test_pytest_still_writes_what_keeps_git_away_from_its_cache(
    pytester: pytest.Pytester,
) -> None:
    write_project(pytester.path)
    pytest_in(pytester.path, "--kycquant-update-golden", "-k", "size")
    cache = pytester.path / ".pytest_cache"
    assert (cache / "kycquant" / "CACHEDIR.TAG").exists()
    assert (cache / ".gitignore").read_text().endswith("*\n")
