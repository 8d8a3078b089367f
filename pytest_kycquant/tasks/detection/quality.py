"""How well a detector finds objects: mAP with its jackknife over images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..quality import Quality

if TYPE_CHECKING:
    from .matching import Matching

_LEAST = 0.01  # of mAP


def precision(matching: Matching, map50: float) -> Quality | None:
    """Mean of the areas at all overlaps; None if there are no objects.

    Args:
        matching: the detections, matched with the objects.
        map50: the limit of mAP at an IoU of .5.
    """
    if not (~matching.truth.crowd).any():
        return None
    value = float(matching.areas.mean())
    without = np.asarray(matching.leave_out.mean(axis=1), np.float64)
    sound = bool(matching.areas[0] >= map50)
    return Quality(value, without, _LEAST, 1 - value, sound, f"mAP {value:.3f}", "images")
