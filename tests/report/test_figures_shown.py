"""How the terminal shows a figure with its bounds depends on the unit of its limit."""

from __future__ import annotations

import math

import pytest

from pytest_kycquant.report.figures import bound, figure
from pytest_kycquant.verdicts import Check, Direction, Limit, Unit, Verdict


@pytest.mark.parametrize(
    ("unit", "shown"),
    [
        (Unit.RATE, "25.00 % [12.50, 50.00]"),
        (Unit.SHARE, "25.00 % [12.50, 50.00]"),
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
    assert figure(Check("x", Verdict.PASS, limit, 0.25, 0.125, 0.5)) == shown


@pytest.mark.parametrize(
    ("direction", "verdict", "low", "high", "shown"),
    [
        (Direction.BELOW, Verdict.PASS, 0.1, 0.2, "<= 20.00 %"),
        (Direction.BELOW, Verdict.FAIL, 0.4, 0.5, ">= 40.00 %"),
        (Direction.BELOW, Verdict.INCONCLUSIVE, 0.2, 0.5, "20.00..50.00 %"),
        (Direction.BELOW, Verdict.FAIL, 0.1, 0.5, "<= 50.00 %"),  # a budget of the upper bound
        (Direction.AT_LEAST, Verdict.PASS, 0.4, 0.5, ">= 40.00 %"),
        (Direction.AT_LEAST, Verdict.FAIL, 0.1, 0.2, "<= 20.00 %"),
        (Direction.AT_LEAST, Verdict.INCONCLUSIVE, 0.2, 0.5, "20.00..50.00 %"),
        (Direction.BELOW, Verdict.PASS, 0.2, 0.2, "25.00 %"),
        (Direction.BELOW, Verdict.INCONCLUSIVE, math.nan, 0.5, "25.00 %"),
    ],
)
def test_the_bound_that_decides(
    direction: Direction, verdict: Verdict, low: float, high: float, shown: str
) -> None:
    limit = Limit("x", 0.3, direction, Unit.RATE)
    assert bound(Check("x", verdict, limit, 0.25, low, high)) == shown


def test_a_figure_without_bounds() -> None:
    limit = Limit("x", 0.3, Direction.BELOW, Unit.RATIO)
    assert bound(limit.point("x", 0.25)) == figure(limit.point("x", 0.25)) == "0.25"
    nothing = Check("x", Verdict.INCONCLUSIVE)
    assert (bound(nothing), figure(nothing)) == ("-", "-")
