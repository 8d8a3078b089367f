"""What somebody sees who makes the commonest mistakes, or follows the advice of a message."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.worlds.population import Run, write_npz, write_project
from tests.worlds.processes import PYTEST


def pytest_in(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*PYTEST, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(autouse=True)
def same_cache(
    pytester: pytest.Pytester, measured_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache of other tests, which no command line of these tests names."""
    monkeypatch.setenv("PYTEST_ADDOPTS", f"--kycquant-cache={measured_cache}")


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


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("deep", ["-n2", "--kycquant-golden=my baselines"]),
        ("deep", ["--override-ini=kycquant_golden=my baselines", "-p", "no:cacheprovider"]),
        ("deep", ["-c", "../other.ini"]),
        ("", ["--rootdir=deep"]),
        ("", ["--kycquant-profile=standard", "-o", "kycquant_profile=nist63a4"]),
    ],
    ids=str,
)
def test_the_advised_command_records_the_golden_that_is_missing(
    pytester: pytest.Pytester, start: str, words: list[str]
) -> None:
    write_project(pytester.path)
    (pytester.path / "deep").mkdir()
    for name in ("test_gate.py", "models", "faces.npz", "selection.npz", "calibration.npz"):
        (pytester.path / name).rename(pytester.path / "deep" / name)
    (pytester.path / "pytest.ini").write_text("[pytest]\n")
    (pytester.path / "other.ini").write_text("[pytest]\nkycquant_golden = others\n")
    assert pytest_in(pytester.path, "--kycquant-update-golden", "-k", "size").returncode == 0
    other = pytester.path / "golden" / "face.json"
    if "standard" in words[0]:
        other.rename(other.with_name("face.nist63a4.json"))
        other = other.with_name("face.nist63a4.json")
    before = other.stat().st_mtime_ns, other.read_bytes()
    shown = pytest_in(pytester.path / start, *words, "-k", "size").stdout
    advised = re.search(r"(\S[^\n]*): there is no golden .*; record it with: pytest (.+)", shown)
    assert advised is not None, shown
    done = pytest_in(pytester.path / start, *shlex.split(advised[2]), "-k", "size")
    assert done.returncode == 0, done.stdout
    recorded = re.search(r"golden: recorded ([^;]+); commit it:\s+git add (.+)\n", done.stdout)
    assert recorded is not None, done.stdout
    (shown,) = shlex.split(recorded[2])
    assert recorded[1] == shown
    assert (pytester.path / start / shown).samefile(advised[1])
    assert (other.stat().st_mtime_ns, other.read_bytes()) == before


def test_the_advised_command_keeps_the_goldens_of_other_gates(pytester: pytest.Pytester) -> None:
    write_project(pytester.path)
    gate = pytester.path / "test_gate.py"
    text = gate.read_text()
    second = text[text.index("class Test") :].replace("TestFace", "TestOther")
    gate.write_text(text + re.sub(r'(KycModel\(\s*"[^"]+",)', r'\1 name="other",', second))
    pytest_in(pytester.path, "--kycquant-update-golden", "-k", "size")
    folder = pytester.path / "golden"
    assert {path.name for path in folder.iterdir()} == {"face.json", "other.json"}
    (folder / "other.json").unlink()
    before = (folder / "face.json").stat().st_mtime_ns
    shown = pytest_in(pytester.path, "-k", "size").stdout
    advised = re.search(r"record it with: pytest (.+)", shown)
    assert advised is not None, shown
    pytest_in(pytester.path, *shlex.split(advised[1]), "-k", "size")
    assert (folder / "other.json").exists()
    assert (folder / "face.json").stat().st_mtime_ns == before


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
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_ADDOPTS")
    write_project(pytester.path)
    pytest_in(pytester.path, "--kycquant-update-golden", "-k", "size")
    cache = pytester.path / ".pytest_cache"
    assert (cache / "kycquant" / "CACHEDIR.TAG").exists()
    assert (cache / ".gitignore").read_text().endswith("*\n")


@pytest.mark.parametrize("name", ["conftest.py", "test_more.py"])
def test_a_mistake_in_a_file_that_pytest_imports_is_shown_without_frames_of_others(
    pytester: pytest.Pytester, name: str
) -> None:
    (pytester.path / "sub").mkdir()
    (pytester.path / "sub" / name).write_text(
        "from pytest_kycquant import FaceLimits\nFaceLimits(frr_degredation=3)\n"
    )
    shown = pytest_in(pytester.path).stdout
    assert "did you mean 'frr_degradation'?" in shown
    errors = shown.partition("= ERRORS")[2].partition("short test summary")[0]
    assert not re.search("_pytest/|importlib|pluggy|coerce", errors)
    assert len(errors.splitlines()) < 8, errors


@pytest.mark.parametrize("wanted", ["default", "error"])
def test_a_gate_that_is_not_collected_is_shown_by_its_own_line(
    pytester: pytest.Pytester, wanted: str
) -> None:
    write_project(pytester.path)
    gate = pytester.path / "test_gate.py"
    gate.write_text(gate.read_text().replace("TestFace", "FaceTest"))
    lines = gate.read_text().splitlines()
    line = next(i for i, text in enumerate(lines, 1) if text.startswith("class FaceTest"))
    shown = pytest_in(pytester.path, "-W", wanted).stdout
    if wanted == "default":
        assert f"test_gate.py:{line}: GateCollectionWarning: gate class FaceTest" in shown
        return
    errors = shown.partition("= ERRORS")[2].partition("short test summary")[0]
    assert "gate class FaceTest is not collected" in errors
    assert len(errors.splitlines()) < 5, errors
