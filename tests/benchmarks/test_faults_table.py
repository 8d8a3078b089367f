"""The tables of the fault bank count the rows correctly."""

from __future__ import annotations

import json

from benchmarks.faults.table import Row, alarms_by_check, by_fault, findings, share, summary


def row(truth: str, outcome: str, *, fault: str = "fault", **options: object) -> Row:
    values = {"model": "m", "where": "w", "control": False, "why": "FAR 1 %"} | options
    return Row(fault=fault, truth=truth, outcome=outcome, **values)  # type: ignore[arg-type]


ROWS = [
    row("harmful", "FAIL", gates=("far",), objections=("FAIL FAR = 1 %",)),
    row("harmful", "ERROR", fault="golden"),
    row("harmful", "INCONCLUSIVE", fault="undecided", objections=("INCONCLUSIVE FRR = 2 %",)),
    row("harmful", "PASS", fault="missed"),
    row("harmless", "PASS", control=True, usage=0.2),
    row("harmless", "FAIL", fault="drift", drift="beyond", objections=("FAIL cosine = .9",)),
    row("harmless", "FAIL", fault="alarm", objections=("FAIL cosine = .98",)),
    row(
        "harmless",
        "INCONCLUSIVE",
        fault="too few",
        usage=0.6,
        with_more="PASS",
        more_people=1200,
        objections=("INCONCLUSIVE FAR = 1 %",),
    ),
    row("harmless", "INCONCLUSIVE", fault="still", with_more="INCONCLUSIVE"),
    row("borderline", "PASS", fault="between"),
]


def test_intervals() -> None:
    assert share(99, 100) == "99.0 % (99 of 100) [94.6, 100.0]"
    assert share(0, 10) == "0.0 % (0 of 10) [0.0, 30.8]"
    assert share(10, 10) == "100.0 % (10 of 10) [69.2, 100.0]"
    assert share(0, 0) == "none"


def test_summary() -> None:
    lines = summary(ROWS).splitlines()
    cells = [cell.strip() for cell in lines[2].split("|")[1:-1]]
    assert cells[0] == "m"
    assert cells[1].startswith("75.0 % (3 of 4)")
    assert cells[2].startswith("50.0 % (2 of 4)")
    assert cells[3].startswith("20.0 % (1 of 5)")
    assert cells[4].startswith("25.0 % (1 of 4)")
    assert cells[5].startswith("50.0 % (2 of 4)")
    assert cells[6].startswith("100.0 % (1 of 1)")
    assert cells[7] == "1"
    assert (
        lines[3].split("|")[2:] == lines[2].split("|")[2:]
    )  # with one model, both lines are the same


def test_by_fault_groups_places() -> None:
    text = by_fault([*ROWS[:1], row("harmless", "PASS")])
    assert "1 harmful, 1 harmless" in text
    assert "1 FAIL, 1 PASS" in text
    assert "far 1" in text


def test_findings_name_every_case_once() -> None:
    text = "\n".join(findings(ROWS))
    sections = text.split("\n**")[1:]
    counted = {s.partition("**")[0]: s.partition("(")[2].partition(")")[0] for s in sections}
    assert counted == {
        "Missed faults": "1",
        "Harmless, but drift limits are exceeded or nearly so": "1",
        "False alarms": "1",
        "Harmless and INCONCLUSIVE": "2",
        "Harmful and INCONCLUSIVE": "1",
        "Borderline": "1",
    }
    assert "missed (w)" in sections[0]
    assert "| PASS (1,200) " in text


def test_checks_that_object_to_harmless_models() -> None:
    text = alarms_by_check(ROWS)
    assert "FAIL cosine" in text
    assert "FAIL FAR" not in text  # to a harmful one


def test_rows_survive_a_file() -> None:
    again = [Row.from_dict(json.loads(json.dumps(each.as_dict()))) for each in ROWS]
    assert again == ROWS
