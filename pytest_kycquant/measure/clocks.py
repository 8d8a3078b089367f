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

_ALL = ("wall", "thread", "process")
_LONG = 20_000_000  # ns of wall-clock time that show who works
_LONGEST = 400_000_000  # ns, if nobody seems to
_FEW = 5  # runs
_ELSEWHERE = 1.1
_ASLEEP = 2.0
_AWAKE = 0.1  # share of the runs that shows who works; a single one may be a hiccup of a clock


def clock_that_sees(run: Callable[[], object], wanted: str) -> str:
    """Name of the clock to measure a model with.

    CPU time of the calling thread is the least noisy, but a library that hands its work to threads
    of its own would look fast. That of the process is taken if it has grown by more. If even that
    is short beside the time that passes, somebody else works meanwhile, and the wall's is taken.

    Args:
        run: runs the model once, and waits for its result.
        wanted: the clock that the library names.
    """
    if wanted != "thread":
        return wanted
    run()
    spent: list[tuple[int, int, int]] = []
    asleep, awake, passed = True, 0, 0
    # On a busy machine many runs are interrupted; a few that are not show who works.
    while len(spent) < _FEW or passed < (_LONGEST if asleep else _LONG):
        began = [CLOCKS[name]() for name in _ALL]
        run()
        ended = [CLOCKS[name]() for name in _ALL]
        wall, thread, process = (after - at for after, at in zip(ended, began, strict=True))
        spent.append((wall, thread, process))
        awake, passed = awake + (wall <= _ASLEEP * process), passed + wall
        asleep = awake < max(2, _AWAKE * len(spent))
    if asleep:
        return "wall"
    _, thread, process = (sum(times) for times in zip(*spent, strict=True))
    return "process" if process > _ELSEWHERE * thread else "thread"
