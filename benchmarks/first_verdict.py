"""How long does a newcomer wait? CPU time of the shortest gate file on 300 real people, cold.

The gate file has a model, a folder of people, a folder for calibration, three precisions and no
other setting. Each row is a run of pytest with an empty cache. The last row is what nobody can
avoid, FP32 on the images of all people. Figures are CPU seconds of all processes of a run, since
other work on the machine changes the wall clock, and quotients of runs made side by side. The
model and the people are those in `KYCQUANT_REAL` (or `../shared/real`). Run with::

    python -m benchmarks.first_verdict [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnxruntime
from tabulate import tabulate

from benchmarks.quantizer import REAL
from pytest_kycquant import presets
from pytest_kycquant.data.files import find_images
from pytest_kycquant.data.images import ImageSet, preprocess
from pytest_kycquant.runtimes.environment import describe_machine

MODEL = "mobilefacenet_fp32.onnx"
GATE = f"""
from dataclasses import replace
from pytest_kycquant import FaceGates, presets


class TestFace(FaceGates):
    model = presets.arcface(
        "{MODEL}",
        "people",
        calibration="calibration",
        preprocess=replace(presets.ARCFACE, channels="BGR"),
    )
    precisions = ("fp16", "int8-weights", "int8")
"""
RECORD = ("--kycquant-update-golden",)
ALONE = "FP32 on all images of people, no gate"


def project(root: Path) -> None:
    """Write the gate file beside links to the model and to the people."""
    (root / "test_gate.py").write_text(GATE)
    (root / "pytest.ini").write_text("[pytest]\n")
    (root / MODEL).symlink_to(REAL / "models" / MODEL)
    (root / "people").symlink_to(REAL / "faces" / "evaluation")
    (root / "calibration").symlink_to(REAL / "faces" / "calibration")


def gate(root: Path, *options: str) -> Callable[[], None]:
    """A function that runs the gate with an empty cache."""

    def run() -> None:
        with tempfile.TemporaryDirectory() as cache:
            command = [sys.executable, "-m", "pytest", "-q", "test_gate.py", *options]
            command += [f"--kycquant-cache={cache}", "-p", "no:cacheprovider"]
            environment = {k: v for k, v in os.environ.items() if k != "CI"}
            found = subprocess.run(
                command, cwd=root, env=environment, capture_output=True, text=True
            )
        if found.returncode != 0:
            raise SystemExit(found.stdout + found.stderr)

    return run


def alone() -> None:
    """Run FP32 on the images of all people, as a gate does: decoded, one image at a time."""
    spec, folder = replace(presets.ARCFACE, channels="BGR"), REAL / "faces" / "evaluation"
    images = ImageSet.from_files(folder, find_images(folder))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(REAL / "models" / MODEL), options)
    (feed,) = session.get_inputs()
    for index, name in enumerate(images.names):
        session.run(None, {feed.name: preprocess(images.pixels(index), spec, name)})


def cpu_seconds(work: Callable[[], None]) -> float:
    """CPU time of this process and of its children while the work is done."""

    def used() -> float:
        both = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(found.ru_utime + found.ru_stime for found in both)

    before = used()
    work()
    return used() - before


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        project(root)
        gate(root, *RECORD, "-k", "size")()
        rows: dict[str, Callable[[], None]] = {
            "standard, the golden exists": gate(root),
            "standard, the golden is recorded": gate(root, *RECORD),
            "the same without trying other preprocessings": gate(
                root, *RECORD, "--kycquant-accept-preprocessing"
            ),
            "smoke": gate(root, "--kycquant-profile=smoke"),
            ALONE: alone,
        }
        found: dict[str, list[float]] = {name: [] for name in rows}
        for _ in range(rounds):
            for name, work in rows.items():
                found[name].append(cpu_seconds(work))
    base = statistics.median(found[ALONE])
    table = [
        [name, f"{statistics.median(times):.1f}", f"{statistics.median(times) / base:.1f}"]
        for name, times in found.items()
    ]
    print(tabulate(table, ["run", "CPU s", f"times {ALONE!r}"], tablefmt="github"))


if __name__ == "__main__":
    main()
