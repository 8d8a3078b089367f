"""Reading reports that earlier runs wrote."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeVar

from ..context.cache import digest_of
from ..errors import ReportError
from ..files import read_regular
from ..plain import from_plain, parse
from .document import SCHEMA, Evidence, Report
from .searched import files_below
from .standing import unjudged

T = TypeVar("T")

_LARGEST = 1 << 28  # bytes
_EXPORT = "export the model again, with pytest --kycquant-export=FOLDER"
_WRITE = "write it with pytest --kycquant-report=FILE.json"


def found_reports(
    places: Iterable[Path], leave: Iterable[Path] = ()
) -> tuple[list[tuple[Path, Report]], list[Path]]:
    """Read reports and folders of them, whatever else is in these folders.

    Args:
        places: files, and folders whose JSON files are read, those in folders below them included.
        leave: files in these folders that are not read, such as one that is to be written.

    Returns:
        the reports with their files, and the JSON files of folders that are something else.

    Raises:
        ReportError: there is none, or one cannot be read.
    """
    written = {path.resolve() for path in leave}
    reports: list[tuple[Path, Report]] = []
    aside: list[Path] = []
    for place in places:
        if not place.is_dir():
            reports.append((place, read_report(place)))
            continue
        for path in files_below(place, ".json"):
            if path.resolve() in written:
                continue
            if kind_of(path) in ("", "evidence"):
                aside.append(path)
            else:
                reports.append((path, read_report(path)))
        if not any(path.is_relative_to(place) for path, _ in reports):
            raise ReportError(place, "holds no report", _WRITE)
    return reports, aside


def readable_reports(places: Iterable[Path]) -> tuple[list[Report], list[str]]:
    """Read the reports of whole runs, as far as they can be read.

    Args:
        places: files, and folders whose JSON files are read, those in folders below them included.

    Returns:
        the reports, and a line about each file that is left out, and about each folder without any.

    Raises:
        ReportError: a file or folder that was named does not exist.
    """
    files: list[Path] = []
    reports: list[Report] = []
    aside: list[str] = []
    for place in places:
        if not os.path.lexists(place):
            raise ReportError(place, "does not exist", f"name another, or {_WRITE}")
        found = list(files_below(place, ".json")) if place.is_dir() else [place]
        files += found
        if not found:
            aside.append(f"{place}: holds no report")
    for path in dict.fromkeys(files):
        try:
            report = read_report(path)
        except ReportError as error:
            aside.append(f"{error.where}: {error.problem}")
            continue
        if report.shard is not None:
            shard = f"{report.shard.index}/{report.shard.of}"
            aside.append(f"{path}: is of shard {shard}, see kycquant merge")
        elif not (report.judged or any(unjudged(report))):
            aside.append(f"{path}: is of a run that had no gate ({report.verdict})")
        else:
            reports.append(report)
    return reports, aside


def kind_of(path: Path) -> Literal["report", "evidence", "", "unreadable"]:
    """What a file is by its keys, whatever its schema: "" for JSON that is neither.

    Args:
        path: a file, which may be anything.
    """
    try:
        values = parse(read_regular(path, _LARGEST))
    except (OSError, ValueError):
        return "unreadable"
    if not isinstance(values, dict) or "schema" not in values:
        return ""
    return "report" if "gates" in values else "evidence" if "found" in values else ""


def read_report(path: Path) -> Report:
    """Read the JSON report of a run.

    Raises:
        ReportError: there is no such file, it is not a report of this schema, or it was edited.
    """
    return _read(path, Report, "a report", "gates", _WRITE)


def read_evidence(path: Path) -> Evidence:
    """Read the evidence for an exported model; see `read_report`."""
    return _read(path, Evidence, "evidence of an export", "found", _EXPORT)


def _read(path: Path, kind: type[T], what: str, key: str, remedy: str) -> T:
    """Read a published document.

    Args:
        path: the file.
        kind: the class of the document.
        what: what it is, in words.
        key: a key that no other document has.
        remedy: how such a file is written.
    """
    try:
        values = parse(read_regular(path, _LARGEST))
    except OSError as error:
        raise ReportError(path, f"cannot be read ({error.strerror or error})", remedy) from error
    except ValueError as error:
        raise ReportError(path, f"is not {what}: {error}", remedy) from error
    if not isinstance(values, dict) or not values.keys() >= {"schema", key}:
        raise ReportError(path, f"is not {what}", remedy)
    if values["schema"] != SCHEMA:
        raise ReportError(
            path,
            f"has schema {values['schema']!r}, and this version reads {SCHEMA}",
            f"use the version of pytest-kycquant that wrote it, or {remedy}",
        )
    known = values.pop("digest", "")
    if known != digest_of(values):
        raise ReportError(path, "was edited: its digest is that of other values", remedy)
    try:
        return from_plain(kind, values | {"digest": known}, strict=True)
    except (TypeError, ValueError) as error:
        raise ReportError(path, f"is not {what}: {error}", remedy) from error
