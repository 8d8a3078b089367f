"""CSV files that people write by hand or with a spreadsheet, read strictly."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ..errors import DataError
from .files import check_name, check_text, listed, read_file


class Row(NamedTuple):
    """One line of a table: its number, from 1 on, and its stripped values by column."""

    line: int
    values: dict[str, str]


def read_text(path: Path, empty_remedy: str) -> str:
    """Read a text file that must hold something.

    Args:
        path: the file, UTF-8 with or without a byte order mark.
        empty_remedy: what to do about an empty file.

    Raises:
        DataError: the file cannot be read, is empty or is not UTF-8.
    """
    text = decoded(path)
    if not text.strip():
        raise DataError(path, "has no entries", empty_remedy)
    return text


def decoded(path: Path) -> str:
    """Read a text file, UTF-8 with or without a byte order mark; it may be empty.

    Raises:
        DataError: the file cannot be read or is not UTF-8.
    """
    try:
        return read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(path, "is not UTF-8 text", "save it as UTF-8") from error


def read_table(
    text: str,
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] | None = (),
    *,
    empty_remedy: str,
    row_remedy: str,
) -> list[Row]:
    """Read the rows of a CSV file with a header. Empty lines are skipped.

    Args:
        text: content of the file.
        path: the file, for messages.
        required: columns that must be present, in any order.
        optional: columns that may be present; others are rejected, since a typo would otherwise
            silently drop a column. None accepts any other columns that have a name.
        empty_remedy: what to do about a table without rows.
        row_remedy: what to do about a row with too few or too many fields.

    Raises:
        DataError: the table is malformed; the message names the line.
    """
    remedy = f"use the columns {','.join(required)}"
    if optional:
        remedy += f" and optionally {','.join(optional)}"
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = []
    try:
        header = [check_name(column.strip(), path, "the column") for column in next(reader)]
        if optional is None:
            unknown = ["one without a name"] if "" in header else []
        else:
            unknown = [column for column in header if column not in (*required, *optional)]
        if unknown:
            raise DataError(path, f"has unknown columns: {listed(unknown)}", remedy)
        missing = [column for column in required if column not in header]
        if missing:
            raise DataError(path, f"lacks the columns {listed(missing)}", remedy)
        if len(set(header)) < len(header):
            raise DataError(path, "has the same column twice", remedy)
        for fields in reader:
            if not fields:
                continue
            if len(fields) != len(header):
                raise malformed(path, reader.line_num, row_remedy)
            where = f"the value in line {reader.line_num}"
            values = (check_text(field.strip(), path, where) for field in fields)
            rows.append(Row(reader.line_num, dict(zip(header, values, strict=True))))
    except csv.Error as error:
        raise DataError(path, f"line {reader.line_num} is malformed ({error})", remedy) from error
    if not rows:
        raise DataError(path, "has no entries", empty_remedy)
    return rows


def malformed(path: Path, line: int, remedy: str) -> DataError:
    """Make the error for a line with invalid fields."""
    return DataError(path, f"line {line} is malformed", remedy)


def image_name(text: str, path: Path) -> str:
    """Normalize the name of an image that a file gives, perhaps written by hand on Windows.

    Raises:
        DataError: the name contains control characters.
    """
    return PurePosixPath(check_text(text, path, "the file name").replace("\\", "/")).as_posix()
