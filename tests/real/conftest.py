"""Location of the real models and faces; tests that need them are skipped without them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.worlds.ci import environment_outside_ci
from tests.worlds.processes import PYTEST
from tests.worlds.projects import rewrite_ratio, run, shared_cache  # noqa: F401

DEFAULT = Path(__file__).parents[3] / "shared" / "real"


@pytest.fixture(scope="session")
def real() -> Path:
    """Folder of real models and real faces (third-party data, not part of this repository)."""
    folder = Path(os.environ.get("KYCQUANT_REAL", DEFAULT))
    if not (folder / "models" / "mobilefacenet_fp32.onnx").is_file():
        pytest.skip(f"real models and faces are not at {folder} (set KYCQUANT_REAL)")
    return folder


@pytest.fixture(scope="session")
def people(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People of the calibration folder: 100 for calibration and 100 for the search."""
    root = tmp_path_factory.mktemp("people")
    for index, person in enumerate(sorted((real / "faces" / "calibration").iterdir())[:200]):
        role = "calibration" if index < 100 else "selection"
        (root / role).mkdir(exist_ok=True)
        (root / role / person.name).symlink_to(person)
    return root


@pytest.fixture(scope="session")
def real_cache(pytestconfig: pytest.Config) -> Path:
    """A cache that outlives the run, so that a second run is warm."""
    cache = pytestconfig.cache
    assert cache is not None
    return cache.mkdir("kycquant-real")


class GateRun(NamedTuple):
    """Output of a gate that ran in a separate folder, and its JSON report."""

    printed: str
    report: dict[str, Any]


@pytest.fixture(scope="session")
def run_gate(real_cache: Path) -> Callable[[Path], GateRun]:
    """Run `test_gate.py` of a folder in a separate process and record its golden."""

    def judge(project: Path) -> GateRun:
        environment = environment_outside_ci()
        result = subprocess.run(
            [
                *PYTEST, "-v", "test_gate.py", "--kycquant-update-golden",
                "--kycquant-report=report.json", f"--kycquant-cache={real_cache}",
            ],
            cwd=project, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        report = project / "report.json"
        assert report.is_file(), result.stdout + result.stderr
        return GateRun(result.stdout + result.stderr, json.loads(report.read_text()))

    return judge
