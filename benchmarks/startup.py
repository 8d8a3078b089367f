"""What does the plugin cost a suite without gates? CPU time of pytest, with it and without.

A suite of one empty test is run with the plugin and with ``-p no:kycquant``, in turns, each in a
process of its own. The operating system reports its CPU time (user and system, including workers of
pytest-xdist). Other work on the machine affects both runs of a pair alike, and the median of the
differences is robust against the rest. Its interval is exact (order statistics, 95 %).
Bytecode is written before the first pair, as on any machine where pytest has run before. Except for
pytest-xdist, all other plugins are disabled. Run with::

    python -m benchmarks.startup [--pairs N] [--workers N] [--python PATH]

`--python` measures the plugin that is installed for another interpreter, such as an older version.
The modules of the package that such a suite loads are listed after the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pytest_kycquant.statistics import order_statistic_interval

OURS = "kycquant"
KEPT = (OURS, "xdist", "xdist.looponfail")
PLUGINS = """
import importlib.metadata, json
print(json.dumps([point.name for point in importlib.metadata.entry_points(group="pytest11")]))
"""
LOADED = """
import json, sys
import pytest
code = pytest.main(sys.argv[1:])
print()
print(json.dumps(sorted(name for name in sys.modules if name.split(".")[0] == "pytest_kycquant")))
sys.exit(code)
"""


class Suite:
    """A suite without gates, for one interpreter.

    Args:
        python: the interpreter.
        folder: an empty folder for the suite and its bytecode.
        arguments: further arguments of pytest.
    """

    def __init__(self, python: str, folder: Path, arguments: Sequence[str] = ()) -> None:
        self._python = python
        self._folder = folder / "suite"
        self._folder.mkdir()
        (self._folder / "test_plain.py").write_text("def test_it():\n    pass\n")
        (self._folder / "pytest.ini").write_text("[pytest]\n")
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
        found = json.loads(self._run("-c", PLUGINS))
        off = [part for name in found if name not in KEPT for part in ("-p", f"no:{name}")]
        self._arguments = ["-q", *off, *arguments]

    def cpu(self, *, with_plugin: bool) -> float:
        """CPU time of one run in ms."""
        before = _children()
        self._run("-m", "pytest", *self._arguments, *([] if with_plugin else ["-p", f"no:{OURS}"]))
        return 1e3 * (_children() - before)

    def loaded(self) -> list[str]:
        """Modules of the package that are loaded when the suite is done."""
        output = self._run("-c", LOADED, *self._arguments)
        modules: list[str] = json.loads(output.strip().splitlines()[-1])
        return modules

    def _run(self, *command: str) -> str:
        return subprocess.run(
            [self._python, *command],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout


def measure(suite: Suite, pairs: int) -> tuple[list[float], list[float]]:
    """CPU times in ms with and without the plugin, in pairs whose order alternates."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for with_plugin in times:
        suite.cpu(with_plugin=with_plugin)  # writes bytecode
    for number in range(pairs):
        for with_plugin in (True, False) if number % 2 else (False, True):
            times[with_plugin].append(suite.cpu(with_plugin=with_plugin))
    return times[True], times[False]


def describe(with_plugin: Sequence[float], without: Sequence[float]) -> str:
    """The medians, and the median of the differences with its interval."""
    apart = np.sort(np.subtract(with_plugin, without))
    ranks = order_statistic_interval(len(apart), 0.5, 0.95)
    bounds = (
        "too few pairs for an interval"
        if ranks is None
        else "{:.1f} to {:.1f}".format(*apart[list(ranks)])
    )
    return (
        f"with the plugin {np.median(with_plugin):.1f} ms, without {np.median(without):.1f} ms; "
        f"difference {np.median(apart):.1f} ms ({bounds}; {len(apart)} pairs)"
    )


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=60, help="pairs of runs (default 60)")
    parser.add_argument(
        "--workers", type=int, default=0, help="workers of pytest-xdist (default none)"
    )
    parser.add_argument("--python", default=sys.executable, help="an interpreter (default: this)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["-n", str(given.workers)] if given.workers else []
        suite = Suite(given.python, Path(folder), arguments)
        print(describe(*measure(suite, given.pairs)))
        modules = suite.loaded()
    print(f"{len(modules)} modules of the package are loaded:")
    print(*modules, sep="\n")


if __name__ == "__main__":
    main()
