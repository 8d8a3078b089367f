"""The clock of a measurement sees the work of a model, whoever does it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable

import pytest

from pytest_kycquant.measure.clocks import clock_that_sees

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


@pytest.mark.parametrize(
    ("run", "clocks"),
    [(compute, {"thread"}), (in_a_thread, {"process", "wall"}), (elsewhere, {"wall"})],
)
def test_whoever_works(run: Callable[[], object], clocks: set[str]) -> None:
    assert clock_that_sees(run, "thread") in clocks


@pytest.mark.parametrize("clock", ["process", "wall"])
def test_a_library_that_names_its_clock(clock: str) -> None:
    assert clock_that_sees(compute, clock) == clock


def test_another_process_works() -> None:
    run = lambda: subprocess.run(["sleep", "0.01"], check=True)  # noqa: E731
    assert clock_that_sees(run, "thread") == "wall"
