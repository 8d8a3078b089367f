"""How well FP32 does its task, in a form that shows whether another preprocessing is better.

Error rates are too coarse for that: a model that is fed BGR as RGB may err as rarely as before on
300 people. Each task therefore has a figure that every image enters, with its jackknife, so that
two preprocessings can be compared subject by subject.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DOUBT = 1e-5  # probability that chance alone makes one that is as good look better
FEWEST = 10  # subjects, for a standard error that means something


@dataclass(frozen=True, eq=False)
class Quality:
    """How well a model does its task on some labelled images.

    Args:
        value: the figure, of which more is better.
        without: (G,) the figure without each subject, in the same order for the same images.
        least: the smallest difference that matters.
        errors: an error rate at a fixed operating point, which must not be worse either.
        sound: whether these images, without any bound, show what the absolute limits ask for.
        words: both figures in words.
        whose: the subjects in words.
    """

    value: float
    without: NDArray[np.float64]
    least: float
    errors: float
    sound: bool
    words: str
    whose: str = "people"


def why_undecided(now: Quality | None) -> str:
    """Why no other preprocessing can be better beyond doubt, whatever it is; "" if it can.

    Args:
        now: the quality on all images that are looked at; None if it is not known.
    """
    if now is None:
        return "the labels do not tell how well FP32 does"
    if (count := len(now.without)) < FEWEST:
        return f"it takes at least {FEWEST} {now.whose}, and there are {count}"
    if not np.isfinite(now.without).all():
        return f"its figure cannot be computed without one of the {now.whose}"
    return ""


def standard_errors(now: Quality, other: Quality) -> float:
    """By how many standard errors another preprocessing is better, compared by subject.

    The standard error is the delete-one jackknife's of the difference (Shao and Tu, chapter 2).

    Returns:
        The number, negative if it is worse; 0.0 if nothing differs, or if it cannot be known.
    """
    apart = other.value - now.value
    if now.without.shape != other.without.shape or len(now.without) < 2 or apart == 0:
        return 0.0
    changes = other.without - now.without
    count = len(changes)
    error = math.sqrt((count - 1) / count * np.square(changes - changes.mean()).sum())
    if not math.isfinite(apart) or not math.isfinite(error):
        return 0.0
    return apart / error if error else math.copysign(math.inf, apart)


def is_better(now: Quality, other: Quality) -> bool:
    """Whether another preprocessing is better beyond doubt, and by an amount that matters.

    One with which the model is of no use, either, explains nothing: the labels or the model are
    wrong, and then some nonsense may well be better than another.
    """
    from scipy.special import stdtrit

    subjects = len(now.without)
    return (
        subjects >= FEWEST
        and standard_errors(now, other) >= float(stdtrit(subjects - 1, 1 - DOUBT))
        and other.value - now.value >= now.least
        and other.errors <= now.errors
        and other.sound
    )
