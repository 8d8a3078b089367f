"""Duplicate images in one set: a label is wrong, or the same evidence counts twice.

Images are the same if their pixels are, whatever their format, metadata or compression, or if what
the model sees of them is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..errors import DataError
from .files import listed
from .images import ImageSet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def refuse_two_labels(
    images: ImageSet,
    labels: NDArray[np.int64],
    describe: Callable[[int], str],
    *,
    what: str,
    remedy: str,
) -> None:
    """Reject the same pixels under two labels, one of which must be wrong.

    Args:
        images: the images, N of them.
        labels: number of the label of each image, shape (N,).
        describe: returns the label of the image with a given index, for the message.
        what: what the labels are, such as "identities", for the message.
        remedy: what the user can do about it.

    Raises:
        DataError: some pixels have two labels, or an image cannot be read.
    """
    mislabelled = [group for group in _equal(images.facts.digests) if len(set(labels[group])) > 1]
    if mislabelled:
        raise DataError(
            images.origin,
            f"the same image appears under two {what}: {_equations(images, mislabelled, describe)}",
            remedy,
        )


def refuse_copies(images: ImageSet, describe: Callable[[int], str]) -> None:
    """Reject duplicate pixels: copies narrow an interval as if they were further evidence.

    Args:
        images: the images.
        describe: returns the label of the image with a given index, for the message.

    Raises:
        DataError: two images are the same, or an image cannot be read.
    """
    twice = _equal(images.facts.digests)
    if twice:
        raise DataError(
            images.origin,
            f"the same {images.noun} appears twice: {_equations(images, twice, describe)}",
            "keep one copy of each",
        )


def refuse_same_inputs(images: ImageSet, inputs: Sequence[bytes], suspect: str = "") -> None:
    """Reject images of which the model sees the same: they are no further evidence either.

    Args:
        images: the images, N of them.
        inputs: a digest of the input of the model for each image, N of them.
        suspect: what decides which part of an image the model sees, such as a file of landmarks;
            "" if it sees the whole image.

    Raises:
        DataError: two images give the same input.
    """
    if twice := _equal(inputs):
        names = listed([" = ".join(images.names[index] for index in group) for group in twice])
        check = f"check {suspect}; if this is right, " if suspect else ""
        raise DataError(
            images.origin,
            f"the model gets the same input from several {images.noun}s: {names}",
            f"{check}keep one of each: they differ only in what the preprocessing removes, such as "
            "padding, size, colour or what lies outside of the crop",
        )


def _equal(digests: Sequence[object]) -> list[list[int]]:
    """Group the indices of equal digests, two or more each, in ascending order."""
    copies: defaultdict[object, list[int]] = defaultdict(list)
    for index, digest in enumerate(digests):
        copies[digest].append(index)
    return [group for group in copies.values() if len(group) > 1]


def _equations(images: ImageSet, groups: list[list[int]], describe: Callable[[int], str]) -> str:
    """Write groups as ``a = b``; rows of an array, whose names say little, get their labels."""

    def name(index: int) -> str:
        if images.is_array:
            return f"{images.names[index]} ({describe(index)})"
        return images.names[index]

    return listed([" = ".join(name(index) for index in group) for group in groups])
