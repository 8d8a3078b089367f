"""Load time and memory of models, measured in a new process.

The work of the process is a job. It is pickled, so it must be a dataclass with `__call__` or a
function of a module. It has three steps: `job()` prepares everything that is not a cost of the
models (libraries, images) and returns a function. That function opens the models and returns
another function, which runs them and may return something that JSON can hold.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MeasurementError
from ..plain import from_plain, plain
from .same_modules import install, places

Open = Callable[[], Callable[[], object]]
Job = Callable[[], Open]

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pytest_kycquant.measure import memory; memory.child()"
)


@dataclass(frozen=True)
class Footprint:
    """The cost of a model for a process beyond Python, the runtime's library and numpy.

    Args:
        load_ms: wall-clock time to open all files of the model, in ms, with the files in the page
            cache.
        memory_mb: peak growth of resident memory while the model is opened and run once, in MB
            (10^6 bytes); None if the system does not report it.
    """

    load_ms: float
    memory_mb: float | None

    def figures(self) -> dict[str, float]:
        """Return the figures for a report; unknown ones are left out."""
        return {name: value for name, value in plain(self).items() if value is not None}


@dataclass(frozen=True)
class Peak:
    """Resident memory of a process, in MB (10^6 bytes).

    Args:
        peak_mb: the peak over the life of the process.
        imports_mb: the peak before it opened a model: Python, its libraries and the images.
    """

    peak_mb: float
    imports_mb: float


@dataclass(frozen=True)
class Report:
    """What a new process tells of a job.

    Args:
        told: what the run returned, read from JSON.
        peak: its memory; None if the system does not report it.
    """

    told: Any
    peak: Peak | None


@dataclass(frozen=True)
class _Answer:
    """What the other process measured; bytes are None if the system does not report them.

    Args:
        load_s: wall-clock time to open the models, in s.
        ready: peak memory before the models were opened, in bytes.
        held: memory held at that moment, in bytes.
        peak: peak memory from then on, in bytes.
        told: what the run returned.
    """

    load_s: float
    ready: int | None
    held: int | None
    peak: int | None
    told: Any = None


def measure_footprint(job: Job, where: str) -> Footprint:
    """Open a model in a new process and run it once.

    Args:
        job: opens the files of the model, which are all held at once, and runs each.
        where: the variant, for messages.

    Raises:
        MeasurementError: the process fails.
    """
    remedy = "check whether the machine has enough memory to open it a second time"
    found = _ask(job, f"memory of {where}", remedy)
    if found.held is None or found.peak is None:
        return Footprint(1e3 * found.load_s, None)
    return Footprint(1e3 * found.load_s, max(0.0, (found.peak - found.held) / 1e6))


def run_afresh(job: Job, where: str, remedy: str) -> Report:
    """Do a job in a new process, and ask it for its peak memory and for what it found.

    Args:
        job: opens the models and runs them.
        where: the thing that is measured, for messages.
        remedy: what to do if the process fails.

    Raises:
        MeasurementError: the process fails.
    """
    found = _ask(job, where, remedy)
    if found.ready is None or found.peak is None:
        return Report(found.told, None)
    return Report(found.told, Peak(max(found.ready, found.peak) / 1e6, found.ready / 1e6))


def child() -> None:
    """Read the job and write down what it took; this runs in the other process.

    There are no files, which would stay if both processes were killed.
    """
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever libraries print is not the answer
    install(json.loads(sys.stdin.buffer.readline()))  # the job may name what they define
    job: Job = pickle.load(sys.stdin.buffer)
    open_models = job()
    ready, held = peak_bytes(), forget_peak()
    began = time.perf_counter()
    run = open_models()
    load = time.perf_counter() - began
    told = run()
    with os.fdopen(answer, "w", encoding="utf-8") as pipe:
        pipe.write("\n")  # what sites print when Python starts may lack one
        json.dump(plain(_Answer(load, ready, held, peak_bytes(), told)), pipe)


def peak_bytes() -> int | None:
    """Return the peak resident memory of this process; None if the system does not report it.

    This does not use `getrusage`: on Linux its figure survives exec, so a new process would start
    with the peak of its parent.
    """
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    kib = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
    return None if kib is None else int(kib) * 1024


def forget_peak() -> int | None:
    """Reset the peak of this process, and return the memory that it holds now, if known.

    On a system that cannot reset it (Linux can), this returns the peak so far.
    """
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5", encoding="ascii")  # proc(5): resets the peak to what is held
    return peak_bytes()


def _ask(job: Job, where: str, remedy: str) -> _Answer:
    """Do a job in a new process, which writes down what it took."""
    command = [sys.executable, "-c", _START, json.dumps(sys.path)]
    work = json.dumps(places()).encode() + b"\n" + pickle.dumps(job)
    result = subprocess.run(command, input=work, capture_output=True, check=False)
    if result.returncode or not result.stdout:
        lines = result.stderr.decode(errors="replace").strip().splitlines()
        last = lines[-1] if lines else "no message"
        problem = f"its process ended with {result.returncode} ({last[:300]})"
        raise MeasurementError(where, problem, remedy)
    return from_plain(_Answer, json.loads(result.stdout.splitlines()[-1]))
