"""Errors of trials with two subjects, by couple of subjects.

A jackknife over subjects leaves out each trial of two subjects twice: once with either of them. For
trials that do not depend on each other its variance is therefore twice the true one. What is
counted twice is the variance of couples, and an estimator for such data subtracts it once.

References:
    Efron and Stein, Annals of Statistics 9 (1981) 586: the bias of the jackknife, always upwards.
    Fafchamps and Gubert, Journal of Development Economics 83 (2007) 326: the variance of sums over
        couples.
    Aronow, Samii and Assenova, Political Analysis 23 (2015) 564: the same, and that it is
        consistent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Couples:
    """Errors and trials of couples of subjects.

    Args:
        errors: (K,) int64, errors of each couple that has any.
        trials: (K,) int64, trials of these couples.
        squares: the sum of the squared numbers of trials of all couples, also of those that have no
            errors.
    """

    errors: NDArray[np.int64]
    trials: NDArray[np.int64]
    squares: float

    def variance(self, rate: float, trials: int) -> float:
        """The variance that the rate would have if only trials of the same couple were related.

        It is the sum over all couples of (errors - rate x trials) squared, divided by the square of
        the number of all trials.
        """
        errors, each = self.errors.astype(np.float64), self.trials.astype(np.float64)
        squares = errors @ errors - 2 * rate * (errors @ each) + rate**2 * self.squares
        return max(float(squares), 0.0) / trials**2

    def counted_once(self, jackknife: float, rate: float, trials: int) -> float:
        """Subtract from a jackknife variance over subjects what it counts twice.

        The result is at least the variance that couples alone would have.
        """
        couples = self.variance(rate, trials)
        return max(jackknife - couples, couples)
