"""Which decisions provably cannot have flipped, whatever the images show.

The certificate is geometry. Both unit embeddings on the sphere with their angles and embeddings of
any length with a distance obey the triangle inequality. If quantization moves the embeddings of two
images by m_i and m_j, the distance d between the two changes by at most m_i + m_j. So a pair at
a distance d keeps its decision at a threshold t if ``|d - t| > m_i + m_j``.

For cosines, distances are angles: a score s keeps its decision at a threshold t if
``|arccos s - arccos t| > theta_i + theta_j``. Distances between unit embeddings grow with the
angle, so the same holds for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .measures import Floats, Measure, Minkowski, rounding

if TYPE_CHECKING:
    Doubles = NDArray[np.float64]

_ROWS = 256  # rows of the score matrix at a time
_ANGLE = 1e-7  # radians; more than the error of the float64 functions below
_RELATIVE = 2.0**-20  # of a distance; more than that of float64 and of one rounding to float32


def certified_share(fp32: Floats, variant: Floats, measure: Measure, threshold: float) -> float:
    """Share of all pairs whose decision provably cannot have flipped; 0.0 if there are none.

    It also holds for pairs of one embedding of FP32 and one of the variant: a stored template
    does not move.

    Args:
        fp32: (N, D) embeddings of FP32, as they are compared.
        variant: those of the variant for the same images.
        measure: how alike two embeddings are.
        threshold: the decision threshold in the user's unit.
    """
    certify: Callable[[Floats, Doubles], NDArray[np.bool_]]
    if isinstance(measure, Minkowski):
        moved, slack = _moved(fp32, variant, measure), float(measure.slack(fp32, fp32))

        def certify(scores: Floats, sums: Doubles) -> NDArray[np.bool_]:
            return certified_distances(scores, sums, threshold, slack, squared=measure.squared)
    else:
        moved, limit = angles(fp32, variant), float(measure.limit(threshold))

        def certify(scores: Floats, sums: Doubles) -> NDArray[np.bool_]:
            return certified(scores, sums, limit, fp32.shape[1])

    images = len(fp32)
    count, total = 0, images * (images - 1) // 2
    for start in range(0, images, _ROWS):
        rows = slice(start, start + _ROWS)
        sums = moved[rows, None] + moved[None, start:]
        kept = certify(measure.table(fp32[rows], fp32[start:]), sums)
        count += int(np.triu(kept, 1).sum())
    return count / total if total else 0.0


def angles(one: Floats, other: Floats) -> Doubles:
    """Angle between the embeddings of each image in radians; pi if one of them is broken.

    It is computed from the chord: arccos of the cosine loses half of the digits of a small angle.

    Args:
        one: (N, D) unit embeddings.
        other: (N, D) unit embeddings of the same images.
    """
    first, second = (
        wide / np.linalg.norm(wide, axis=1, keepdims=True)
        for wide in (unit.astype(np.float64) for unit in (one, other))
    )
    chord = np.linalg.norm(first - second, axis=1)
    found: Doubles = 2 * np.arcsin(np.minimum(chord / 2, 1.0))
    return np.nan_to_num(found, nan=np.pi)


def certified(
    scores: Floats, turned: Doubles, threshold: float, dimensions: int
) -> NDArray[np.bool_]:
    """Find the scores whose decision is provably the same after the embeddings have turned.

    The proof covers scores computed in float32 in any order (see `measures.rounding`).

    Args:
        scores: cosines of FP32, float32 of any shape.
        turned: sum of the two angles between FP32 and the variant, in radians; same shape. A stored
            FP32 template does not turn, so the sum is an upper bound for it as well.
        threshold: the decision threshold, a cosine; accept iff score >= threshold.
        dimensions: the dimension of the embeddings, D.
    """
    errs = rounding(dimensions)
    limit, exact = float(np.float32(threshold)), scores.astype(np.float64)
    accepted = exact >= limit
    # Both scores may be off, each in the direction that is worse for the certificate.
    apart = np.arccos(np.clip(np.where(accepted, exact - errs, exact + errs), -1.0, 1.0))
    above, below = np.arccos(np.clip([limit + errs, limit - errs], -1.0, 1.0))
    stays_accepted = apart + turned + _ANGLE < above
    stays_rejected = apart - turned - _ANGLE > below
    found: NDArray[np.bool_] = np.where(accepted, stays_accepted, stays_rejected)
    return found


def certified_distances(
    scores: Floats, moved: Doubles, threshold: float, slack: float, *, squared: bool
) -> NDArray[np.bool_]:
    """The same for distances: `scores` are negative distances of FP32.

    Args:
        scores: negative distances of FP32, float32 of any shape.
        moved: sum of the two distances between FP32 and the variant, not squared; same shape.
        threshold: the decision threshold, a distance; accept iff distance <= threshold.
        slack: a bound on the rounding of the scores.
        squared: whether scores and threshold are squared.
    """
    distances = -scores.astype(np.float64)
    limit, nearest, furthest = threshold, np.maximum(distances - slack, 0.0), distances + slack
    if squared:
        limit, nearest, furthest = np.sqrt(threshold), np.sqrt(nearest), np.sqrt(furthest)
    margin = _RELATIVE * (limit + furthest + moved)
    found: NDArray[np.bool_] = furthest + moved + margin < limit
    found |= nearest - moved - margin > limit
    return found


def _moved(fp32: Floats, variant: Floats, measure: Minkowski) -> Doubles:
    """How far each embedding is from that of FP32; infinite if one of them is broken."""
    found = measure.metric(fp32, variant)
    return np.nan_to_num(found, nan=np.inf, posinf=np.inf)
