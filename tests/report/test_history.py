"""Reports over time: their order, their machines, and figures as shares of their limits."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from pytest_kycquant.report import MARK, trend
from pytest_kycquant.report.document import Report
from pytest_kycquant.report.history import history_of
from pytest_kycquant.report.json_report import report_of
from pytest_kycquant.report.merging import united
from pytest_kycquant.report.result_entries import CheckEntry, ResultEntry
from pytest_kycquant.verdicts import Verdict
from tests.worlds.findings import ENVIRONMENT, ORIGIN
from tests.worlds.parts import given, of_gate, of_pipeline, run_of, shards_of, written

A, PIPELINE = "test_a.py::TestIt, test_a", "test_p.py::TestIt"


def report(day: int = 1, verdict: Verdict = Verdict.PASS, cpu: str = "a CPU") -> Report:
    origin = replace(ORIGIN, environment=replace(ENVIRONMENT, cpu=cpu))
    gates = [of_gate("test_a", verdict, origin=origin), of_pipeline("test_p", ["test_a"], "fp16")]
    found = report_of(run_of(gates))
    times = replace(found.times, started=f"2026-11-{day:02}T10:00:00+00:00")
    return written(replace(found, times=times, environment=origin.environment))


def with_check(found: Report, gate: str = "far", **fields: object) -> Report:
    """The report with one check of what ships, under the name of a gate."""
    check = CheckEntry(**{"name": "FAR", "verdict": "PASS", "value": 0.5, "lower": 0.4,
        "upper": 0.6, "limit": 1.0, "direction": "below", "unit": "rate", "detail": "",
        **fields})  # type: ignore[arg-type]  # fmt: skip
    (entry,) = found.gates
    result = ResultEntry(gate, "PASS", (check,), "", (), None)
    rows = tuple(replace(row, gates={gate: result}) for row in entry.variants)
    return replace(found, gates=(replace(entry, variants=rows),))


def test_runs_are_in_the_order_of_time_and_count_once() -> None:
    reports = [report(day) for day in (3, 1, 2, 1)]
    random.Random(0).shuffle(reports)
    points = history_of(reports).gates[A]
    assert [point.started[8:10] for point in points] == ["01", "02", "03"]
    assert {point.commit for point in points} == {"c" * 40}
    assert {(point.ships, point.verdict, point.size) for point in points} == {("fp16", "PASS", 3)}


def test_pipelines_are_there() -> None:
    (point,) = history_of([report()]).gates[PIPELINE]
    assert (point.ships, point.verdict, point.size_ratio) == ("fp16", "PASS", None)


def test_what_ships_nothing() -> None:
    found = report()
    (gate,) = found.gates
    (point,) = history_of([replace(found, gates=(replace(gate, ship=None),))]).gates[A]
    assert (point.ships, point.verdict, point.size, point.figures) == ("", "PASS", None, ())
    lost = replace(gate, ship=None, incomplete="1 of 2 tests did not run")
    (point,) = history_of([replace(found, gates=(lost,))]).gates[A]
    assert point.verdict == "INCOMPLETE"


def test_the_verdict_is_that_of_the_gate_not_of_what_ships() -> None:
    (point,) = history_of([report(verdict=Verdict.FAIL)]).gates[A]
    assert (point.ships, point.verdict) == ("fp16", "FAIL")
    (point,) = history_of([report(verdict=Verdict.INCONCLUSIVE)]).gates[A]
    assert (point.ships, point.verdict) == ("fp16", "INCONCLUSIVE")
    failed = report_of(run_of([of_gate("test_a", outcome="failed")]))  # by a rule of the user's
    (point,) = history_of([written(failed)]).gates[A]
    assert point.verdict == "FAIL"


def test_machines() -> None:
    found = history_of([report(1), report(2, cpu="another"), report(3)])
    assert [point.machine for point in found.gates[A]] == ["A", "B", "A"]
    assert found.machines["B"].startswith("another (avx2, amx_int8), Linux, onnxruntime 1")


def test_machines_of_a_united_report() -> None:
    elsewhere = replace(ORIGIN, environment=replace(ENVIRONMENT, cpu="another"))
    gates = [of_gate("test_a"), of_gate("test_b", origin=elsewhere)]
    whole = report_of(united(given(shards_of(gates, (1, 2), 2))))
    found = history_of([whole])
    machines = {name: point.machine for name, (point,) in found.gates.items()}
    assert found.machines[machines[A]].startswith("a CPU ")
    assert found.machines[machines[A.replace("test_a", "test_b")]].startswith("another ")


@pytest.mark.parametrize(
    ("fields", "shares"),
    [
        ({}, (0.5, 0.4, 0.6)),
        ({"limit": 0.5}, (1.0, 0.8, 1.2)),
        ({"lower": None, "upper": None}, (0.5, 0.5, 0.5)),
        (  # .9 is the limit, 1 perfect: .95 uses half of what lies between, .92 four fifths
            {"value": 0.95, "lower": 0.92, "upper": 1.0, "limit": 0.9, "direction": "at least",
             "unit": "share"},
            (0.5, 0.0, 0.8),
        ),
        (
            {"value": 20.0, "lower": 18.0, "upper": 22.0, "limit": 10.0, "direction": "at least",
             "unit": "metric"},
            (0.0, -0.2, 0.2),
        ),
        ({"limit": 0.0}, None),
        ({"limit": None}, None),
        ({"value": None}, None),
        ({"limit": 1.0, "direction": "at least", "unit": "share"}, None),
    ],
)  # fmt: skip
def test_shares_of_limits(
    fields: dict[str, object], shares: tuple[float, float, float] | None
) -> None:
    (point,) = history_of([with_check(report(), **fields)]).gates[A]
    if shares is None:
        assert point.figures == ()
        assert point.worst is None
    else:
        (found,) = point.figures
        assert (found.value, found.lower, found.upper) == pytest.approx(shares)
        assert point.worst == found


def test_latency_is_a_column_of_its_own() -> None:
    found = with_check(report(), "latency", unit="ratio", limit=1.05)
    (point,) = history_of([found]).gates[A]
    assert (point.latency, point.latency_limit, point.figures) == ((0.5, 0.4, 0.6), 1.05, ())


# -- the plot ------------------------------------------------------------------------------------


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from pytest_kycquant.errors import SettingsError

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SettingsError, match=r"pip install 'pytest-kycquant\[html\]'"):
        trend.as_svg(history_of([report()]))


def drawn(reports: list[Report]) -> str:
    pytest.importorskip("matplotlib")
    return trend.as_svg(history_of(reports))


def texts(svg: str) -> str:
    """All text of a drawing."""
    found = ElementTree.fromstring(svg)  # it is ours, and must be sound
    return "\n".join("".join(each.itertext()) for each in found.iter() if each.tag.endswith("text"))


def test_plot_shows_gates_figures_and_machines() -> None:
    svg = drawn([report(1), report(2, cpu="another"), report(3)])
    assert svg.startswith(f"<!-- {MARK} -->\n<svg")
    shown = texts(svg)
    for text in (A, PIPELINE, "FAR", "used of the limit", "2026-11-01 cccccccc", "fp16", "size"):
        assert text in shown
    assert drawn([report(1), report(2, cpu="another"), report(3)]) == svg


def test_latencies_of_two_machines_are_apart() -> None:
    runs = [report(1), report(2, cpu="another")]
    timed = [with_check(one, "latency", unit="ratio", limit=1.05) for one in runs]
    shown = texts(drawn(timed))
    assert "latency on A" in shown
    assert "latency on B" in shown


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "$x^2$ & $", "_hidden", "\x1b[2J", "'\"]]>"]
)
def test_nothing_in_a_report_is_trusted(name: str) -> None:
    pytest.importorskip("matplotlib")
    found = with_check(report(), name=name)
    (gate,) = found.gates
    assert found.environment is not None
    hostile = replace(
        found,
        gates=(replace(gate, gate=name, ship="fp16"),),
        environment=replace(found.environment, cpu=name),
        times=replace(found.times, started=name),
    )
    shown = name.replace("\x1b", "\\x1b")
    svg = trend.as_svg(history_of([hostile]))
    assert shown in texts(svg).replace("\u200a", "")
    page = trend.as_html(history_of([hostile]))
    assert "<script" not in page
    assert "\x1b" not in page
    assert page.splitlines()[0] == f"<!-- {MARK} -->"
    assert not re.findall(r'(?:src|href)="(?!#)', page)  # it loads nothing
