"""With pytest-xdist the verdicts are those of one process, and each artefact is built once."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.worlds.ci import leave_ci
from tests.worlds.population import write_project
from tests.worlds.processes import PYTEST

# On graphs this small, timing would choose different rewrites from run to run.
PRECISIONS = 'Recipe("fp16", name="half", rewrites=False), Recipe("int8", rewrites=False)'
ARGUMENTS = ("--kycquant-report=report.json", "--kycquant-cache=cache", "-q")


def run(folder: Path, *arguments: str) -> str:
    result = subprocess.run(
        [*PYTEST, *ARGUMENTS, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return result.stdout + result.stderr


def entries(folder: Path) -> dict[str, int]:
    """Return the inode of every artefact; a rebuilt one would have another."""
    cache = folder / "cache"
    kinds = ("variant", "activations", "sensitivity", "outputs", "search", "rewrites", "footprint",
             "pixels", "inputs", "near-duplicates", "channels", "extremes")  # fmt: skip
    return {str(p): p.stat().st_ino for kind in kinds for p in (cache / kind).glob("*")}


def verdicts(folder: Path) -> dict[str, object]:
    """Return the report without times, which are measured again each time."""
    report = json.loads((folder / "report.json").read_text())
    del report["times"], report["digest"]
    report["gates"][0]["golden"].pop("latency_ms")
    del report["gates"][0]["advice"]  # which may be about latency
    for variant in report["gates"][0]["variants"]:
        variant["gates"].pop("latency", None)
        if variant["curves"] is not None:
            del variant["curves"]["rounds"]
        for name in list(variant["figures"]):
            if not name.startswith(("cosine", "norm")):
                del variant["figures"][name]
    for decision in report["gates"][0]["decisions"]:
        for search in decision["searches"]:
            for attempt in search["attempts"]:
                del attempt["seconds"]
    return report


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project gated by a single process."""
    folder = tmp_path_factory.mktemp("single")
    write_project(folder, precisions=PRECISIONS, fragile=True)
    with pytest.MonkeyPatch.context() as patch:
        leave_ci(patch)
        output = run(folder, "-vv", "--kycquant-update-golden")
    assert "6 passed, 6 fallback" in output, output
    return folder


def built(output: str) -> int:
    line = next(line for line in output.splitlines() if line.startswith("artefacts: "))
    return int(line.split()[1])


def test_workers_agree_and_build_once(single: Path, tmp_path: Path) -> None:
    write_project(tmp_path, precisions=PRECISIONS, fragile=True)
    output = run(tmp_path, "-vv", "-n2", "--kycquant-update-golden")
    assert "6 passed, 6 fallback" in output, output
    assert "= kycquant =" in output
    assert verdicts(tmp_path) == verdicts(single)
    # The controller adds up what each worker built: no more than there are artefacts.
    assert built(output) == len(entries(tmp_path)) == len(entries(single))


def test_second_run_builds_nothing_but_measures_latency(single: Path) -> None:
    before, report = entries(single), verdicts(single)
    latency = json.loads((single / "report.json").read_text())
    output = run(single, "-vv")
    assert built(output) == 0
    assert entries(single) == before
    assert verdicts(single) == report
    again = json.loads((single / "report.json").read_text())

    def measured(values: dict[str, object]) -> object:
        return values["gates"][0]["variants"][-1]["gates"]["latency"]  # type: ignore[index]

    assert measured(again) != measured(latency)


def test_killed_run_is_completed_by_the_next(single: Path, tmp_path: Path) -> None:
    """SIGKILL at moments spread over a whole run; the run after it gives the same verdicts."""
    write_project(tmp_path, precisions=PRECISIONS, fragile=True)
    for seconds in (1.5, 2.0, 2.5, 3.0, 3.5):
        process = subprocess.Popen(
            [*PYTEST, *ARGUMENTS, "--kycquant-update-golden"],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
        )
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    output = run(tmp_path, "--kycquant-update-golden")
    assert "6 passed, 6 fallback" in output, output
    assert verdicts(tmp_path) == verdicts(single)
