"""What does calibration cost? Time and peak memory of one pass, against onnxruntime's calibrators.

Ours collects what all range methods and the accuracy tools need, and estimates all ranges; each of
onnxruntime's calibrators gives the ranges of one method. Each row is measured in a process of its
own, one after the other, on the same images. Memory is the peak minus what the process held before
it opened the model. The model is the real MobileFaceNet in `KYCQUANT_REAL` (or `../shared/real`),
or another one of `benchmarks/quantizer.py`. Run with::

    python -m benchmarks.calibration [--model NAME] [--images N]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from benchmarks.quantizer import CASES, Case
from pytest_kycquant.context.scratch import scratch_context
from pytest_kycquant.data.files import find_images
from pytest_kycquant.data.images import ImageSet, preprocess
from pytest_kycquant.measure.memory import peak_bytes
from pytest_kycquant.quantize import PreparedModel, Quantizer
from pytest_kycquant.runtimes.environment import describe_machine
from pytest_kycquant.spec.recipe import CalibrationMethod, Recipe

FEW = 50  # images for every row; onnxruntime's percentile needs 25 MB more for each further image
THREADS = max(2, len(os.sched_getaffinity(0)))
OURS = {"ours, 1 thread": 1, f"ours, {THREADS} threads": THREADS}
AGAIN = f"ours, equalized as well, {THREADS} threads"
THEIRS = {"onnxruntime MinMax": "MinMax", "onnxruntime Percentile": "Percentile"}

Named = tuple[str, NDArray[np.float32]]


def stream(case: Case, count: int) -> Iterator[Named]:
    """Inputs, made one at a time; if there are too few images, they start again from the first."""
    files = find_images(case.images)
    chosen = islice(cycle(files), count)
    for path in chosen:
        images = ImageSet.from_files(case.images, [path])
        yield path.name, preprocess(images.pixels(0), case.preprocess, path.name)


class Stream:
    """The same inputs as images for the quantizer."""

    def __init__(self, case: Case, count: int) -> None:
        self._case = case
        self._count = count
        self.digest = f"{count} images of {case.images}"

    def __len__(self) -> int:
        return self._count

    def named(self, indices: Sequence[int] | None = None) -> Iterator[Named]:
        wanted = None if indices is None else set(indices)
        for index, each in enumerate(stream(self._case, self._count)):
            if wanted is None or index in wanted:
                yield each


def ours(quantizer: Quantizer, *, equalized: bool) -> None:
    """One pass and the ranges of all methods; optionally on the equalized graph."""
    found = quantizer.result("observe", Recipe("int8", equalize=equalized))
    for method in get_args(CalibrationMethod):
        found.ranges(method)


def theirs(case: Case, prepared: PreparedModel, count: int, method: str) -> None:
    """The ranges of one of onnxruntime's methods."""
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
    from onnxruntime.quantization.calibrate import create_calibrator

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.arrays = stream(case, count)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            named = next(self.arrays, None)
            return None if named is None else {prepared.input_name: named[1]}

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prepared.onnx"
        path.write_bytes(prepared.proto.SerializeToString())
        calibrator = create_calibrator(
            path,
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=CalibrationMethod[method],
        )
        calibrator.collect_data(Reader())
        calibrator.compute_data()


def child(case: Case, label: str, count: int) -> None:
    """Measure one row and print it."""
    import onnxruntime.quantization.calibrate  # noqa: F401  # all rows import it, so it does not count

    before = peak_bytes()
    context = scratch_context(threads=OURS.get(label, THREADS))
    quantizer = Quantizer(case.model, Stream(case, count), probes=Stream(case, 8), context=context)
    prepared = quantizer.prepared
    wall, cpu = time.perf_counter(), time.process_time()
    if label in THEIRS:
        theirs(case, prepared, count, THEIRS[label])
    else:
        ours(quantizer, equalized=label == AGAIN)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    after = peak_bytes()
    peak = None if before is None or after is None else (after - before) / 1e6
    print(json.dumps([wall, cpu, peak]))


def row(model: str, label: str, count: int) -> list[float | None]:
    """Seconds, CPU seconds and peak memory, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.calibration", "--model", model]
    command += ["--images", str(count), "--child", label]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{label}: {done.stderr.strip()}")
    found: list[float | None] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=CASES, default="mobilefacenet (real)")
    parser.add_argument("--images", type=int, default=300, help="for ours (default 300)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    case = CASES[given.model]
    if not (case.model.is_file() and case.images.is_dir()):
        raise SystemExit(f"{given.model} is not present")
    if given.child:
        child(case, given.child, given.images)
        return
    wanted = [(label, FEW) for label in (*OURS, *THEIRS)]
    wanted += [(label, given.images) for label in (*OURS, AGAIN)]
    found = {(label, count): row(given.model, label, count) for label, count in wanted}
    first = found[wanted[0]]
    table = []
    for (label, count), figures in found.items():
        ratios = [
            f"{figure / of:.1f}" if count == FEW and figure and of else ""
            for figure, of in zip(figures[1:], first[1:], strict=True)
        ]
        shown = ["unknown" if figure is None else f"{figure:.1f}" for figure in figures]
        table.append([label, count, *shown, *ratios])
    print(f"{given.model}; {describe_machine()}, numpy {np.__version__}")
    headers = ["calibration", "images", "s", "CPU s", "MB", "CPU s / ours", "MB / ours"]
    print(tabulate(table, headers=headers, tablefmt="simple", disable_numparse=True))


if __name__ == "__main__":
    main()
