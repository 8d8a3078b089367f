"""What does each runtime make of each precision? Size, latency, drift, error rates and verdict.

For each model a gate file is written that lists a variant for every runtime and precision; pytest
runs it, and the table is read from the plugin's own report. So the figures are those that a user
gets: error rates and drift on images that no quantizer has seen, and latency relative to FP32 on
onnxruntime from thread CPU time of interleaved runs, with one thread. Rows whose runtime, or whose
converter, is not there are left out, each with the reason. Run with::

    python -m benchmarks.runtimes [--only NAME ...] [--runtimes NAME ...] [--cache DIR]

The models are the three of this repository, and the real ones in `KYCQUANT_REAL` where they are
present. `--reports` keeps a report for each model, and `--print-again` prints the tables of kept
reports, so that models that were judged one after the other come together.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from datetime import date
from pathlib import Path

from pytest_kycquant import Recipe, Runtime
from pytest_kycquant.errors import RuntimeUnavailableError
from pytest_kycquant.runtimes import library
from pytest_kycquant.runtimes.environment import describe_machine
from pytest_kycquant.runtimes.onnx2tf import version_there

from .gating import Judged, judge, variants_of
from .goals import lines as goals
from .subjects import SUBJECTS, Subject
from .table import Line, table

PRECISIONS = {
    "onnxruntime": ("fp16", "int8-weights", "int8"),
    "openvino": ("fp32", "bf16", "int8-weights", "int8"),
    "litert": ("fp32", "fp16", "int8-weights", "int8-dynamic", "int8", "int8-integer"),
}
OPTIONS = {"int8-integer": {"precision": "int8", "float_fallback": False, "name": "int8-integer"}}
"""What a row stands for if not for its precision alone; "int8-integer" has no float operator."""


def missing(recipe: Recipe) -> str:
    """Why a recipe cannot be judged here; "" if it can."""
    try:
        library(recipe.runs_on).load()
        if recipe.has_own_ladder:
            version_there()
    except RuntimeUnavailableError as error:
        return error.problem
    return ""


def recipe_of(runtime: str, precision: str) -> Recipe:
    """The recipe of a row."""
    return Recipe(**{"precision": precision, "runtime": runtime, **OPTIONS.get(precision, {})})


def code(runtime: str, precision: str, op_types: tuple[str, ...] | None = None) -> str:
    """A recipe as a gate file writes it."""
    given = "" if runtime == "onnxruntime" else f', runtime="{runtime}"'
    options = dict(OPTIONS.get(precision, {}))
    precision = options.pop("precision", precision)
    given += "".join(f", {key}={value!r}" for key, value in options.items())
    if op_types is not None and precision == "int8" and runtime != "litert":
        given += f", op_types={op_types!r}"
    return f'Recipe("{precision}"{given})'


def run(
    subject: Subject, runtimes: list[str], work: Path, cache: Path, report: Path | None = None
) -> tuple[str, Judged]:
    """Judge a model on all runtimes, or read the report of an earlier run.

    Returns:
        The table, and what it was made of.
    """
    rows, codes = [], []
    for runtime in runtimes:
        for precision in PRECISIONS[runtime]:
            recipe = recipe_of(runtime, precision)
            reason = missing(recipe)
            rows.append(Line(runtime, precision, recipe.name, reason))
            if not reason:
                codes.append(code(runtime, precision, subject.op_types))
    if report is not None:
        judged = Judged(variants_of(report.read_text("utf-8")))
    else:
        judged = judge(subject, codes, work, cache)
    return table(rows, judged), judged


def machine(runtimes: list[str]) -> str:
    """Date, CPU, versions and load."""
    versions = [describe_machine()]
    for name in runtimes:
        if name != "onnxruntime":
            try:
                versions.append(library(Runtime(name)).describe())
            except RuntimeUnavailableError as error:
                versions.append(error.problem)
    load = os.getloadavg()[0]
    cores = len(os.sched_getaffinity(0))
    return f"{date.today()}, {'; '.join(versions)}; {cores} cores, load average {load:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--runtimes", nargs="*", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--cache", type=Path, help="cache of the gates, kept for the next run")
    parser.add_argument("--reports", type=Path, help="folder that keeps the report of each model")
    parser.add_argument("--print-again", action="store_true", help="print kept reports")
    given = parser.parse_args()
    if given.print_again and not given.reports:
        parser.error("--print-again needs --reports")
    where = given.reports / "machine.txt" if given.reports else None
    if given.print_again:
        print(where.read_text("utf-8"))
    else:
        print(described := machine(given.runtimes), flush=True)
        if where:
            given.reports.mkdir(parents=True, exist_ok=True)
            where.write_text(described, encoding="utf-8")
    found: dict[str, Judged] = {}
    with tempfile.TemporaryDirectory(prefix="kycquant-runtimes-") as folder:
        for name in given.only:
            print(f"\n**{name}**\n", flush=True)
            kept = given.reports / f"{name}.json" if given.print_again else None
            if not SUBJECTS[name].present or (kept and not kept.is_file()):
                print("not judged" if kept else "not present", flush=True)
                continue
            work = Path(folder) / name
            text, found[name] = run(
                SUBJECTS[name], given.runtimes, work, given.cache or Path(folder) / "cache", kept
            )
            print(text, flush=True)
            if given.reports and not kept:
                (given.reports / f"{name}.txt").write_text(found[name].printed, encoding="utf-8")
                if (work / "report.json").is_file():
                    shutil.copy(work / "report.json", given.reports / f"{name}.json")
    if reached := goals(found):
        print("\n**Goals**\n\n" + "\n".join(reached))
    if not found:
        sys.exit(1)


if __name__ == "__main__":
    main()
