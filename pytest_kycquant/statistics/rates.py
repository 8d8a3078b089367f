"""Error rates with honest intervals.

Comparisons of faces share subjects, so they are not independent trials, and a bound that treats
them as independent is far too narrow. Here every bound of a rate is a Clopper-Pearson bound for an
*effective* number of trials, found with a jackknife over subjects. All bounds are one-sided.
Nothing is random.

References:
    Clopper and Pearson, Biometrika 26 (1934) 404: the exact binomial bound.
    Kish, Survey Sampling (1965): the design effect of clusters of unequal sizes.
    Korn and Graubard, Survey Methodology 24 (1998) 193: that bound for an effective sample size.
    Fogliato et al., arXiv 2306.01198: intervals for one-to-one matching with shared subjects.
    Hall, The Bootstrap and Edgeworth Expansion (1992): what skewness adds to an upper bound.
    Doddington et al., Speech Communication 31 (2000) 225: the rule of 30 errors.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .couples import Couples

CONFIDENCE = 0.95
MIN_SUBJECTS = 20
RULE_OF_30 = 30  # errors needed for a trustworthy design effect (Doddington)
_LIKE_THE_WORST = 1.5  # judged by `python -m benchmarks.coverage`
FEW_ERRORS = 10  # with fewer, a design effect cannot be estimated from the errors themselves


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
        couples: the same by couple of subjects, if each trial has two; None if that is not known.

    Raises:
        ValueError: if no set of trials could produce these counts.
        TypeError: if `errors` or `trials` is not an integer.
    """

    errors: int
    trials: int
    subject_errors: NDArray[np.int64]
    subject_trials: NDArray[np.int64]
    couples: Couples | None = None

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
    largest number of errors of one subject. From 10 errors on, the upper bound leaves room for
    `room` further errors of a single subject. `deff_many` is the design effect to expect with more
    errors; it differs from `deff` only below 10 errors, where `deff` is chosen with caution.
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
    room: int = 1
    deff_many: float = 1.0

    @property
    def supported(self) -> bool:
        """Whether there are enough subjects for any claim about the rate."""
        return self.subjects >= MIN_SUBJECTS and self.trials > 0


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
    What the jackknife counts twice if each trial has two subjects is subtracted (`couples`), but
    with fewer than 10 errors it stays, as a precaution.
    """
    errors, trials = counts.errors, counts.trials
    if errors in (0, trials):
        return 1.0
    variance = jackknife_variance(errors, trials, counts.subject_errors, counts.subject_trials)
    p = errors / trials
    if counts.couples is not None and errors >= FEW_ERRORS:
        variance = counts.couples.counted_once(variance, p, trials)
    return max(1.0, variance * trials / (p * (1 - p)))


def worst_case(counts: Counts) -> float:
    """Design effect if all trials of a subject had one outcome: ``sum(m^2) / sum(m)`` (Kish).

    It is the mean number of trials of a subject, seen from a trial. With equally many trials of
    each subject it is that number; a single subject with most of the trials makes it large.
    """
    sizes = counts.subject_trials.astype(np.float64)
    return float(np.square(sizes).sum() / sizes.sum()) if sizes.size else 1.0


def small_sample_floor(counts: Counts, reference: Counts | None, *, per_subject: bool) -> float:
    """Return the smallest plausible design effect when errors are too few to estimate it.

    With 10 errors or more there is no floor (1.0). With fewer, the design effect of `reference`,
    if known, is one: the same scores at the threshold that gives 30 errors (Doddington). If each
    trial touches one subject (`per_subject`: genuine pairs), it is too small where a few people
    fail in all of their trials: the 30 nearest trials say little about them, and with one such
    person in a hundred the bound would hold in 67 to 80 % of samples. The worst case
    (`worst_case`) is too large for everybody else. The floor lies half-way between the two, which
    holds in both cases (`python -m benchmarks.coverage`).
    """
    if counts.errors >= FEW_ERRORS:
        return 1.0
    near = 1.0 if reference is None else design_effect(replace(reference, couples=None))
    if not per_subject:
        return near
    worst = worst_case(counts)
    return max(near, worst if reference is None else (near + worst) / 2)


def room_of(counts: Counts, *, per_subject: bool) -> int:
    """How many errors of further subjects the upper bound leaves room for, from ten errors on.

    If each trial touches one subject: as many as the worst one has in the data, or all trials of a
    subject. A few people fail always (a photograph that nobody would recognize), and a sample
    without any of them has fewer errors and a smaller variance as well.

    If each trial touches two: one and a half times as many as the worst subject has. Few subjects
    with many errors make the distribution skewed, by about the errors of such a subject (Hall), and
    the sample may lack another one.
    """
    worst = int(counts.subject_errors.max(initial=0))
    if per_subject:
        return max(worst, math.ceil(worst_case(counts)), 1)
    return max(math.ceil(_LIKE_THE_WORST * worst), 1)


def rate(
    counts: Counts, *, deff_floor: float = 1.0, room: int | None = None, deff_many: float = 1.0
) -> Rate:
    """Compute an error rate with design-effect Clopper-Pearson bounds (Korn and Graubard).

    The design effect is at least `deff_floor`, from `small_sample_floor`. Without trials, or with
    fewer than two subjects, n_eff is 0.0 and the bounds are (0.0, 1.0).

    An upper Clopper-Pearson bound leaves room for one more error. Here it leaves room for those of
    one more subject. Where a few subjects cause most of the errors, a sample that misses some of
    them has fewer errors and a smaller variance; without that room its bound would hold too rarely
    (`python -m benchmarks.coverage`). With fewer than 10 errors, the floor of the design effect
    provides that room.

    Args:
        counts: errors and trials.
        deff_floor: the smallest plausible design effect.
        room: the errors of one more subject, from `room_of`; None for those of the worst subject.
        deff_many: see `Rate`; the design effect itself is used if it is larger and has 10 errors.

    Raises:
        ValueError: if `deff_floor` is below 1 or not finite.
    """
    if not 1 <= deff_floor < math.inf:
        raise ValueError(f"deff_floor is {deff_floor!r}, not a finite number of at least 1")
    subjects = int(counts.subject_trials.size)
    measured = design_effect(counts)
    worst = int(counts.subject_errors.max(initial=0))
    return rate_with(
        counts.errors,
        counts.trials,
        subjects,
        float(max(measured, deff_floor)),
        worst,
        max(worst, 1) if room is None else room,
        float(measured if counts.errors >= FEW_ERRORS else max(deff_many, 1.0)),
    )


def rate_with(
    errors: int,
    trials: int,
    subjects: int,
    deff: float,
    worst: int,
    room: int | None = None,
    deff_many: float | None = None,
) -> Rate:
    """Compute the rate that follows from these numbers; see `rate` and the fields of `Rate`."""
    room = max(worst, 1) if room is None else room
    value = errors / trials if trials else 0.0
    n_eff = effective_trials(trials, deff, subjects, CONFIDENCE)
    lower, upper = bounds(value, trials, room if errors >= FEW_ERRORS else 1, n_eff, CONFIDENCE)
    many = deff if deff_many is None else deff_many
    return Rate(errors, trials, subjects, value, lower, upper, deff, n_eff, worst, room, many)


def bounds(
    value: float, trials: float, room: float, n_eff: float, confidence: float
) -> tuple[float, float]:
    """Compute Clopper-Pearson bounds; the upper one leaves room for `room` errors, not one.

    Args:
        value: the rate.
        trials: the number of trials.
        room: the number of errors to leave room for.
        n_eff: the effective number of trials.
        confidence: the confidence of each bound.
    """
    lower, upper = clopper_pearson(value * n_eff, n_eff, confidence)
    if room > 1 and n_eff:
        raised = min(value + (room - 1) / trials, 1.0)
        _, upper = clopper_pearson(raised * n_eff, n_eff, confidence)
    return lower, upper


def jackknife_variance(
    total: float, size: int, part_totals: NDArray[Any], part_sizes: NDArray[Any]
) -> float:
    """Variance of total / size by leaving out one subject at a time."""
    rest = size - part_sizes
    kept = rest > 0
    groups = int(kept.sum())
    if groups < 2:
        return 0.0
    without = (total - part_totals[kept]) / rest[kept]
    return float((groups - 1) / groups * np.square(without - without.mean()).sum())


def effective_trials(trials: float, deff: float, subjects: float, confidence: float) -> float:
    """Compute trials / deff (z / t)^2; t accounts for few `subjects` (Korn and Graubard)."""
    from scipy.special import ndtri, stdtrit

    if subjects <= 1:
        return 0.0
    return float(trials / deff * (ndtri(confidence) / stdtrit(subjects - 1, confidence)) ** 2)
