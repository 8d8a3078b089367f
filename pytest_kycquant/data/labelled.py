"""Images with labels of any kind, for a custom metric."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from .duplicates import refuse_copies
from .facts_store import Prepare, directly
from .files import check_name, listed, load_npz
from .formats import read_as
from .images import ImageSet
from .label_folders import all_or_none, people_of, read_class_folders
from .names import refuse_same_names
from .row_files import FileRows
from .split import names_on_both_sides
from .tables import (
    Row,
    image_name,
    malformed,
    read_table,
    read_text,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EMPTY_REMEDY = "list each image in a column file and its label in another column"
_ROW_REMEDY = "fill in every column of every row, and subject in every row or in none"
_CLASSES_REMEDY = "correct the labels or CustomTask(classes=...)"
# Neither leading zeros nor more digits than float64 holds: 0042 is a document number, not 42.
_NUMBER = re.compile(r"[+-]?((0|[1-9][0-9]{0,14})(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Images with their labels.

    Attributes:
        images: the images, N of them.
        labels: numbers, shape (N, ...), or strings, shape (N,); classes are int64 indices.
        subjects: person on each image, an index into `subject_names`; shape (N,), int64. If the
            data does not name them, every image counts as a separate subject.
        subject_names: names of the people; empty if the data does not name them.
    """

    images: ImageSet
    labels: NDArray[Any]
    subjects: NDArray[np.int64]
    subject_names: tuple[str, ...]

    @property
    def knows_subjects(self) -> bool:
        """Whether the data says whom the images show."""
        return bool(self.subject_names)

    @property
    def digest(self) -> str:
        """SHA-256 of images, names, labels and subjects; independent of their order."""
        people = self._people() or [""] * len(self.images)
        rows = zip(self.images.names, self.labels.tolist(), people, strict=True)
        lines = sorted(f"{name}\0{label!r}\0{subject}" for name, label, subject in rows)
        text = "\n".join([self.images.digest, *lines])
        return hashlib.sha256(text.encode()).hexdigest()

    def subset(self, indices: NDArray[Any] | Sequence[int]) -> LabelledSet:
        """Select images by index or by boolean mask, in the order given.

        Raises:
            DataError: no image is chosen.
        """
        images = self.images.subset(indices)
        people = self._people()
        chosen = np.arange(len(self.images))[indices]
        kept = [people[index] for index in chosen] if people is not None else None
        return _numbered(images, self.labels[indices], kept)

    def _people(self) -> list[str] | None:
        if not self.knows_subjects:
            return None
        return [self.subject_names[subject] for subject in self.subjects]


def load_labelled(
    path: Path,
    table: Path | None = None,
    classes: tuple[str, ...] | None = None,
    prepare: Prepare = directly,
    rows: Callable[[Path], ImageSet] | None = None,
) -> LabelledSet:
    """Load labelled images.

    Args:
        path: without `table`, a folder with a sub-folder for each class, or an ``.npz`` file with
            ``images`` (see `ImageSet.from_array`), ``labels`` (N, ...) and optionally
            ``subjects`` (N). In the sub-folders, images lie either all directly or all in one
            folder per person. With `table`, a folder of images, at any depth.
        table: CSV with ``file`` (relative to `path`), optionally ``subject``, and one column of
            labels (numbers if all are, else text) or several columns of numbers.
        classes: names of the classes, if labels are classes (by name or, in an ``.npz``, by
            index).
        prepare: a function that provides the images with their `facts`.
        rows: a function that reads rows of arrays in the place of images, from an ``.npz`` or a CSV
            file; None reads ``images``.

    Raises:
        DataError: images or labels are unreadable, an image has no label or the reverse, a label
            is empty or not finite, a class is unknown or has no images, only some images have
            subjects, or an image appears twice.
    """
    if table is not None:
        found = read_as(
            path,
            lambda root: _from_csv(root, table, as_text=classes is not None),
            {},
            "labels= needs a folder of images: give one, or leave out labels=",
        )
    else:
        found = read_as(
            path,
            _from_folder,
            {
                ".npz": lambda file: _from_npz(file, rows),
                **(
                    {".csv": lambda file: _from_rows(rows(file), as_text=classes is not None)}
                    if rows
                    else {}
                ),
            },
            "give a folder with a sub-folder for each class, or a folder and labels=",
        )
    refuse_same_names(found.subject_names, path, "people")
    prepare(found.images)
    refuse_copies(found.images, lambda index: str(found.labels[index]))
    if classes is None:
        return found
    indices = _class_indices(found, classes, table or path)
    return LabelledSet(found.images, indices, found.subjects, found.subject_names)


