"""How alike two embeddings are: by their cosine, or by a distance.

One convention inside: a *score* is higher the more alike two faces are, and a pair is accepted iff
score >= limit. Gate files, goldens and reports are in the user's unit instead: the cosine, or a
distance, where a pair is accepted iff distance <= threshold.

A distance between unit embeddings is a function of their cosine: |a - b|^2 = 2 - 2 cos. There the
score is the cosine, and only thresholds and what is shown are converted.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ...spec.tasks import FaceVerification

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_UNIT = 2.0**-24  # largest relative error of one rounding in float32
_DOUBLE = 2.0**-53  # the same in float64
_LOWEST = float(np.finfo(np.float32).min)


class Measure(ABC):
    """How alike two embeddings are."""

    relates: ClassVar[str]  # what a likeness to FP32's embedding is called in reports
    ends: ClassVar[tuple[float, float]]  # the lowest and the highest score that there can be

    @abstractmethod
    def prepared(self, embeddings: Floats) -> Floats:
        """Raw embeddings (N, D) as they are compared; rows without any score become NaN."""

    @abstractmethod
    def limit(self, threshold: float) -> np.float32:
        """The score from which on pairs are accepted, given the threshold in the user's unit."""

    @abstractmethod
    def threshold(self, limit: np.float32) -> float:
        """Inverse of `limit`, which gives the same limit again."""

    @abstractmethod
    def shown(self, score: float) -> float:
        """A score in the user's unit."""

    @abstractmethod
    def table(self, gallery: Floats, probe: Floats) -> Floats:
        """Scores of all rows (N, D) with all rows (M, D): (N, M), each within `slack` of exact."""

    @abstractmethod
    def listed(self, gallery: Floats, probe: Floats) -> Floats:
        """The same for rows side by side: (N,)."""

    @abstractmethod
    def exact(self, gallery: Floats, probe: Floats) -> Doubles:
        """Scores of rows side by side, (N,), in float64, which does not depend on threads."""

    @abstractmethod
    def slack(self, gallery: Floats, probe: Floats) -> np.float32:
        """A bound on the difference between scores of these rows and the exact ones."""

    @abstractmethod
    def likeness(self, exact: Floats, other: Floats) -> Doubles:
        """How alike embeddings (N, D) are to those of FP32, 1.0 if they are the same: (N,)."""

    @property
    def noun(self) -> str:
        """What the user's unit is called."""
        return "distance"

    @property
    @abstractmethod
    def extreme(self) -> str:
        """The word for the threshold that lets most people in: "smallest" or "largest"."""


