"""Error rates with honest intervals, and the verdicts that follow from them.

Comparisons of faces share subjects, so they are not independent trials, and a bound that treats
them as independent is far too narrow. Here every bound of a rate is a Clopper-Pearson bound for an
*effective* number of trials, found with a jackknife over subjects. All bounds are one-sided.
Nothing is random.

References:
    Clopper and Pearson, Biometrika 26 (1934) 404: the exact binomial bound.
    Korn and Graubard, Survey Methodology 24 (1998) 193: that bound for an effective sample size.
    Fogliato et al., arXiv 2306.01198: intervals for one-to-one matching with shared subjects.
    Doddington et al., Speech Communication 31 (2000) 225: the rule of 30 errors.
    Newcombe, Statistics in Medicine 17 (1998) 873; Zou and Donner, ibid. 27 (2008) 1693: MOVER.
    Shao and Tu, The Jackknife and Bootstrap (1995): standard errors of any smooth statistic.
    David and Nagaraja, Order Statistics (2003), chapter 7: intervals of quantiles.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .verdicts import Limit, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIDENCE = 0.95
MIN_SUBJECTS = 20
RULE_OF_30 = 30  # errors needed for a trustworthy design effect (Doddington)
_FEW_ERRORS = 10
_MOST_TRIALS = 10**10


@dataclass(frozen=True, eq=False)
class Counts:
    """Errors and trials, in total and as seen by each subject.

    A genuine pair touches one subject and an impostor pair two, so sums over subjects are once or
    twice the totals. Subjects without trials are dropped; the arrays are copied and read-only.

    Args:
        errors: number of trials decided wrongly.
        trials: number of trials.
        subject_errors: (G,) int64, errors that touch each subject.
        subject_trials: (G,) int64, trials that touch each subject; empty if subjects are unknown.

    Raises:
        ValueError: if no set of trials could produce these counts.
        TypeError: if `errors` or `trials` is not an integer.
    """

    errors: int
    trials: int
    subject_errors: NDArray[np.int64]
    subject_trials: NDArray[np.int64]

    def __post_init__(self) -> None:
        errors, trials = operator.index(self.errors), operator.index(self.trials)
        if not 0 <= errors <= trials:
            raise ValueError(f"{errors} errors in {trials} trials")
        wrong, seen = np.asarray(self.subject_errors), np.asarray(self.subject_trials)
        if wrong.ndim != 1 or wrong.shape != seen.shape:
            raise ValueError(f"subject counts have shapes {wrong.shape} and {seen.shape}")
        if wrong.size and not all(np.issubdtype(a.dtype, np.integer) for a in (wrong, seen)):
            raise ValueError(f"subject counts have types {wrong.dtype} and {seen.dtype}")
        wrong, seen = wrong.astype(np.int64), seen.astype(np.int64)
        right = seen - wrong
        for part, total in ((wrong, errors), (right, trials - errors)):
            if np.any(part < 0) or np.any(part > total):
                raise ValueError(f"subjects have {part.min()} to {part.max()} of {total} outcomes")
        for name, array in (("subject_errors", wrong), ("subject_trials", seen)):
            kept = array[seen > 0]
            kept.setflags(write=False)
            object.__setattr__(self, name, kept)
        object.__setattr__(self, "errors", errors)
        object.__setattr__(self, "trials", trials)


@dataclass(frozen=True)
class Rate:
    """An error rate with its bounds, each one-sided at `CONFIDENCE`.

    `value` is errors / trials, or 0.0 without trials, where the bounds (0.0, 1.0) say nothing.
    `deff`, the design effect, is the variance of the rate relative to that of independent trials,
    and `n_eff` the number of independent trials that would be as informative. `worst` is the
    largest number of errors of one subject.
    """

    errors: int
    trials: int
    subjects: int
    value: float
    lower: float
    upper: float
    deff: float
    n_eff: float
    worst: int = 1

    @property
    def supported(self) -> bool:
        """Whether there are enough subjects for any claim about the rate."""
        return self.subjects >= MIN_SUBJECTS and self.trials > 0


@dataclass(frozen=True)
class Difference:
    """How much higher one error rate is than another on the same trials; positive is worse.

    `worse` counts trials wrong with the candidate and right with the reference, `better` the
    reverse; `value` is their difference, with bounds one-sided at `CONFIDENCE`.
    """

    value: float
    lower: float
    upper: float
    worse: Rate
    better: Rate

    @property
    def supported(self) -> bool:
        """Whether there are enough subjects for any claim about the difference."""
        return self.worse.supported and self.better.supported


def clopper_pearson(
    errors: float, trials: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Bound a binomial rate from below and from above, each at `confidence` (Clopper, Pearson).

    The arguments may be fractional, for an effective sample size (Korn and Graubard). Without
    trials the bounds are (0.0, 1.0).

    Raises:
        ValueError: if `errors` is not between 0 and `trials`, or `confidence` is not inside (0, 1).
    """
    from scipy.special import betaincinv

    if trials <= 0:
        return 0.0, 1.0
    if not (0 <= errors <= trials and 0 < confidence < 1):
        raise ValueError(f"{errors} errors in {trials} trials at confidence {confidence}")
    lower = betaincinv(errors, trials - errors + 1, 1 - confidence) if errors > 0 else 0.0
    upper = betaincinv(errors + 1, trials - errors, confidence) if errors < trials else 1.0
    return float(lower), float(upper)