def split_labelled(labelled: LabelledSet, share: float) -> tuple[LabelledSet, LabelledSet]:
    """Split images into two sets of different people.

    The choice follows from the names of the people or, if the data does not name them, of the
    images (`names_for_selection`).

    Args:
        labelled: the images to split.
        share: share of the people that go to selection.

    Returns:
        (evaluation, selection).

    Raises:
        DataError: one side would be empty.
    """
    selected = selected_labelled(labelled, share)
    return labelled.subset(~selected), labelled.subset(selected)


def selected_labelled(labelled: LabelledSet, share: float) -> NDArray[np.bool_]:
    """Choose the images of some people, as `split_labelled` does; shape (N,), bool.

    Raises:
        DataError: one side would be empty.
    """
    images = labelled.images
    names = labelled.subject_names or images.names
    chosen = names_on_both_sides(names, share, images.origin, "subjects", "images")
    return chosen[labelled.subjects]


def check_classes(labelled: LabelledSet, classes: tuple[str, ...], remedy: str) -> None:
    """Make sure that there is an image of each class.

    Raises:
        DataError: a class has no images.
    """
    counts = np.bincount(labelled.labels, minlength=len(classes))
    lacking = [name for name, count in zip(classes, counts, strict=True) if not count]
    if lacking:
        raise DataError(
            labelled.images.origin, f"has no images of the classes {listed(lacking)}", remedy
        )


def _from_folder(root: Path) -> LabelledSet:
    images, names = read_class_folders(
        root,
        wanted="a sub-folder for each class, or a CSV of labels in CustomTask(labels=...)",
        place="the sub-folder of its class, or name a CSV of labels in CustomTask(labels=...)",
    )
    refuse_same_names(sorted(set(names)), root, "classes")
    return _numbered(images, np.array(names), people_of(images))


def _from_csv(folder: Path, table: Path, *, as_text: bool) -> LabelledSet:
    images = ImageSet.from_folder(folder, "add JPEG or PNG images")
    rows = read_table(
        read_text(table, _EMPTY_REMEDY),
        table,
        ("file",),
        None,
        empty_remedy=_EMPTY_REMEDY,
        row_remedy=_ROW_REMEDY,
    )
    columns = [name for name in rows[0].values if name not in ("file", "subject")]
    if not columns:
        raise DataError(table, "has no column of labels", _EMPTY_REMEDY)
    by_name: dict[str, Row] = {}
    for row in rows:
        name = image_name(row.values["file"], table)
        if not all(row.values[column] for column in ("file", *columns)):
            raise malformed(table, row.line, _ROW_REMEDY)
        first = by_name.setdefault(name, row)
        if first is not row:
            raise DataError(
                table,
                f"line {row.line} labels {name} again (see line {first.line})",
                "keep one line for each image",
            )
    gone = [
        f"{name} (line {row.line})" for name, row in by_name.items() if name not in images.names
    ]
    if gone:
        raise DataError(
            table,
            f"labels images that {folder} does not have: {listed(gone)}",
            "add them or remove their lines; names are relative to that folder",
        )
    unlabelled = [name for name in images.names if name not in by_name]
    if unlabelled:
        raise DataError(
            table,
            f"has no label for {len(unlabelled)} images in {folder}: {listed(unlabelled)}",
            "label them or move them away",
        )
    ordered = [by_name[name] for name in images.names]
    labels = _column_labels(ordered, columns, table, as_text=as_text)
    people = [
        check_name(row.values.get("subject", ""), table, "the subject name") for row in ordered
    ]
    return _numbered(images, labels, all_or_none(people, images, table))


def _from_rows(images: ImageSet, *, as_text: bool) -> LabelledSet:
    """The labels in those columns of a CSV of rows that are not files."""
    assert isinstance(images, FileRows)
    path, known = images.origin, (*images.inputs, "subject")
    columns = [name for name in images.table[0].values if name not in known]
    if not columns:
        raise DataError(path, "has no column of labels", "add one beside those of files")
    for row in images.table:
        if not all(row.values[column] for column in columns):
            raise malformed(path, row.line, _ROW_REMEDY)
    labels = _column_labels(list(images.table), columns, path, as_text=as_text)
    people = [
        check_name(row.values.get("subject", ""), path, "the subject name") for row in images.table
    ]
    return _numbered(images, labels, all_or_none(people, images, path))


