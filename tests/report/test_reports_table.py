"""A report is a line in a table, and the extension of a file name selects it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_kycquant.errors import SettingsError
from pytest_kycquant.report import MARK, REPORTS, refuse_target, render, write
from pytest_kycquant.report.records import Collected, GatedModel
from pytest_kycquant.spec.flags import CODE_QUALITY, HTML, MARKDOWN, REPORT


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


@pytest.mark.parametrize("name", ["report.json", "report.JSON", "a.txt.json"])
def test_the_ending_selects_json(collected: Collected, tmp_path: Path, name: str) -> None:
    write(collected, tmp_path / name)
    found = json.loads((tmp_path / name).read_text())
    assert [gate["gate"] for gate in found["gates"]] == ["test_a.py", "test_b.py"]
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["report.txt", "report", "json", "report.terminal", "r.json.gz"])
def test_an_ending_without_a_report_is_refused(
    collected: Collected, tmp_path: Path, name: str
) -> None:
    with pytest.raises(SettingsError, match=r"does not say which.* \.json or \.names$"):
        write(collected, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_each_can_render_a_run_without_gates() -> None:
    assert render("terminal", Collected()) == ""
    assert json.loads(render("json", Collected()))["gates"] == []


@pytest.mark.parametrize(
    "content",
    [
        "# How to read the pytest-kycquant report\nyears of work\n",
        "#!/bin/sh\n# writes the pytest-kycquant report\n",
        '{"title": "pytest-kycquant report", "mine": 1}',
        "\x89PNG pytest-kycquant report\n",
        f"Why does it say: {MARK}\n",
        f"years of work\n{MARK}\n",
        '{"schema": 2, "gates": []}',
        "[" * 100_000,
    ],
    ids=range(8),
)
def test_a_file_that_only_speaks_of_reports_is_kept(tmp_path: Path, content: str) -> None:
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(SettingsError, match=r"report\.json exists and is not a report"):
        refuse_target(tmp_path / "report.json")
    with pytest.raises(SettingsError, match="exists and is not a report"):
        write(Collected(), tmp_path / "report.json")
    assert (tmp_path / "report.json").read_text() == content


@pytest.mark.parametrize("first", [MARK, f"<!-- {MARK} -->", f"# {MARK}\r", f"/* {MARK} */"])
def test_an_earlier_report_in_any_language_is_replaced(tmp_path: Path, first: str) -> None:
    (tmp_path / "report.json").write_text(f"{first}\nfigures")
    write(Collected(), tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["gates"] == []


@pytest.mark.parametrize(
    ("option", "good", "bad"),
    [
        (HTML, ("a.html", "a.HTM"), ("a.json", "a.md", "a", "html")),
        (MARKDOWN, ("a.md", "a.markdown"), ("a.html", "a.json", "a")),
        (CODE_QUALITY, ("a.json",), ("a.html", "a")),
        (REPORT, ("a.json",), ("a.html", "a")),
    ],
)
def test_a_name_that_ends_otherwise_is_refused(
    tmp_path: Path, option: str, good: tuple[str, ...], bad: tuple[str, ...]
) -> None:
    for name in good:
        refuse_target(tmp_path / name, option)
    for name in bad:
        with pytest.raises(SettingsError, match=rf"^{option}: {name} .*; give it a name that ends"):
            refuse_target(tmp_path / name, option)
        assert not (tmp_path / name).exists()
