"""Labelled captures: live people, and presentation attacks of named species (ISO/IEC 30107-3)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from .files import listed
from .images import ImageSet
from .split import names_for_selection

if TYPE_CHECKING:
    from numpy.typing import NDArray

LIVE = -1  # species of a live capture


@dataclass(frozen=True, eq=False)
class LivenessSet:
    """Captures with their labels.

    Attributes:
        images: the captures, N of them.
        species: attack species of each capture, an index into `species_names`, or `LIVE`; shape
            (N,), int64.
        species_names: the species, each with at least one capture, sorted.
        subjects: person captured (or imitated by an attack), an index into `subject_names`; shape
            (N,), int64. If the data does not name them, every capture counts as a separate
            subject.
        subject_names: names of the people; empty if the data does not name them.
    """

    images: ImageSet
    species: NDArray[np.int64]
    species_names: tuple[str, ...]
    subjects: NDArray[np.int64]
    subject_names: tuple[str, ...]

    @property
    def live(self) -> NDArray[np.bool_]:
        """Whether each capture is live, shape (N,)."""
        return np.equal(self.species, LIVE)

    @property
    def knows_subjects(self) -> bool:
        """Whether the data says who is captured."""
        return bool(self.subject_names)

    @property
    def digest(self) -> str:
        """SHA-256 of captures, names, labels, species and subjects; independent of their order."""
        lines = sorted(
            "\0".join((name, *self._labels(index))) for index, name in enumerate(self.images.names)
        )
        text = "\n".join([self.images.digest, *lines])
        return hashlib.sha256(text.encode()).hexdigest()

    def subset(self, indices: NDArray[Any] | Sequence[int]) -> LivenessSet:
        """Select captures by index or by boolean mask, in the order given.

        Species and people left without a capture are dropped; the others are renumbered.

        Raises:
            DataError: no capture is chosen.
        """
        images = self.images.subset(indices)
        chosen = np.arange(len(self.images))[indices]
        labels = [self._labels(int(index)) for index in chosen]
        return labelled(
            images,
            [species for species, _ in labels],
            [subject for _, subject in labels] if self.knows_subjects else None,
        )

    def describe(self, index: int) -> str:
        """Label of one capture, for messages."""
        species, subject = self._labels(index)
        return f"{species or 'live'}, {subject}" if subject else species or "live"

    def _labels(self, index: int) -> tuple[str, str]:
        """Return species ("" for live) and subject ("" if unknown) of one capture."""
        species, subject = int(self.species[index]), int(self.subjects[index])
        return (
            "" if species == LIVE else self.species_names[species],
            self.subject_names[subject] if self.knows_subjects else "",
        )


def labelled(images: ImageSet, species: list[str], subjects: list[str] | None) -> LivenessSet:
    """Make a set, with species and people numbered in the order of their names."""
    species_names = tuple(sorted(set(species) - {""}))
    number = {name: index for index, name in enumerate(species_names)} | {"": LIVE}
    found = LivenessSet(
        images,
        np.array([number[name] for name in species], dtype=np.int64),
        species_names,
        np.arange(len(images), dtype=np.int64),
        (),
    )
    if subjects is None:
        return found
    names, indices = np.unique(subjects, return_inverse=True)
    return replace(found, subjects=indices.astype(np.int64), subject_names=tuple(map(str, names)))


def split_captures(captures: LivenessSet, share: float) -> tuple[LivenessSet, LivenessSet]:
    """Split captures into two sets of different people, see `selected_captures`.

    Returns:
        (evaluation, selection).

    Raises:
        DataError: one side would lack live captures or a species.
    """
    selected = selected_captures(captures, share)
    return captures.subset(~selected), captures.subset(selected)


def selected_captures(captures: LivenessSet, share: float) -> NDArray[np.bool_]:
    """Choose the captures of some people; both sides have live captures and all species.

    People are grouped by the first kind of capture that they have (live first). A share of each
    group goes to selection, so that every species is represented there. The choice follows from
    the names of the people or, if the data does not name them, of the images
    (`names_for_selection`).

    Args:
        captures: the captures to split.
        share: share of the people that go to selection.

    Returns:
        Whether each capture is for selection, shape (N,), bool.

    Raises:
        DataError: one side would lack live captures or a species.
    """
    names = captures.subject_names or captures.images.names
    first = np.full(len(names), len(captures.species_names), dtype=np.int64)
    np.minimum.at(first, captures.subjects, captures.species)
    chosen = np.zeros(len(names), dtype=np.bool_)
    for kind in np.unique(first):
        (group,) = np.nonzero(first == kind)
        chosen[group] = names_for_selection([names[i] for i in group], share)
    selected = chosen[captures.subjects]
    for side, word in ((~selected, "evaluation"), (selected, "selection")):
        present = set(captures.species[side].tolist())
        lacking = ["live captures"] if LIVE not in present else []
        lacking += [n for i, n in enumerate(captures.species_names) if i not in present]
        if lacking:
            raise DataError(
                captures.images.origin,
                f"split with a share of {share:g} for selection, {word} would lack "
                f"{listed(lacking)}",
                "add people, change the share, or give other captures for selection",
            )
    found: NDArray[np.bool_] = selected
    return found


def check_several_species(captures: LivenessSet) -> None:
    """Make sure that there are several species to take the maximum over.

    Raises:
        DataError: there is only one species.
    """
    if len(captures.species_names) == 1:
        raise DataError(
            captures.images.origin,
            f"has attacks of only one species ({captures.species_names[0]}), and a model that "
            "stops these may let all others pass",
            "add another species, or declare that there is no other: "
            "LivenessDetection(single_species=True)",
        )


def check_same_species(evaluation: LivenessSet, selection: LivenessSet) -> None:
    """Make sure that the threshold is chosen on the same attack species that it is judged on.

    Raises:
        DataError: a species of one side is missing on the other.
    """
    for first, second in ((evaluation, selection), (selection, evaluation)):
        lacking = sorted(set(first.species_names) - set(second.species_names))
        if lacking:
            raise DataError(
                second.images.origin,
                f"has no attacks of the species {listed(lacking)}, which {first.images.origin} has",
                "evaluation and selection need the same species; check their spelling",
            )
