"""The paired increase of an error rate (MOVER).

Newcombe, Statistics in Medicine 17 (1998) 873; Zou and Donner, ibid. 27 (2008) 1693.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .moves import MovesBound
from .rates import Rate


@dataclass(frozen=True)
class Difference:
    """How much higher one error rate is than another on the same trials; positive is worse.

    `worse` counts trials wrong with the candidate and right with the reference, `better` the
    reverse; `value` is their difference, with bounds one-sided at `CONFIDENCE`. `moves` is the
    bound of `worse` by how far scores move, if the upper bound comes from it.
    """

    value: float
    lower: float
    upper: float
    worse: Rate
    better: Rate
    moves: MovesBound | None = None

    @property
    def supported(self) -> bool:
        """Whether there are enough subjects for any claim about the difference."""
        return self.worse.supported and self.better.supported


def noninferiority(worse: Rate, better: Rate, moves: MovesBound | None = None) -> Difference:
    """Bound how much worse a candidate is than its reference on the same trials (MOVER).

    Let b be the rate of `worse`, c the rate of `better`, and l and u their bounds. Then d = b - c
    lies between ``d - hypot(b - l_b, u_c - c)`` and ``d + hypot(u_b - b, c - l_c)`` (Newcombe; Zou
    and Donner). The covariance of b and c is taken as 0: for independent trials it is -b c / N,
    which is negligible.

    Args:
        worse: the rate of the trials that only the candidate gets wrong.
        better: the rate of the trials that only the reference gets wrong.
        moves: another upper bound of `worse`, which is used if it is the smaller one.

    Raises:
        ValueError: if the two rates have different numbers of trials.
    """
    if worse.trials != better.trials:
        raise ValueError(f"rates of {worse.trials} and {better.trials} trials are not paired")
    value = worse.value - better.value
    lower = value - math.hypot(worse.value - worse.lower, better.upper - better.value)
    upper = value + math.hypot(worse.upper - worse.value, better.value - better.lower)
    if moves is not None and worse.value <= moves.upper:
        # Moves bound the rate itself. What was counted may be better by luck, so it is no credit
        # beyond its own lower bound.
        by_moves = moves.upper - better.lower
        if value <= by_moves < upper:
            return Difference(value, lower, by_moves, worse, better, moves)
    return Difference(value, lower, upper, worse, better)
