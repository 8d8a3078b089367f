"""Without a terminal, errors stay readable and the report is still written."""

import json
from collections.abc import Callable

import pytest

from tests.worlds.population import Run


def test_report_is_written(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project()
    result = run("-p", "no:terminal", "-k", "size", "--kycquant-report=report.json")
    assert result.ret == pytest.ExitCode.OK
    assert json.loads((pytester.path / "report.json").read_text())["gates"]


def test_errors_are_no_internal_errors(project: Callable[..., None], run: Run) -> None:
    project(golden=False)
    assert run("-p", "no:terminal", "-k", "size").ret == pytest.ExitCode.TESTS_FAILED


def test_report_that_cannot_be_written_is_an_error(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project()
    (pytester.path / "file").write_text("")
    result = run("-k", "size", "--kycquant-report=file/report.json")
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.stdout.fnmatch_lines(["ERROR: the report or the export cannot be written: *"])
