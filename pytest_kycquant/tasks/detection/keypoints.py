"""How far keypoints lie from others, relative to the size of what they belong to.

The normalised mean error (NME) of a face is the mean distance of its keypoints from those of
reference, divided by the distance of the eyes (Sagonas et al., 300 Faces in-the-Wild, 2016) or by
the root of the area of its box (Bulat and Tzimiropoulos, arXiv 1703.07332).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from ...statistics import CONFIDENCE, lower_rank, mean_lower_bound, upper_rank
from ...verdicts import Check, Estimate, Limit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Scale: TypeAlias = Literal["eyes", "box"]
QUANTILE = 0.95
# In profile the eyes coincide, and nothing could be divided by their distance. From the front it is
# a third to a half of the root of the box's area.
_NARROWEST = 0.15


OF: Mapping[Scale, str] = {
    "eyes": "of the distance of the eyes",
    "box": "of the root of the box's area",
}
"""What errors are a share of, in words."""


def usual_scale(keypoints: int) -> Scale:
    """By what errors are usually divided: five keypoints are those of a face, eyes first."""
    return "eyes" if keypoints == 5 else "box"


def errors_of(points: Floats, reference: Floats, boxes: Floats, scale: Scale) -> Floats:
    """Normalised mean error of each detection.

    Args:
        points: keypoints x and y in pixels of the image, shape (P, K, 2), float64.
        reference: those to compare with, of the same shape; NaN for one that is not known.
        boxes: corners of the reference's boxes in pixels of the image, shape (P, 4), float64.
        scale: "eyes" divides by the distance of the first two keypoints of reference, and by at
            least .15 of the root of the area of the box; "box" by that root.

    Returns:
        A share of that size, shape (P,), float64; infinite if a keypoint is not finite, and NaN
        where no keypoint of reference is known.
    """
    known = ~np.isnan(reference.sum(axis=2))
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0)
    size = np.sqrt(sides.prod(axis=1))
    if scale == "eyes":
        apart = np.linalg.norm(reference[:, 0] - reference[:, 1], axis=1)
        # Where an eye is not known, the box stands for it.
        size = np.where(np.isnan(apart), size, np.fmax(apart, _NARROWEST * size))
    off = np.linalg.norm(points - np.where(known[..., None], reference, 0.0), axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(known, off, 0.0).sum(axis=1) / known.sum(axis=1) / size
    found = np.nan_to_num(found, nan=np.inf, posinf=np.inf)
    return np.where(known.any(axis=1), found, np.nan)


def judge_errors(
    mean: Limit, high: Limit, values: Floats, images: NDArray[np.int64], what: str
) -> list[Check]:
    """Compare the mean and the 95th percentile of errors with their limits, by upper bounds.

    Args:
        mean: the limit of the mean.
        high: the limit of the 95th percentile.
        values: the errors of detections, shape (P,), float64.
        images: the image of each, shape (P,), int64: faces of one image are not independent.
        what: what the errors are, in words.
    """
    names = f"mean {what}", f"95th percentile of the {what}"
    if not len(values):
        nothing = Estimate(np.inf, np.inf, np.inf)
        return [
            limit.check(name, nothing).failed("no detection in common")
            for name, limit in zip(names, (mean, high), strict=True)
        ]
    detail = f"{len(values):,} detections"
    # The bounds of a mean that is infinite say nothing.
    sound = bool(np.isfinite(values).all())
    lower = mean_lower_bound(values, images) if sound else np.inf
    upper = -mean_lower_bound(-values, images)
    average = Estimate(float(values.mean()), lower, upper)
    ordered = np.sort(values)
    above = upper_rank(len(ordered), QUANTILE, CONFIDENCE)
    few = "" if above is not None else ", too few for a confidence bound, so the largest is used"
    value = float(ordered[min(int(np.ceil(QUANTILE * len(ordered))), len(ordered)) - 1])
    bound = float(ordered[-1 if above is None else above])
    below = lower_rank(len(ordered), QUANTILE, CONFIDENCE)
    least = float(ordered[0 if below is None else below])
    return [
        mean.check(names[0], average, detail),
        high.check(names[1], Estimate(value, least, bound), detail + few),
    ]
