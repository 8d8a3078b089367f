"""How often can decisions newly go wrong, judged by how far scores move and how many are near?

Counting says little about rare events: no newly wrong decision among the genuine pairs of 300
people only shows that fewer than one in a hundred goes wrong. But a decision goes wrong only if its
score lies near the threshold *and* moves across it, and both are measured on every trial. Let u be
the distance of FP32's score from the threshold among the trials that FP32 decides right, and x how
far the variant's score moves towards it. A decision newly goes wrong iff u < x (u <= x on one
side).

**Assumption**: near the threshold, the density of u does not fall with the distance, and within a
window of the nearest trials, u and x are independent. The first holds in the tail of any unimodal
distribution of scores. Then, given that a trial lies in the window [0, w), it goes wrong with a
probability of at most ``E[min(x / w, 1)]``. Summing that over the window instead of counting
replaces each rare event by its expectation (Rao-Blackwell), which has a far smaller variance.

**Bound**: windows of the 30, 60, 120, ... nearest trials are nested, and each gives an estimate
that is at least the truth on average. Its standard error comes from the sums over subjects, and the
bound leaves room for two more subjects like the worst. Decisions that went wrong from outside the
window count as they are. The smallest of the bounds is used; if more decisions went wrong than it
expects, it is raised by the excess. How often it holds, in populations of
many kinds, stands in docs/results/coverage.md (``python -m benchmarks.coverage``).

What no sample can show is a kind of people of whom it has nobody. So moves are only believed from
`people_needed` on: with that many people, the data has at least one of a kind that alone would use
three times the budget. And they are not believed if so many decisions went wrong that this has a
chance of less than 5 % (Poisson).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .rates import CONFIDENCE, RULE_OF_30, Rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BUDGETS = 3  # a kind of people that uses this many budgets must not be missed
_ROOM = 2  # subjects like the worst


@dataclass(frozen=True, eq=False)
class Moves:
    """The trials of one kind that FP32 decides right, or the nearest to the threshold of them.

    Args:
        distance: distance of FP32's score from the threshold, at least 0; shape (n,), float64, in
            any unit.
        shift: how far the variant's score moves towards the threshold and beyond, in the same unit;
            negative if it moves away, inf if it is lost. Shape (n,), float64.
        subjects: the subject of each trial, (n,), or its two subjects, (n, 2); int64.
        trials: the number of all trials of this kind, also of those that are not listed.
        people: the number of subjects with such trials.
    """

    distance: NDArray[np.float64]
    shift: NDArray[np.float64]
    subjects: NDArray[np.int64]
    trials: int
    people: int

    def __post_init__(self) -> None:
        order = np.argsort(self.distance, kind="stable")
        for name in ("distance", "shift", "subjects"):
            object.__setattr__(self, name, getattr(self, name)[order])
        if not np.all(self.distance >= 0) or np.isnan(self.shift).any():
            raise ValueError("a distance is negative, or a distance or a shift is NaN")

    @property
    def crossed(self) -> bool:
        """Whether each trial has two subjects."""
        return self.subjects.ndim == 2


@dataclass(frozen=True)
class MovesBound:
    """An upper bound of the rate of newly wrong decisions, and what it is made of.

    Args:
        estimate: the expected rate.
        room: what the rate would be higher with two more subjects like the worst.
        error: standard error of the estimate, relative to it.
        people: the number of subjects.
        excess: by how much the counted rate is above the estimate, at least 0.
    """

    estimate: float
    room: float
    error: float
    people: int
    excess: float = 0.0

    @property
    def upper(self) -> float:
        """The bound, one-sided at `CONFIDENCE`, on a logarithmic scale."""
        return self.upper_with(self.people)

    def upper_with(self, people: float) -> float:
        """The bound that as many people of the same kinds would give."""
        from scipy.special import stdtrit

        fewer = self.people / people
        margin = float(stdtrit(max(people - 1, 1), CONFIDENCE)) * self.error * math.sqrt(fewer)
        expected = (self.estimate + self.room * fewer) * math.exp(margin)
        return min(expected + self.excess * math.sqrt(fewer), 1.0)


def people_needed(budget: float, *, crossed: bool) -> int:
    """The number of people from which on moves are believed; see the module.

    A kind of people with the share q of all people uses at most q of the rate of trials of one
    subject, and about q^2 if only pairs of two of them go wrong (`crossed`).

    Args:
        budget: the limit of the increase, a rate.
        crossed: whether each trial has two subjects.
    """
    share = _BUDGETS * budget
    if crossed:
        share = math.sqrt(share)
    if not 0 < share < 1:
        return 2
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(1 - share))


def bound_by_moves(moves: Moves, worse: Rate) -> MovesBound | None:
    """Bound the rate of newly wrong decisions.

    Args:
        moves: the trials that FP32 decides right.
        worse: the rate of the newly wrong decisions, as counted.

    Returns:
        The bound, or None if moves cannot tell: with 30 newly wrong decisions or more, counting is
        sharp by itself; with fewer than 30 trials there is no density; and if so many decisions
        went wrong that this has a chance of less than 5 %, the assumption does not hold.
    """
    from scipy.special import pdtrc

    if worse.errors >= RULE_OF_30:
        return None
    found = [one for one in (_window(moves, size) for size in _windows(moves)) if one is not None]
    if not found:
        return None
    best = min(found, key=lambda one: one.upper)
    expected = best.estimate * moves.trials
    if worse.errors and pdtrc(worse.errors - 1, expected) < 1 - CONFIDENCE:
        return None
    return replace(best, excess=max(worse.errors - expected, 0.0) / moves.trials)


def _windows(moves: Moves) -> list[int]:
    """Numbers of nearest trials: 30, 60, 120, ..., up to half of the trials."""
    number = len(moves.distance)
    found: list[int] = []
    if number < RULE_OF_30:
        return []
    size = RULE_OF_30
    while not found or size <= number / 2:
        found.append(size)
        size *= 2
    return found


def _window(moves: Moves, size: int) -> MovesBound | None:
    width = float(moves.distance[size - 1])
    if not 0 < width < math.inf:
        return None
    shift = np.maximum(moves.shift, 0.0)
    outside = np.flatnonzero(shift[size:] >= moves.distance[size:]) + size
    inside = np.minimum(shift[:size] / width, 1.0)
    chance = np.concatenate([inside, np.ones(len(outside))])
    who = np.concatenate([moves.subjects[:size], moves.subjects[outside]])
    # Some people move more than others, and those nearest may happen to move less than most.
    everybody = size * float(np.minimum(shift / width, 1.0).mean()) + len(outside)
    total = max(float(chance.sum()), everybody)
    if total == 0:
        return MovesBound(0.0, 0.0, 0.0, moves.people)
    chances, numbers = _by_subject(who, chance), _by_subject(who, np.ones(len(chance)))
    spread = [_norm(numbers) / len(chance)]
    if chance.sum() > 0:
        spread.append(_norm(chances) / float(chance.sum()))
    room = _ROOM * float(chances.max()) / moves.trials
    return MovesBound(total / moves.trials, room, max(spread), moves.people)


def _by_subject(who: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of values by subject; each of two subjects gets the whole value."""
    index = np.unique(who, return_inverse=True)[1].reshape(who.shape)
    sides = index.T if index.ndim == 2 else index[np.newaxis]
    most = int(index.max()) + 1
    found: NDArray[np.float64] = np.sum([np.bincount(s, values, most) for s in sides], axis=0)
    return found


def _norm(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.square(values).sum()))
