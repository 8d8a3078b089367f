"""Error rates of trials with one subject each, and the choice of thresholds by error rates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..statistics import Counts, Rate, design_effect, rate, room_of, small_sample_floor
from ..verdicts import Direction, Kind, Limit, Unit


def rate_from(counts: Counts, reference: Counts | None, *, per_subject: bool) -> Rate:
    """An error rate with the design-effect interval.

    Args:
        counts: the numbers of errors and trials.
        reference: the counts of the 30 most dangerous trials, whose design effect is used if there
            are fewer than 10 errors; None if unknown.
        per_subject: whether each trial has one subject, not two.
    """
    return rate(
        counts,
        deff_floor=small_sample_floor(counts, reference, per_subject=per_subject),
        room=room_of(counts, per_subject=per_subject),
        deff_many=1.0 if reference is None else design_effect(reference),
    )


def rate_of(
    wrong: NDArray[np.bool_],
    subjects: NDArray[np.int64],
    worst: NDArray[np.bool_] | None = None,
) -> Rate:
    """Error rate with the design-effect interval; each trial has one subject.

    Args:
        wrong: whether each trial is an error; shape (n,), bool.
        subjects: the subject of each trial; shape (n,), int64.
        worst: whether each trial is one of the 30 that would go wrong first; shape (n,), bool. None
            if unknown.
    """
    reference = None if worst is None else counts_of(worst, subjects)
    return rate_from(counts_of(wrong, subjects), reference, per_subject=True)


def chosen_for(value: float, option: str = "selection") -> Limit:
    """The limit below which an upper bound must lie at a threshold that is chosen.

    Args:
        value: the limit.
        option: the name of the option that sets it.
    """
    return Limit(option, value, Direction.BELOW, Unit.RATE, Kind.ERROR)


def last_that_holds(number: int, holds: Callable[[int], bool]) -> int:
    """Find the last of ordered candidates that holds, by bisection.

    Args:
        number: the number of candidates, the safest first. The first one holds.
        holds: a function that says whether a candidate holds; after the first that does not, none
            does.
    """
    low, high = 0, number  # holds(low); the first failure is at or before high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def counts_of(wrong: NDArray[np.bool_], subjects: NDArray[np.int64]) -> Counts:
    """Count errors and trials of each subject.

    Args:
        wrong: whether each trial is an error; shape (n,), bool.
        subjects: the subject of each trial; shape (n,), int64.
    """
    _, index = np.unique(subjects, return_inverse=True)
    trials = np.bincount(index).astype(np.int64)
    errors = np.bincount(index, weights=wrong, minlength=len(trials)).astype(np.int64)
    return Counts(int(wrong.sum()), len(wrong), errors, trials)