def _column_labels(
    rows: list[Row], columns: list[str], table: Path, *, as_text: bool
) -> NDArray[Any]:
    """Return the labels in the columns of a CSV: (N,) for one column, (N, K) for K columns."""
    texts = [[row.values[column] for column in columns] for row in rows]
    if as_text and len(columns) > 1:
        raise DataError(
            table, f"has the label columns {listed(columns)}", "classes= needs a single one"
        )
    cells = [(row.line, text) for row, line in zip(rows, texts, strict=True) for text in line]
    strange = [(line, text) for line, text in cells if not _is_number(text)]
    # In a single column, NaN is a broken number, but other words are labels.
    wrong = [c for c in strange if len(columns) > 1 or _is_not_finite(c[1])]
    if wrong and not as_text:
        raise DataError(
            table,
            "has labels that are not finite numbers: "
            f"{listed([f'line {line} ({text})' for line, text in wrong])}",
            "correct them; several columns of labels must be numbers",
        )
    if as_text or strange:
        return np.array([check_name(line[0], table, "the label") for line in texts])
    values = np.array([[float(text) for text in line] for line in texts])
    if all(re.fullmatch(r"[+-]?[0-9]+", text) for _, text in cells):
        values = values.astype(np.int64)
    return values[:, 0] if len(columns) == 1 else values


def _is_number(text: str) -> bool:
    """Whether a cell is a finite number in ordinary notation."""
    return bool(_NUMBER.fullmatch(text)) and math.isfinite(float(text))


def _is_not_finite(text: str) -> bool:
    try:
        return not math.isfinite(float(text))
    except ValueError:
        return False


def _from_npz(path: Path, rows: Callable[[Path], ImageSet] | None) -> LabelledSet:
    own = ("images",) if rows is None else ()
    arrays = load_npz(path, *own, "labels", optional=("subjects",))
    images = ImageSet.from_array(arrays["images"], path) if rows is None else rows(path)
    labels = arrays["labels"]
    if labels.ndim == 0 or len(labels) != len(images):
        raise DataError(
            path,
            f"contains {len(images)} {images.noun}s but labels of shape {labels.shape}",
            "save one for each image",
        )
    if labels.dtype.kind == "U" and labels.ndim == 1:
        for index, label in enumerate(labels):
            if not check_name(str(label), path, "the label").strip():
                raise DataError(path, f"{images.names[index]} has an empty label", "label it")
    elif labels.dtype.kind not in "biuf" or not labels.size:
        raise DataError(
            path,
            f"labels are {labels.dtype} of shape {labels.shape}",
            "save numbers, or one unicode string for each image",
        )
    elif not np.isfinite(labels).all():
        wrong = ~np.isfinite(labels.reshape(len(labels), -1)).all(axis=1)
        names = [images.names[index] for index in np.flatnonzero(wrong)]
        raise DataError(path, f"has labels that are not finite: {listed(names)}", "correct them")
    people = None
    if "subjects" in arrays:
        subjects = arrays["subjects"]
        if subjects.shape != (len(images),) or subjects.dtype.kind not in "iuU":
            raise DataError(
                path,
                f"subjects are {subjects.dtype} of shape {subjects.shape}",
                "save one integer or unicode string for each image",
            )
        names = [check_name(str(name), path, "the subject name").strip() for name in subjects]
        people = all_or_none(names, images, path)
        if people is None:
            raise DataError(path, "has subjects that are all empty", "leave out subjects")
    return _numbered(images, labels, people)


def _class_indices(
    labelled: LabelledSet, classes: tuple[str, ...], where: Path
) -> NDArray[np.int64]:
    """Return the class of each image as an index.

    Raises:
        DataError: the labels are not classes, one is unknown, or a class has no images.
    """
    labels = labelled.labels
    if labels.ndim != 1 or labels.dtype.kind not in "iuU":
        raise DataError(
            where,
            f"labels are {labels.dtype} of shape {labels.shape}, not one class for each image",
            "give names or integers, or leave out CustomTask(classes=...)",
        )
    number: dict[Any, int] = {name: index for index, name in enumerate(classes)}
    if labels.dtype.kind != "U":
        number = {index: index for index in range(len(classes))}
    unknown = [
        f"{name} ({label})"
        for name, label in zip(labelled.images.names, labels.tolist(), strict=True)
        if label not in number
    ]
    if unknown:
        raise DataError(
            where,
            f"has labels that are not among the classes {listed(classes)}: {listed(unknown)}",
            _CLASSES_REMEDY,
        )
    indices = np.array([number[label] for label in labels.tolist()], np.int64)
    found = LabelledSet(labelled.images, indices, labelled.subjects, labelled.subject_names)
    check_classes(found, classes, _CLASSES_REMEDY)
    return indices


def _numbered(images: ImageSet, labels: NDArray[Any], people: list[str] | None) -> LabelledSet:
    """Number people in the order of their names."""
    if people is None:
        return LabelledSet(images, labels, np.arange(len(images), dtype=np.int64), ())
    names, subjects = np.unique(people, return_inverse=True)
    return LabelledSet(images, labels, subjects.astype(np.int64), tuple(map(str, names)))
