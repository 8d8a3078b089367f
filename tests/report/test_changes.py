"""What got better or worse between two reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pytest_kycquant.report.changes import Change, changes
from pytest_kycquant.report.document import DataEntry, GateEntry, LimitEntry, Report
from pytest_kycquant.report.json_report import report_of
from pytest_kycquant.report.result_entries import CheckEntry, ResultEntry
from tests.report.test_json_report import collected

INT8 = "int8>mixed"


@pytest.fixture
def old() -> Report:
    report = report_of(collected())
    (gate,) = report.gates
    limits = (
        LimitEntry("far", 0.001, "below", "rate"),
        LimitEntry("recall", 0.9, "at least", "share"),
    )
    data = {"evaluation": DataEntry(600, "a" * 64)}
    return replace(report, gates=(replace(gate, limits=limits, data=data),))


def with_gate(report: Report, change: Callable[[GateEntry], GateEntry]) -> Report:
    return replace(report, gates=tuple(map(change, report.gates)))


def with_result(report: Report, result: ResultEntry, variant: str = INT8) -> Report:
    def change(gate: GateEntry) -> GateEntry:
        rows = tuple(
            replace(row, gates={result.gate: result}) if row.variant == variant else row
            for row in gate.variants
        )
        return replace(gate, variants=rows)

    return with_gate(report, change)


def check(value: float, lower: float | None, upper: float | None, **more: str) -> CheckEntry:
    given = {"name": "FAR", "verdict": "PASS", "direction": "below", "unit": "rate"} | more
    return CheckEntry(value=value, lower=lower, upper=upper, limit=0.001, detail="", **given)


def result(*checks: CheckEntry, verdict: str = "PASS") -> ResultEntry:
    return ResultEntry("far", verdict, checks, "", (), None)


def only(found: list[Change]) -> Change:
    (one,) = found
    return one


def test_nothing(old: Report) -> None:
    assert changes(old, old) == []


def test_a_verdict_that_got_worse(old: Report) -> None:
    before = with_result(old, result(check(0.5, 0.25, 0.75)))
    after = with_result(old, result(check(0.5, 0.25, 0.75), verdict="FAIL"))
    found = only(changes(before, after))
    assert (found.what, found.kind, found.decides) == ("verdict of far", "worse", True)
    assert only(changes(after, before)).kind == "better"
    undecided = with_result(old, result(check(0.5, 0.25, 0.75), verdict="INCONCLUSIVE"))
    assert only(changes(after, undecided)).kind == "better"


@pytest.mark.parametrize(
    ("after", "kind"),
    [
        (check(0.6, 0.35, 0.85), None),  # the intervals overlap
        (check(0.9, 0.80, 0.95), "worse"),
        (check(0.1, 0.05, 0.20), "better"),
        (check(0.9, 0.80, 0.95, direction="at least"), "better"),
    ],
)
def test_figures_change_beyond_noise(old: Report, after: CheckEntry, kind: str | None) -> None:
    before = with_result(old, result(check(0.5, 0.25, 0.75, direction=after.direction)))
    found = changes(before, with_result(old, result(after)))
    assert [one.kind for one in found] == ([] if kind is None else [kind])
    if kind:
        assert only(found).old == "50 % [25 %, 75 %]"


def test_a_figure_without_bounds_changes_beyond_rounding(old: Report) -> None:
    def of(value: float) -> Report:
        return with_result(old, result(check(value, None, None, name="size", unit="ratio")))

    assert changes(of(0.5), of(0.5001)) == []
    assert only(changes(of(0.5), of(0.51))).kind == "worse"
    assert only(changes(of(0.5), of(0.49))).kind == "better"


def test_a_looser_limit_is_worse(old: Report) -> None:
    def with_limits(far: float, recall: float) -> Report:
        limits = tuple(
            replace(limit, value={"far": far, "recall": recall}[limit.name])
            for limit in old.gates[0].limits
        )
        return with_gate(old, lambda gate: replace(gate, limits=limits))

    assert only(changes(old, with_limits(0.01, 0.9))).kind == "worse"
    assert only(changes(old, with_limits(0.0001, 0.9))).kind == "better"
    assert only(changes(old, with_limits(0.001, 0.8))).kind == "worse"
    assert only(changes(old, with_limits(0.001, 0.95))).kind == "better"
    off = with_gate(old, lambda gate: replace(gate, limits=(replace(gate.limits[0], value=None),)))
    assert only(changes(old, off)).new == "off"
    assert only(changes(old, off)).kind == "worse"


def test_what_ships(old: Report) -> None:
    nothing = with_gate(old, lambda gate: replace(gate, ship=None))
    found = only(changes(old, nothing))
    assert (found.what, found.kind, found.old, found.new) == ("ships", "worse", INT8, "nothing")
    assert only(changes(nothing, old)).kind == "better"
    other = with_gate(old, lambda gate: replace(gate, ship="fp16"))
    assert only(changes(old, other)).kind == "changed"


def test_a_gate_that_is_gone_is_worse(old: Report) -> None:
    found = only(changes(old, replace(old, gates=())))
    assert (found.what, found.kind, found.decides) == ("judged", "worse", True)
    assert only(changes(replace(old, gates=()), old)).kind == "changed"
    assert only(changes(old, replace(old, pipelines=()))).kind == "worse"


def test_a_check_that_is_no_longer_made_is_worse(old: Report) -> None:
    before = with_result(old, result(check(0.5, 0.25, 0.75)))

    def without(gate: GateEntry) -> GateEntry:
        rows = tuple(
            replace(row, gates={}) if row.variant == INT8 else row for row in gate.variants
        )
        return replace(gate, variants=rows)

    found = only(changes(before, with_gate(before, without)))
    assert (found.what, found.kind) == ("far judged", "worse")


def test_figures_and_variants_that_are_gone_are_told(old: Report) -> None:
    more = check(0.5, 0.25, 0.75), check(0.5, 0.25, 0.75, name="FAR of a group")
    found = only(changes(with_result(old, result(*more)), with_result(old, result(more[0]))))
    assert (found.what, found.kind) == ("FAR of a group judged", "worse")
    fewer = with_gate(old, lambda gate: replace(gate, variants=gate.variants[:-1]))
    found = only(changes(old, fewer))
    assert (found.variant, found.what, found.kind) == (INT8, "judged", "changed")


def test_what_cannot_be_compared_is_told(old: Report) -> None:
    other = with_gate(old, lambda g: replace(g, data={"evaluation": DataEntry(500, "b" * 64)}))
    found = only(changes(old, other))
    assert (found.what, found.kind) == ("evaluation data", "changed")
    moved = with_gate(old, lambda gate: replace(gate, golden={**gate.golden, "threshold": 0.4}))
    assert only(changes(old, moved)).what == "threshold"
    assert old.environment is not None
    machine = replace(old, environment=replace(old.environment, cpu="another"))
    found = only(changes(old, machine))
    assert (found.what, found.new) == ("environment", "cpu another")


def test_the_whole_run(old: Report) -> None:
    found = only(changes(old, replace(old, verdict="ERROR")))
    assert (found.gate, found.kind) == ("", "worse")
