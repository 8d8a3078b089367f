"""How good the user's metric finds a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..quality import Quality

if TYPE_CHECKING:
    from .metric import Measurement

_LEAST = 0.02  # of the metric


def merit(found: Measurement, limit: float) -> Quality | None:
    """The metric, turned round if less is better; None if an image is not finite.

    Args:
        found: the results of the metric.
        limit: the limit of the metric.
    """
    if not found.finite.all():
        return None
    if found.form == "errors":
        wrong, subjects = found.errors, found.truth.subjects
        value, sizes = float(wrong.mean()), np.bincount(subjects)
        left = np.maximum(len(wrong) - sizes, 1)
        without = (wrong.sum() - np.bincount(subjects, wrong)) / left
    else:
        value, without = found.value, found.without
    sign = 1.0 if found.metric.higher else -1.0
    words = f"{found.metric.name} {value:.4g}"
    sound = sign * value >= sign * limit
    return Quality(
        sign * value, sign * without, _LEAST * abs(value), -sign * value, sound, words, "subjects"
    )
