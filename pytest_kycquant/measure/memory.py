"""What models take besides time per image: opening them, and their memory, in a fresh process.

What the process is to do comes as a job. It is pickled, so it is a dataclass with `__call__` or a
function of a module, and it is called in three steps: `job()` gets everything ready that is not a
cost of the models (libraries, images) and returns a function, which opens the models and returns
another function, which runs them.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import MeasurementError
from ..plain import from_plain, plain

Run = Callable[[], object]
Open = Callable[[], Run]
Job = Callable[[], Open]

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from pytest_kycquant.measure import memory; memory.child(sys.argv[1])"
)


@dataclass(frozen=True)
class Footprint:
    """What a process pays for a model beyond Python, the runtime's library and numpy.

    Args:
        load_ms: wall-clock time of opening all files of the model, in ms, the files being in the
            page cache.
        memory_mb: growth of resident memory at its peak, of opening it and running it once, in MB
            (10^6 bytes); None where the system does not tell.
    """

    load_ms: float
    memory_mb: float | None

    def figures(self) -> dict[str, float]:
        """Figures for a report; what is not known is left out."""
        return {name: value for name, value in plain(self).items() if value is not None}


@dataclass(frozen=True)
class Peak:
    """Resident memory of a process, in MB (10^6 bytes).

    Args:
        peak_mb: the most that it ever held.
        imports_mb: the same before it opened a model: Python, its libraries and the images.
    """

    peak_mb: float
    imports_mb: float


@dataclass(frozen=True)
class _Answer:
    """What the other process measured; bytes are None where the system does not tell.

    Args:
        load_s: wall-clock time of opening, in s.
        ready: the most bytes that it had held when it was ready to open.
        held: the bytes that it held at that moment.
        peak: the most bytes that it held from then on.
    """

    load_s: float
    ready: int | None
    held: int | None
    peak: int | None


def measure_footprint(job: Job, where: str) -> Footprint:
    """Open a model in a new process, and run it once.

    Args:
        job: opens the files of the model, all of which are held at once, and runs each.
        where: which variant that is, for messages.

    Raises:
        MeasurementError: the process fails.
    """
    remedy = "see whether the machine has memory to open it a second time"
    found = _ask(job, f"memory of {where}", remedy)
    if found.held is None or found.peak is None:
        return Footprint(1e3 * found.load_s, None)
    return Footprint(1e3 * found.load_s, max(0.0, (found.peak - found.held) / 1e6))


def measure_peak(job: Job, where: str, remedy: str) -> Peak:
    """Do a job in a new process and ask it for its peak memory.

    Args:
        job: opens the models and runs them.
        where: what is measured, for messages.
        remedy: what to do if the process fails.

    Raises:
        MeasurementError: the process fails, or its system does not tell.
    """
    found = _ask(job, where, remedy)
    if found.ready is None or found.peak is None:
        raise MeasurementError(where, "this system does not tell it", "run on Linux")
    return Peak(max(found.ready, found.peak) / 1e6, found.ready / 1e6)


def child(folder: str) -> None:
    """What the other process does: the job, then write down what it took."""
    job: Job = pickle.loads((Path(folder) / "job").read_bytes())
    open_models = job()
    ready, held = peak_bytes(), forget_peak()
    began = time.perf_counter()
    run = open_models()
    load = time.perf_counter() - began
    run()
    text = json.dumps(plain(_Answer(load, ready, held, peak_bytes())))
    (Path(folder) / "answer.json").write_text(text, encoding="utf-8")


def peak_bytes() -> int | None:
    """Peak resident memory of this process; None where the system does not tell.

    Not `getrusage`: on Linux its figure survives exec, so that a new process starts with the peak
    of the one that started it.
    """
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    kib = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
    return None if kib is None else int(kib) * 1024


def forget_peak() -> int | None:
    """Start to look for a new peak of this process; returns what it holds now, if that is known.

    Where the system cannot start anew (Linux can), it returns the peak so far.
    """
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5", encoding="ascii")  # proc(5): resets the peak to what is held
    return peak_bytes()


def _ask(job: Job, where: str, remedy: str) -> _Answer:
    """Do a job in a new process, which writes down what it took."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "job").write_bytes(pickle.dumps(job))
        command = [sys.executable, "-c", _START, folder, json.dumps(sys.path)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        answer = Path(folder) / "answer.json"
        if result.returncode or not answer.exists():
            last = (result.stderr.strip().splitlines() or ["no message"])[-1]
            problem = f"its process ended with {result.returncode} ({last[:300]})"
            raise MeasurementError(where, problem, remedy)
        return from_plain(_Answer, json.loads(answer.read_text(encoding="utf-8")))
