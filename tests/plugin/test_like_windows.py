"""A whole run where the system lacks what Windows lacks (`tests/worlds/like_windows.py`).

It shows that no code path needs what is not there. That Windows itself does nothing else is not
shown: this was never run on it.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.worlds.ci import environment_outside_ci
from tests.worlds.population import write_project
from tests.worlds.processes import PYTEST

ROOT = Path(__file__).resolve().parents[2]


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*PYTEST, "-p", "tests.worlds.like_windows", "-p", "no:cacheprovider", *words]
    environment = environment_outside_ci() | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=environment
    )


def test_a_gate_records_judges_reports_and_exports(tmp_path: Path) -> None:
    write_project(tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    missing = run(tmp_path, "-k", "size")
    advice = "record it with: pytest test_gate.py::TestFace --kycquant-update-golden"
    assert advice in missing.stdout, missing.stdout + missing.stderr
    whole = ("--kycquant-update-golden", "--kycquant-report=report.json", "--kycquant-export=ship")
    first = run(tmp_path, *whole)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "6 passed" in first.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert list((tmp_path / "ship").glob("*.onnx"))
    again = run(tmp_path, "-v", *whole[1:])
    assert again.returncode == 0, again.stdout + again.stderr
    assert "0 built" in again.stdout
    assert "wall-clock time" in json.dumps(report)
    assert not list(tmp_path.rglob("*.partial"))
    assert not list(tmp_path.rglob("partial-*"))


def test_it_takes_away_what_it_says() -> None:
    code = (
        "import tests.worlds.like_windows\n"
        "from pytest_kycquant import files\n"
        "from pytest_kycquant.measure import clocks\n"
        "print(files.fcntl, files.NO_WAIT, clocks.CLOCKS['thread']() % 15_625_000)\n"
        "try: files.os.open('.', 0)\n"
        "except PermissionError: print('refused')\n"
    )
    done = subprocess.run(
        [PYTEST[0], "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == ["None", "0", "0", "refused"]
