"""How well embeddings tell people apart: the distance of genuine from impostor scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..quality import Quality
from .scores import normalise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..outputs import Outputs

_LEAST = 0.02  # of the distance; the wrong order of colours costs 7 %, another range 5 % and more


def separation(outputs: Outputs, people: NDArray[np.int64], far: float) -> Quality | None:
    """How far genuine scores lie above impostor scores, in standard deviations of the latter.

    Args:
        outputs: the embeddings of all images.
        people: the person on each image, (N,) int64. All pairs are compared.
        far: the FAR at which FRR is counted.

    Returns:
        The mean distance of each person, averaged over people; None if the pairs cannot tell.
    """
    if not outputs.finite.all():
        return None
    unit = normalise(outputs.values)
    left, right = np.triu_indices(len(people), 1)
    same = people[left] == people[right]
    scores = (unit @ unit.T)[left, right].astype(np.float64)
    impostors, genuine = scores[~same], scores[same]
    if len(impostors) < 2 or not len(genuine) or not np.isfinite(scores).all():
        return None
    spread = float(impostors.std())
    if spread == 0:
        return None
    distances = (genuine - impostors.mean()) / spread
    owner = np.unique(people[left[same]], return_inverse=True)[1]
    each = np.bincount(owner, distances) / np.bincount(owner)
    count, value = len(each), float(each.mean())
    without = (each.sum() - each) / max(count - 1, 1)
    allowed = int(far * len(impostors))
    threshold = np.partition(impostors, len(impostors) - 1 - allowed)[len(impostors) - 1 - allowed]
    frr = float((genuine <= threshold).mean())
    words = f"FRR {frr:.2%} at a FAR of {far:.2%} and a separation (d') of {value:.2f}"
    return Quality(value, without, _LEAST * abs(value), frr, words)
