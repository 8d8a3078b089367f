"""Images from which the activation ranges of static INT8 are estimated."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from ..errors import CalibrationWarning, DataError
from .files import find_images, load_npz
from .images import ImageSet

ADVISED_IMAGES = 100
MOST_IMAGES = 500


def load_calibration(path: Path) -> ImageSet:
    """Load the calibration images.

    Of more than 500 images, 500 evenly spaced ones in the order of their names are used: more
    do not make the ranges better, only the calibration slower and its extremes more extreme.

    Args:
        path: a folder, searched at any depth for images, or an ``.npz`` file with ``images``
            (see `ImageSet.from_array`).

    Returns:
        At most 500 images.

    Raises:
        DataError: the path is missing or neither of these, or holds no images.

    Warns:
        CalibrationWarning: fewer than 100 different images, or more than 500 images.
    """
    if path.is_dir():
        files = find_images(path)
        if not files:
            raise DataError(
                path, "holds no images to calibrate with", "add 100 to 500 typical images"
            )
        images = ImageSet.from_files(path, files)
    elif path.suffix.lower() == ".npz":
        images = ImageSet.from_array(load_npz(path, "images")["images"], path)
    elif path.exists():
        raise DataError(
            path, "is neither a folder nor an .npz file", "give a folder of 100 to 500 images"
        )
    else:
        raise DataError(path, "does not exist", "check the path of the calibration images")

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
