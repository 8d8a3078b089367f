"""How well scores tell live captures from attacks: the area under the ROC curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..quality import Quality
from .scores import Decisions, bpcer_at_apcer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...data.liveness import LivenessSet
    from .scores import Scores

_LEAST, _LEAST_SHARE = 0.002, 0.1  # of the area, and of what it lacks


def ranking(scores: Scores, captures: LivenessSet, apcer: float, bpcer: float) -> Quality | None:
    """The probability that a live capture has a higher score than an attack.

    It counts pairs (Mann and Whitney), and is left without each person in turn. It depends on the
    order of scores alone, so that a change of scale is neither better nor worse.

    Args:
        scores: (N,) probability of a live face.
        captures: the captures with their labels.
        apcer: the APCER at which BPCER is counted.
        bpcer: the limit of BPCER.

    Returns:
        The area (AUC); None if a score is not finite, or if one of the two kinds is missing.
    """
    live = captures.live
    if not np.isfinite(scores).all() or live.all() or not live.any():
        return None
    genuine, attacks = scores[live], scores[~live]
    above = _wins(genuine, attacks)
    below = _wins(-attacks, -genuine)
    subjects, count = captures.subjects, int(captures.subjects.max()) + 1
    lives = np.bincount(subjects[live], minlength=count)
    others = np.bincount(subjects[~live], minlength=count)
    own = np.zeros(count)
    for person in np.flatnonzero((lives > 0) & (others > 0)):
        mine = subjects == person
        own[person] = _wins(scores[mine & live], scores[mine & ~live]).sum()
    lost = (
        np.bincount(subjects[live], above, count) + np.bincount(subjects[~live], below, count) - own
    )
    pairs = (live.sum() - lives) * ((~live).sum() - others)
    present = (lives + others) > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        without = ((above.sum() - lost) / pairs)[present]
    area = float(above.mean() / len(attacks))
    found = bpcer_at_apcer(Decisions(scores, captures, 0.5), apcer)
    words = f"BPCER {found:.2%} at an APCER of {apcer:.2%} and an AUC of {area:.4f}"
    return Quality(
        area, without, max(_LEAST, _LEAST_SHARE * (1 - area)), found, found < bpcer, words
    )


def _wins(ones: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over how many of the others each one lies, where a tie counts half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, ones, "left")
    return (below + np.searchsorted(ordered, ones, "right")) / 2
