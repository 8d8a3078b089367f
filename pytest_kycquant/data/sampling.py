"""Evenly spread samples of many images, for a first look or for work in portions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


_GOLDEN = (5**0.5 - 1) / 2


def evenly(groups: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Choose images evenly over groups: one of each, then a second one of each, and so on.

    If the last round has more images than are still wanted, they are taken at even steps through
    the groups, first and last included.

    Args:
        groups: number of the group (such as the subject) of each image, shape (N,).
        most: maximum number of images to choose, at least one.

    Returns:
        Indices of the chosen images, ascending; all of them if there are no more than `most`.
    """
    if len(groups) <= most:
        return np.arange(len(groups))
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    place = np.arange(len(order)) - np.searchsorted(ordered, ordered)  # within its group
    chosen: list[NDArray[np.int64]] = []
    wanted = most
    for turn in range(int(place.max()) + 1):
        images = order[place == turn]
        if len(images) > wanted:
            images = images[np.linspace(0, len(images) - 1, wanted).astype(np.int64)]
        chosen.append(images)
        wanted -= len(images)
        if not wanted:
            break
    return np.sort(np.concatenate(chosen))


def spread(count: int, most: int) -> list[int]:
    """Choose some of many images, spread evenly over their order but at no constant step.

    A constant step meets whatever repeats in the order of images: of people with three photographs
    each, only the first. The fractions of the multiples of the golden ratio are even in every part
    and repeat nowhere (Weyl, "Über die Gleichverteilung von Zahlen mod. Eins", 1916).

    Args:
        count: the number of images.
        most: the largest number to choose.

    Returns:
        The indices of the chosen images, ascending; all of them if there are no more than `most`.
    """
    if count <= most:
        return list(range(count))
    places = np.arange(count) * _GOLDEN % 1.0
    chosen: list[int] = np.sort(np.argsort(places, kind="stable")[:most]).tolist()
    return chosen


def portions(number: int) -> Iterator[NDArray[np.int64]]:
    """Cut indices of images into an eighth, an eighth, a quarter and a half, each evenly spread."""
    indices = np.arange(number)
    for start, step in ((0, 8), (4, 8), (2, 4), (1, 2)):
        if len(part := indices[start::step]):
            yield part
