"""The tests that failed, as the page tells them: each cause once, as the terminal does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ..document import Report
from ..run_entries import ErrorEntry

_AGAIN = re.compile(r"see the error of (\S+)\s*$")
"""What a test says whose gate was stopped by an error that another test shows."""


class Failures(NamedTuple):
    """The tests of gates that failed.

    Args:
        counts: how many there are of each kind, such as "1 error, 5 unjudged"; "" if none failed.
        told: those that have a message of their own.
        unjudged: those that were not judged for the error of another test, by that test.
    """

    counts: str
    told: Sequence[ErrorEntry]
    unjudged: dict[str, list[str]]


def failures(report: Report) -> Failures:
    """The tests of gates that failed.

    An error is what kept a gate or a precision from being judged; a test failed if it was judged.
    """
    told: list[ErrorEntry] = []
    unjudged: dict[str, list[str]] = {}
    for error in report.errors:
        if again := _AGAIN.search(error.message):
            unjudged.setdefault(again[1], []).append(error.test)
            if error.test in report.scope.torn:  # of which a report has no message
                told.append(ErrorEntry(error.test, "a teardown failed after this test"))
        else:
            told.append(error)
    stopped = [one for one in told if one.test in unjudged or _unjudged(one.test, report)]
    counts = {
        "failed": len(told) - len(stopped),
        "error" if len(stopped) == 1 else "errors": len(stopped),
        "unjudged": sum(map(len, unjudged.values())),
    }
    said = ", ".join(f"{number:,} {kind}" for kind, number in counts.items() if number)
    return Failures(said, told, unjudged)


def _unjudged(test: str, report: Report) -> bool:
    """Whether nothing was judged that a test asks for."""
    if any(test.startswith(f"{one.test}::") for one in report.scope.broken):
        return True
    for gate in report.gates:
        for told in gate.tests:
            if told.test == test and told.precision:
                return told.precision not in {each.requested for each in gate.decisions}
    return False
