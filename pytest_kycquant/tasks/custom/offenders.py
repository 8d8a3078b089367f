"""The images that weigh most in the verdict of a custom metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...results import MOST_OFFENDERS, Offender
from ..checks import known

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .metric import Measurement


def of_metric(fp32: Measurement, variant: Measurement, *, change: bool) -> list[Offender]:
    """The images that the metric finds worst; none if it gives one figure for all images.

    Args:
        fp32: the results for FP32.
        variant: the results for the variant.
        change: whether to look at the difference from FP32, not at the variant alone.
    """
    if variant.form == "errors":
        newly = variant.errors & ~fp32.errors
        order = [
            *np.flatnonzero(newly),
            *([] if change else np.flatnonzero(fp32.errors & variant.errors)),
        ]
        return [
            _image(variant, int(i), None, None, "newly wrong" if newly[i] else "wrong")
            for i in order[:MOST_OFFENDERS]
        ]
    if variant.form != "values":
        return []
    mine, theirs = variant.values, fp32.values if fp32.form == "values" else variant.values
    badness: NDArray[np.float64] = mine - theirs if change else mine.copy()
    if variant.metric.higher:
        badness = -badness
    worst = np.argsort(-np.nan_to_num(badness, nan=np.inf), kind="stable")[:MOST_OFFENDERS]
    name = variant.metric.name
    return [_image(variant, int(i), known(mine[i]), known(theirs[i]), name) for i in worst]


def _image(
    found: Measurement, index: int, score: float | None, fp32: float | None, finding: str
) -> Offender:
    truth = found.truth
    who = truth.subject_names[int(truth.subjects[index])] if truth.knows_subjects else ""
    return Offender((truth.images.names[index],), who, score, fp32, None, finding)
