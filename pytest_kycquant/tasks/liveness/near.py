"""How far the scores of captures move towards the threshold; see `statistics.moves`.

Probabilities are crowded at 0 and 1, where softmax hides how far a score is from the threshold. On
the logit scale scores have tails, as the bound assumes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...data.liveness import LIVE
from ...statistics import Moves

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .scores import Decisions, Scores

_CERTAIN = 1e-12  # closer to 0 or 1, float64 leaves few digits of a probability


def moves_of(
    fp32: Decisions, scores: Scores, kind: int, among: NDArray[np.bool_] | None = None
) -> Moves:
    """How far scores move, for the captures of a kind that FP32 decides right.

    Args:
        fp32: the decisions of FP32.
        scores: (N,) scores of the variant; NaN counts as the worst case.
        kind: the index of the species, or `LIVE`.
        among: (N,) bool, the captures to look at; all by default.
    """
    members = fp32.captures.species == kind
    if among is not None:
        members &= among
    right = members & ~fp32.wrong
    sign = 1.0 if kind == LIVE else -1.0
    limit = _logit(np.asarray([fp32.threshold]))[0]
    before, after = _logit(fp32.scores[right]), _logit(scores[right])
    subjects = fp32.captures.subjects
    return Moves(
        np.maximum(sign * (before - limit), 0.0),
        np.nan_to_num(sign * (before - after), nan=np.inf, posinf=np.inf),
        subjects[right],
        int(members.sum()),
        len(np.unique(subjects[members])),
    )


def _logit(scores: Scores) -> Scores:
    from scipy.special import logit

    found: Scores = logit(np.clip(scores, _CERTAIN, 1 - _CERTAIN))
    return found
