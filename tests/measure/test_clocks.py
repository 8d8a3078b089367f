"""The clock of a measurement sees the work of a model, whoever does it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_kycquant.measure.clocks import CLOCKS, clock_that_sees, usable

SHORT = 0.001  # s


def compute() -> None:
    end = time.process_time() + SHORT
    while time.process_time() < end:
        pass


def in_a_thread() -> None:
    thread = threading.Thread(target=compute)
    thread.start()
    thread.join()


def elsewhere() -> None:
    """A device, or another process: nothing that a clock of this process sees."""
    time.sleep(SHORT)


RUNS = iter(range(10_000))


def elsewhere_but_once() -> None:
    """A clock may err once: that says nothing of who works."""
    compute() if next(RUNS) == 3 else elsewhere()


def in_another_process() -> None:
    subprocess.run(["sleep", "0.01"], check=True)


def clock_of(run: Callable[[], object]) -> str:
    """What a fresh process finds: threads that other tests left here would count as work."""
    code = (
        f"from {Path(__file__).stem} import {run.__name__} as run\n"
        "from pytest_kycquant.measure.clocks import clock_that_sees\n"
        "print(clock_that_sees(run, 'thread'))"
    )
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=here
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("run", "clocks"),
    [
        (compute, {"thread"}),
        (in_a_thread, {"process", "wall"}),
        (elsewhere, {"wall"}),
        (elsewhere_but_once, {"wall"}),
        (in_another_process, {"wall"}),
    ],
)
def test_whoever_works(run: Callable[[], object], clocks: set[str]) -> None:
    assert clock_of(run) in clocks


@pytest.mark.parametrize("clock", ["process", "wall"])
def test_a_library_that_names_its_clock(clock: str) -> None:
    assert clock_that_sees(compute, clock) == clock


def stepping(step: int) -> Callable[[], int]:
    """A clock that advances as those of CPU time do on Windows."""
    return lambda: time.perf_counter_ns() // step * step


@pytest.mark.parametrize("wanted", ["thread", "process"])
@pytest.mark.parametrize("step", [15_625_000, 1_000_000, None], ids=["windows", "ms", "frozen"])
def test_a_coarse_clock_is_not_used(
    monkeypatch: pytest.MonkeyPatch, wanted: str, step: int | None
) -> None:
    """Whatever `time.get_clock_info` claims: Windows names 100 ns and takes 15.6 ms."""
    monkeypatch.setitem(CLOCKS, wanted, stepping(step) if step else lambda: 7)
    assert usable(wanted) == "wall"
    assert clock_that_sees(compute, wanted) == "wall"


def test_a_machine_without_a_clock_for_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(CLOCKS, "thread")
    assert usable("thread") == clock_that_sees(compute, "thread") == "wall"


def test_fine_clocks_are_used() -> None:
    assert [usable(name) for name in ("thread", "process", "wall")] == ["thread", "process", "wall"]
