"""Images that differ in nothing but an edit: mirrored, turned, resized, re-encoded, brightened.

Thumbnails are compared by their correlation, which ignores brightness and contrast, in all eight
orientations. The thresholds lie between edits and different photographs as measured by
``python -m benchmarks.near_duplicates``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .pixel_facts import SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

COARSE, FINE = 0.99, 0.985
"""Least correlation of two thumbnails of 16 x 16 and of 32 x 32 pixels."""
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
    for pairs in _blocks(first, first if second is None else second):
        if second is None:
            pairs = pairs[pairs[:, 0] < pairs[:, 1]]
            if people is not None:
                pairs = pairs[people[pairs[:, 0]] != people[pairs[:, 1]]]
        found += [Near(int(one), int(other)) for one, other in pairs]
        if len(found) >= MOST:
            break
    return sorted(found)[:MOST]


def _blocks(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Iterator[NDArray[np.int64]]:
    """Yield the near-duplicates of each block of pairs, shape (P, 2)."""
    ones, others = _textured(first), _textured(second)
    for top in range(0, len(ones), _ROWS):
        rows = ones[top : top + _ROWS]
        turned = [_unit(_coarse(view)) for view in _orientations(first[rows])]
        for left in range(0, len(others), _COLUMNS):
            columns = others[left : left + _COLUMNS]
            coarse = _unit(_coarse(second[columns])).T
            likeness = turned[0] @ coarse
            for view in turned[1:]:
                np.maximum(likeness, view @ coarse, out=likeness)
            near = np.argwhere(likeness >= COARSE)
            for part in range(0, len(near), _COLUMNS):
                pairs = np.stack(
                    [
                        rows[near[part : part + _COLUMNS, 0]],
                        columns[near[part : part + _COLUMNS, 1]],
                    ],
                    axis=1,
                )
                yield pairs[_confirmed(first[pairs[:, 0]], second[pairs[:, 1]])]


def _confirmed(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether the thumbnails of each pair also agree in full, shape (P,)."""
    other = _unit(second)
    views = (np.einsum("ij,ij->i", _unit(view), other) for view in _orientations(first))
    best: NDArray[np.float32] = np.maximum.reduce(list(views))
    return np.greater_equal(best, FINE)


def _textured(thumbnails: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the indices of images with a pattern."""
    spread = [float(thumbnail.std()) for thumbnail in thumbnails]
    return np.flatnonzero(np.array(spread) >= _LEAST_SPREAD)


def _orientations(thumbnails: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Yield the thumbnails turned by 0, 90, 180 and 270 degrees, then also mirrored."""
    for side in (thumbnails, thumbnails[:, :, ::-1]):
        for turns in range(4):
            yield np.rot90(side, turns, (1, 2))


def _coarse(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Halve the sides of thumbnails."""
    half = SIDE // 2
    means: NDArray[np.float32] = thumbnails.reshape(-1, half, 2, half, 2).mean((2, 4), np.float32)
    return means


def _unit(thumbnails: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    """Flatten, centre and normalize thumbnails, so that products are correlations."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.sqrt(np.einsum("ij,ij->i", flat, flat))
    flat /= np.maximum(length, np.float32(1e-6))[:, np.newaxis]
    return flat
