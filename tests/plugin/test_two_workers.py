"""Two workers each import the gate file and give the verdicts of one process."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worlds.documents import write_document_project
from tests.worlds.presentations import write_liveness_project
from tests.worlds.processes import PYTEST


@pytest.mark.parametrize(
    ("write", "accuracy"),
    [(write_liveness_project, ("apcer", "bpcer")), (write_document_project, ("metric",))],
    ids=["liveness", "custom"],
)
def test_two_workers(tmp_path: Path, write: Callable[..., Path], accuracy: tuple[str, ...]) -> None:
    write(tmp_path, precisions='"fp16", "int8"', fragile=True)
    gates = 4 + len(accuracy)

    def run(*arguments: str) -> dict[str, object]:
        command = [
            *PYTEST, "-q", "--kycquant-report=report.json",
            "--kycquant-cache=cache", *arguments,
        ]  # fmt: skip
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert f"{gates} passed, {gates} fallback" in result.stdout, result.stdout + result.stderr
        report = json.loads((tmp_path / "report.json").read_text())
        (gate,) = report["gates"]  # not one for each worker's function
        return {
            row["variant"]: {name: row["gates"][name] for name in ("finite", *accuracy)}
            for row in gate["variants"]
        }

    workers = run("-n2", "--kycquant-update-golden")
    single = run()
    assert workers == single
    assert set(single) == {"fp32", "fp16", "int8", "int8>mixed"}
