"""Reports: text rendered from plain records, without pytest and without touching a model.

`REPORTS` names every report. The plugin prints "terminal". The extension of a file name selects the
report to write; an extension that names no report selects JSON.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from ..files import write_whole

if TYPE_CHECKING:
    from .records import Collected

# The renderer of each report, as "module:attribute"; the module is imported on demand.
REPORTS: dict[str, str] = {
    "json": "pytest_kycquant.report.json_report:render",
    "terminal": "pytest_kycquant.report.terminal:render",
}


class Report(Protocol):
    """Renders a run as text. It reads its arguments and nothing else."""

    def __call__(self, collected: Collected, *, verbose: bool = False) -> str:
        r"""Render what the tests of a run reported.

        Args:
            collected: everything that the tests of a run reported.
            verbose: whether to show more than the figures that decide.

        Returns:
            Lines that end with "\n"; "" if there is nothing to report.
        """


def render(name: str, collected: Collected, *, verbose: bool = False) -> str:
    """Render a run by the named report of `REPORTS`; see `Report`."""
    module, _, attribute = REPORTS[name].partition(":")
    report = cast("Report", getattr(importlib.import_module(module), attribute))
    return report(collected, verbose=verbose)


def write(collected: Collected, path: Path) -> None:
    """Write a report, whole or not at all.

    Args:
        collected: everything that the tests of a run reported.
        path: the file. Its extension names the report; any other extension means JSON.
    """
    ending = path.suffix.removeprefix(".")
    named = ending in REPORTS and ending != "terminal"
    text = render(ending if named else "json", collected)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)
