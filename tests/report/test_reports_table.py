"""A report is a line in a table, and the extension of a file name selects it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_kycquant.report import REPORTS, render, write
from pytest_kycquant.report.records import Collected, GatedModel


def names(collected: Collected, *, verbose: bool = False) -> str:
    """A report for this test."""
    end = "!" if verbose else ""
    return "".join(f"{gate.name}{end}\n" for gate in collected.gates)


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Collected:
    monkeypatch.setitem(REPORTS, "names", f"{__name__}:names")
    return Collected(
        by_key={"1": GatedModel("face", "test_a.py"), "2": GatedModel("face", "test_b.py")}
    )


def test_new_report_is_one_line(collected: Collected, tmp_path: Path) -> None:
    assert render("names", collected, verbose=True) == "test_a.py!\ntest_b.py!\n"
    write(collected, tmp_path / "deep" / "all.names")
    assert (tmp_path / "deep" / "all.names").read_text() == "test_a.py\ntest_b.py\n"


@pytest.mark.parametrize(
    "name", ["report.json", "report.txt", "report", "names", "report.terminal"]
)
def test_any_other_file_is_json(collected: Collected, tmp_path: Path, name: str) -> None:
    write(collected, tmp_path / name)
    found = json.loads((tmp_path / name).read_text())
    assert [gate["gate"] for gate in found["gates"]] == ["test_a.py", "test_b.py"]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_each_can_render_a_run_without_gates() -> None:
    assert render("terminal", Collected()) == ""
    assert json.loads(render("json", Collected()))["gates"] == []
