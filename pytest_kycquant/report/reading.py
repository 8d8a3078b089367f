"""Reading reports that earlier runs wrote."""

from __future__ import annotations

from pathlib import Path

from ..context.cache import digest_of
from ..errors import ReportError
from ..files import read_regular
from ..plain import from_plain, parse
from .document import SCHEMA, Report

_LARGEST = 1 << 28  # bytes
_WRITE = "write it with pytest --kycquant-report=FILE.json"


def read_report(path: Path) -> Report:
    """Read the JSON report of a run.

    Raises:
        ReportError: there is no such file, it is not a report of this schema, or it was edited.
    """
    try:
        values = parse(read_regular(path, _LARGEST))
    except OSError as error:
        raise ReportError(path, f"cannot be read ({error.strerror or error})", _WRITE) from error
    except ValueError as error:
        raise ReportError(path, f"is not a report: {error}", _WRITE) from error
    if not isinstance(values, dict) or "schema" not in values or "gates" not in values:
        raise ReportError(path, "is not a report", _WRITE)
    if values["schema"] != SCHEMA:
        raise ReportError(
            path,
            f"has schema {values['schema']!r}, and this version reads {SCHEMA}",
            "write both reports with the same version of pytest-kycquant",
        )
    known = values.pop("digest", "")
    if known != digest_of(values):
        raise ReportError(path, "was edited: its digest is that of other values", _WRITE)
    try:
        return from_plain(Report, values | {"digest": known}, strict=True)
    except (TypeError, ValueError) as error:
        raise ReportError(path, f"is not a report: {error}", _WRITE) from error