def normalise(embeddings: Floats) -> Floats:
    """Scale rows to unit length; rows that are zero or not finite become NaN."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        norms = np.linalg.norm(embeddings.astype(np.float64), axis=1, keepdims=True)
        unit: Floats = (embeddings / norms).astype(np.float32)
    unit[~np.isfinite(unit).all(axis=1)] = np.nan
    return unit


def rounding(dimensions: int) -> float:
    """Bound on the difference between a score computed in float32 and the true cosine.

    The error of a dot product of D components is at most ``D u / (1 - D u)`` in any order of
    summation (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1). The
    error of the length of a rounded unit embedding is at most u.
    """
    return dimensions * _UNIT / (1 - dimensions * _UNIT) + 4 * _UNIT


@dataclass(frozen=True)
class Cosine(Measure):
    """The cosine between embeddings, or a distance that follows from it.

    Args:
        to_cosine: a function from the user's unit to the cosine; None if the cosine is that unit.
        from_cosine: its inverse.
    """

    to_cosine: Callable[[float], float] | None = None
    from_cosine: Callable[[float], float] | None = None
    relates: ClassVar[str] = "cosine"
    ends: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def prepared(self, embeddings: Floats) -> Floats:
        """Rows of unit length."""
        return normalise(embeddings)

    def limit(self, threshold: float) -> np.float32:
        """The cosine in float32."""
        return np.float32(threshold if self.to_cosine is None else self.to_cosine(threshold))

    def threshold(self, limit: np.float32) -> float:
        """The cosine, or the distance that belongs to it."""
        return self.shown(float(limit))

    def shown(self, score: float) -> float:
        """The cosine, or the distance that belongs to it."""
        return score if self.from_cosine is None else self.from_cosine(score)

    def table(self, gallery: Floats, probe: Floats) -> Floats:
        """A matrix product in float32."""
        found: Floats = gallery @ probe.T
        return found

    def listed(self, gallery: Floats, probe: Floats) -> Floats:
        """Dot products in float32."""
        found: Floats = np.einsum("ij,ij->i", gallery, probe)
        return found

    def exact(self, gallery: Floats, probe: Floats) -> Doubles:
        """Dot products in float64."""
        found: Doubles = (gallery.astype(np.float64) * probe).sum(axis=1)
        return found

    def slack(self, gallery: Floats, probe: Floats) -> np.float32:
        """The rounding of a dot product, whatever the embeddings are."""
        return np.float32(2 * rounding(gallery.shape[1]))

    def likeness(self, exact: Floats, other: Floats) -> Doubles:
        """The cosine."""
        found: Doubles = np.einsum("ij,ij->i", exact.astype(np.float64), other)
        return found

    @property
    def noun(self) -> str:
        """The cosine, or the distance that belongs to it."""
        return "cosine" if self.to_cosine is None else "distance"

    @property
    def extreme(self) -> str:
        """A higher cosine is stricter, a longer distance laxer."""
        return "smallest" if self.to_cosine is None else "largest"


@dataclass(frozen=True)
class Minkowski(Measure):
    """A distance between embeddings of any length; the score is the negative distance.

    Args:
        order: 2 for the Euclidean distance, 1 for the sum of absolute differences.
        squared: whether the distance is squared.
        unit: whether embeddings are scaled to unit length first.
    """

    order: int
    squared: bool = False
    unit: bool = False
    relates: ClassVar[str] = "likeness"
    ends: ClassVar[tuple[float, float]] = (-math.inf, 0.0)

    def prepared(self, embeddings: Floats) -> Floats:
        """The rows as they are, or of unit length."""
        if self.unit:
            return normalise(embeddings)
        kept = embeddings.astype(np.float32)
        kept[~np.isfinite(kept).all(axis=1)] = np.nan
        return kept

    def limit(self, threshold: float) -> np.float32:
        """The negative distance in float32."""
        return np.float32(-threshold)

    def threshold(self, limit: np.float32) -> float:
        """The distance."""
        return -float(limit)

    def shown(self, score: float) -> float:
        """The distance."""
        return -score

    def table(self, gallery: Floats, probe: Floats) -> Floats:
        """Distances in float64, from a matrix product if they are Euclidean."""
        one, other = gallery.astype(np.float64), probe.astype(np.float64)
        if self.order == 1:
            from scipy.spatial.distance import cdist

            return _score(cdist(one, other, "cityblock"))
        squares = np.einsum("ij,ij->i", one, one)[:, None] + np.einsum("ij,ij->i", other, other)
        squares -= 2 * (one @ other.T)
        np.maximum(squares, 0.0, out=squares)
        return _score(squares if self.squared else np.sqrt(squares))

    def listed(self, gallery: Floats, probe: Floats) -> Floats:
        """The exact distances, since only few pairs are listed."""
        return self.exact(gallery, probe).astype(np.float32)

    def exact(self, gallery: Floats, probe: Floats) -> Doubles:
        """Distances from differences, which lose nothing however near two embeddings are."""
        apart = self.metric(gallery, probe)
        # Not infinite: that is a missing pair.
        found: Doubles = np.maximum(-(apart**2) if self.squared else -apart, _LOWEST)
        return found

    def metric(self, one: Floats, other: Floats) -> Doubles:
        """The distance of rows side by side, not squared: (N,). It is a metric."""
        found: Doubles = np.linalg.norm(one.astype(np.float64) - other, ord=self.order, axis=1)
        return found

    def slack(self, gallery: Floats, probe: Floats) -> np.float32:
        """The rounding of the largest distance that rows can have.

        A matrix product has an error in proportion to the squared length of embeddings, of which
        the root is taken.
        """
        longest = sum(float(_longest(side, self.order)) for side in (gallery, probe))
        relative = 4 * (gallery.shape[1] + 8) * _DOUBLE
        if self.order == 1:
            error = relative * longest
        elif self.squared:
            error = relative * longest**2
        else:
            error = float(np.sqrt(relative)) * longest
        largest = longest**2 if self.squared else longest
        return np.float32(min(2 * (error + 2 * _UNIT * largest), -_LOWEST / 4))

    def likeness(self, exact: Floats, other: Floats) -> Doubles:
        """One minus half of the squared distance to FP32, relative to the length of FP32's.

        For embeddings of the same length this is their cosine. It also falls if one is longer.
        """
        fp32 = exact.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            squares = np.square(other - fp32).sum(axis=1) / np.square(fp32).sum(axis=1)
        found: Doubles = np.maximum(1.0 - squares / 2, -1.0)
        return found

    @property
    def extreme(self) -> str:
        """A longer distance is laxer."""
        return "largest"


def _score(distances: Doubles) -> Floats:
    """The negative distances in float32, none of them infinite: that is a missing pair."""
    found: Floats = np.maximum(-distances, _LOWEST).astype(np.float32)
    return found


def _longest(rows: Floats, order: int) -> float:
    lengths = np.linalg.norm(rows.astype(np.float64), ord=order, axis=1)
    return float(lengths[np.isfinite(lengths)].max(initial=0.0))


def _cosine_of_chord(distance: float) -> float:
    return 1.0 - distance**2 / 2


def _chord(cosine: float) -> float:
    return float(np.sqrt(np.maximum(0.0, 2.0 - 2.0 * cosine)))  # NaN stays NaN


COSINE = Cosine()

_OF_UNIT = {
    "euclidean": Cosine(_cosine_of_chord, _chord),
    "sqeuclidean": Cosine(lambda d: 1.0 - d / 2, lambda cosine: 2.0 - 2.0 * cosine),
    "cityblock": Minkowski(1, unit=True),
}
_RAW = {
    "euclidean": Minkowski(2),
    "sqeuclidean": Minkowski(2, squared=True),
    "cityblock": Minkowski(1),
}


def measure_of(spec: FaceVerification) -> Measure:
    """How a gate file compares two embeddings."""
    if spec.distance is None:
        return COSINE
    if spec.distance == "cosine":
        return Cosine(lambda d: 1.0 - d, lambda cosine: 1.0 - cosine)
    return (_OF_UNIT if spec.normalize else _RAW)[spec.distance]
