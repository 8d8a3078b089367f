"""What does not pass, where the user can see it: GitHub's commands, GitLab's code quality."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_kycquant.errors import SettingsError
from pytest_kycquant.report import refuse_target, render
from pytest_kycquant.report.annotations import annotations_of, github, line_of
from pytest_kycquant.report.found import Found
from pytest_kycquant.report.records import Collected
from pytest_kycquant.results import GateResult, Waiver
from pytest_kycquant.spec.flags import CODE_QUALITY
from pytest_kycquant.verdicts import Check, Verdict
from tests.report.test_json_report import collected
from tests.worlds.findings import GATE, ORIGIN, PIPELINE, record

FILE = """
import x

class TestIt:
    def test_mine(self): ...

    class TestInner:
        pass


@x.mark
def test_function(candidate): ...
"""


def failing(verdict: Verdict = Verdict.FAIL, policy: str = "fail") -> Collected:
    found = collected()
    lost = replace(GATE.shipment, record=record("int8", verdict), reasons=())
    found.add(Found(ORIGIN, policy, replace(GATE, shipment=lost)))  # type: ignore[arg-type]
    return found


def test_nothing_to_annotate() -> None:
    assert annotations_of(collected()) == []
    assert json.loads(render("code-quality", collected())) == []


@pytest.mark.parametrize(
    ("gate", "line"),
    [
        ("test_b.py::TestIt", 4),
        ("test_b.py::TestIt::TestInner", 7),
        ("test_b.py::test_function", 12),
        ("test_b.py::test_function[int8]", 12),
        ("test_b.py::TestGone", 1),
        ("test_b.py", 1),
        ("test_gone.py::TestIt", 1),
    ],
)
def test_lines(tmp_path: Path, gate: str, line: int) -> None:
    (tmp_path / "test_b.py").write_text(FILE)
    assert line_of(tmp_path, gate) == line


def test_a_file_that_is_not_python(tmp_path: Path) -> None:
    (tmp_path / "test_b.py").write_text("class TestIt(:")
    assert line_of(tmp_path, "test_b.py::TestIt") == 1


def test_commands_of_github(tmp_path: Path) -> None:
    (tmp_path / "test_b.py").write_text(FILE)
    found = failing()
    found.root = tmp_path
    found.broken["test,c.py::TestIt"] = "100 % is\nwrong"
    assert list(github(found)) == [
        "::error file=test%2Cc.py,line=1,title=TestIt%3A not judged::100 %25 is\\nwrong",
        "::error file=test_b.py,line=4,title=TestIt%3A far of int8::FAIL FAR = 50 %25 "
        "[25 %25, 75 %25] must be below 0.1 %25: 1 of 2",
    ]


def test_levels() -> None:
    assert [one.level for one in annotations_of(failing(Verdict.INCONCLUSIVE))] == ["error"]
    undecided = annotations_of(failing(Verdict.INCONCLUSIVE, "warn"))
    assert [one.level for one in undecided] == ["warning"]
    found = collected()
    waiver = Waiver("g", "int8", "far", "known", "T-1", "2099-01-01")
    waived = GateResult("far", (Check("FAR", Verdict.FAIL),), waiver=waiver)
    found.add(Found(ORIGIN, "fail", pipeline=replace(PIPELINE, gates={"far": waived})))
    assert [one.level for one in annotations_of(found)] == ["notice"]


def test_code_quality_of_gitlab() -> None:
    (entry,) = json.loads(render("code-quality", failing()))
    assert list(entry) == ["description", "check_name", "fingerprint", "severity", "location"]
    assert entry["location"]["path"] == "test_b.py"
    assert entry["severity"] == "blocker"
    (other,) = json.loads(render("code-quality", failing(Verdict.INCONCLUSIVE)))
    assert other["fingerprint"] == entry["fingerprint"]  # the same finding, with other figures


def test_only_its_own_file_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "quality.json"
    path.write_text(render("code-quality", failing()))
    refuse_target(path, CODE_QUALITY)
    path.write_text(render("code-quality", collected()))
    refuse_target(path, CODE_QUALITY)
    for other in ('[{"check_name": "pylint"}]', "[1]", "{}"):
        path.write_text(other)
        with pytest.raises(SettingsError, match=r"--kycquant-code-quality: .* is not a report"):
            refuse_target(path, CODE_QUALITY)
