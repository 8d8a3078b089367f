"""What pytest counts at the end of a run in which a gate could not be judged."""

from __future__ import annotations

import pytest


def stopped(result: pytest.RunResult, tests: int, *, causes: int = 1, **others: int) -> None:
    """Check that tests ended in errors: one is shown for each cause, all others are unjudged.

    Args:
        result: the run.
        tests: number of tests that ended in an error.
        causes: number of different errors.
        others: further outcomes, as for `assert_outcomes`.
    """
    found = result.parseoutcomes()
    assert result.ret != pytest.ExitCode.OK
    assert (found.get("errors"), found.get("unjudged", 0)) == (causes, tests - causes), found
    result.assert_outcomes(errors=causes, **others)
