"""Applicants on disk: a CSV file, or folders."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from ..errors import DataError
from ..spec.liveness_classes import ATTACK_WORDS, LIVE_WORDS, word
from .applicants import ApplicantSet, check_judgeable
from .duplicates import refuse_copies, refuse_two_labels
from .facts_store import Prepare, directly
from .files import check_name, is_file, listed
from .formats import read_as
from .groups import GroupTable, grouped
from .images import ImageSet
from .label_folders import read_label_folders
from .leakage import check_disjoint
from .liveness import LIVE
from .names import plain_name, refuse_same_names
from .tables import Row, image_name, read_table, read_text

_COLUMNS = ("person", "document", "selfie", "presentation")
_EXAMPLE = "list the selfies with person,document,selfie,presentation"
_ROW_REMEDY = "fill in every cell; each line is one selfie, with the document of the same person"
_KIND_REMEDY = (
    "write bona fide, or the species of the attack, such as print, screen or mask: error rates "
    "are not pooled over species"
)
_FOLDERS = (
    "a sub-folder documents, one live, and one for each attack species, each with an image or a "
    "folder of images named after its person"
)
_ALIKE = 0.75  # ratio of difflib, from which a name may be a slip
_DOCUMENTS = frozenset({"documents", "document"})


@dataclass(frozen=True)
class _Selfie:
    """One selfie as it is written down.

    Args:
        place: where it is written, such as "line 3".
        person: name of the person.
        document: name of the image of the person's document.
        name: name of the image.
        species: attack species; "" if it is bona fide.
        groups: the person's groups.
    """

    place: str
    person: str
    document: str
    name: str
    species: str
    groups: tuple[str, ...] = ()


def load_applicants(path: Path, prepare: Prepare = directly) -> ApplicantSet:
    """Load people with documents and selfies.

    Args:
        path: one of
            a CSV file with ``person``, ``document`` and ``selfie`` (images, relative to the folder
            of the CSV) and ``presentation`` (bona fide, or the species of an attack that imitates
            the person), one line for each selfie; every other column is a grouping of the people;
            a folder with the sub-folders ``documents``, ``live`` (or ``bona_fide``) and one for
            each attack species, each with ``PERSON.jpg`` or ``PERSON/*.jpg``.
        prepare: a function that provides images with their `facts`.

    Returns:
        The people, sorted by name, and their selfies, sorted by path.

    Raises:
        DataError: the path is missing or neither of these; a cell is empty or shows nothing; an
            image is missing, damaged or given twice; a person has several documents, none, no
            selfie, or other groups on another line; names differ in nothing that a reader sees; a
            grouping has a single group; an attack has no species; or nobody can be turned away or
            let in by mistake.
        LeakageError: an image is a document and a selfie.
    """
    found = read_as(path, _from_folder, {".csv": _from_csv}, f"give a CSV file, or {_FOLDERS}")
    refuse_same_names(found.species_names, path, "attack species")
    refuse_same_names(found.names, path, "people")
    check_judgeable(found)
    for images in (found.documents, found.selfies):
        prepare(images)
    owners = np.arange(len(found.names))
    refuse_two_labels(
        found.documents,
        owners,
        lambda index: found.names[index],
        what="people",
        remedy="give each person a document of their own",
    )
    refuse_two_labels(
        found.selfies,
        found.people * (len(found.species_names) + 1) + found.species + 1,
        found.describe,
        what="labels",
        remedy="keep each selfie under the person and the presentation that it shows",
    )
    refuse_copies(found.selfies, found.describe)
    check_disjoint(found.documents, "documents", found.selfies, "selfies")
    return found


def _from_csv(path: Path) -> ApplicantSet:
    rows = read_table(
        read_text(path, _EXAMPLE),
        path,
        _COLUMNS,
        None,
        empty_remedy=_EXAMPLE,
        row_remedy=_ROW_REMEDY,
    )
    columns = tuple(name for name in rows[0].values if name not in _COLUMNS)
    for column in columns:
        _seen(column, path, "the column")
    # A second column selfie, differently written, would else become a grouping.
    refuse_same_names((*_COLUMNS, *columns), path, "columns")
    selfies = [_listed(row, path, columns) for row in rows]
    _refuse_again(selfies, path)
    places: dict[str, str] = {}
    for selfie in selfies:
        places.setdefault(selfie.document, selfie.place)
        places.setdefault(selfie.name, selfie.place)
    missing = [
        f"{name} ({place})" for name, place in places.items() if not is_file(path.parent / name)
    ]
    if missing:
        raise DataError(
            path,
            f"lists files that do not exist: {listed(missing)}",
            "paths are relative to the folder of the CSV",
        )
    return _assembled(path, path.parent, selfies, columns)


def _listed(row: Row, path: Path, columns: tuple[str, ...]) -> _Selfie:
    values, place = row.values, f"line {row.line}"
    if empty := [column for column in (*_COLUMNS, *columns) if not values[column]]:
        whose = f" ({values['person']})" if values["person"] else ""
        raise DataError(path, f"{place}{whose} leaves {listed(empty)} empty", _ROW_REMEDY)
    document, selfie = (image_name(values[column], path) for column in ("document", "selfie"))
    for name in (document, selfie):
        if name.startswith("/") or ".." in name.split("/"):
            raise DataError(
                path,
                f"{place} names {name}, which is not below the folder of the CSV",
                "move the CSV above the images and write relative paths",
            )
    return _Selfie(
        place,
        _seen(values["person"], path, f"the person in {place}"),
        document,
        selfie,
        _species(values["presentation"], place, path),
        tuple(_seen(values[column], path, f"the {column} in {place}") for column in columns),
    )


def _species(presentation: str, place: str, path: Path) -> str:
    species = _seen(presentation, path, f"the presentation in {place}")
    said = _said(species)
    if said in LIVE_WORDS:
        return ""
    if said in ATTACK_WORDS:
        raise DataError(path, f"{place} is an attack without a species", _KIND_REMEDY)
    if said in _DOCUMENTS:
        raise DataError(path, f"{place} is a document, not a selfie", _KIND_REMEDY)
    if close := difflib.get_close_matches(said, LIVE_WORDS, 1, _ALIKE):
        raise DataError(
            path,
            f"{place} shows {species!r}, which is nearly {close[0]!r}",
            "correct it, or give the attack species a name that nobody takes for a slip",
        )
    return species


def _said(presentation: str) -> str:
    """The presentation or folder as a reader understands it, whatever its form in Unicode."""
    return word(plain_name(presentation))


def _seen(name: str, path: Path, what: str) -> str:
    """Return a name as `check_name` does.

    Raises:
        DataError: see `check_name`; or no reader would see anything of it.
    """
    if not plain_name(check_name(name, path, what)):
        raise DataError(path, f"{what} shows nothing: {name!a}", "write a name")
    return check_name(name, path, what)


def _refuse_again(selfies: Sequence[_Selfie], path: Path) -> None:
    """Refuse a selfie on two lines, and a person with other data on another line."""
    seen: dict[str, _Selfie] = {}
    people: dict[str, _Selfie] = {}
    owners: dict[str, _Selfie] = {}
    for selfie in selfies:
        if before := seen.get(selfie.name):
            same = (before.person, before.species) == (selfie.person, selfie.species)
            how = "again" if same else "for another person or presentation"
            # One document has many selfies, never the other way round.
            exchanged = before.document != selfie.document
            raise DataError(
                path,
                f"{selfie.place} lists {selfie.name} {how} (see {before.place})",
                "exchange the columns document and selfie if they are confused; otherwise keep one "
                "line for each selfie"
                if exchanged
                else "keep one line for each selfie",
            )
        seen[selfie.name] = selfie
        first = people.setdefault(selfie.person, selfie)
        if first.document != selfie.document:
            raise DataError(
                path,
                f"{selfie.place} gives {selfie.person} another document ({selfie.document}) than "
                f"{first.place} ({first.document})",
                "give one document for each person, the same on all lines",
            )
        if first.groups != selfie.groups:
            raise DataError(
                path,
                f"{selfie.place} puts {selfie.person} into other groups "
                f"({listed(selfie.groups)}) than {first.place} ({listed(first.groups)})",
                "give each person the same groups on all lines",
            )
        owner = owners.setdefault(selfie.document, selfie)
        if owner.person != selfie.person:
            raise DataError(
                path,
                f"{selfie.place} gives {selfie.person} the document of {owner.person} "
                f"({selfie.document}, see {owner.place})",
                "give each person a document of their own",
            )


def _from_folder(root: Path) -> ApplicantSet:
    images, classes = read_label_folders(
        root, each="presentation", wanted=_FOLDERS, place="the folder that says what it shows"
    )
    for purpose, words in (("documents", _DOCUMENTS), ("live", LIVE_WORDS)):
        alike = sorted({folder for folder in classes if _said(folder) in words})
        if len(alike) > 1:
            raise DataError(
                root,
                f"has several {purpose} folders: {listed(alike)}",
                f"merge them into {purpose}",
            )
    documents: dict[str, str] = {}
    others: list[tuple[str, str, str]] = []  # person, image, species
    for name, folder in zip(images.names, classes, strict=True):
        person = _owner(name)
        if _said(folder) not in _DOCUMENTS:
            species = _species(folder, f"the folder {folder}", root)
            others.append((person, name, species))
        elif person in documents:
            raise DataError(
                root,
                f"has several documents of {person}: {documents[person]} and {name}",
                "give one document for each person",
            )
        else:
            documents[person] = name
    if not documents:
        raise DataError(root, "has no folder documents", f"give {_FOLDERS}")
    people = {person for person, _, _ in others}
    # Before anybody is said to lack something under the other spelling.
    refuse_same_names(sorted(people.union(documents)), root, "people")
    if lacking := sorted(people.difference(documents)):
        raise DataError(
            root,
            f"has no document of {listed(lacking)}",
            "add it to documents, named after the person",
        )
    if silent := sorted(set(documents).difference(people)):
        raise DataError(
            root,
            f"has no selfie of {listed(silent)}",
            "add one to live or to an attack species, named after the person, or remove the "
            "document",
        )
    selfies = [
        _Selfie(
            name,
            _seen(person, root, f"the person in {name}"),
            documents[person],
            name,
            species,
        )
        for person, name, species in others
    ]
    return _assembled(root, root, selfies, ())


def _owner(name: str) -> str:
    """The person of an image in a folder: the name of the folder below, or of the file."""
    parts = name.split("/")
    return parts[1] if len(parts) > 2 else PurePosixPath(parts[-1]).stem


def _assembled(
    origin: Path, folder: Path, selfies: Sequence[_Selfie], columns: tuple[str, ...]
) -> ApplicantSet:
    # The order of rows means nothing, so nothing may follow from it.
    selfies = sorted(selfies, key=lambda selfie: selfie.name)
    theirs = {selfie.person: selfie for selfie in selfies}
    names = tuple(sorted(theirs))
    number = {name: index for index, name in enumerate(names)}
    species_names = tuple(sorted({selfie.species for selfie in selfies} - {""}))
    kinds = {name: index for index, name in enumerate(species_names)} | {"": LIVE}

    def images(given: Sequence[str]) -> ImageSet:
        # Not `from_files`: messages must name the CSV, not its folder.
        return ImageSet(origin, tuple(given), tuple(folder / name for name in given))

    groups: GroupTable | None = None
    if columns:
        groups = grouped(origin, "subject", columns, {n: theirs[n].groups for n in names})
    return ApplicantSet(
        images([theirs[name].document for name in names]),
        images([selfie.name for selfie in selfies]),
        np.array([number[selfie.person] for selfie in selfies], np.int64),
        np.array([kinds[selfie.species] for selfie in selfies], np.int64),
        species_names,
        names,
        groups,
    )
