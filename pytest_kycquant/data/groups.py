"""Groups of people, for example by age, or of images, for example by kind of document."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import DataError
from .files import check_name, listed
from .names import refuse_same_names
from .tables import read_table, read_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .images import ImageSet
    from .leakage import OfSubjects

Key = Literal["subject", "file"]
_FEW = 9  # people who may each be a group, in an example
_EXAMPLES = {"subject": "subject,age,sex", "file": "file,country,kind"}


@dataclass(frozen=True, eq=False)
class Group:
    """One group of the images in a set.

    Attributes:
        name: column and value of the table, such as "age 60+".
        members: whether each image, or the person it shows, is in the group; (N,) bool.
    """

    name: str
    members: NDArray[np.bool_]


@dataclass(frozen=True)
class GroupTable:
    """Which person or image belongs to which groups.

    Attributes:
        path: file of the table.
        key: what the table lists: every "subject", or every image by its "file".
        columns: the groupings; each puts every person or image into exactly one group.
        rows: the groups of each subject or image, one per column.
    """

    path: Path
    key: Key
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]

    @property
    def digest(self) -> str:
        """SHA-256 of the groups and their members; independent of the order of the rows."""
        text = json.dumps([self.columns, sorted(self.rows.items())])
        return hashlib.sha256(text.encode()).hexdigest()

    def of(self, seen: OfSubjects) -> tuple[Group, ...]:
        """Find the images of each group, including groups without any, so that none is lost."""
        return self._among(seen.subject_names, seen.subjects)

    def of_images(self, images: ImageSet) -> tuple[Group, ...]:
        """Find the images of each group where the table lists images."""
        return self._among(images.names, np.arange(len(images)))

    def _among(self, keys: Sequence[str], index: NDArray[np.int64]) -> tuple[Group, ...]:
        groups = []
        for place, column in enumerate(self.columns):
            theirs = np.array([self.rows[each][place] for each in keys])
            names = sorted({row[place] for row in self.rows.values()})
            groups += [Group(f"{column} {name}", (theirs == name)[index]) for name in names]
        return tuple(groups)

    def check_people(self, *parts: OfSubjects) -> None:
        """Make sure that the table lists exactly these people.

        Raises:
            DataError: a person is missing from the table, the table lists other people, or the
                data does not say who is captured.
        """
        for part in parts:
            if not part.subject_names:
                raise DataError(
                    part.images.origin,
                    f"does not say who is captured, so {self.path} cannot assign groups",
                    "add subjects, or leave out groups=",
                )
            self._check_lacking(part.subject_names, f"people in {part.images.origin}")
        known = [name for part in parts for name in part.subject_names]
        self._check_strangers(known, "people without an image")

    def check_images(self, *parts: ImageSet) -> None:
        """Make sure that the table lists exactly these images.

        Raises:
            DataError: an image is missing from the table, or the table lists other images.
        """
        for part in parts:
            self._check_lacking(part.names, f"images in {part.origin}")
        known = [name for part in parts for name in part.names]
        self._check_strangers(known, "images that do not exist")

    def _check_lacking(self, names: Sequence[str], what: str) -> None:
        if lacking := sorted(set(names).difference(self.rows)):
            raise DataError(
                self.path,
                f"lacks {len(lacking)} of the {what}: {listed(lacking)}",
                _row_remedy(self.key),
            )

    def _check_strangers(self, known: Sequence[str], what: str) -> None:
        if strangers := sorted(set(self.rows).difference(known)):
            raise DataError(
                self.path,
                f"lists {len(strangers)} {what}: {listed(strangers)}",
                "restore the images, or correct or remove the lines",
            )


def load_groups(path: Path, key: Key = "subject") -> GroupTable:
    """Load a table of groups.

    Args:
        path: a CSV file with the column `key` and a column for each grouping, such as
            ``subject,age,sex``, and a line for each person or image.
        key: what the table lists: "subject" or "file".

    Raises:
        DataError: the table is malformed, has no grouping or a nameless one, an empty cell, a
            person or image twice, or a grouping with a single group.
    """
    empty_remedy = f"list every {key} with its groups: {_EXAMPLES[key]}"
    row_remedy = _row_remedy(key)
    table = read_table(
        read_text(path, empty_remedy),
        path,
        (key,),
        None,
        empty_remedy=empty_remedy,
        row_remedy=row_remedy,
    )
    columns = tuple(name for name in table[0].values if name != key)
    if not columns:
        raise DataError(path, f"has no column other than {key}", empty_remedy)
    for name in columns:
        check_name(name, path, "the column")
    rows: dict[str, tuple[str, ...]] = {}
    lines: dict[str, int] = {}
    for line, values in table:
        if empty := [column for column, value in values.items() if not value]:
            raise DataError(path, f"line {line} leaves {listed(empty)} empty", row_remedy)
        each = check_name(values[key], path, f"the {key} name")
        groups = tuple(check_name(values[name], path, "the group") for name in columns)
        if each in rows:
            how = "again" if rows[each] == groups else "with another group"
            raise DataError(
                path,
                f"line {line} lists {each} {how} (see line {lines[each]})",
                f"keep one line for each {key}",
            )
        rows[each], lines[each] = groups, line
    if key == "subject":
        refuse_same_names(rows, path, "people")
    return grouped(path, key, columns, rows)


def grouped(
    path: Path, key: Key, columns: tuple[str, ...], rows: Mapping[str, tuple[str, ...]]
) -> GroupTable:
    """Make a table of groups; see the attributes of `GroupTable`.

    Raises:
        DataError: two columns or groups have the same name, also with the columns in front, or a
            grouping has a single group.
    """
    refuse_same_names(columns, path, "columns")
    _check_parted(columns, rows, path)
    shown: dict[str, str] = {}
    for place, column in enumerate(columns):
        for value in sorted({row[place] for row in rows.values()}):
            other = shown.setdefault(f"{column} {value}", column)
            if other != column:
                raise DataError(
                    path,
                    f"has a group {column} {value} in the column {column} and in the column "
                    f"{other}",
                    "rename a column or a group, so that reports tell them apart",
                )
    return GroupTable(path, key, columns, rows)


def _row_remedy(key: Key) -> str:
    return f"give every {key} a group in every column, if need be 'unknown'"


def _check_parted(columns: Sequence[str], rows: Mapping[str, tuple[str, ...]], path: Path) -> None:
    for column, values in zip(columns, zip(*rows.values(), strict=True), strict=True):
        refuse_same_names(sorted(set(values)), path, f"groups in the column {column}")
        if len(set(values)) == 1:
            raise DataError(
                path,
                f"has a single group in the column {column}: {values[0]}",
                "a grouping needs at least two groups; correct or remove the column",
            )
        if len(set(values)) > len(values) / 2 and len(values) > _FEW:
            raise DataError(
                path,
                f"has {len(set(values)):,} groups of {len(values):,} in the column {column}, such "
                f"as {values[0]}",
                "a rate of one or two says nothing; give coarser groups, such as years for days, "
                "or remove the column if it is not a grouping",
            )
