"""Does the same input give the same verdicts? Judges a gate file again and again.

Every run is a process of its own, and the JSON reports are compared value by value: verdicts
(including those of latency), what ships, error rates with their bounds, limits, digests of the
files, every attempt of a search. Values of a clock or of a process's memory are left out. Run
with::

    python -m benchmarks.repeat tests/gates/test_arcface.py [--runs N] [--fresh]

All runs share the cache of the project. With `--fresh` each gets an empty one, so that it
quantizes, searches and measures rewrites again. The exit status is 1 if anything differs, and each
differing value is printed with the number of runs that gave it. ^C compares the finished runs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from tabulate import tabulate

from pytest_kycquant.measure.latency import Latency
from pytest_kycquant.measure.memory import Footprint
from pytest_kycquant.runtimes.environment import describe_machine

# Names of figures that come from a clock or from the memory of a process, wherever they occur.
TIMES = {field.name for kind in (Latency, Footprint) for field in fields(kind)} - {
    "lower",  # bounds of error rates have the same names
    "upper",
}
TIMES |= {"seconds", "latency_ms", "timing", "peak_mb", "imports_mb", "latency_ratio"}
TIMES |= {"advice"}  # which may be about latency
KEYS = ("model", "gate", "variant", "requested", "name")  # these identify an entry of a list
MEASURED = re.compile(r"\d+\.\d+ \[\d+\.\d+, \d+\.\d+\] of the latency")


def comparable(value: Any, where: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every value of a report, with its place, except times and memory."""
    if isinstance(value, Mapping):
        # Every measured value of these gates is a time or memory; verdict and limit are not.
        timed = TIMES | ({"value", "lower", "upper", "detail"} if _is_measured(where) else set())
        timed |= {"lower", "upper"} if where and where[-1] == "figures" else set()
        timed |= set() if where else {"times", "digest"}
        for key, entry in value.items():
            if key not in timed:
                yield from comparable(entry, (*where, key))
    elif isinstance(value, list):
        yield "/".join((*where, "length")), len(value)
        for index, entry in enumerate(value):
            known = [entry[k] for k in KEYS if k in entry] if isinstance(entry, Mapping) else []
            yield from comparable(entry, (*where, str(known[-1] if known else index)))
    else:
        shown = MEASURED.sub("of the latency", value) if isinstance(value, str) else value
        yield "/".join(where), shown


def _is_measured(where: tuple[str, ...]) -> bool:
    return "checks" in where and not {"latency", "memory"}.isdisjoint(where)


def run(gate_file: Path, cache: Path | None) -> dict[str, Any]:
    """Judge a gate file in a process of its own; return the comparable values by place."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pytest", "-q", str(gate_file)]
        command.append(f"--kycquant-report={report}")
        if cache is not None:
            command.append(f"--kycquant-cache={cache}")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not report.exists():
            raise SystemExit(f"{gate_file} left no report:\n{done.stdout[-2000:]}{done.stderr}")
        values = json.loads(report.read_text(encoding="utf-8"))
    return {"exit status": done.returncode, **dict(comparable(values))}


def differences(found: list[dict[str, Any]]) -> list[list[str]]:
    """Each place where runs differ, and its values with the number of runs that gave them."""
    rows = []
    for place in dict.fromkeys(place for values in found for place in values):
        counts = Counter(json.dumps(values.get(place, "nothing")) for values in found)
        if len(counts) > 1:
            shown = ", ".join(f"{value[:60]} x {count}" for value, count in counts.most_common())
            rows.append([place, shown])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gates", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--fresh", action="store_true", help="an empty cache for each run")
    given = parser.parse_args()
    print(describe_machine())
    table, differ = [], []
    for gate_file in given.gates:
        found: list[dict[str, Any]] = []
        began = time.monotonic()
        with contextlib.suppress(KeyboardInterrupt):
            while len(found) < given.runs:
                with tempfile.TemporaryDirectory() as cache:
                    found.append(run(gate_file, Path(cache) if given.fresh else None))
        if not found:
            raise SystemExit("no run was done")
        rows = differences(found)
        differ += [[gate_file.stem, *row] for row in rows]
        ships = Counter(
            value for values in found for place, value in values.items() if place.endswith("/ship")
        )
        latencies = Counter(
            value
            for values in found
            for place, value in values.items()
            if place.endswith("gates/latency/verdict")
        )
        table.append(
            [
                gate_file.name,
                len(found),
                len(found[0]),
                sum(place.endswith("verdict") for place in found[0]),
                len(rows),
                ", ".join(f"{name} x {count}" for name, count in ships.most_common()),
                ", ".join(f"{name} x {count}" for name, count in latencies.most_common()),
                f"{(time.monotonic() - began) / len(found):.0f}",
            ]
        )
    headers = [
        "gates",
        "runs",
        "values",
        "of them verdicts",
        "differ",
        "ship",
        "latency",
        "s a run",
    ]
    print(tabulate(table, headers=headers, tablefmt="github", disable_numparse=True))
    if differ:
        print()
        headers = ["gates", "value", "runs"]
        print(tabulate(differ, headers=headers, tablefmt="github", disable_numparse=True))
    raise SystemExit(bool(differ))


if __name__ == "__main__":
    main()
