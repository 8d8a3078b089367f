"""Images that differ in nothing but an edit: mirrored, turned, resized, re-encoded, inverted.

Thumbnails are compared by their correlation, which ignores brightness and contrast, in all eight
orientations. Its sign is ignored, too: that of a negative is the opposite one. The thresholds lie
between edits and different photographs as measured by ``python -m benchmarks.near_duplicates``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .pixel_facts import SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST = {8: 0.985, 16: 0.99, 32: 0.985}
"""Least correlation of two thumbnails of so many pixels a side. All pairs are compared at the
first size, and those that reach it at the others."""
_LEAST_SPREAD = 3.0  # standard deviation of a thumbnail; flatter images have no pattern to compare
_ROWS, _COLUMNS = 256, 4096  # of a block
MOST = 10_000
"""Number of pairs after which nobody counts further."""


class Near(NamedTuple):
    """A pair of near-duplicates, as indices into the first and the second set."""

    first: int
    second: int


def near_duplicates(
    first: NDArray[np.uint8],
    second: NDArray[np.uint8] | None = None,
    people: NDArray[np.int64] | None = None,
) -> list[Near]:
    """Find the near-duplicates between two sets, or between different people within one.

    Args:
        first: thumbnails, shape (N, 32, 32).
        second: thumbnails of the other set; None compares the first with itself.
        people: person on each image of a single set, shape (N,): images of one person may look
            the same. None treats every image as a different person.

    Returns:
        The pairs, sorted, at most 10,000 of them. Within one set, the first index is the lower one.
    """
    found: list[Near] = []
    for pairs in _pairs(first, first if second is None else second, within=second is None):
        if people is not None:
            pairs = pairs[people[pairs[:, 0]] != people[pairs[:, 1]]]
        found += [Near(int(one), int(other)) for one, other in pairs]
        if len(found) >= MOST:
            break
    return sorted(found)[:MOST]


def _pairs(
    first: NDArray[np.uint8], second: NDArray[np.uint8], *, within: bool
) -> Iterator[NDArray[np.int64]]:
    """Yield near-duplicates block by block, shape (P, 2); each pair once if within one set."""
    ones, others = _textured(first), _textured(second)
    if not len(ones) or not len(others):
        return
    search = min(LEAST)
    vectors = _unit(_shrunk(second[others], search)).T
    for top in range(0, len(ones), _ROWS):
        rows = ones[top : top + _ROWS]
        views = [_unit(_shrunk(view, search)) for view in _orientations(first[rows])]
        for left in range(top if within else 0, len(others), _COLUMNS):
            columns = vectors[:, left : left + _COLUMNS]
            likeness = np.abs(views[0] @ columns)
            for view in views[1:]:
                np.maximum(likeness, np.abs(view @ columns), out=likeness)
            near = np.argwhere(likeness >= LEAST[search])
            for part in np.array_split(near, len(near) // _COLUMNS + 1):
                pairs = np.stack([rows[part[:, 0]], others[left + part[:, 1]]], axis=1)
                if within:
                    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
                if not len(pairs):
                    continue
                yield pairs[_confirmed(first[pairs[:, 0]], second[pairs[:, 1]])]


def _confirmed(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether the thumbnails of each pair agree at every size in one orientation, shape (P,)."""
    agree = np.zeros(len(first), np.bool_)
    for view in _orientations(first):
        agree |= np.logical_and.reduce(
            [_alike(view, second, side) >= least for side, least in LEAST.items()]
        )
    return agree


def _alike(first: NDArray[np.uint8], second: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Absolute correlation of the thumbnails of each pair at a size, shape (P,)."""
    ones, others = _unit(_shrunk(first, side)), _unit(_shrunk(second, side))
    found: NDArray[np.float32] = np.abs(np.einsum("ij,ij->i", ones, others))
    return found


def _textured(thumbnails: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the indices of images with a pattern."""
    spread = [float(thumbnail.std()) for thumbnail in thumbnails]
    return np.flatnonzero(np.array(spread) >= _LEAST_SPREAD)


def _orientations(thumbnails: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Yield the thumbnails turned by 0, 90, 180 and 270 degrees, then also mirrored."""
    for side in (thumbnails, thumbnails[:, :, ::-1]):
        for turns in range(4):
            yield np.rot90(side, turns, (1, 2))


def _shrunk(thumbnails: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Average thumbnails to so many pixels a side."""
    step = SIDE // side
    parts = thumbnails.reshape(len(thumbnails), side, step, side, step)
    means: NDArray[np.float32] = parts.mean((2, 4), np.float32)
    return means


def _unit(thumbnails: NDArray[np.float32]) -> NDArray[np.float32]:
    """Flatten, centre and normalize thumbnails, so that products are correlations."""
    flat: NDArray[np.float32] = thumbnails.reshape(len(thumbnails), thumbnails[0].size)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.sqrt(np.einsum("ij,ij->i", flat, flat))
    flat /= np.maximum(length, np.float32(1e-6))[:, np.newaxis]
    return flat
