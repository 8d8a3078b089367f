"""What became of the tests of gates."""

from __future__ import annotations

from collections.abc import Iterable

from .run_entries import Outcome, OutcomeEntry

_NOT_FINISHED: Outcome = "did not finish"


class Outcomes:
    """What became of the tests of gates, by node id.

    Attributes:
        uncollected: node ids of what pytest could not collect.
        torn: node ids of the tests, gated or not, that show an error of a teardown.
    """

    def __init__(self) -> None:
        self.uncollected: list[str] = []
        self.torn: list[str] = []
        self._called: set[str] = set()
        self._finished: set[str] = set()
        self._objections: dict[str, Outcome] = {}

    def add(self, test: str, outcome: str, *, expected: bool, phase: str | None) -> None:
        """Note the outcome of one phase of a test.

        Args:
            test: node id of the test.
            outcome: "passed", "failed" or "skipped", as pytest reports it.
            expected: whether the test was expected to fail.
            phase: "setup", "call" or "teardown", as pytest reports it. A test whose call never
                comes (pytest's option --setup-only) did not run.
        """
        if outcome == "failed":
            self._objections[test] = "failed"
        elif outcome == "skipped":
            self._objections.setdefault(test, "failed as expected" if expected else "was skipped")
        if phase == "call":
            self._called.add(test)
        if phase == "teardown" and (test in self._called or test in self._objections):
            self._finished.add(test)

    def note(self, told: OutcomeEntry) -> None:
        """Note what an earlier run says of a test; of several runs, the worst outcome counts."""
        if told.finished:
            self._finished.add(told.test)
        if told.outcome not in ("passed", _NOT_FINISHED):
            known = self._objections.get(told.test, told.outcome)
            self._objections[told.test] = min(known, told.outcome)  # "failed" comes first

    def told(self, test: str, precision: str) -> OutcomeEntry:
        """What became of a test, for the report; see `note`."""
        finished = test in self._finished
        passed: Outcome = "passed" if finished else _NOT_FINISHED
        outcome = self._objections.get(test, passed)
        return OutcomeEntry(test, precision, outcome, finished)

    def objection(self, test: str) -> str:
        """Why a test that finished does not clear what it tested; "" if it passed."""
        return self._objections.get(test, "")

    def unfinished(self, tests: Iterable[str]) -> list[str]:
        """Those tests that were not run to their end."""
        return sorted(set(tests) - self._finished)
