"""The same image twice in one set: a label is wrong, or one piece of evidence counts double."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from .files import listed
from .images import ImageSet


def equal_images(images: ImageSet) -> list[list[int]]:
    """Find images of equal content.

    Returns:
        Groups of two or more indices, each in ascending order, by their first member.

    Raises:
        DataError: an image cannot be read.
    """
    copies: defaultdict[str, list[int]] = defaultdict(list)
    for index, digest in enumerate(images.digests):
        copies[digest].append(index)
    return [group for group in copies.values() if len(group) > 1]


def equations(images: ImageSet, groups: list[list[int]], label: Callable[[int], str]) -> str:
    """Write groups of equal images as ``a = b``; an array row, whose name says nothing, with label.

    Args:
        images: all images.
        groups: as `equal_images` returns them.
        label: what an image is labelled, by index.
    """

    def name(index: int) -> str:
        return f"{images.names[index]} ({label(index)})" if images.is_array else images.names[index]

    return listed([" = ".join(name(index) for index in group) for group in groups])
