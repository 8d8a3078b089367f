"""The choice of people or images for selection, which follows from their names alone."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


FOLDS = 5
"""Number of folds of people: a search looks at some of them and is confirmed on the others."""
SEARCH_SHARE = 2 / FOLDS
"""Share of the people on whom a fallback is searched if no other people are given for it. Showing
that a variant passes takes more people than finding one that is promising."""


def names_for_selection(names: Sequence[str], share: float) -> NDArray[np.bool_]:
    """Choose a share of some names, in the order of the SHA-256 of each.

    Thus the choice depends on nothing but the names, and one name more or less moves at most one
    other name to the other side.

    Args:
        names: the names, N of them, in any order.
        share: share of the names that go to selection.

    Returns:
        Whether each name is for selection, shape (N,), bool. The number chosen is `share` times N,
        rounded; it may be zero.
    """
    digests = [hashlib.sha256(name.encode()).digest() for name in names]
    order = sorted(range(len(names)), key=digests.__getitem__)
    chosen = np.zeros(len(names), dtype=np.bool_)
    chosen[order[: math.floor(share * len(names) + 0.5)]] = True
    return chosen


def names_on_both_sides(
    names: Sequence[str], share: float, where: object, what: str, more: str
) -> NDArray[np.bool_]:
    """Choose names as `names_for_selection` does, where neither side may be empty.

    Args:
        names: the names, N of them, in any order.
        share: share of the names that go to selection.
        where: the data that is split, for the message.
        what: what the names stand for, such as "identities", for the message.
        more: what the user could add, for the message.

    Returns:
        Whether each name is for selection, shape (N,), bool.

    Raises:
        DataError: one side would be empty.
    """
    chosen = names_for_selection(names, share)
    if chosen.all() or not chosen.any():
        raise DataError(
            where,
            f"{len(names)} {what} cannot be split with a share of {share:g} for selection",
            f"add {more}, change the share, or give other images for selection",
        )
    return chosen
