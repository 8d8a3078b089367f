"""Reports: text rendered from plain records, without pytest and without touching a model.

`REPORTS` names every report. The plugin prints "terminal". The extension of a file name selects the
report to write; an extension that names no report selects JSON.
"""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from ..errors import SettingsError
from ..files import write_whole
from ..spec.flags import REPORT

if TYPE_CHECKING:
    from .records import Collected

# The renderer of each report, as "module:attribute"; the module is imported on demand.
REPORTS: dict[str, str] = {
    "json": "pytest_kycquant.report.json_report:render",
    "terminal": "pytest_kycquant.report.terminal:render",
}


MARK = "pytest-kycquant report"
"""Text in the first line of a written report, by which a later run knows that it is one."""
_KEYS = {"schema", "environment", "session_config", "gates", "pipelines"}  # of the JSON report


class Report(Protocol):
    """Renders a run as text. It reads its arguments and nothing else."""

    def __call__(self, collected: Collected, *, verbose: bool = False) -> str:
        r"""Render what the tests of a run reported.

        Args:
            collected: everything that the tests of a run reported.
            verbose: whether to show more than the figures that decide.

        Returns:
            Lines that end with "\n"; "" if there is nothing to report. Unless it is JSON, a report
            that is written to a file has `MARK` in its first line: without it, the next run would
            refuse to overwrite the file.
        """


def render(name: str, collected: Collected, *, verbose: bool = False) -> str:
    """Render a run by the named report of `REPORTS`; see `Report`."""
    module, _, attribute = REPORTS[name].partition(":")
    report = cast("Report", getattr(importlib.import_module(module), attribute))
    return report(collected, verbose=verbose)


def refuse_target(path: Path) -> None:
    """Refuse a report that cannot be written or would overwrite a file that is not a report.

    Raises:
        SettingsError: there is such a file, or the folder cannot be written.
    """
    where, remedy = REPORT, "name another file, or move this one away"
    try:
        present = path.exists() or path.is_symlink()
        if present and not (path.is_file() and _is_report(path.read_bytes())):
            raise SettingsError(where, f"{path} exists and is not a report", remedy)
        folder = next(parent for parent in path.parents if parent.exists())
    except OSError as error:  # a name that is too long, a folder that may not be read
        reason = error.strerror or str(error)
        raise SettingsError(where, f"{path} cannot be written ({reason})", remedy) from error
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise SettingsError(where, f"{folder} is not a writable folder", remedy)


def write(collected: Collected, path: Path) -> None:
    """Write a report, whole or not at all.

    Args:
        collected: everything that the tests of a run reported.
        path: the file. Its extension names the report; any other extension means JSON.

    Raises:
        SettingsError: see `refuse_target`; the file may have appeared since the run began.
    """
    refuse_target(path)
    ending = path.suffix.removeprefix(".")
    named = ending in REPORTS and ending != "terminal"
    text = render(ending if named else "json", collected)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)


def _is_report(content: bytes) -> bool:
    """Whether a file may be overwritten: it is empty or an earlier report."""
    if not content.strip() or MARK.encode() in content.partition(b"\n")[0]:
        return True
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(values, dict) and values.keys() >= _KEYS
