"""`kycquant html`: the page of a report that an earlier run wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kycquant.cli import exits
from pytest_kycquant.report.json_report import report_of
from pytest_kycquant.report.page import page
from pytest_kycquant.report.reading import read_report
from tests.cli.conftest import Kycquant
from tests.cli.test_compare import written
from tests.worlds.pages import collected


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return written(tmp_path / "report.json", report_of(collected()))


def test_beside_the_report(kycquant: Kycquant, report: Path) -> None:
    assert kycquant("html", report) == (exits.DONE, "wrote report.html\n", "")
    text = report.with_suffix(".html").read_text(encoding="utf-8")
    assert text == page(read_report(report))
    assert "int8&gt;mixed" in text


def test_again_and_elsewhere(kycquant: Kycquant, report: Path, tmp_path: Path) -> None:
    for _ in range(2):  # an earlier page is replaced
        code, shown, _ = kycquant("html", report, "-o", tmp_path / "site" / "index.html")
        assert (code, shown) == (exits.DONE, "wrote site/index.html\n")


def test_nothing_else_is_replaced(kycquant: Kycquant, report: Path, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("my notes", encoding="utf-8")
    code, _, error = kycquant("html", report)
    assert code == exits.NEGATIVE
    assert "report.html exists and is not a report" in error
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "my notes"


@pytest.mark.parametrize("name", ["x.json", "x.md", "page"])
def test_what_is_no_page(kycquant: Kycquant, report: Path, name: str) -> None:
    code, _, error = kycquant("html", report, "-o", name)
    assert code == exits.NEGATIVE
    assert f"--output: {name} is not the name of an HTML page" in error
    assert not Path(name).exists()


@pytest.mark.parametrize("content", ["", "{}", '{"schema": 1, "gates": []}'])
def test_what_is_no_report(kycquant: Kycquant, tmp_path: Path, content: str) -> None:
    (tmp_path / "r.json").write_text(content, encoding="utf-8")
    code, _, error = kycquant("html", "r.json")
    assert code == exits.NEGATIVE
    assert "r.json" in error
    assert not (tmp_path / "r.html").exists()
