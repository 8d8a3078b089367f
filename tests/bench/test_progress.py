"""The progress line: updated on a terminal, rare in a log, cleared after an error."""

import pytest

from pytest_kycquant.context.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run(live: bool, steps: int, seconds: float) -> list[str]:
    said: list[str] = []
    clock = Clock()
    progress = Progress(said.append, live=live, clock=clock)
    with progress.stage("calibrating", steps) as advance:
        for _ in range(steps):
            clock.now += seconds
            advance()
    return said


def test_terminal_is_renewed_and_cleared() -> None:
    said = run(live=True, steps=4, seconds=1.0)
    assert said == [
        "calibrating",
        "calibrating 1/4, about 3 s left",
        "calibrating 2/4, about 2 s left",
        "calibrating 3/4, about 1 s left",
        "calibrating 4/4, about 0 s left",
        "",
    ]


def test_log_stays_rare() -> None:
    assert run(live=False, steps=9, seconds=1.0) == []
    assert run(live=False, steps=60, seconds=1.0) == [
        "calibrating 10/60, about 50 s left",
        "calibrating 40/60, about 20 s left",
    ]


def test_line_is_cleared_after_an_error() -> None:
    said: list[str] = []
    with (
        pytest.raises(ValueError, match="no"),
        Progress(said.append, live=True).stage("calibrating"),
    ):
        raise ValueError("no")
    assert said == ["calibrating", ""]


def test_silent_without_a_terminal() -> None:
    with Progress().stage("calibrating", 1) as advance:
        advance()
