"""Distances between embeddings that a face gate can name, as in ``scipy.spatial.distance``."""

from __future__ import annotations

import math
from typing import Literal

from ..errors import SpecError
from . import coerce

Distance = Literal["euclidean", "sqeuclidean", "cityblock", "cosine"]
DISTANCES: tuple[Distance, ...] = ("euclidean", "sqeuclidean", "cityblock", "cosine")
_LARGEST = {"euclidean": 2.0, "sqeuclidean": 4.0, "cosine": 2.0}  # between unit embeddings


def check_threshold(where: str, value: object, distance: Distance | None, unit: bool) -> float:
    """Turn a threshold into a float.

    Args:
        where: the argument, for messages.
        value: the threshold.
        distance: the distance that it belongs to; None for the cosine as a similarity.
        unit: whether embeddings are scaled to unit length first.

    Raises:
        SpecError: two faces could never have this similarity or distance.
    """
    if distance is None:
        remedy = (
            "give the production threshold, a cosine between -1 and 1, or name the distance that "
            'it belongs to, such as distance="euclidean"'
        )
        threshold = coerce.number(where, value, remedy)
        if not -1 <= threshold <= 1:
            raise SpecError(where, f"{threshold!r} is not a cosine", remedy)
        return threshold
    largest = _LARGEST.get(distance, math.inf) if unit or distance == "cosine" else math.inf
    span = "above 0" if largest == math.inf else f"between 0 and {largest:g}"
    remedy = f"give the production threshold, a distance {span}: faces match up to it"
    threshold = coerce.number(where, value, remedy)
    if not 0 < threshold <= largest:
        raise SpecError(where, f"{threshold!r} is not such a distance", remedy)
    return threshold
