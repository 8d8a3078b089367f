"""Groups of people, such as those of an age, a sex or a skin tone: who belongs to which."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError
from .files import check_text, listed
from .tables import read_table, read_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .leakage import OfSubjects

_KEY = "subject"
_EMPTY_REMEDY = "list every subject with its groups: subject,age,sex"
_ROW_REMEDY = "give every subject a group in every column, be it one called unknown"


@dataclass(frozen=True, eq=False)
class Group:
    """Some of the images of a part of the data.

    Attributes:
        name: column and value of the table, such as "age 60+".
        members: whether each image shows somebody of the group; (N,) bool.
    """

    name: str
    members: NDArray[np.bool_]


@dataclass(frozen=True)
class GroupTable:
    """Who belongs to which group.

    Attributes:
        path: of the table.
        columns: the groupings; the groups of one are disjoint and make up everybody.
        rows: group of each subject in each column.
    """

    path: Path
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]

    @property
    def digest(self) -> str:
        """SHA-256 of who belongs to which group; independent of the order of the rows."""
        text = json.dumps([self.columns, sorted(self.rows.items())])
        return hashlib.sha256(text.encode()).hexdigest()

    def of(self, seen: OfSubjects) -> tuple[Group, ...]:
        """Find the images of each group, of those without any, too: they are not to be lost."""
        groups = []
        for place, column in enumerate(self.columns):
            theirs = np.array([self.rows[subject][place] for subject in seen.subject_names])
            names = sorted({row[place] for row in self.rows.values()})
            groups += [Group(f"{column} {name}", (theirs == name)[seen.subjects]) for name in names]
        return tuple(groups)

    def check_people(self, *parts: OfSubjects) -> None:
        """Make sure that the table is about just these people.

        Raises:
            DataError: one of them is not in it, or it names somebody else; or nobody says who
                they are.
        """
        for part in parts:
            if not part.subject_names:
                raise DataError(
                    part.images.origin,
                    f"does not say who is captured, so {self.path} cannot say of which group",
                    "add subjects, or leave out groups=",
                )
            lacking = sorted(set(part.subject_names).difference(self.rows))
            if lacking:
                raise DataError(
                    self.path,
                    f"lacks {len(lacking)} of the people of {part.images.origin}: "
                    f"{listed(lacking)}",
                    _ROW_REMEDY,
                )
        known = {name for part in parts for name in part.subject_names}
        strangers = sorted(set(self.rows).difference(known))
        if strangers:
            raise DataError(
                self.path,
                f"names {len(strangers)} people who are on no image: {listed(strangers)}",
                "restore their images, or correct or remove their lines",
            )


def load_groups(path: Path) -> GroupTable:
    """Load a table of groups.

    Args:
        path: a CSV file with the column ``subject`` and one for each grouping, such as
            ``subject,age,sex``: a line for each person.

    Raises:
        DataError: not such a table: no or a nameless grouping, an empty cell, somebody twice, or a
            grouping that puts everybody into one group.
    """
    table = read_table(
        read_text(path, _EMPTY_REMEDY),
        path,
        (_KEY,),
        None,
        empty_remedy=_EMPTY_REMEDY,
        row_remedy=_ROW_REMEDY,
    )
    columns = tuple(name for name in table[0].values if name != _KEY)
    if not columns:
        raise DataError(path, "has no column beside subject", _EMPTY_REMEDY)
    for name in columns:
        check_text(name, path, "the column")
    rows: dict[str, tuple[str, ...]] = {}
    lines: dict[str, int] = {}
    for line, values in table:
        if empty := [column for column, value in values.items() if not value]:
            raise DataError(path, f"line {line} leaves {listed(empty)} empty", _ROW_REMEDY)
        subject = check_text(values[_KEY], path, "the subject name")
        groups = tuple(check_text(values[name], path, "the group") for name in columns)
        if subject in rows:
            how = "again" if rows[subject] == groups else "with another group"
            raise DataError(
                path,
                f"line {line} lists {subject} {how} (as line {lines[subject]})",
                "keep one line for each subject",
            )
        rows[subject], lines[subject] = groups, line
    _check_parted(columns, rows, path)
    return GroupTable(path, columns, rows)


def _check_parted(columns: Sequence[str], rows: Mapping[str, tuple[str, ...]], path: Path) -> None:
    for column, values in zip(columns, zip(*rows.values(), strict=True), strict=True):
        if len(set(values)) == 1:
            raise DataError(
                path,
                f"puts everybody into the same group, {column} {values[0]}",
                "a grouping needs at least two groups; correct or remove the column",
            )