def design_effect(counts: Counts) -> float:
    """Estimate how much variance shared subjects add, with a jackknife over subjects.

    ``deff = max(1, V N / (p (1 - p)))`` with p = E / N and V the jackknife variance of the rates
    (E - e_g) / (N - m_g) that remain without subject g (Fogliato et al.; Korn and Graubard). A
    subject that takes part in every trial cannot be left out and is skipped. If no trial or every
    trial is an error, there is no variation and the result is 1.0: see `small_sample_floor`.
    """
    errors, trials = counts.errors, counts.trials
    if errors in (0, trials):
        return 1.0
    variance = _jackknife_variance(errors, trials, counts.subject_errors, counts.subject_trials)
    p = errors / trials
    return max(1.0, variance * trials / (p * (1 - p)))


def small_sample_floor(counts: Counts, reference: Counts | None, *, per_subject: bool) -> float:
    """Return the smallest plausible design effect when errors are too few to estimate it.

    With 10 errors or more there is no floor (1.0). With fewer, the floor is the design effect of
    `reference`, if known: the same scores at the threshold that gives 30 errors (Doddington). If
    each trial touches one subject (`per_subject`: genuine pairs), the floor is at least the mean
    number of trials of a subject. That is the worst case: all of its trials are worth one.
    """
    if counts.errors >= _FEW_ERRORS:
        return 1.0
    floor = 1.0 if reference is None else design_effect(reference)
    if per_subject and counts.subject_trials.size:
        floor = max(floor, counts.trials / counts.subject_trials.size)
    return floor


def rate(counts: Counts, *, deff_floor: float = 1.0) -> Rate:
    """Compute an error rate with design-effect Clopper-Pearson bounds (Korn and Graubard).

    The design effect is at least `deff_floor`, from `small_sample_floor`. Without trials, or with
    fewer than two subjects, n_eff is 0.0 and the bounds are (0.0, 1.0).

    An upper Clopper-Pearson bound leaves room for one more error. Here it leaves room for one more
    subject as bad as the worst. Where a few subjects cause most of the errors, a sample that misses
    some of them has fewer errors and a smaller variance; without that room its bound would hold too
    rarely (`python -m benchmarks.coverage`). With fewer than 10 errors, the floor of the design
    effect provides that room.

    Raises:
        ValueError: if `deff_floor` is below 1 or not finite.
    """
    if not 1 <= deff_floor < math.inf:
        raise ValueError(f"deff_floor is {deff_floor!r}, not a finite number of at least 1")
    subjects = int(counts.subject_trials.size)
    deff = float(max(design_effect(counts), deff_floor))
    worst = int(counts.subject_errors.max(initial=0))
    return rate_with(counts.errors, counts.trials, subjects, deff, worst)


