"""Two workers get the results of one process, and measure only once."""

import json
import shutil
import subprocess
from pathlib import Path

from tests.worlds.processes import PYTEST


def test_two_workers(pipeline_world: Path, measured_cache: Path, tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(pipeline_world, root, ignore=shutil.ignore_patterns("__pycache__"))

    def run(*arguments: str) -> dict[str, object]:
        command = [
            *PYTEST, "-v", "test_pipeline.py", "face/gate.py",
            "--kycquant-report=report.json", f"--kycquant-cache={measured_cache}", *arguments,
        ]  # fmt: skip
        result = subprocess.run(command, cwd=root, capture_output=True, text=True)
        output = result.stdout + result.stderr
        assert "10 passed" in result.stdout, output
        assert output.count("pipeline, test_pipeline.py::TestPipeline") == 1
        (record,) = json.loads((root / "report.json").read_text())["pipelines"]
        return dict(record)

    workers, single = run("-n2", "--dist=load"), run()
    for record in (workers, single):
        assert record.pop("figures").pop("cosine_min") > 0.9
        for name in ("fp32", "shipped"):
            assert record[name].pop("timing")["runs"] == 59
            assert record[name].pop("peak_mb") > record[name].pop("imports_mb")
        for gate in ("latency", "memory"):
            assert record["gates"].pop(gate)["verdict"] == "PASS"
    assert workers == single
