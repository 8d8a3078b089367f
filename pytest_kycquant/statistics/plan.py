"""How many subjects would decide a verdict, if the rates stayed the same."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from ..verdicts import Verdict
from .difference import Difference, noninferiority
from .moves import MovesBound, people_needed
from .rates import (
    CONFIDENCE,
    FEW_ERRORS,
    MIN_SUBJECTS,
    RULE_OF_30,
    Rate,
    bounds,
    effective_trials,
)

if TYPE_CHECKING:
    from ..verdicts import Limit

_MOST = 10**9  # subjects


def subjects_to_decide(
    found: Rate | Difference,
    limit: Limit,
    *,
    crossed: bool = False,
    listed: bool = False,
    moves: MovesBound | None = None,
) -> int | None:
    """Find the smallest number of subjects that would decide the verdict.

    The rates, and the trials of each subject or pair of subjects, are assumed to stay the same. So
    more subjects mean more trials: in proportion, or with their square if every subject is compared
    with every other (`crossed` and not `listed`). What shared subjects add to the design effect of
    crossed trials grows with the number of subjects, because each takes part in more trials; that
    of the 30 nearest trials, which few errors take, does not. The
    number is a plan, not a promise: `python -m benchmarks.plans` compares it with simulated data.

    Args:
        found: the rate, or the increase, that is undecided.
        limit: its limit.
        crossed: whether trials are pairs of different subjects.
        listed: whether these are only some pairs, so that their number grows with that of subjects.
        moves: the bound of `found.worse` by moves, also if there are too few people to believe it.

    Returns:
        The number, or None if no number up to 10^9 decides, or without trials or subjects.
    """
    return decided_by(found, limit, crossed=crossed, listed=listed, moves=moves)[0]


def decided_by(
    found: Rate | Difference,
    limit: Limit,
    *,
    crossed: bool = False,
    listed: bool = False,
    moves: MovesBound | None = None,
) -> tuple[int | None, Verdict]:
    """The number of subjects that would decide, see `subjects_to_decide`, and that verdict."""
    rates = (found.worse, found.better) if isinstance(found, Difference) else (found,)
    subjects = min(rate.subjects for rate in rates)
    if subjects == 0 or rates[0].trials == 0 or found.value == limit.value:
        return None, Verdict.INCONCLUSIVE
    least = people_needed(limit.value, crossed=crossed)

    def verdict(people: int) -> Verdict:
        worse, *rest = [imagined(rate, people, crossed=crossed and not listed) for rate in rates]
        if not rest:
            return limit.judge(worse.lower, worse.upper)
        more = None
        if moves is not None and people >= least and worse.errors < RULE_OF_30:
            more = MovesBound(moves.upper_with(people), 0.0, 0.0, people)
        difference = noninferiority(worse, rest[0], more)
        return limit.judge(difference.lower, difference.upper)

    # What few errors leave open changes the rule at 10 and 30 errors, so the answer may change more
    # than once: the first number on a fine geometric grid is refined. It is never below what is
    # there and undecided.
    last = MIN_SUBJECTS - 1
    if limit.judge(found.lower, found.upper) is Verdict.INCONCLUSIVE:
        last = max(last, subjects)
    people = last + 1
    while verdict(people) is Verdict.INCONCLUSIVE:
        if people > _MOST:
            return None, Verdict.INCONCLUSIVE
        last, people = people, math.ceil(people * 1.05)
    while people - last > 1:
        middle = (last + people) // 2
        if verdict(middle) is Verdict.INCONCLUSIVE:
            last = middle
        else:
            people = middle
    return people, verdict(people)


def imagined(rate: Rate, people: int, *, crossed: bool = False) -> Rate:
    """The same rate for another number of subjects, with the bounds that it would have.

    Args:
        rate: the rate.
        people: the number of subjects.
        crossed: whether every subject is compared with every other.
    """
    growth = people / rate.subjects if rate.subjects else 0.0
    trials = max(round(rate.trials * (growth**2 if crossed else growth)), 1)
    errors = rate.value * trials
    few = errors < FEW_ERRORS
    deff = rate.deff if few else max(rate.deff_many, 1.0)
    if crossed and not few:
        deff = 1 + max(deff - 1, 0.0) * growth
    n_eff = effective_trials(trials, max(deff, 1.0), people, CONFIDENCE)
    room = 1.0 if few else rate.room * (growth if crossed else 1.0)
    lower, upper = bounds(rate.value, trials, room, n_eff, CONFIDENCE)
    return replace(
        rate,
        errors=round(errors),
        trials=trials,
        subjects=people,
        lower=lower,
        upper=upper,
        deff=max(deff, 1.0),
        n_eff=n_eff,
    )
