"""The parts of a run, united in any order, say what one run says; without one, none passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from pytest_kycquant.errors import ReportError
from pytest_kycquant.report.document import Report
from pytest_kycquant.report.json_report import report_of
from pytest_kycquant.report.merging import united
from pytest_kycquant.report.run_entries import Commit
from pytest_kycquant.results import Waiver
from pytest_kycquant.verdicts import Verdict
from tests.worlds.findings import ENVIRONMENT, ORIGIN
from tests.worlds.parts import (
    OfGate,
    comparable,
    given,
    of_gate,
    of_pipeline,
    run_of,
    shards_of,
    written,
)

VERDICTS = st.sampled_from([Verdict.PASS, Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE])
OUTCOMES = st.sampled_from(
    ["passed", "passed", "failed", "undecided", "skipped", "xfailed", "not run"]
)
PASSING = ("PASS", "WAIVED")


@st.composite
def runs(draw: st.DrawFn) -> list[OfGate]:
    """One to four gates, perhaps one that cannot be judged, and perhaps a pipeline of some."""
    names = [f"test_{letter}" for letter in "abcd"[: draw(st.integers(1, 4))]]
    gates = [
        of_gate(name, draw(VERDICTS), draw(OUTCOMES), torn=draw(st.integers(0, 9)) == 0)
        for name in names
    ]
    if draw(st.integers(0, 5)) == 0:
        gates.append(of_gate("test_x", broken="no such model"))
    if draw(st.booleans()):
        stages = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
        ran = draw(st.sampled_from(["int8", "fp16", "fp32"]))
        alone = draw(st.sampled_from(["", "int8"]))
        gates.append(of_pipeline("test_p", stages, ran, alone, draw(OUTCOMES)))
    return gates


@settings(max_examples=40)
@drawn(st.data())
def test_any_partition_in_any_order_is_one_run(data: st.DataObject) -> None:
    gates = data.draw(runs())
    of = data.draw(st.integers(1, 4))
    places = data.draw(st.lists(st.integers(1, of), min_size=len(gates), max_size=len(gates)))
    parts = data.draw(st.permutations(shards_of(gates, places, of)))
    whole = report_of(united(given(parts)))
    assert comparable(whole) == comparable(report_of(run_of(gates)))
    assert all(one.verdict not in PASSING for one in parts)
    for lost in range(len(parts)):
        rest = parts[:lost] + parts[lost + 1 :]
        if rest:
            without = report_of(united(given(rest)))
            assert without.verdict not in PASSING
            assert "is missing" in without.problems[0]


@settings(max_examples=40)
@drawn(st.data())
def test_tests_of_a_gate_in_several_jobs(data: st.DataObject) -> None:
    """As pytest-split divides them, which knows no gates and leaves its parts in no report."""
    gates = data.draw(runs())
    tests = [test for gate in gates for test in gate.outcomes]
    of = data.draw(st.integers(1, 3))
    places = [data.draw(st.integers(1, of)) for _ in tests]
    parts = []
    for index in range(1, of + 1):
        mine = {test for test, place in zip(tests, places, strict=True) if place == index}
        mine |= {gate.name for gate in gates if gate.torn and list(gate.outcomes)[-1] in mine
                 and len(gate.outcomes) == 1}  # fmt: skip
        parts.append(written(report_of(run_of([untorn(gate) for gate in gates], mine))))
    if len({part.digest for part in parts}) < of:
        return  # two jobs that ran nothing
    whole = report_of(united(given(data.draw(st.permutations(parts))), of))
    assert comparable(whole) == comparable(report_of(run_of([untorn(gate) for gate in gates])))


def untorn(gate: OfGate) -> OfGate:
    return replace(gate, torn=False)


@pytest.fixture
def gates() -> list[OfGate]:
    return [of_gate("test_a"), of_gate("test_b"), of_pipeline("test_p", ["test_a"], "fp16")]


def refused(parts: Sequence[Report], of: int | None = None) -> str:
    with pytest.raises(ReportError) as raised:
        united(given(parts), of)
    return str(raised.value)


def test_a_run_that_passes(gates: list[OfGate]) -> None:
    parts = shards_of(gates, (1, 2, 1), 2)
    whole = report_of(united(given(parts)))
    assert (whole.verdict, whole.problems, whole.shard) == ("PASS", (), None)
    assert sorted(one.shard for one in whole.parts) == ["1/2", "2/2"]
    assert {one.digest for one in whole.parts} == {part.digest for part in parts}
    assert [part.verdict for part in parts] == ["INCOMPLETE", "INCOMPLETE"]
    assert all(part.problems == () for part in parts)  # the other gates are not missed there


def test_a_shard_without_gates_is_one_of_them(gates: list[OfGate]) -> None:
    parts = shards_of(gates, (1, 1, 1), 2)
    assert report_of(united(given(parts))).verdict == "PASS"
    without = report_of(united(given(parts[:1])))
    assert (without.verdict, without.problems) == (
        "INCOMPLETE",
        ("the report of shard 2/2 is missing",),
    )


def test_a_pipeline_elsewhere_decides_what_its_stages_ship(gates: list[OfGate]) -> None:
    """It holds with fp16 only, where int8 is leaner; the gate of the stage ran elsewhere."""
    combined = [*gates[:2], of_pipeline("test_p", ["test_a"], "fp16", alone="int8")]
    parts = shards_of(combined, (1, 1, 2), 2)
    assert [gate.ship for gate in parts[0].gates] == ["fp16", "fp16"]  # the names decide a tie
    whole = report_of(united(given(parts)))
    assert [gate.ship for gate in whole.gates] == ["fp16", "fp16"]
    other = [*gates[:2], of_pipeline("test_p", ["test_a"], "int8", alone="fp16")]
    whole = report_of(united(given(shards_of(other, (1, 1, 2), 2))))
    assert [gate.ship for gate in whole.gates] == ["int8", "fp16"]


def test_a_pipeline_that_ran_what_fails_elsewhere(gates: list[OfGate]) -> None:
    bad = [of_gate("test_a", Verdict.FAIL), of_pipeline("test_p", ["test_a"], "int8")]
    parts = shards_of(bad, (1, 2), 2)
    whole = report_of(united(given(parts)))
    assert whole.verdict == "FAIL"
    assert whole.pipelines[0].not_shipped == ("test_a ran int8, but fp16 ships",)


def test_one_job_for_each_file(gates: list[OfGate]) -> None:
    parts = [written(report_of(run_of([gate]))) for gate in gates]
    assert [part.verdict for part in parts] == ["PASS"] * 3
    assert report_of(united(given(parts), 3)).verdict == "PASS"
    lacking = report_of(united(given(parts[:2]), 3))
    assert (lacking.verdict, lacking.problems) == ("INCOMPLETE", ("1 of 3 reports is missing",))
    assert "does not say of how many reports it is one; say so with --of" in refused(parts)
    assert "is one of 3 reports, not 2" in refused(parts, 2)


def test_of_and_shards(gates: list[OfGate]) -> None:
    parts = shards_of(gates, (1, 2, 2), 2)
    assert report_of(united(given(parts), 2)).verdict == "PASS"
    assert "is one of 2 shards, not 3" in refused(parts, 3)


def test_doubled(gates: list[OfGate]) -> None:
    parts = shards_of(gates, (1, 2, 2), 2)
    assert "is of shard 1/2, and so is" in refused([parts[0], *parts])
    again = written(replace(parts[0], times=replace(parts[0].times, started="at another time")))
    assert "is of shard 1/2, and so is" in refused([again, *parts])
    single = written(report_of(run_of(gates)))
    assert "is of the same run, and so is" in refused([single, single], 2)


def test_united_twice(gates: list[OfGate]) -> None:
    parts = shards_of(gates, (1, 2, 2), 2)
    whole = written(report_of(united(given(parts))))
    assert "unites other reports itself" in refused([whole, *parts])


def moved(report: Report, **changes: object) -> Report:
    return written(replace(report, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda one: moved(
                one, provenance=replace(one.provenance, commit=Commit("d" * 40, False))
            ),
            "commit",
        ),
        (
            lambda one: moved(
                one, provenance=replace(one.provenance, commit=Commit("c" * 40, True))
            ),
            "commit",
        ),
        (lambda one: moved(one, provenance=replace(one.provenance, commit=None)), "commit"),
        (lambda one: moved(one, provenance=replace(one.provenance, plugin="0.0.1")), "plugin"),
        (lambda one: moved(one, shard=replace(one.shard, run="other")), "tests or settings"),
        (lambda one: moved(one, shard=replace(one.shard, of=3)), "number of shards"),
        (lambda one: moved(one, shard=None), "number of shards"),
        (
            lambda one: moved(one, environment=replace(one.environment, onnxruntime="9")),
            "onnxruntime",
        ),
        (
            lambda one: moved(one, session_config={"session.x64quantprecision": "1"}),
            "session configuration",
        ),
    ],
)
def test_not_of_one_run(
    gates: list[OfGate], change: Callable[[Report], Report], message: str
) -> None:
    first, second = shards_of(gates, (1, 2, 2), 2)
    for parts in ((first, change(second)), (change(first), second)):
        assert "is not of the same run as" in (text := refused(parts))
        assert f": {message}" in text


def test_another_golden_or_definition(gates: list[OfGate]) -> None:
    first, second = shards_of(gates, (1, 2, 2), 2)
    (gate,) = second.gates
    golden = {**gate.golden, "threshold": 0.25}
    other = moved(second, gates=(replace(gate, model="test_a", golden=golden),))
    assert "judges test_a against another golden than" in refused([first, other])
    entries = tuple(
        replace(one, key="another") if one.model == "test_a" else one for one in second.scope.gates
    )
    changed = moved(second, scope=replace(second.scope, gates=entries))
    assert "has another definition of test_a.py::TestIt than" in refused([first, changed])


def test_edited_with_a_digest_made_anew(gates: list[OfGate]) -> None:
    bad = [of_gate("test_a", Verdict.FAIL), gates[1]]
    first, second = shards_of(bad, (1, 2), 2)
    (gate,) = first.gates
    rows = tuple(replace(row, verdict="PASS") for row in gate.variants)
    forged = moved(first, gates=(replace(gate, variants=rows),))
    assert "was edited: its verdicts do not follow from its figures" in refused([forged, second])
    assert "was edited" in refused([moved(first, verdict="PASS"), second])
    (decision, *rest) = gate.decisions
    unknown = replace(gate, decisions=(replace(decision, judged="nothing"), *rest))
    assert "was edited" in refused([moved(first, gates=(unknown,)), second])


def test_a_check_that_passes_beyond_its_limit() -> None:
    """Its verdict, that of its gate and all others were made to agree."""
    gates = [of_gate("test_a"), of_gate("test_b")]
    first, second = shards_of(gates, (1, 2), 2)
    (gate,) = first.gates
    rows = []
    for row in gate.variants:
        far = row.gates["far"]
        checks = (replace(far.checks[0], upper=0.002),)
        rows.append(replace(row, gates={"far": replace(far, checks=checks)}))
    forged = moved(first, gates=(replace(gate, variants=tuple(rows)),))
    assert "was edited: its verdicts do not follow from its figures" in refused([forged, second])


def test_a_waiver_that_names_gates_of_several_shards() -> None:
    """One run fails by it; no shard knows of more than one of them."""
    gates = [waived("test_a"), waived("test_b")]
    assert run_of(gates).verdict == "WAIVED"
    parts = shards_of(gates, (1, 2), 2)
    said = refused(parts)
    assert "waiver 1: names several gates: test_a.py::TestIt, test_b.py::TestIt" in said
    parts = shards_of([gates[0], of_gate("test_b")], (1, 2), 2)
    assert report_of(united(given(parts))).verdict == "WAIVED"


def waived(name: str) -> OfGate:
    """A gate that a waiver for all classes of its name lets ship."""
    gate = of_gate(name, Verdict.FAIL)
    waiver = Waiver("TestIt", "int8", "far", "a reason", "KYC-1", "2999-01-01",
                    ship=True, source="waivers.toml, waiver 1")  # fmt: skip
    found = []
    for one in gate.found:
        assert one.gate is not None
        row = one.gate.shipment.record
        if row.variant == "int8":
            row = replace(row, gates={"far": replace(row.gates["far"], waiver=waiver)})
        shipment = replace(one.gate.shipment, record=row, tried=(row,))
        found.append(replace(one, gate=replace(one.gate, shipment=shipment)))
    return replace(gate, found=tuple(found))


def test_a_gate_of_two_shards(gates: list[OfGate]) -> None:
    first, second = shards_of(gates, (1, 2, 2), 2)
    assert first.shard is not None
    assert second.shard is not None
    more = replace(first.shard, gates=(*first.shard.gates, *second.shard.gates))
    assert "which another shard has" in refused([moved(first, shard=more), second])
    none = replace(first.shard, gates=())
    assert "which another shard has" in refused([moved(first, shard=none), second])


def test_several_machines(gates: list[OfGate]) -> None:
    elsewhere = replace(ORIGIN, environment=replace(ENVIRONMENT, cpu="another"))
    mixed = [gates[0], of_gate("test_b", origin=elsewhere)]
    whole = report_of(united(given(shards_of(mixed, (1, 2), 2))))
    assert (whole.verdict, whole.environment) == ("PASS", None)
    told = {part.environment.cpu: part.gates for part in whole.parts if part.environment}
    assert told == {"a CPU": ("test_a.py::TestIt",), "another": ("test_b.py::TestIt",)}


def test_pieces_that_disagree(gates: list[OfGate]) -> None:
    tests = list(gates[0].outcomes)
    first, second = (written(report_of(run_of(gates[:1], {test}))) for test in tests)
    assert report_of(united(given([first, second]), 2)).verdict == "PASS"
    (gate,) = second.gates
    rows = tuple(replace(row, sha256="ff") for row in gate.variants)
    message = refused([first, moved(second, gates=(replace(gate, variants=rows),))], 2)
    assert "disagree about test_a.py::TestIt: the file of fp32" in message
    looser = moved(second, gates=(replace(gate, ship_by="size"),))
    assert "disagree about test_a.py::TestIt: its ship_by" in refused([first, looser], 2)


def test_pieces_that_fell_back_to_different_variants() -> None:
    """Each saw only some gates fail, so nothing is known about what holds for all of them."""
    parts = []
    for index, verdict in enumerate((Verdict.PASS, Verdict.FAIL)):
        gate = of_gate("test_a", verdict)
        other = gate.found[1].gate
        sent = gate.found[0].gate
        assert sent is not None
        assert other is not None
        if verdict is Verdict.FAIL:
            record = other.shipment.record
            tried = (*sent.shipment.tried, record)
            sent = replace(sent, shipment=replace(sent.shipment, record=record, tried=tried,
                                                  reasons=("int8 does not pass",)))  # fmt: skip
        gate = replace(gate, found=(replace(gate.found[0], gate=sent), gate.found[1]))
        parts.append(written(report_of(run_of([gate], {list(gate.outcomes)[index], gate.name}))))
    assert "disagree about test_a.py::TestIt: what int8 falls back to" in refused(parts, 2)


def test_the_worse_verdict_counts_where_two_judged() -> None:
    parts = []
    for verdict, outcome in ((Verdict.PASS, "passed"), (Verdict.FAIL, "failed")):
        parts.append(written(report_of(run_of([of_gate("test_a", verdict, outcome)]))))
    for order in (parts, parts[::-1]):
        whole = report_of(united(given(order), 2))
        assert whole.verdict == "FAIL"
        assert [one.outcome for one in whole.gates[0].tests] == ["passed", "failed"]
