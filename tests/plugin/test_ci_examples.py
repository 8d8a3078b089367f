"""The commands of the workflow files run as they stand, where CI runs them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.worlds.ci import environment_outside_ci
from tests.worlds.population import write_project
from tests.worlds.processes import PYTEST

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "ci"


def command(name: str) -> list[str]:
    """The words of the run of pytest in a workflow file; it is folded (`>-`) over several lines."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    found = re.search(r"^ +pytest (?:.+\n)(?: +--.+\n)*", text, re.MULTILINE)
    assert found is not None
    program, *words = shlex.split(found[0])
    assert program == "pytest"
    return words


def test_both_run_the_same() -> None:
    assert command("github.yml") == command("gitlab.yml")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path, fallback=None)
    (tmp_path / "tests").mkdir()
    (tmp_path / "test_gate.py").rename(tmp_path / "tests" / "test_gate.py")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    recorded = subprocess.run(
        [*PYTEST, "--kycquant-update-golden", "--kycquant-cache=.kycquant", "-k", "size"],
        cwd=tmp_path, env=environment_outside_ci(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert recorded.returncode == 0, recorded.stdout
    return tmp_path


def test_artefacts_are_where_the_workflows_look(project: Path) -> None:
    words = command("github.yml")
    environment = {**os.environ, "CI": "true"}
    run = [*PYTEST, *words]
    done = subprocess.run(
        run, cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((project / "report.json").read_text())["gates"]
    assert len(list(ElementTree.parse(project / "junit.xml").iter("testcase"))) == 6
    for name in ("github.yml", "gitlab.yml"):
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert all(artefact in text for artefact in ("report.json", "junit.xml", ".kycquant"))
    gate = project / "tests" / "test_gate.py"
    gate.write_text(gate.read_text().replace("size_ratio=10.0", "size_ratio=0.2"))
    blocked = subprocess.run(
        run, cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert blocked.returncode == 1, blocked.stdout
