"""Run pytest on a project in a process group of its own, and read what it said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest_kycquant
from tests.corpus.outcome import Outcome
from tests.corpus.trial import Trial
from tests.worlds.processes import PYTEST

_PACKAGE = Path(pytest_kycquant.__file__).parent.parent
_MEMORY = 8_000_000  # kilobytes of address space, so that a bad input does not stop the machine
# Root that may not ignore permissions. Users other than root need not be able to run this Python.
_BOUND = (
    "import ctypes, os, sys\n"
    "prctl = ctypes.CDLL(None).prctl\n"
    "drop, override, read = 24, 1, 2  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH\n"
    "assert prctl(drop, override, 0, 0, 0) == prctl(drop, read, 0, 0, 0) == 0\n"
    "os.execv(sys.argv[1], sys.argv[1:])"
)
_LONGEST = 20_000_000  # characters of output that are read


def command(trial: Trial) -> list[str]:
    """What is run."""
    words = [*PYTEST, "-q", *trial.arguments]
    if trial.report:
        words.append(f"--kycquant-report={trial.report_file}")
    if trial.unprivileged and os.geteuid() == 0:
        words = [sys.executable, "-c", _BOUND, *words]
    limits = f"ulimit -v {_MEMORY}"
    if trial.file_limit is not None:
        limits += f"; ulimit -f {trial.file_limit}"
    return ["/bin/sh", "-c", f'{limits}; exec "$@"', "sh", *words]


def environment(trial: Trial) -> dict[str, str]:
    """The variables of the run: those of the trial, and few others."""
    kept = ("PATH", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "SYSTEMROOT")
    values: dict[str, str | None] = {name: os.environ[name] for name in kept if name in os.environ}
    values |= {
        "HOME": str(trial.home),
        "TMPDIR": str(trial.root / "tmp"),
        "PYTHONPATH": str(_PACKAGE),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "200",
        "NO_COLOR": "1",
    }
    values |= trial.environment
    return {name: value for name, value in values.items() if value is not None}


def run(trial: Trial) -> Outcome:
    """Run it to its end, or kill it with everything that it started."""
    began = time.monotonic()
    with subprocess.Popen(
        command(trial),
        cwd=trial.project,
        env=environment(trial),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        umask=trial.umask,
    ) as process:
        stop = threading.Event()
        if trial.during is not None:
            threading.Thread(target=_again_and_again, args=(trial.during, stop)).start()
        try:
            output, errors = process.communicate(timeout=trial.timeout)
            status: int | None = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate()
            status = None
        finally:
            stop.set()
    text = b"\n".join((output[:_LONGEST], errors[:_LONGEST])).decode("utf-8", "surrogateescape")
    return Outcome(status, text, time.monotonic() - began, _report(trial))


def _again_and_again(what: object, stop: threading.Event) -> None:
    while not stop.wait(0.02):
        what()  # type: ignore[operator]


def _report(trial: Trial) -> dict[str, object]:
    try:
        values = json.loads(trial.report_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