def rate_with(errors: int, trials: int, subjects: int, deff: float, worst: int) -> Rate:
    """Compute the rate that follows from these numbers; see `rate` and the fields of `Rate`."""
    value = errors / trials if trials else 0.0
    n_eff = _effective_trials(trials, deff, subjects, CONFIDENCE)
    room = worst if errors >= _FEW_ERRORS else 1
    lower, upper = _bounds(value, trials, room, n_eff, CONFIDENCE)
    return Rate(errors, trials, subjects, value, lower, upper, deff, n_eff, worst)


def noninferiority(worse: Rate, better: Rate) -> Difference:
    """Bound how much worse a candidate is than its reference on the same trials (MOVER).

    Let b be the rate of `worse`, c the rate of `better`, and l and u their bounds. Then d = b - c
    lies between ``d - hypot(b - l_b, u_c - c)`` and ``d + hypot(u_b - b, c - l_c)`` (Newcombe; Zou
    and Donner). The covariance of b and c is taken as 0: for independent trials it is -b c / N,
    which is negligible.

    Raises:
        ValueError: if the two rates have different numbers of trials.
    """
    if worse.trials != better.trials:
        raise ValueError(f"rates of {worse.trials} and {better.trials} trials are not paired")
    value = worse.value - better.value
    lower = value - math.hypot(worse.value - worse.lower, better.upper - better.value)
    upper = value + math.hypot(worse.upper - worse.value, better.value - better.lower)
    return Difference(value, lower, upper, worse, better)


def trials_to_decide(
    found: Rate | Difference, limit: Limit, confidence: float = CONFIDENCE
) -> int | None:
    """Find the smallest number of trials that would decide the verdict if rates stayed the same.

    The value, the design effect and the number of trials per subject are assumed to stay the same,
    so more trials mean more subjects, not more images of the same ones. The number is a plan, not
    a promise. It is None if no number up to 10^10 decides, or without trials or subjects.
    """
    rates = (found.worse, found.better) if isinstance(found, Difference) else (found,)
    trials, subjects = rates[0].trials, min(rate.subjects for rate in rates)
    if found.value == limit.value or subjects == 0 or trials == 0:
        return None

    def decides(count: int) -> bool:
        imagined = [_imagine(rate, count, confidence) for rate in rates]
        bounds = noninferiority(*imagined) if len(imagined) == 2 else imagined[0]
        return limit.judge(bounds.lower, bounds.upper) is not Verdict.INCONCLUSIVE

    low, high = -(-MIN_SUBJECTS * trials // subjects), _MOST_TRIALS
    if low > high or not decides(high):
        return None
    # Both bounds approach the value as trials grow, so the answer changes at a single point.
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle + 1, high)
    return low


def _imagine(rate: Rate, trials: int, confidence: float) -> Rate:
    """Return the same rate for another number of trials and proportionally many subjects."""
    subjects = rate.subjects * trials / rate.trials
    n_eff = _effective_trials(trials, rate.deff, subjects, confidence)
    lower, upper = _bounds(rate.value, trials, rate.worst, n_eff, confidence)
    return dataclasses.replace(rate, trials=trials, lower=lower, upper=upper, n_eff=n_eff)


def _bounds(
    value: float, trials: float, room: int, n_eff: float, confidence: float
) -> tuple[float, float]:
    """Compute Clopper-Pearson bounds; the upper one leaves room for `room` errors, not one."""
    lower, upper = clopper_pearson(value * n_eff, n_eff, confidence)
    if room > 1 and n_eff:
        raised = min(value + (room - 1) / trials, 1.0)
        _, upper = clopper_pearson(raised * n_eff, n_eff, confidence)
    return lower, upper


def upper_rank(n: int, q: float, confidence: float = CONFIDENCE) -> int | None:
    """Find which of `n` sorted values bounds the q-quantile of their distribution from above.

    The number of values below the quantile is binomial, so the value of 0-based rank r is such a
    one-sided bound if ``binom.cdf(r, n, q) >= confidence`` (David and Nagaraja). The result is
    the smallest such rank, or None if even the largest value is not such a bound.

    Raises:
        ValueError: if `q` or `confidence` is not inside (0, 1).
    """
    rank = int(np.searchsorted(_binomial_cdf(n, q, confidence), confidence))
    return rank if rank < n else None


