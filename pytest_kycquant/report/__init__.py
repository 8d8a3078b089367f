"""Reports: text rendered from plain records, without pytest and without touching a model.

`REPORTS` names every report. The plugin prints "terminal"; a file gets the report of its option or,
with `--kycquant-report`, the one that its name ends with.
"""

from __future__ import annotations

import importlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from ..errors import SettingsError
from ..files import write_whole
from ..spec.flags import CODE_QUALITY, HTML, MARKDOWN, REPORT

if TYPE_CHECKING:
    from .records import Collected

# The renderer of each report, as "module:attribute"; the module is imported on demand.
REPORTS: dict[str, str] = {
    "json": "pytest_kycquant.report.json_report:render",
    "html": "pytest_kycquant.report.page:render",
    "markdown": "pytest_kycquant.report.markdown:render",
    "code-quality": "pytest_kycquant.report.annotations:render",
    "terminal": "pytest_kycquant.report.terminal:render",
}


# Reports whose files have an option of their own; of any other file, the ending says which it is.
_OF_OPTION = {HTML: "html", MARKDOWN: "markdown", CODE_QUALITY: "code-quality"}
# The endings of their files: whoever opens one has to be told what it is.
_KINDS = {HTML: "an HTML page", MARKDOWN: "a Markdown file", CODE_QUALITY: "a JSON file"}
_ENDINGS = {HTML: ("html", "htm"), MARKDOWN: ("md", "markdown"), CODE_QUALITY: ("json",)}
MARK = "Written by pytest-kycquant; the next report replaces this file."
"""The first line of a written report, perhaps as a comment, by which a later run knows it."""
_COMMENT = " \t\r#*/;<>!-%"  # around the mark, in the languages of reports
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
            that is written to a file has `MARK` as its first line: without it, the next run would
            refuse to overwrite the file.
        """


def render(name: str, collected: Collected, *, verbose: bool = False) -> str:
    """Render a run by the named report of `REPORTS`; see `Report`."""
    module, _, attribute = REPORTS[name].partition(":")
    report = cast("Report", getattr(importlib.import_module(module), attribute))
    return report(collected, verbose=verbose)


def refuse_target(path: Path, option: str = REPORT, where: str = "") -> None:
    """Refuse a report that cannot be written or would overwrite a file that is not a report.

    Args:
        path: the file.
        option: the option that says which report it is.
        where: what named the file, for messages; "" for that option.

    Raises:
        SettingsError: there is such a file, the folder cannot be written, or the name does not say
            which report it is.
    """
    refuse_file(path, where or option)
    _named(path, option, where or option)


def refuse_file(path: Path, option: str) -> None:
    """Refuse a file that cannot be written, or is not one that was written here before.

    Args:
        path: the file.
        option: the option that names it.

    Raises:
        SettingsError: there is such a file, or the folder cannot be written.
    """
    try:
        if os.path.lexists(path) and not (path.is_file() and _is_report(path.read_bytes())):
            raise SettingsError(
                option,
                f"{path} exists and is not a report",
                "name another file, or move this one away",
            )
    except OSError as error:  # a name that is too long, a folder that may not be read
        reason = error.strerror or str(error)
        raise SettingsError(option, f"{path} cannot be read ({reason})", "name another") from error
    refuse_folder(path.parent, option)


def refuse_folder(folder: Path, option: str) -> None:
    """Refuse a folder that neither exists nor can be made, or in which nothing can be written.

    Args:
        folder: the folder.
        option: the option that names it.

    Raises:
        SettingsError: nothing can be written there.
    """
    try:
        place = next(p for p in (folder, *folder.parents) if os.path.lexists(p))
    except OSError:
        place = folder
    try:
        # Permissions do not tell of /proc, or of what is mounted for reading only.
        with tempfile.TemporaryDirectory(dir=place):
            pass
    except OSError:
        raise SettingsError(
            option, f"{place} is not a writable folder", "name another place"
        ) from None


def write(collected: Collected, path: Path, option: str = REPORT) -> None:
    """Write a report, whole or not at all.

    Args:
        collected: everything that the tests of a run reported.
        path: the file.
        option: the option that names it.

    Raises:
        SettingsError: see `refuse_target`; the file may have appeared since the run began.
    """
    refuse_target(path, option)
    text = render(_named(path, option, option), collected)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)


def append(collected: Collected, path: Path) -> None:
    """Append the report as Markdown to a file that others write to, too.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("a", encoding="utf-8") as file:
        file.write(render("markdown", collected))


def _named(path: Path, option: str, where: str) -> str:
    """Name of the report that a file is to hold."""
    ending = path.suffix.removeprefix(".").lower()
    if option in _OF_OPTION:
        if ending not in _ENDINGS[option]:
            raise SettingsError(
                where,
                f"{path.name} is not the name of {_KINDS[option]}",
                f"give it a name that ends with .{_ENDINGS[option][0]}",
            )
        return _OF_OPTION[option]
    known = [name for name in REPORTS if name not in ("terminal", *_OF_OPTION.values())]
    if ending not in known:
        raise SettingsError(
            where,
            f"{path.name} does not say which report it is",
            f"give it a name that ends with {' or '.join(f'.{name}' for name in known)}",
        )
    return ending


def _is_report(content: bytes) -> bool:
    """Whether a file may be overwritten: it is empty or an earlier report."""
    first = content.partition(b"\n")[0].decode("utf-8", "replace")
    if not content.strip() or first.strip(_COMMENT) == MARK:
        return True
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return False
    if isinstance(values, list):  # of code quality, whose entries have the marks of this plugin
        names = [one.get("check_name") if isinstance(one, dict) else None for one in values]
        return all(isinstance(name, str) and name.startswith("kycquant ") for name in names)
    return isinstance(values, dict) and values.keys() >= _KEYS
