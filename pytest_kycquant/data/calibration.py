"""Images from which the activation ranges of static INT8 are estimated."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

from ..errors import CalibrationWarning
from .facts_store import Prepare, directly
from .images import ImageSet
from .sampling import spread
from .unlabelled import load_images

ADVISED_IMAGES = 100
MOST_IMAGES = 500


def load_calibration(
    path: Path,
    prepare: Prepare = directly,
    load: Callable[[Path, str], ImageSet] = load_images,
) -> ImageSet:
    """Load the calibration images.

    Of more than 500 images, only 500 are used, spread evenly over the order of their names. More
    images do not improve the ranges: they slow down the calibration and widen its extremes.

    Args:
        path: the images, in any form that `load_images` accepts.
        prepare: a function that provides the images with their `facts`.
        load: a function that reads them, given the path and what it should contain.

    Returns:
        At most 500 images.

    Raises:
        DataError: see `load_images`.

    Warns:
        CalibrationWarning: fewer than 100 different images, or more than 500 images.
    """
    images = load(path, "100 to 500 typical images")
    if len(images) > MOST_IMAGES:
        warnings.warn(
            f"{path}: {len(images)} calibration {images.noun}s, of which only {MOST_IMAGES}, "
            f"evenly spread, are used; keep 100 to 500",
            CalibrationWarning,
            stacklevel=2,
        )
        images = images.subset(spread(len(images), MOST_IMAGES))
    # Copies are harmless, but a hundred copies of one image count as one image.
    prepare(images)
    different = len(set(images.facts.digests))
    if different < ADVISED_IMAGES:
        warnings.warn(
            f"{path}: {different} different calibration {images.noun}s; use at least "
            f"{ADVISED_IMAGES}, or single {images.noun}s determine the INT8 ranges",
            CalibrationWarning,
            stacklevel=2,
        )
    return images
