"""Checks that the gates of several tasks have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..spec import Verdict
from ..statistics import (
    CONFIDENCE,
    MIN_SUBJECTS,
    Difference,
    Rate,
    lower_rank,
    trials_to_decide,
    upper_rank,
)
from ..verdicts import Check


def at_least(lower: float, upper: float, limit: float) -> Verdict:
    """Decide from bounds whether a figure reaches `limit`; NaN never passes."""
    if lower >= limit:
        return Verdict.PASS
    return Verdict.FAIL if not upper >= limit else Verdict.INCONCLUSIVE


def count(name: str, offenders: Sequence[str]) -> Check:
    """No offender may exist; the first five are named."""
    shown = ", ".join(offenders[:5]) + (" ..." if len(offenders) > 5 else "")
    return Check(
        name,
        Verdict.FAIL if offenders else Verdict.PASS,
        float(len(offenders)),
        limit=1.0,
        unit="count",
        detail=shown,
    )


def wanting(
    found: Rate | Difference, limit: float, trials: str, subjects: str, unknown: str
) -> str:
    """What an undecided verdict lacks.

    Args:
        found: the figure.
        limit: that it could not be held against.
        trials: what is counted, such as "comparisons".
        subjects: on what, such as "identities".
        unknown: what to say if no subject is known.
    """
    rate = found.worse if isinstance(found, Difference) else found
    if not rate.subjects:
        return unknown
    if not found.supported:
        return f"a claim needs at least {MIN_SUBJECTS} {subjects}"
    needed = trials_to_decide(found, limit)
    if needed is None:
        return "no amount of data separates this figure from its limit"
    people = -(-rate.subjects * needed // rate.trials)
    return f"about {needed:,} such {trials} on {people:,} {subjects} would decide"


def low_quantile(
    name: str,
    values: NDArray[np.floating],
    q: float,
    limit: float,
    *,
    direction: str,
    unit: str,
    what: str,
) -> Check:
    """Hold a low quantile of similarities, of which 1.0 is the best, against what it must reach.

    Args:
        name: of the check.
        values: (N,) floating, at least one.
        q: which quantile, such as 0.01.
        limit: that its lower confidence bound must reach.
        direction: of the limit, as declared.
        unit: of the values.
        what: is counted, such as "images".
    """
    ordered = np.sort(values)
    low = lower_rank(len(ordered), q, CONFIDENCE)
    high = upper_rank(len(ordered), q, CONFIDENCE)
    detail = f"{len(ordered):,} {what}"
    if low is None:
        # The smallest value is stricter than any bound that so few values could give.
        low, detail = 0, f"{detail}, too few for a bound: the smallest value stands in for it"
    lower = float(ordered[low])
    upper = float(ordered[high]) if high is not None else 1.0
    return Check(
        name,
        at_least(lower, upper, limit),
        float(np.quantile(ordered, q)),
        lower,
        upper,
        limit,
        direction,
        unit,
        detail,
    )
