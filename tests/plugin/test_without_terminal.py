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
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --kycquant-report: *file is not a writable folder; *"])


def test_report_that_can_no_longer_be_written_is_an_error(
    project: Callable[..., None],
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(path: object, content: object) -> None:
        raise OSError(28, "No space left on device")

    project()
    monkeypatch.setattr("pytest_kycquant.report.write_whole", full)
    result = run("-k", "size", "--kycquant-report=report.json")
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.stdout.fnmatch_lines(["ERROR: the report cannot be written: *No space left*"])
