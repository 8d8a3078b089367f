"""Which clock sees the work of a model: that of a thread, of the whole process, or the wall's."""

from __future__ import annotations

import time
from collections.abc import Callable

CLOCKS: dict[str, Callable[[], int]] = {
    "thread": time.thread_time_ns,
    "process": time.process_time_ns,
    "wall": time.perf_counter_ns,
}
"""Clocks by the names that `runtimes.Library.clock` uses; each returns ns."""

_LONG = 20_000_000  # ns of wall-clock time that show who works
_ELSEWHERE = 1.1


def clock_that_sees(run: Callable[[], object], wanted: str) -> str:
    """Name of the clock to measure a model with.

    CPU time of the calling thread is the least noisy, but a library that hands its work to threads
    of its own would look fast. That of the process is taken if it has grown by more.

    Args:
        run: runs the model once.
        wanted: the clock that the library names.
    """
    if wanted != "thread":
        return wanted
    run()
    began = [CLOCKS[name]() for name in ("wall", "thread", "process")]
    while True:
        run()
        wall, thread, process = (
            CLOCKS[name]() - at
            for name, at in zip(("wall", "thread", "process"), began, strict=True)
        )
        if wall >= _LONG:
            return "process" if process > _ELSEWHERE * thread else "thread"
