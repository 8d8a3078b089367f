"""Labelled captures on disk: folders, CSV and npz."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import DataError
from ..spec.liveness_classes import ATTACK_WORDS, LIVE_WORDS, word
from .duplicates import refuse_copies, refuse_two_labels
from .facts_store import Prepare, directly
from .files import check_name, is_file, listed, load_npz
from .formats import read_as
from .images import ImageSet
from .label_folders import all_or_none, people_of, read_class_folders
from .liveness import LivenessSet, labelled
from .names import refuse_same_names
from .tables import (
    Row,
    image_name,
    malformed,
    read_table,
    read_text,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ROW_REMEDY = (
    "fill in file and label in every row, species in every attack, and subject in every row or "
    "in none"
)
_EMPTY_REMEDY = "list the captures with file,label,species"
_FOLDERS = "a sub-folder live and one for each attack species"
_LABEL_REMEDY = "write live or attack"
_SPECIES_REMEDY = (
    "name its species, such as print, screen or mask: error rates are not pooled over species"
)


def load_liveness(path: Path, prepare: Prepare = directly) -> LivenessSet:
    """Load labelled captures.

    Args:
        path: one of
            a folder with a sub-folder ``live`` (or ``real``, ``bona_fide``) and one for each
            attack species, in which images lie either all directly or all in one folder per
            person;
            a CSV file with ``file`` (relative to the folder of the CSV), ``label`` (live or
            attack), ``species`` (for attacks) and optionally ``subject``;
            an ``.npz`` file with ``images`` (see `ImageSet.from_array`), ``labels`` ("live" or
            "attack"), ``species`` ("" for live) and optionally ``subjects``, N of each.
        prepare: a function that provides the images with their `facts`.

    Returns:
        The captures, sorted by path (folder) or in the order of the rows.

    Raises:
        DataError: the path is missing or none of these; there are no live captures or no attacks;
            a folder is empty; an image has no label or a label no image; a label is unknown; an
            attack has no species; only some captures have subjects; or an image appears twice.
    """
    captures = read_as(
        path,
        _from_folder,
        {".csv": _from_csv, ".npz": _from_npz},
        f"give a folder with {_FOLDERS}",
    )
    _check_both(captures.live, path)
    refuse_same_names(captures.species_names, path, "attack species")
    refuse_same_names(captures.subject_names, path, "people")
    prepare(captures.images)
    refuse_two_labels(
        captures.images,
        captures.species,
        captures.describe,
        what="labels",
        remedy="keep each capture under what it shows",
    )
    refuse_copies(captures.images, captures.describe)
    return captures


def _from_folder(root: Path) -> LivenessSet:
    images, classes = read_class_folders(
        root,
        wanted=_FOLDERS,
        place="the sub-folder live or into one named after its attack species",
    )
    folders = sorted(set(classes))
    live = [folder for folder in folders if word(folder) in LIVE_WORDS]
    if len(live) > 1:
        raise DataError(root, f"has several live folders: {listed(live)}", "merge them into live")
    pooled = [folder for folder in folders if word(folder) in ATTACK_WORDS]
    if pooled:
        raise DataError(
            root,
            f"has the folder {listed(pooled)}, which does not name an attack species",
            "make one folder for each species, such as print, screen or mask, next to live",
        )
    return labelled(images, ["" if name in live else name for name in classes], people_of(images))


class _Listed(NamedTuple):
    """One parsed row of a CSV."""

    name: str
    species: str
    subject: str


def _from_csv(path: Path) -> LivenessSet:
    rows = read_table(
        read_text(path, _EMPTY_REMEDY),
        path,
        ("file", "label"),
        ("species", "subject"),
        empty_remedy=_EMPTY_REMEDY,
        row_remedy=_ROW_REMEDY,
    )
    folder = path.parent
    seen: dict[str, tuple[int, _Listed]] = {}
    missing = []
    for row in rows:
        found = _listed_capture(row, path)
        if found.name in seen:
            line, before = seen[found.name]
            how = "again" if before.species == found.species else "with another label"
            raise DataError(
                path,
                f"line {row.line} lists {found.name} {how} (see line {line})",
                "keep one line for each capture",
            )
        seen[found.name] = row.line, found
        if not is_file(folder / found.name):
            missing.append(f"{found.name} (line {row.line})")
    if missing:
        raise DataError(
            path,
            f"lists files that do not exist: {listed(missing)}",
            "paths are relative to the folder of the CSV",
        )
    captures = [found for _, found in seen.values()]
    # Not `from_files`: messages must name the CSV, not its folder.
    names = tuple(found.name for found in captures)
    images = ImageSet(path, names, tuple(folder / name for name in names))
    subjects = all_or_none([found.subject for found in captures], images, path)
    return labelled(images, [found.species for found in captures], subjects)


def _listed_capture(row: Row, path: Path) -> _Listed:
    name = image_name(row.values["file"], path)
    if not row.values["file"] or not row.values["label"]:
        raise malformed(path, row.line, _ROW_REMEDY)
    if name.startswith("/") or ".." in name.split("/"):
        raise DataError(
            path,
            f"line {row.line} names {name}, which is not below the folder of the CSV",
            "move the CSV above the captures and write relative paths",
        )
    where = f"line {row.line} ({name})"
    species = _species(row.values["label"], row.values.get("species", ""), where, path)
    subject = check_name(row.values.get("subject", ""), path, "the subject name")
    return _Listed(name, species, subject)


def _from_npz(path: Path) -> LivenessSet:
    arrays = load_npz(path, "images", "labels", "species", optional=("subjects",))
    images = ImageSet.from_array(arrays.pop("images"), path)
    columns: dict[str, list[str]] = {}
    for key, values in arrays.items():
        if values.shape != (len(images),):
            raise DataError(
                path,
                f"contains {len(images)} images but {key} of shape {values.shape}",
                "save one value for each image",
            )
        if values.dtype.kind not in ("iuU" if key == "subjects" else "U"):
            raise DataError(path, f"{key} are {values.dtype}", "save them as unicode strings")
        columns[key] = [str(value).strip() for value in values]
    species = [
        _species(label, name, images.names[index], path)
        for index, (label, name) in enumerate(
            zip(columns["labels"], columns["species"], strict=True)
        )
    ]
    subjects = None
    if "subjects" in columns:
        names = [check_name(name, path, "the subject name") for name in columns["subjects"]]
        subjects = all_or_none(names, images, path)
        if subjects is None:
            raise DataError(path, "has subjects that are all empty", "leave out subjects")
    return labelled(images, species, subjects)


def _species(label: str, species: str, where: str, path: Path) -> str:
    """Return the species of a capture from its label and species columns; "" if it is live."""
    said = word(label)
    if said in LIVE_WORDS:
        if species and word(species) not in LIVE_WORDS:
            raise DataError(
                path, f"{where} is live but has the attack species {species}", _LABEL_REMEDY
            )
        return ""
    if said not in ATTACK_WORDS:
        raise DataError(path, f"{where} has the unknown label {label!r}", _LABEL_REMEDY)
    name = check_name(species, path, "the species")
    if not name or word(name) in ATTACK_WORDS | LIVE_WORDS:
        raise DataError(path, f"{where} is an attack without a species", _SPECIES_REMEDY)
    return name


def _check_both(live: NDArray[np.bool_], path: Path) -> None:
    if not live.any():
        raise DataError(path, "contains no live captures", "add them: BPCER is measured on them")
    if live.all():
        raise DataError(path, "contains no attacks", "add at least one attack species")
