"""Limits for tests that do not declare them in a gate file."""

from __future__ import annotations

from pytest_kycquant.verdicts import Direction, Limit, Unit


def below(value: float, unit: Unit = Unit.RATE) -> Limit:
    """A limit that a figure must stay below, without a name, like one read from a report."""
    return Limit("", value, Direction.BELOW, unit)


def at_least(value: float, unit: Unit = Unit.SHARE) -> Limit:
    """A limit that a figure must reach."""
    return Limit("", value, Direction.AT_LEAST, unit)
