"""Applicants: people with an identity document, their selfies, and attacks that imitate them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from .files import listed
from .liveness import LIVE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .groups import GroupTable
    from .images import ImageSet


@dataclass(frozen=True, eq=False)
class ApplicantSet:
    """People who want to be identified, P of them, and N selfies.

    Attributes:
        documents: the photograph of each person's document, P of them, in the order of `names`.
        selfies: the selfies, N of them: of the person, or attacks that imitate the person.
        people: the person as whom somebody applies with each selfie, an index into `names`; shape
            (N,), int64.
        species: attack species of each selfie, an index into `species_names`, or `LIVE` for a bona
            fide one; shape (N,), int64.
        species_names: the species, each with at least one selfie, sorted.
        names: names of the people, sorted; each has at least one selfie.
        groups: the groups of the people; None if the data names none.
    """

    documents: ImageSet
    selfies: ImageSet
    people: NDArray[np.int64]
    species: NDArray[np.int64]
    species_names: tuple[str, ...]
    names: tuple[str, ...]
    groups: GroupTable | None = None

    @property
    def bona_fide(self) -> NDArray[np.int64]:
        """Indices of the bona fide selfies: one genuine transaction each."""
        return np.flatnonzero(self.species == LIVE)

    @property
    def digest(self) -> str:
        """SHA-256 of images, names, species and groups."""
        selfies = zip(self.selfies.names, self.people.tolist(), self.species.tolist(), strict=True)
        lines = [self.documents.digest, self.selfies.digest, *self.names, *self.species_names]
        lines += [f"{name}\0{person}\0{kind}" for name, person, kind in selfies]
        lines += [*self.documents.names, "" if self.groups is None else self.groups.digest]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def describe(self, index: int) -> str:
        """Person and presentation of one selfie, for messages."""
        kind = int(self.species[index])
        shown = "bona fide" if kind == LIVE else self.species_names[kind]
        return f"{self.names[self.people[index]]}, {shown}"

    def subset(self, people: NDArray[np.bool_]) -> ApplicantSet:
        """Select people, with their documents and selfies.

        Args:
            people: whether each person is selected, shape (P,), bool.

        Raises:
            DataError: those who are selected cannot be judged; see `check_judgeable`.
        """
        kept = np.flatnonzero(people[self.people])
        number = np.cumsum(people) - 1
        names = tuple(name for name, chosen in zip(self.names, people, strict=True) if chosen)
        if not len(kept):
            raise DataError(self.selfies.origin, "has no selfies of some people", "add people")
        kinds = np.unique(self.species[kept])
        kinds = kinds[kinds != LIVE]
        species = np.searchsorted(kinds, self.species[kept])
        found = ApplicantSet(
            self.documents.subset(people),
            self.selfies.subset(kept),
            number[self.people[kept]],
            np.where(self.species[kept] == LIVE, LIVE, species),
            tuple(self.species_names[kind] for kind in kinds),
            names,
            self.groups,
        )
        check_judgeable(found)
        return found

    def in_group(self) -> tuple[tuple[str, NDArray[np.bool_]], ...]:
        """Name and people of each group, shape (P,), bool."""
        if self.groups is None:
            return ()
        found = []
        for place, column in enumerate(self.groups.columns):
            theirs = np.array([self.groups.rows[name][place] for name in self.names])
            found += [(f"{column} {value}", theirs == value) for value in np.unique(theirs)]
        return tuple(found)


def check_judgeable(applicants: ApplicantSet) -> None:
    """Make sure that there are customers who can be turned away, and others who can get in.

    Raises:
        DataError: there is no bona fide selfie, or only one person.
    """
    where = applicants.selfies.origin
    if len(applicants.names) < 2:
        raise DataError(
            where,
            f"has a single person ({applicants.names[0]}), so there are no impostor transactions",
            "add other people: their bona fide selfies are tried with this person's document",
        )
    if not len(applicants.bona_fide):
        raise DataError(
            where,
            "has no bona fide selfies, so nobody can be turned away by mistake",
            "add selfies of the people themselves, with the presentation bona fide",
        )


def check_attacks(applicants: ApplicantSet, *, asks: bool, single_species: bool) -> None:
    """Make sure that there are attacks if the pipeline asks whether a selfie is live.

    Args:
        applicants: the applicants.
        asks: whether the pipeline has a liveness model.
        single_species: whether the gates of that model declare that there is only one species.

    Raises:
        DataError: there are no attacks, or of only one species; or there are attacks and nothing
            that could stop them.
    """
    where, species = applicants.selfies.origin, applicants.species_names
    if not asks and species:
        raise DataError(
            where,
            f"has presentation attacks ({listed(species)}), but the pipeline has no liveness model",
            "name the gates of the liveness model in the attribute liveness, or remove the rows",
        )
    if asks and not species:
        raise DataError(
            where,
            "has no presentation attacks, but the pipeline has a liveness model",
            "add selfies whose presentation is an attack species, such as print, screen or mask",
        )
    if asks and len(species) == 1 and not single_species:
        raise DataError(
            where,
            f"has attacks of only one species ({species[0]}), and a pipeline that stops these may "
            "let all others pass",
            "add another species, or declare in the gates of the liveness model that there is no "
            "other: LivenessDetection(single_species=True)",
        )


def people_with(applicants: ApplicantSet, chosen: NDArray[Any]) -> int:
    """Count the people with a selfie among the chosen ones (indices or a mask)."""
    return len(np.unique(applicants.people[chosen]))
