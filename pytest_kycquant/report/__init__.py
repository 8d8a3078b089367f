"""Reports: text rendered from plain records, without pytest and without touching a model.

`REPORTS` names every report. The plugin prints "terminal"; a file is written by the report that is
called like the ending of its name, and as JSON where none is.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from ..files import write_whole

if TYPE_CHECKING:
    from .records import Collected

# Where each report is, as "module:attribute": a module is imported when its report is asked for.
REPORTS: dict[str, str] = {
    "json": "pytest_kycquant.report.json_report:render",
    "terminal": "pytest_kycquant.report.terminal:render",
}


class Report(Protocol):
    """Renders a run as text. It reads what it is given, and nothing else."""

    def __call__(self, collected: Collected, *, verbose: bool = False) -> str:
        r"""Render what the tests of a run reported.

        Args:
            collected: all of it.
            verbose: whether to say more than the figures that decide.

        Returns:
            Lines that end with "\n"; "" if there is nothing to report.
        """


def render(name: str, collected: Collected, *, verbose: bool = False) -> str:
    """Render a run by the report of a name, which is one of `REPORTS`; see `Report`."""
    module, _, attribute = REPORTS[name].partition(":")
    report = cast("Report", getattr(importlib.import_module(module), attribute))
    return report(collected, verbose=verbose)


def write(collected: Collected, path: Path) -> None:
    """Write a report, whole or not at all.

    Args:
        collected: what the tests of a run reported.
        path: the file, whose ending names the report; any other ending means JSON.
    """
    ending = path.suffix.removeprefix(".")
    text = render(ending if ending in REPORTS else "json", collected)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)
