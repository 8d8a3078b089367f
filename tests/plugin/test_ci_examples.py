"""The commands of the workflow files run as they stand, where CI runs them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.worlds.ci import environment_outside_ci
from tests.worlds.population import write_project
from tests.worlds.processes import PYTEST

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "ci"


SHARDED = {"github-shards.yml": "$SHARD", "gitlab-shards.yml": "$CI_NODE_INDEX/$CI_NODE_TOTAL"}


def command(name: str) -> list[str]:
    """The words of the run of pytest in a workflow file; it is folded (`>-`) over several lines."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    found = re.search(r"^ +pytest (?:.+\n)(?: +--.+\n)*", text, re.MULTILINE)
    assert found is not None
    program, *words = shlex.split(found[0])
    assert program == "pytest"
    return words


def merge_command(name: str) -> list[str]:
    """The words of the command that unites the shards of a workflow file."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    found = re.search(r"^ +- (?:run: )?(kycquant merge .+)$", text, re.MULTILINE)
    assert found is not None
    return shlex.split(found[1])[1:]


def test_both_run_the_same() -> None:
    assert command("github.yml") == command("gitlab.yml")
    assert merge_command("github-shards.yml") == merge_command("gitlab-shards.yml")


@pytest.mark.parametrize("name", SHARDED)
def test_shards_run_the_same_as_one_job(name: str) -> None:
    """But for the shard, and for the place of the report."""
    shard = f"--kycquant-shard={SHARDED[name]}"
    words = command(name)
    assert shard in words
    kept = [word for word in words if word != shard and "-report" not in word]
    assert kept == [word for word in command("github.yml") if "-report" not in word]


def test_the_last_job_runs_and_fails_if_a_shard_fails() -> None:
    github = (FOLDER / "github-shards.yml").read_text(encoding="utf-8").partition("  gates:\n")[2]
    assert "\n    if: always()\n" in f"\n{github}"
    assert "- if: always() && needs.shard.result != 'success'\n        run: exit 1\n" in github
    gitlab = (FOLDER / "gitlab-shards.yml").read_text(encoding="utf-8").partition("\ngates:\n")[2]
    assert gitlab.count("- if:") == gitlab.count("      when: always\n") == 2


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


@pytest.mark.parametrize("name", SHARDED)
def test_shards_are_united(project: Path, name: str) -> None:
    """Where the artefacts of all shards lie in the last job."""
    environment = {**os.environ, "CI": "true", "COLUMNS": "80"}
    shards = project / "shards"
    for index in (1, 2):
        known = {"SHARD": f"{index}/2", "CI_NODE_INDEX": str(index), "CI_NODE_TOTAL": "2"}
        words = [os.path.expandvars(word) for word in command(name)]
        words = [re.sub(r"\$(\w+)", lambda found, known=known: known[found[1]], w) for w in words]
        done = subprocess.run(
            [*PYTEST, *words], cwd=project, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        if name.startswith("github"):  # each artefact is a folder
            folder = shards / f"shard-{index}"
            folder.mkdir(parents=True)
            (project / "report.json").rename(folder / "report.json")
    united = [sys.executable, "-m", "pytest_kycquant", *merge_command(name)]
    done = subprocess.run(united, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((project / "report.json").read_text())["verdict"] == "PASS"
    next(path for path in sorted(shards.rglob("*.json"))).unlink()
    lost = subprocess.run(united, cwd=project, capture_output=True, text=True, check=False)
    assert lost.returncode == 1
    assert "shard 1/2 is missing" in lost.stdout
