"""Two workers import the gate file, and its metric, each; they give the verdicts of one process."""

import json
import subprocess
import sys
from pathlib import Path

from documents import write_document_project


def test_two_workers(tmp_path: Path) -> None:
    write_document_project(tmp_path, precisions='"fp16", "int8"', fragile=True)

    def run(*arguments: str) -> dict[str, object]:
        command = [
            sys.executable, "-m", "pytest", "-q", "--kycquant-report=report.json",
            "--kycquant-cache=cache", *arguments,
        ]  # fmt: skip
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert "5 passed, 5 fallback" in result.stdout, result.stdout + result.stderr
        report = json.loads((tmp_path / "report.json").read_text())
        (gate,) = report["gates"]  # not one for each worker's function
        return {
            row["variant"]: {name: row["gates"][name] for name in ("finite", "metric")}
            for row in gate["variants"]
        }

    workers = run("-n2", "--kycquant-update-golden")
    single = run()
    assert workers == single
    assert set(single) == {"fp32", "fp16", "int8", "int8>mixed"}
