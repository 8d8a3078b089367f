"""The run as Markdown: what decides comes first, and names cannot break it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_kycquant.report import MARK, render
from pytest_kycquant.report.found import Found
from pytest_kycquant.report.records import Collected
from pytest_kycquant.report.run_entries import Commit
from pytest_kycquant.results import GateResult
from pytest_kycquant.verdicts import Check, Verdict
from tests.report.test_json_report import collected
from tests.worlds.findings import GATE, ORIGIN, PIPELINE, record


def lines(found: Collected) -> list[str]:
    return render("markdown", found).splitlines()


def table(shown: list[str], header: str) -> list[list[str]]:
    """The cells of the table whose first header is given, without headers."""
    start = next(at for at, line in enumerate(shown) if line.startswith(f"| {header}"))
    rows = shown[start + 2 :]
    end = next(at for at, line in enumerate(rows) if not line.startswith("|"))
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[:end]]


def test_what_decides_comes_first() -> None:
    found = collected()
    found.commit = Commit("0123456789abcdef", changed=True)
    shown = lines(found)
    assert shown[:2] == [f"<!-- {MARK} -->", "## kycquant: PASS"]
    assert table(shown, "model") == [
        ["face", "**int8\\>mixed**", "0.25", "-", "`test_b.py::TestIt`"]
    ]
    assert "**What does not pass**" not in shown
    variants = table(shown, "variant")
    assert [row[0] for row in variants] == ["fp32", "int8", "int8\\>mixed"]
    assert variants[1][-1] == "FAIL far"
    assert shown[-1] == "<sub>onnxruntime 1, a CPU; commit 0123456789ab, with changes</sub>"


def test_what_does_not_pass_is_said() -> None:
    found = collected()
    lost = replace(GATE.shipment, record=record("int8", Verdict.FAIL), reasons=())
    found.add(Found(ORIGIN, "fail", replace(GATE, shipment=lost)))
    broken = GateResult("frr", (Check("FRR", Verdict.INCONCLUSIVE),))
    found.add(Found(ORIGIN, "fail", pipeline=replace(PIPELINE, gates={"frr": broken})))
    found.broken["test_d.py::TestIt"] = "there is no such model"
    shown = lines(found)
    assert shown[1] == "## kycquant: ERROR"
    start = shown.index("**What does not pass**")
    assert shown[start + 2 : start + 5] == [
        "- face as int8: FAIL FAR = 50 % \\[25 %, 75 %\\] must be below 0.1 %: 1 of 2",
        f"- `{PIPELINE.gate}`: INCONCLUSIVE FRR",
        "- test\\_d.py::TestIt was not judged: there is no such model",
    ]


def test_rates_of_a_pipeline() -> None:
    rate: dict[str, Any] = {"value": 0.1, "lower": 0.05, "upper": 0.2}
    both = {"fp32": {"FRR": rate}, "shipped": {"FRR": rate | {"value": 0.12}}}
    found = collected()
    found.add(Found(ORIGIN, "fail", pipeline=replace(PIPELINE, rates=both)))
    shown = lines(found)
    start = next(at for at, line in enumerate(shown) if line.startswith("| fp32 "))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in shown[start:][:2]]
    assert rows == [["fp32", "10 % [5, 20]"], ["shipped", "12 % [5, 20]"]]


def test_names_cannot_break_it() -> None:
    found = Collected()
    evil = replace(record("fp32"), model="a|b</summary><b>`x`")
    found.add(Found(ORIGIN, "fail", replace(GATE, gate="t.py::T`|<x>", fp32=evil)))
    shown = lines(found)
    (row,) = [line for line in shown if "a\\|b" in line and line.startswith("|")]
    assert row.replace("\\|", "").count("|") == 6
    assert not any("<b>" in line.replace("\\<b\\>", "") for line in shown)
    assert "`t.py::T'/<x>`" in row


def test_a_run_without_gates() -> None:
    assert lines(Collected()) == [f"<!-- {MARK} -->", "## kycquant: INCOMPLETE", ""]
