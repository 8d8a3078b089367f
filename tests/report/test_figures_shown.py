"""How the terminal shows a figure with its bounds depends on the unit of its limit."""

from __future__ import annotations

import pytest

from pytest_kycquant.report.terminal import _figure
from pytest_kycquant.verdicts import Check, Direction, Limit, Unit, Verdict


@pytest.mark.parametrize(
    ("unit", "shown"),
    [
        (Unit.RATE, "25.00% [12.50, 50.00]"),
        (Unit.SHARE, "25.00% [12.50, 50.00]"),
        (Unit.RATIO, "0.25 [0.12, 0.50]"),
        (Unit.COSINE, "0.25 [0.12, 0.50]"),
        (Unit.PROBABILITY, "0.25 [0.12, 0.50]"),
        (Unit.MS, "0.25 ms [0.125, 0.5]"),
        (Unit.MB, "0.25 MB [0.125, 0.5]"),
        (Unit.METRIC, "0.25 [0.125, 0.5]"),
    ],
)
def test_every_unit(unit: Unit, shown: str) -> None:
    """Once, an absolute latency of 4 ms was shown as 413 %."""
    limit = Limit("x", 0.3, Direction.BELOW, unit)
    assert _figure(Check("x", Verdict.PASS, limit, 0.25, 0.125, 0.5)) == shown