def lower_rank(n: int, q: float, confidence: float = CONFIDENCE) -> int | None:
    """Mirror `upper_rank`: the largest 0-based r with ``binom.cdf(r, n, q) <= 1 - confidence``."""
    cdf = _binomial_cdf(n, q, confidence)
    rank = int(np.searchsorted(cdf, 1 - confidence, side="right")) - 1
    return rank if rank >= 0 else None


def order_statistic_interval(n: int, q: float, confidence: float) -> tuple[int, int] | None:
    """Find the ranks of the two-sided equal-tailed interval of a q-quantile; None if too few."""
    one_sided = (1 + confidence) / 2
    low, high = lower_rank(n, q, one_sided), upper_rank(n, q, one_sided)
    return None if low is None or high is None else (low, high)


def mean_lower_bound(values: NDArray[np.floating], subjects: NDArray[Any]) -> float:
    """Bound the mean of values clustered by subject from below, at `CONFIDENCE`.

    The bound is the mean minus Student's t (G - 1 degrees of freedom) times the jackknife standard
    error over the G subjects.

    Args:
        values: (N,) floating, one value per image, in any unit; the bound has the same unit.
        subjects: (N,) subject of each image, of any sortable type. With fewer than two subjects,
            or if any value is not finite, the bound is -inf.

    Raises:
        ValueError: if the arrays are not one-dimensional and of equal length.
    """
    from scipy.special import stdtrit

    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or x.shape != np.shape(subjects):
        raise ValueError(f"values of shape {x.shape}, subjects of shape {np.shape(subjects)}")
    names, index = np.unique(np.asarray(subjects), return_inverse=True)
    if names.size < 2 or not np.isfinite(x).all():
        return -math.inf
    sums, sizes = np.bincount(index, weights=x), np.bincount(index)
    error = math.sqrt(_jackknife_variance(float(x.sum()), x.size, sums, sizes))
    return float(x.mean() - stdtrit(names.size - 1, CONFIDENCE) * error)


def jackknife_bounds(
    value: float, without: NDArray[np.floating], *, share: bool = False
) -> tuple[float, float]:
    """Bound a smooth statistic from below and from above, each at `CONFIDENCE`.

    The bounds are the value minus and plus Student's t (G - 1 degrees of freedom) times the
    delete-a-group jackknife standard error (Shao and Tu, chapter 2).

    Args:
        value: the statistic of all data.
        without: (G,) the statistic, or one with the same standard error, without each group. With
            fewer than two groups, or if any value is not finite, the bounds are infinite.
        share: whether the statistic lies between 0 and 1. The bounds are then computed on the
            logit scale, because near 0 or 1 the distribution is skewed.
    """
    from scipy.special import expit, logit, stdtrit

    groups = len(without)
    if groups < 2 or not np.isfinite([value, *without]).all():
        return -math.inf, math.inf
    variance = (groups - 1) / groups * np.square(without - np.mean(without)).sum()
    error = float(stdtrit(groups - 1, CONFIDENCE) * math.sqrt(variance))
    if not (share and 0 < value < 1):
        return value - error, value + error
    middle, error = float(logit(value)), error / (value * (1 - value))
    return float(expit(middle - error)), float(expit(middle + error))


def _jackknife_variance(
    total: float, size: int, part_totals: NDArray[Any], part_sizes: NDArray[Any]
) -> float:
    rest = size - part_sizes
    kept = rest > 0
    groups = int(kept.sum())
    if groups < 2:
        return 0.0
    without = (total - part_totals[kept]) / rest[kept]
    return float((groups - 1) / groups * np.square(without - without.mean()).sum())


def _effective_trials(trials: float, deff: float, subjects: float, confidence: float) -> float:
    """Compute trials / deff (z / t)^2; t accounts for few `subjects` (Korn and Graubard)."""
    from scipy.special import ndtri, stdtrit

    if subjects <= 1:
        return 0.0
    return float(trials / deff * (ndtri(confidence) / stdtrit(subjects - 1, confidence)) ** 2)


def _binomial_cdf(n: int, q: float, confidence: float) -> NDArray[np.float64]:
    from scipy.special import bdtr

    if not (0 < q < 1 and 0 < confidence < 1):
        raise ValueError(f"q = {q} or confidence = {confidence} is not inside (0, 1)")
    return np.asarray(bdtr(np.arange(n), n, q), dtype=np.float64)
