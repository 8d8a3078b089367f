"""Applicants: people with an identity document, their selfies, and attacks that imitate them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError, LeakageError
from .files import listed
from .liveness import LIVE
from .names import shared_names

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        names: names of the people, sorted; each has at least one bona fide selfie.
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
        """SHA-256 of images, names, species and groups; independent of the order of all of them."""
        text = json.dumps(
            [
                self.documents.digest,
                self.selfies.digest,
                [
                    [name, document, self._groups_of(name)]
                    for name, document in zip(self.names, self.documents.names, strict=True)
                ],
                sorted(
                    [name, self.names[person], self._kind(kind)]
                    for name, person, kind in zip(
                        self.selfies.names, self.people, self.species, strict=True
                    )
                ),
            ],
            sort_keys=True,
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def describe(self, index: int) -> str:
        """Person and presentation of one selfie, for messages."""
        return f"{self.names[self.people[index]]}, {self._kind(self.species[index])}"

    def subset(self, people: NDArray[np.bool_]) -> ApplicantSet:
        """Select people, with their documents and selfies.

        Species and groups keep their names and numbers, so that none is lost: a part without a
        species would not be asked whether it stops it, and a group may be left without people.

        Args:
            people: whether each person is selected, shape (P,), bool.

        Raises:
            DataError: fewer than two people are selected, or they have no bona fide selfies or no
                attacks of a species.
        """
        kept = people[self.people]
        number = int(np.count_nonzero(people))
        kinds = {LIVE: "bona fide selfies"} | dict(enumerate(self.species_names))
        present = set(self.species[kept].tolist())
        lacking = ["impostors"] if number < 2 else []
        lacking += [name for kind, name in kinds.items() if kind not in present]
        if lacking:
            raise DataError(
                self.selfies.origin,
                f"split into parts, one with {number:,} of its {len(people):,} people would lack "
                f"{listed(lacking)}",
                "add people with bona fide selfies and with attacks of each species",
            )
        return replace(
            self,
            documents=self.documents.subset(people),
            selfies=self.selfies.subset(kept),
            people=(np.cumsum(people) - 1)[self.people[kept]],
            species=self.species[kept],
            names=tuple(name for name, chosen in zip(self.names, people, strict=True) if chosen),
        )

    def in_group(self) -> tuple[tuple[str, NDArray[np.bool_]], ...]:
        """Name and people of each group, shape (P,), bool; also of groups without anybody here."""
        if self.groups is None:
            return ()
        found = []
        for place, column in enumerate(self.groups.columns):
            theirs = np.array([self.groups.rows[name][place] for name in self.names])
            values = sorted({row[place] for row in self.groups.rows.values()})
            found += [(f"{column} {value}", theirs == value) for value in values]
        return tuple(found)

    def _kind(self, species: int) -> str:
        return "bona fide" if species == LIVE else self.species_names[species]

    def _groups_of(self, name: str) -> dict[str, str]:
        if self.groups is None:
            return {}
        return dict(zip(self.groups.columns, self.groups.rows[name], strict=True))


def check_judgeable(applicants: ApplicantSet) -> None:
    """Make sure that there are customers who can be turned away, and others who can get in.

    Raises:
        DataError: there is no bona fide selfie, somebody has none, or there is only one person.
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
            "add selfies of the people themselves: with the presentation bona fide in a CSV file, "
            "in a folder live beside the others",
        )
    theirs = set(applicants.people[applicants.bona_fide].tolist())
    if lacking := [name for index, name in enumerate(applicants.names) if index not in theirs]:
        # Else a rate improved by leaving out the selfies of those who are turned away.
        raise DataError(
            where,
            f"has no bona fide selfie of {listed(lacking)}",
            "add one of each person, or remove the person's document and attacks, too",
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


def check_strangers(applicants: ApplicantSet, people: Sequence[str], role: str) -> None:
    """Make sure that nobody applies who served another purpose, such as choosing a threshold.

    Names without a letter are ignored (`shared_names`); images are compared in any case.

    Args:
        applicants: everybody who applies.
        people: names of the others; empty if they are unknown.
        role: what the others are for.

    Raises:
        LeakageError: somebody is both.
    """
    if shared := shared_names(applicants.names, people):
        raise LeakageError(
            applicants.selfies.origin,
            f"{len(shared)} of its people are also used for {role}: {listed(shared)}",
            "use each person for one purpose only, and give different people different names",
        )
