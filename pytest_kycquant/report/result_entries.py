"""The results of gates in the published JSON; see `document`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..results import Offender, Waiver


@dataclass(frozen=True)
class CheckEntry:
    """One figure compared with one limit.

    Args:
        name: what was measured, such as "FAR".
        verdict: "PASS", "FAIL" or "INCONCLUSIVE".
        value: the point estimate; null if there is nothing to estimate.
        lower: one-sided 95 % lower confidence bound; null for a figure that is known exactly.
        upper: one-sided 95 % upper confidence bound, in the same unit.
        limit: the limit; null if nothing could be measured.
        direction: the side of the limit on which the figure must lie.
        unit: unit of the figures and of the limit.
        detail: the counts behind the figure, and what it lacks.
    """

    name: str
    verdict: str
    value: float | None
    lower: float | None
    upper: float | None
    limit: float | None
    direction: str
    unit: str
    detail: str


@dataclass(frozen=True)
class ResultEntry:
    """The outcome of one gate on one variant.

    Args:
        gate: name of the gate, such as "far".
        verdict: the worst verdict of the checks; WAIVED if that is not PASS but a waiver holds.
        checks: the figures that were compared with their limits.
        remedy: what to do about a failure.
        offenders: the cases that weigh most, the worst first.
        waiver: the waiver for this gate and variant, expired or not; null if there is none.
    """

    gate: str
    verdict: str
    checks: tuple[CheckEntry, ...]
    remedy: str
    offenders: tuple[Offender, ...]
    waiver: Waiver | None


@dataclass(frozen=True)
class GroupEntry:
    """How one error rate rises within one group of people.

    Args:
        group: name of the group, such as "age 60+".
        measure: name of the rate, such as "FRR".
        fp32: the rate of FP32: errors, trials, value, bounds and design effect.
        variant: the rate of the variant, in the same form.
        check: the paired increase, compared with its budget.
    """

    group: str
    measure: str
    fp32: Mapping[str, float]
    variant: Mapping[str, float]
    check: CheckEntry
