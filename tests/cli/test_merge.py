"""`kycquant merge`: the parts of a run from files and folders, and an exit code of one run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_kycquant.cli import exits
from pytest_kycquant.cli.main import WIDTH
from pytest_kycquant.plain import plain
from pytest_kycquant.report.document import Report
from pytest_kycquant.report.json_report import report_of
from pytest_kycquant.report.reading import read_report
from pytest_kycquant.verdicts import Verdict
from tests.cli.conftest import Kycquant
from tests.worlds.parts import OfGate, of_gate, of_pipeline, run_of, shards_of, written

GATES = [of_gate("test_a"), of_gate("test_b"), of_pipeline("test_p", ["test_a"], "fp16")]


def write(path: Path, report: Report) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plain(report)), encoding="utf-8")
    return path


def written_shards(root: Path, gates: list[OfGate], *places: int) -> list[Path]:
    reports = shards_of(gates, places, max(places))
    return [write(root / f"job-{n}" / "report.json", one) for n, one in enumerate(reports, 1)]


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    return written_shards(tmp_path / "reports", GATES, 1, 2, 2)


def test_files(kycquant: Kycquant, shards: list[Path]) -> None:
    code, shown, error = kycquant("merge", *shards, "-o", "out.json")
    assert (code, error) == (exits.DONE, "")
    assert shown.splitlines() == [
        "PASS: 2 reports (shards 1/2, 2/2)",
        "  - test_a.py::TestIt: PASS, fp16 ships",
        "  - test_b.py::TestIt: PASS, fp16 ships",
        "  - test_p.py::TestIt: PASS, test_a fp16",
        "wrote out.json",
    ]
    report = read_report(Path("out.json"))
    assert (report.verdict, len(report.parts), report.shard) == ("PASS", 2, None)
    assert report.times.finished == "later"  # of the last part, not of today


def test_a_folder_with_other_files(kycquant: Kycquant, shards: list[Path]) -> None:
    (shards[0].parent / "quality.json").write_text("[]")
    (shards[0].parent / "junit.xml").write_text("<xml/>")
    out = Path("reports/merged.json")
    for _ in range(2):  # the second time, its own result is there
        code, shown, _ = kycquant("merge", "reports", "-o", out)
        assert code == exits.DONE
        assert "left aside, since it is not a report: reports/job-1/quality.json\n" in shown
    code, shown, error = kycquant("merge", "reports")
    assert (code, shown) == (exits.NEGATIVE, "")
    assert "reports/merged.json: unites other reports itself" in error


def test_json(kycquant: Kycquant, shards: list[Path]) -> None:
    code, shown, _ = kycquant("merge", *shards, "--json")
    assert code == exits.DONE
    assert json.loads(shown)["verdict"] == "PASS"


def test_a_missing_shard(kycquant: Kycquant, shards: list[Path]) -> None:
    code, shown, _ = kycquant("merge", shards[0], "-o", "out.json")
    assert code == exits.NEGATIVE
    assert shown.splitlines()[0] == "INCOMPLETE: 1 report (shards 1/2)"
    missing = "the report of shard 2/2 is missing"
    assert f"  - test_a.py::TestIt: INCOMPLETE, nothing ships yet: {missing}" in joined(shown)
    assert f"  ! {missing}" in shown.splitlines()
    assert "fp16" not in shown
    whole = read_report(Path("out.json"))
    assert whole.problems[0] == missing
    assert {(gate.ship, gate.incomplete) for gate in whole.gates} == {(None, missing)}


def test_a_missing_shard_beside_a_failure(kycquant: Kycquant, tmp_path: Path) -> None:
    gates = [of_gate("test_a"), of_gate("test_b", Verdict.FAIL, "failed"), of_gate("test_c")]
    paths = written_shards(tmp_path, gates, 1, 2, 3)
    _, shown, _ = kycquant("merge", *paths[:2])
    assert shown.startswith("FAIL: ")
    missing = "nothing ships yet: the report of shard 3/3 is missing"
    assert f"  - test_a.py::TestIt: INCOMPLETE, {missing}" in joined(shown)
    assert f"  - test_b.py::TestIt: FAIL, {missing}" in joined(shown)


def test_a_pipeline_of_an_incomplete_run(kycquant: Kycquant, tmp_path: Path) -> None:
    gates = [of_gate("test_a"), of_pipeline("test_p", ["test_a"], "fp16"), of_gate("test_c")]
    paths = written_shards(tmp_path, gates, 1, 1, 2)
    _, shown, _ = kycquant("merge", paths[0])
    assert "  - test_p.py::TestIt: INCOMPLETE, nothing ships yet: the report of" in joined(shown)


def joined(shown: str) -> str:
    """Points, each on one line."""
    return shown.replace("\n    ", " ")


def test_messages_of_several_lines(kycquant: Kycquant, tmp_path: Path) -> None:
    """They are those of assertions; whatever else a terminal would act on stays escaped."""
    gates = [of_gate("test_a", Verdict.FAIL, "failed")]
    found = run_of(gates)
    test = next(iter(found.errors))
    found.errors[test] = f"int8 FAIL size\nFAIL size = 2\n\n  {'word ' * 30}\x1b[2J"
    path = write(tmp_path / "one.json", written(report_of(found)))
    _, shown, _ = kycquant("merge", path, "--of", "1")
    lines = shown.splitlines()
    at = lines.index(f"  ! {test}: int8 FAIL size")
    assert lines[at + 1] == "    FAIL size = 2"
    assert lines[at + 2].startswith("      word word")
    assert "\x1b" not in shown
    assert "\\n" not in shown
    assert max(map(len, lines)) <= WIDTH


@pytest.mark.parametrize(
    ("verdict", "outcome", "expected"),
    [
        (Verdict.FAIL, "failed", "FAIL"),
        (Verdict.INCONCLUSIVE, "undecided", "INCONCLUSIVE"),
        (Verdict.INCONCLUSIVE, "failed", "FAIL"),  # by a rule of the user's own, too
    ],
)
def test_a_failure_anywhere(
    kycquant: Kycquant, tmp_path: Path, verdict: Verdict, outcome: str, expected: str
) -> None:
    gates = [of_gate("test_a"), of_gate("test_b", verdict, outcome)]
    code, shown, _ = kycquant("merge", *written_shards(tmp_path, gates, 1, 2))
    assert code == exits.NEGATIVE
    assert shown.startswith(f"{expected}: 2 reports")
    assert "  ! test_b.py::TestIt::test_far[int8]: assert 0" in shown.splitlines()


def test_one_job_for_each_file(kycquant: Kycquant, tmp_path: Path) -> None:
    for number, gate in enumerate(GATES):
        write(tmp_path / "jobs" / f"{number}.json", written(report_of(run_of([gate]))))
    assert kycquant("merge", "jobs", "--of", "3")[0] == exits.DONE
    code, shown, _ = kycquant("merge", "jobs", "--of", "4")
    assert (code, "  ! 1 of 4 reports is missing\n" in shown) == (exits.NEGATIVE, True)
    code, shown, error = kycquant("merge", "jobs")
    assert (code, shown) == (exits.NEGATIVE, "")
    assert "does not say of how many reports it is one; say so with --of" in error
    assert kycquant("merge", "jobs", "--of", "0")[0] == exits.USAGE


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "reports: holds no report"),
        (lambda folder: (folder / "a.json").write_text("{"), "a.json: is not a report: "),
        (
            lambda folder: (folder / "a.json").write_text('{"schema": 7, "gates": []}'),
            "a.json: has schema 7, and this version reads 8",
        ),
    ],
)
def test_what_cannot_be_read(
    kycquant: Kycquant, tmp_path: Path, make: object, message: str
) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    make(folder)  # type: ignore[operator]
    code, shown, error = kycquant("merge", "reports")
    assert (code, shown) == (exits.NEGATIVE, "")
    assert message in error
    assert len(error.splitlines()) == 1


def test_nothing_of_the_users_is_overwritten(kycquant: Kycquant, shards: list[Path]) -> None:
    mine = Path("mine.json")
    mine.write_text("{}")
    code, _, error = kycquant("merge", *shards, "-o", mine)
    assert (code, mine.read_text()) == (exits.NEGATIVE, "{}")
    assert "--out: mine.json exists and is not a report" in error
    assert "--out: out.txt does not say which report it is" in kycquant(
        "merge", *shards, "-o", "out.txt"
    )[2]  # fmt: skip


def test_the_same_file_twice(kycquant: Kycquant, shards: list[Path]) -> None:
    code, _, error = kycquant("merge", shards[0], shards[0], shards[1])
    assert code == exits.NEGATIVE
    assert "is of shard 1/2, and so is" in error
