"""`kycquant history`: tables of reports over time, and a plot."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_kycquant.cli import exits
from pytest_kycquant.cli.main import WIDTH
from pytest_kycquant.plain import plain
from pytest_kycquant.report.document import Report
from pytest_kycquant.report.json_report import report_of
from pytest_kycquant.report.merging import united
from pytest_kycquant.report.run_entries import Commit
from tests.cli.conftest import Kycquant
from tests.report.test_history import report, with_check
from tests.worlds.parts import given, of_gate, run_of, shards_of, written


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
        "date        commit    verdict  ships  size     latency  of limit",
        "----------  --------  -------  -----  -------  -------  --------",
        "2026-11-01  cccccccc  PASS     fp16   0.00 MB  -        80 % FAR",
        "2026-11-02  cccccccc  PASS     fp16   0.00 MB  -        80 % FAR",
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
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.json").write_text("{}")
    code, shown, _ = kycquant("history", "empty", "bad.json", "-o", "trend.svg")
    assert code == exits.NEGATIVE
    assert "left out: empty: holds no report" in shown
    assert "left out: bad.json: is not a report" in shown
    assert not Path("trend.svg").exists()


@pytest.mark.parametrize("name", ["no such.json", "no such folder"])
def test_what_does_not_exist(kycquant: Kycquant, folder: Path, name: str) -> None:
    """Among others that do, too: a history without it would look whole."""
    code, shown, error = kycquant("history", "reports", name)
    assert (code, shown) == (exits.NEGATIVE, "")
    assert error.startswith(f"kycquant history: {name}: does not exist; ")
    assert len(error.splitlines()) == 1


def rows(shown: str, gate: str) -> list[list[str]]:
    """The cells of a table, by gaps of two spaces or more."""
    lines = shown.splitlines()
    start = lines.index(gate) + 3
    return [re.split(r"\s{2,}", line) for line in lines[start : lines.index("", start)]]


def test_a_run_that_ended_in_an_error(kycquant: Kycquant, folder: Path) -> None:
    """A gate without a golden has a row; so has a file that could not be collected."""
    broken = run_of([of_gate("test_a", broken="there is no golden"), of_gate("test_b")])
    write(folder / "error.json", written(report_of(broken)))
    lost = run_of([], uncollected=["test_c.py"])
    write(folder / "lost.json", written(report_of(lost)))
    code, shown, _ = kycquant("history", "reports")
    assert code == exits.DONE
    for gate in ("test_a.py::TestIt, broken", "test_c.py"):
        ((day, _, verdict, ships, *_),) = rows(shown, gate)
        assert (day, verdict, ships) == ("2026-11-30", "ERROR", "nothing")
    (row,) = rows(shown, "test_b.py::TestIt, test_b")
    assert row[2:4] == ["PASS", "fp16"]
    write(folder / "none.json", written(report_of(run_of([]))))
    assert "left out: reports/none.json: is of a run that had no gate" in kycquant(
        "history", "reports"
    )[1]  # fmt: skip


def test_an_incomplete_run_ships_nothing(kycquant: Kycquant, tmp_path: Path) -> None:
    parts = shards_of([of_gate("test_a"), of_gate("test_b")], (1, 2), 2)
    write(tmp_path / "merged.json", written(report_of(united(given(parts[:1])))))
    _, shown, _ = kycquant("history", "merged.json")
    for name in ("test_a", "test_b"):  # what is missing has a row, too
        (row,) = rows(shown, f"{name}.py::TestIt, {name}")
        assert row[2:5] == ["INCOMPLETE", "nothing yet", "-"]


def test_runs_of_one_day_and_of_a_changed_tree(kycquant: Kycquant, tmp_path: Path) -> None:
    for number, hour in enumerate((9, 17)):
        one = report(1)
        times = replace(one.times, started=f"2026-11-01T{hour:02}:05:00+00:00")
        commit = Commit("a6ad95bb" * 5, changed=bool(number))
        provenance = replace(one.provenance, commit=commit)
        later = written(replace(one, times=times, provenance=provenance))
        write(tmp_path / "reports" / f"{hour}.json", later)
    write(tmp_path / "reports" / "2.json", report(2))
    _, shown, _ = kycquant("history", "reports")
    found = rows(shown, "test_a.py::TestIt, test_a")
    assert [row[0] for row in found] == ["2026-11-01 09:05", "2026-11-01 17:05", "2026-11-02"]
    assert [row[1] for row in found] == ["a6ad95bb", "a6ad95bb+", "cccccccc"]
    assert "+ after a commit: tracked files differed from it." in shown.splitlines()


def test_names_of_figures_are_whole(kycquant: Kycquant, tmp_path: Path) -> None:
    """They are broken between words, and nothing is wider than a terminal."""
    name = "increase of APCER, printed photos of people with masks"
    for hour in (9, 17):
        one = with_check(report(1), name=name)
        times = replace(one.times, started=f"2026-11-01T{hour:02}:05:00+00:00")
        write(tmp_path / "reports" / f"{hour}.json", written(replace(one, times=times)))
    _, shown, _ = kycquant("history", "reports")
    lines = shown.splitlines()
    assert max(map(len, lines)) <= WIDTH
    start = lines.index("test_a.py::TestIt, test_a") + 1
    at = lines[start].index("of limit")
    cells = [line[at:] for line in lines[start + 2 : lines.index("", start)]]
    assert " ".join(filter(None, cells)) == f"60 % {name} 60 % {name}"


def test_folders_of_tools_are_not_searched(kycquant: Kycquant, tmp_path: Path) -> None:
    for name in (".pytest_cache", ".git", ".venv", "node_modules", "env/lib", "a/__pycache__"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "other.json").write_text("{}")
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    write(tmp_path / "a" / "1.json", report(1))
    for command in (["history", "."], ["merge", ".", "--of", "1"]):
        code, shown, _ = kycquant(*command)
        assert code == exits.DONE
        assert "left" not in shown
    write(tmp_path / ".mine" / "1.json", report(1))  # named, so it is searched
    assert kycquant("history", ".mine")[0] == exits.DONE


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
