"""`kycquant history`: tables of reports over time, and a plot."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pytest_kycquant.cli import exits
from pytest_kycquant.cli.main import WIDTH
from pytest_kycquant.plain import plain
from pytest_kycquant.report.document import Report
from tests.cli.conftest import Kycquant
from tests.report.test_history import report
from tests.worlds.parts import of_gate, shards_of


def write(path: Path, found: Report) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(plain(found)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for day in (2, 1):
        write(tmp_path / "reports" / f"{day}.json", report(day))
    return tmp_path / "reports"


def test_tables(kycquant: Kycquant, folder: Path) -> None:
    code, shown, error = kycquant("history", "reports")
    assert (code, error) == (exits.DONE, "")
    assert shown.splitlines()[:5] == [
        "test_a.py::TestIt, test_a",
        "date        commit    ships  verdict  size     latency  of limit",
        "----------  --------  -----  -------  -------  -------  --------",
        "2026-11-01  cccccccc  fp16   PASS     0.00 MB  -        80 % FAR",
        "2026-11-02  cccccccc  fp16   PASS     0.00 MB  -        80 % FAR",
    ]
    assert "test_p.py::TestIt" in shown
    assert "several machines" not in shown
    assert max(map(len, shown.splitlines())) <= WIDTH


def test_what_is_left_out_is_named(kycquant: Kycquant, folder: Path) -> None:
    (folder / "old.json").write_text('{"schema": 7, "gates": []}')
    (folder / "other.json").write_text("{}")
    (folder / "edited.json").write_text((folder / "1.json").read_text().replace("PASS", "FAIL"))
    write(folder / "shard.json", shards_of([of_gate("test_a")], (1,), 1)[0])
    code, shown, _ = kycquant("history", "reports")
    assert code == exits.DONE
    lines = shown.replace("\n    ", " ").splitlines()
    left = [line for line in lines if line.startswith("  ! left out: ")]
    named = [line.removeprefix("  ! left out: ") for line in left]
    assert named == [
        "reports/edited.json: was edited: its digest is that of other values",
        "reports/old.json: has schema 7, and this version reads 8",
        "reports/other.json: is not a report",
        "reports/shard.json: is of shard 1/1, see kycquant merge",
    ]
    assert shown.count("2026-11-0") == 4  # two runs of a gate and of a pipeline


def test_nothing_to_show(kycquant: Kycquant, tmp_path: Path) -> None:
    code, shown, _ = kycquant("history", "no such.json", "-o", "trend.svg")
    assert code == exits.NEGATIVE
    assert "left out: no such.json: cannot be read" in shown
    assert not Path("trend.svg").exists()


def test_several_machines(kycquant: Kycquant, folder: Path) -> None:
    write(folder / "3.json", report(3, cpu="another"))
    _, shown, _ = kycquant("history", "reports")
    assert "  B: another (avx2, amx_int8), Linux, onnxruntime 1\n" in shown


def test_json(kycquant: Kycquant, folder: Path) -> None:
    code, shown, _ = kycquant("history", "reports", "--json")
    found = json.loads(shown)
    assert (code, found["left_out"]) == (exits.DONE, [])
    assert len(found["history"]["gates"]["test_a.py::TestIt, test_a"]) == 2


@pytest.mark.parametrize("name", ["trend.html", "trend.svg"])
def test_plot(kycquant: Kycquant, folder: Path, name: str) -> None:
    pytest.importorskip("matplotlib")
    for _ in range(2):  # it replaces its own
        code, shown, _ = kycquant("history", "reports", "-o", name)
        assert (code, shown.splitlines()[-1]) == (exits.DONE, f"wrote {name}")
    assert "<svg" in Path(name).read_text()


def test_a_plot_needs_the_extra_and_tables_do_not(
    kycquant: Kycquant, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert kycquant("history", "reports")[0] == exits.DONE
    code, shown, error = kycquant("history", "reports", "-o", "trend.svg")
    assert (code, shown) == (exits.NEGATIVE, "")
    assert "matplotlib is not installed; pip install 'pytest-kycquant[html]'" in error


def test_what_is_no_plot_or_of_the_users(kycquant: Kycquant, folder: Path) -> None:
    assert kycquant("history", "reports", "-o", "trend.png")[0] == exits.USAGE
    Path("mine.svg").write_text("<svg/>")
    code, _, error = kycquant("history", "reports", "-o", "mine.svg")
    assert (code, Path("mine.svg").read_text()) == (exits.NEGATIVE, "<svg/>")
    assert "--out: mine.svg exists and is not a report" in error
