"""Which clock sees the work of a model: that of a thread, of the whole process, or the wall's."""

from __future__ import annotations

import time
from collections.abc import Callable

_NAMES = {"thread": "thread_time_ns", "process": "process_time_ns", "wall": "perf_counter_ns"}
CLOCKS: dict[str, Callable[[], int]] = {
    name: getattr(time, function) for name, function in _NAMES.items() if hasattr(time, function)
}
"""Clocks by the names that `runtimes.Library.clock` uses; each returns ns. Not every system has
one for threads."""

COARSEST = 10_000
"""Largest step of a clock of CPU time, in ns: a hundredth of the shortest run that is timed."""
_STEPS, _LOOK = 5, 100_000_000  # steps to see, and ns of wall-clock time to wait for them
_ALL = ("wall", "thread", "process")
_LONG = 20_000_000  # ns of wall-clock time that show who works
_LONGEST = 400_000_000  # ns, if nobody seems to
_FEW = 5  # runs
_ELSEWHERE = 1.1
_ASLEEP = 2.0
_AWAKE = 0.1  # share of the runs that shows who works; a single one may be a hiccup of a clock


def usable(wanted: str) -> str:
    """Name of the clock that was wanted, or "wall" if this machine has none that is fine enough.

    The CPU time of Windows advances in steps of 15.6 ms, whatever resolution the system claims, so
    the steps are watched.
    """
    if wanted == "wall":
        return wanted
    clock = CLOCKS.get(wanted)
    return wanted if clock is not None and _step(clock) <= COARSEST else "wall"


def _step(clock: Callable[[], int]) -> float:
    """The smallest step, in ns, by which a clock advances while this thread works."""
    smallest, seen, last = float("inf"), 0, clock()
    end = time.perf_counter_ns() + _LOOK
    while seen < _STEPS and time.perf_counter_ns() < end:
        now = clock()
        if now != last:
            smallest, seen, last = min(smallest, now - last), seen + 1, now
    return smallest


def clock_that_sees(run: Callable[[], object], wanted: str) -> str:
    """Name of the clock to measure a model with.

    CPU time of the calling thread is the least noisy, but a library that hands its work to threads
    of its own would look fast. That of the process is taken if it has grown by more. If even that
    is short beside the time that passes, somebody else works meanwhile, and the wall's is taken.

    Args:
        run: runs the model once, and waits for its result.
        wanted: the clock that the library names.
    """
    if wanted != "thread" or "wall" in (usable("thread"), usable("process")):
        return usable(wanted)
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
