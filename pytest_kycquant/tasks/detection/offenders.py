"""The objects and images that weigh most in the verdict of a detection gate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...results import MOST_OFFENDERS, Offender
from ..checks import known

if TYPE_CHECKING:
    from .likeness import Agreement
    from .matching import Matching


def missed(
    images: Sequence[str],
    classes: Sequence[str],
    fp32: Matching,
    variant: Matching,
    confidence: float,
    which: int | None = None,
    *,
    newly: bool = False,
) -> list[Offender]:
    """The labelled objects that are missed or found with the lowest scores.

    Args:
        images: the names of the images.
        classes: the names of the classes.
        fp32: the detections of FP32.
        variant: the detections of the variant.
        confidence: the frozen confidence.
        which: the index of a class; None for all.
        newly: whether to list only those that FP32 finds and the variant misses.
    """
    truth = variant.truth
    chosen = ~truth.crowd
    if which is not None:
        chosen &= truth.classes == which
    scores, before = variant.acquired, fp32.acquired
    if newly:
        chosen &= ~(scores >= confidence) & (before >= confidence)
    (objects,) = np.nonzero(chosen)
    order = np.argsort(np.nan_to_num(scores[objects], nan=-1.0), kind="stable")[:MOST_OFFENDERS]
    found = []
    for index in objects[order].tolist():
        lost = not scores[index] >= confidence
        finding = "missed" if lost else "found"
        if lost and before[index] >= confidence:
            finding = "newly missed"
        box = ", ".join(f"{side:.0f}" for side in truth.boxes[index])
        found.append(
            Offender(
                (images[int(truth.image_index[index])],),
                f"{classes[int(truth.classes[index])]} at {box}",
                _score(scores[index]),
                _score(before[index]),
                confidence,
                finding,
            )
        )
    return found


def apart(images: Sequence[str], found: Agreement) -> list[Offender]:
    """The images in which most detections differ from those of FP32, with their numbers.

    Args:
        images: the names of the images.
        found: the detections of both, matched.
    """
    gone, new = (
        np.bincount(where, minlength=len(images))
        for where in (found.lacking_images, found.extra_images)
    )
    order = np.argsort(-(gone + new), kind="stable")[:MOST_OFFENDERS]
    return [
        Offender((images[i],), f"{gone[i]} detections of FP32 are missing and {new[i]} are new")
        for i in order.tolist()
        if gone[i] + new[i]
    ]


def misplaced(images: Sequence[str], found: Agreement) -> list[Offender]:
    """The images with the keypoints that lie farthest from those of FP32.

    Args:
        images: the names of the images.
        found: the detections of both, matched; with keypoints.
    """
    assert found.keypoint_errors is not None
    order = np.argsort(-found.keypoint_errors, kind="stable")[:MOST_OFFENDERS]
    return [
        Offender(
            (images[int(found.images[at])],),
            finding=f"keypoints off by {found.keypoint_errors[at]:.1%}",
        )
        for at in order.tolist()
        if found.keypoint_errors[at] > 0
    ]


def _score(score: float) -> float | None:
    """A score of a detection; none if there is no detection of the object."""
    return known(score) if score > 0 else None
