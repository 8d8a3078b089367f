"""What became of the tests of gates."""

from __future__ import annotations

from collections.abc import Iterable

from .run_entries import Outcome, OutcomeEntry

_NOT_FINISHED: Outcome = "did not finish"
_UNDECIDED: Outcome = "failed, undecided"


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
        self._objections: dict[str, str] = {}
        self._undecided: dict[str, bool] = {}

    def add(
        self,
        test: str,
        outcome: str,
        *,
        expected: bool,
        phase: str | None,
        undecided: bool = False,
    ) -> None:
        """Note the outcome of one phase of a test.

        Args:
            test: node id of the test.
            outcome: "passed", "failed" or "skipped", as pytest reports it.
            expected: whether the test was expected to fail.
            phase: "setup", "call" or "teardown", as pytest reports it. A test whose call never
                comes (pytest's option --setup-only) did not run.
            undecided: whether it failed because a gate is undecided.
        """
        if outcome == "failed":
            self._object(test, "failed", undecided=undecided)
        elif outcome == "skipped":
            self._object(test, "failed as expected" if expected else "was skipped")
        if phase == "call":
            self._called.add(test)
        if phase == "teardown" and (test in self._called or test in self._objections):
            self._finished.add(test)

    def note(self, told: OutcomeEntry) -> None:
        """Note what an earlier run says of a test; of several runs, the worst outcome counts."""
        if told.finished:
            self._finished.add(told.test)
        if told.outcome == _UNDECIDED:
            self._object(told.test, "failed", undecided=True)
        elif told.outcome not in ("passed", _NOT_FINISHED):
            self._object(told.test, told.outcome)

    def told(self, test: str, precision: str) -> OutcomeEntry:
        """What became of a test, for the report; see `note`."""
        finished = test in self._finished
        outcome: Outcome = "passed" if finished else _NOT_FINISHED
        if self.failed(test):
            outcome = _UNDECIDED if self.undecided(test) else "failed"
        elif (known := self._objections.get(test)) is not None:
            outcome = "was skipped" if known == "was skipped" else "failed as expected"
        return OutcomeEntry(test, precision, outcome, finished)

    def objection(self, test: str) -> str:
        """Why a test that finished does not clear what it tested; "" if it passed."""
        return self._objections.get(test, "")

    def failed(self, test: str) -> bool:
        """Whether a test failed, in any of its phases."""
        return self._objections.get(test) == "failed"

    def undecided(self, test: str) -> bool:
        """Whether a test failed for nothing but a gate that is undecided."""
        return self._undecided.get(test, False)

    def unfinished(self, tests: Iterable[str]) -> list[str]:
        """Those tests that were not run to their end."""
        return sorted(set(tests) - self._finished)

    def _object(self, test: str, why: str, *, undecided: bool = False) -> None:
        """Note an objection; a failure replaces all others, which stay as they came first."""
        if why == "failed":
            self._undecided[test] = self._undecided.get(test, True) and undecided
            self._objections[test] = why
        elif self._objections.get(test, why) != "failed":
            known = self._objections.get(test, why)
            self._objections[test] = min(known, why)  # "failed as expected" comes first
