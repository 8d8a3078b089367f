"""What became of the tests of gates."""

from __future__ import annotations

from collections.abc import Iterable


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
            self._objections[test] = "failed"
            self._undecided[test] = self._undecided.get(test, True) and undecided
        elif outcome == "skipped":
            self._objections.setdefault(test, "failed as expected" if expected else "was skipped")
        if phase == "call":
            self._called.add(test)
        if phase == "teardown" and (test in self._called or test in self._objections):
            self._finished.add(test)

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
