"""Which images are compared with which, and how many comparisons touch each identity."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .faces import FaceSet


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Comparisons of N images, in pairs. A pair is genuine if both show the same identity.

    Attributes:
        subjects: identity of each image, 0..G-1; shape (N,), int64.
        left: first image of each pair, shape (P,), int64. None stands for every unordered pair
            i < j of the N images; these are never written out.
        right: second image of each pair; None exactly when `left` is.
        same: whether each pair is genuine, shape (P,), bool; derived from `subjects` if it is
            left out. Always None for all pairs.
        has_subjects: whether `subjects` are identities. False if the identities are unknown: then
            only `same` is known, and no interval can allow for shared identities.
    """

    subjects: NDArray[np.int64]
    left: NDArray[np.int64] | None = None
    right: NDArray[np.int64] | None = None
    same: NDArray[np.bool_] | None = None
    has_subjects: bool = True

    def __post_init__(self) -> None:
        if self.left is None or self.right is None:
            given = [part for part in (self.left, self.right, self.same) if part is not None]
            if given or not self.has_subjects:
                raise ValueError("all pairs follow from the subjects alone")
        elif self.same is None:
            if not self.has_subjects:
                raise ValueError("pairs without subjects need `same`")
            object.__setattr__(self, "same", self.subjects[self.left] == self.subjects[self.right])

    @property
    def digest(self) -> str | None:
        """SHA-256 of a list of pairs and its labels; None for all pairs, which need no list."""
        if self.left is None or self.right is None or self.same is None:
            return None
        state = hashlib.sha256()
        for column in (self.left, self.right, self.same):
            state.update(np.ascontiguousarray(column).tobytes())
        return state.hexdigest()

    @property
    def n_genuine(self) -> int:
        """Number of genuine pairs."""
        if self.same is not None:
            return int(np.count_nonzero(self.same))
        counts = np.bincount(self.subjects)
        return int((counts * (counts - 1) // 2).sum())

    @property
    def n_impostor(self) -> int:
        """Number of impostor pairs."""
        if self.same is not None:
            return int(np.count_nonzero(~self.same))
        images = len(self.subjects)
        return images * (images - 1) // 2 - self.n_genuine

    def subject_trials(self, genuine: bool) -> NDArray[np.int64]:
        """Count the comparisons that touch each identity.

        A genuine pair touches one identity, an impostor pair two. An identity may have none.

        Args:
            genuine: count genuine pairs, otherwise impostor pairs.

        Returns:
            Counts by identity, shape (G,), int64.

        Raises:
            ValueError: the identities are not known.
        """
        if not self.has_subjects:
            raise ValueError("these pairs have no subjects")
        images = np.bincount(self.subjects)
        if self.left is None or self.right is None or self.same is None:
            if genuine:
                return images * (images - 1) // 2
            return images * (len(self.subjects) - images)
        chosen = self.same if genuine else ~self.same
        trials = np.bincount(self.subjects[self.left[chosen]], minlength=len(images))
        if not genuine:
            trials += np.bincount(self.subjects[self.right[chosen]], minlength=len(images))
        return trials

    def couple_trials(self, couples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the impostor pairs of couples of identities.

        Args:
            couples: two different identities in each row, the smaller one first; shape (K, 2).

        Returns:
            Counts by couple, shape (K,), int64.
        """
        if self._listed_couples is None:
            images = np.bincount(self.subjects)
            return images[couples[:, 0]] * images[couples[:, 1]]
        known, trials = self._listed_couples
        wanted = self._couple_ids(couples[:, 0], couples[:, 1])
        return trials[np.searchsorted(known, wanted)]

    @cached_property
    def couple_squares(self) -> float:
        """The sum over all couples of identities of the squared number of their impostor pairs."""
        if self._listed_couples is not None:
            return float(np.square(self._listed_couples[1].astype(np.float64)).sum())
        squares = np.square(np.bincount(self.subjects).astype(np.float64))
        return float((squares.sum() ** 2 - np.square(squares).sum()) / 2)

    @cached_property
    def _listed_couples(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Ids of the couples of listed impostor pairs, ascending, and their numbers of pairs."""
        if self.left is None or self.right is None or self.same is None:
            return None
        one, other = (self.subjects[side[~self.same]] for side in (self.left, self.right))
        return np.unique(
            self._couple_ids(np.minimum(one, other), np.maximum(one, other)), return_counts=True
        )

    def _couple_ids(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
        return first * (int(self.subjects.max(initial=0)) + 1) + second

    def restrict(self, keep: NDArray[Any] | Sequence[int]) -> tuple[Comparisons, int]:
        """Keep the pairs whose images are both kept.

        Images and identities are renumbered as `FaceSet.subset` does with the same argument.

        Args:
            keep: distinct indices of images, or a boolean mask.

        Returns:
            The remaining comparisons, possibly none, and the number of pairs dropped.
        """
        kept = np.arange(len(self.subjects))[keep]
        subjects = np.unique(self.subjects[kept], return_inverse=True)[1].astype(np.int64)
        if self.left is None or self.right is None or self.same is None:
            part = Comparisons(subjects)
        else:
            position = np.full(len(self.subjects), -1, dtype=np.int64)
            position[kept] = np.arange(len(kept))
            left, right = position[self.left], position[self.right]
            both = (left >= 0) & (right >= 0)
            part = Comparisons(
                subjects, left[both], right[both], self.same[both], self.has_subjects
            )
        before = self.n_genuine + self.n_impostor
        return part, before - part.n_genuine - part.n_impostor


def all_pairs(faces: FaceSet) -> Comparisons:
    """Compare every image with every other."""
    return Comparisons(faces.subjects)


def sample_pairs(faces: FaceSet, max_impostor_pairs: int, seed: int = 0) -> Comparisons:
    """Compare all genuine pairs and a sample of the impostor pairs.

    The sample is uniform and without replacement. It uses the raw stream of PCG64, which is the
    same in all versions of numpy, unlike the methods of its generators.

    Args:
        faces: the images.
        max_impostor_pairs: number of impostor pairs to draw, at least one. If there are no more
            than that, all pairs are compared.
        seed: seed of the sample.

    Returns:
        Genuine pairs first, then impostor pairs, each with left < right.
    """
    everything = all_pairs(faces)
    available = everything.n_impostor
    if max_impostor_pairs >= available:
        return everything
    # With images grouped by identity, the genuine partners of an image come right after it, up to
    # the end of its group, and its impostor partners are all that come after the group.
    order = np.argsort(faces.subjects, kind="stable")
    grouped = faces.subjects[order]
    place = np.arange(len(order))
    group_end = np.searchsorted(grouped, grouped, side="right")
    first, second = _unrank(np.arange(everything.n_genuine), place + 1, group_end)
    ranks = _draw(available, max_impostor_pairs, seed)
    third, fourth = _unrank(ranks, group_end, np.full(len(order), len(order)))
    one = order[np.concatenate([first, third])]
    other = order[np.concatenate([second, fourth])]
    return Comparisons(faces.subjects, np.minimum(one, other), np.maximum(one, other))


def check_comparable(comparisons: Comparisons, where: Path) -> None:
    """Make sure that there is something to compare.

    Args:
        comparisons: the comparisons to check.
        where: the data or the pair list, for messages.

    Raises:
        DataError: there is a single identity, or there are no impostor or no genuine pairs.
    """
    listing = comparisons.left is not None
    if comparisons.has_subjects and len(np.unique(comparisons.subjects)) < 2:
        raise DataError(
            where, "has fewer than two identities to compare", "add images of other identities"
        )
    if comparisons.n_impostor == 0:
        raise DataError(
            where,
            "has no impostor pairs, so no false accept can occur",
            "list pairs of different identities" if listing else "add images of other identities",
        )
    if comparisons.n_genuine == 0:
        raise DataError(
            where,
            "has no genuine pairs, so no false reject can occur",
            "list pairs of the same identity"
            if listing
            else "add a second image of some identities",
        )


def _unrank(
    ranks: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find pairs by rank, where item i has the partners ``starts[i]`` up to ``ends[i] - 1``."""
    through = np.cumsum(ends - starts)
    item = np.searchsorted(through, ranks, side="right")
    before = through[item] - (ends - starts)[item]
    return item, starts[item] + ranks - before


def _draw(population: int, count: int, seed: int) -> NDArray[np.int64]:
    """Draw `count` distinct numbers below `population`, in ascending order."""
    if count > population // 2:
        # Rejection would be slow, and the result is nearly as long as the population anyway.
        left_out = _draw(population, population - count, seed)
        return np.delete(np.arange(population), left_out)
    stream = np.random.PCG64(seed)
    drawn = np.empty(0, dtype=np.int64)
    while len(drawn) < count:
        raw = np.asarray(stream.random_raw(2 * (count - len(drawn)) + 16), dtype=np.uint64)
        drawn = np.concatenate([drawn, (raw % np.uint64(population)).astype(np.int64)])
        drawn = drawn[np.sort(np.unique(drawn, return_index=True)[1])]
    return np.sort(drawn[:count])
