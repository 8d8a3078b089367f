"""How well embeddings tell people apart: the distance of genuine from impostor scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..quality import Quality
from .measures import COSINE, Measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..outputs import Outputs

_WHOSE = "people with two images or more"
_LEAST = 0.02  # of the distance; a wrong order of colours or range costs more


def separation(
    outputs: Outputs, people: NDArray[np.int64], far: float, frr: float, measure: Measure = COSINE
) -> Quality | None:
    """How far genuine scores lie above impostor scores, in standard deviations of the latter.

    Args:
        outputs: the embeddings of all images.
        people: the person on each image, (N,) int64. All pairs are compared.
        far: the FAR at which FRR is counted.
        frr: the limit of FRR.
        measure: how alike two embeddings are.

    Returns:
        The mean distance of each person, averaged over people, and the same without each person
        and all of their pairs; None if the pairs cannot tell.
    """
    if not outputs.finite.all():
        return None
    compared = measure.prepared(outputs.values)
    left, right = np.triu_indices(len(people), 1)
    one, other = people[left], people[right]
    same = one == other
    scores = measure.table(compared, compared)[left, right].astype(np.float64)
    impostors, genuine = scores[~same], scores[same]
    if len(impostors) < 2 or not len(genuine) or not np.isfinite(scores).all():
        return None
    names, owner = np.unique(one[same], return_inverse=True)
    each = np.bincount(owner, genuine) / np.bincount(owner)

    def over(mean_genuine: Any, sums: Any, squares: Any, count: Any) -> Any:
        mean = sums / count
        return (mean_genuine - mean) / np.sqrt(squares / count - mean**2)

    def touching(weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Sums over the impostor pairs of each person with genuine pairs."""
        ends = np.concatenate([one[~same], other[~same]])
        twice = None if weights is None else np.concatenate([weights, weights])
        counts: NDArray[Any] = np.bincount(ends, twice, int(people.max()) + 1)[names]
        return counts.astype(np.float64)

    sums, squares = float(impostors.sum()), float(np.square(impostors).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(over(each.mean(), sums, squares, len(impostors)))
        without = over(
            (each.sum() - each) / (len(each) - 1),
            sums - touching(impostors),
            squares - touching(np.square(impostors)),
            len(impostors) - touching(None),
        )
    if not np.isfinite(value):
        return None
    allowed = int(far * len(impostors))
    threshold = np.partition(impostors, len(impostors) - 1 - allowed)[len(impostors) - 1 - allowed]
    found = float((genuine <= threshold).mean())
    words = f"FRR {found:.2%} at a FAR of {far:.2%} and a separation (d') of {value:.2f}"
    return Quality(value, without, _LEAST * abs(value), found, found < frr, words, _WHOSE)
