"""Images from which the activation ranges of static INT8 are estimated."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from ..errors import CalibrationWarning
from .images import ImageSet
from .unlabelled import load_images

ADVISED_IMAGES = 100
MOST_IMAGES = 500


def load_calibration(path: Path) -> ImageSet:
    """Load the calibration images.

    Of more than 500 images, 500 evenly spaced ones in the order of their names are used: more
    do not make the ranges better, only the calibration slower and its extremes more extreme.

    Args:
        path: the images, in any of the forms that `load_images` takes.

    Returns:
        At most 500 images.

    Raises:
        DataError: as `load_images`.

    Warns:
        CalibrationWarning: fewer than 100 different images, or more than 500 images.
    """
    images = load_images(path, wanted="100 to 500 typical images")
    if len(images) > MOST_IMAGES:
        warnings.warn(
            f"{path}: {len(images)} calibration images, of which {MOST_IMAGES} evenly spaced "
            f"ones are used; keep 100 to 500",
            CalibrationWarning,
            stacklevel=2,
        )
        images = images.subset(np.arange(MOST_IMAGES) * len(images) // MOST_IMAGES)
    # Copies are harmless, but a hundred copies of one image are one image.
    different = len(set(images.digests))
    if different < ADVISED_IMAGES:
        warnings.warn(
            f"{path}: {different} different calibration images; use at least {ADVISED_IMAGES}, "
            f"or the INT8 ranges follow single images",
            CalibrationWarning,
            stacklevel=2,
        )
    return images
