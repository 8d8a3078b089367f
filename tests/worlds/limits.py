"""Limits for tests that make them up instead of declaring them as a gate file does."""

from __future__ import annotations

from pytest_kycquant.verdicts import Direction, Limit, Unit


def below(value: float, unit: Unit = Unit.RATE) -> Limit:
    """What a figure must stay below; it has no name, as one that was read from a report."""
    return Limit("", value, Direction.BELOW, unit)


def at_least(value: float, unit: Unit = Unit.SHARE) -> Limit:
    """What a figure must reach."""
    return Limit("", value, Direction.AT_LEAST, unit)
