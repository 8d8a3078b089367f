"""The report of any run fits into any terminal of 80 columns or more, and hides no failure."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kycquant.bench.records import VariantRecord
from pytest_kycquant.bench.shipping import Shipment, objections_of
from pytest_kycquant.report import render
from pytest_kycquant.report.records import Collected, GatedModel
from pytest_kycquant.report.spans import text_of
from pytest_kycquant.report.terminal import lines
from pytest_kycquant.report.variant_table import VariantTable
from pytest_kycquant.results import GateResult, Waiver
from pytest_kycquant.verdicts import Check, Direction, Limit, Unit, Verdict
from tests.worlds.findings import ENVIRONMENT, PIPELINE

GATES = ("finite", "far", "frr", "degradation", "latency", "size", "recall", "my_own_metric_of_it")
LABELS = ("int8", "int8-dynamic", "int8>mixed", "fp16", "int4-weights", "a-recipe-with-a-long-name")
NAMES = ("FRR", "FRR, FP32 gallery, sides swapped", "increase of FAR over FP32, worst of 12 groups")
WAIVER = Waiver(
    "TestFace", "int8", "frr", "a known failure", "KYC-1", "2099-01-01", source="w.toml"
)

values = st.floats(-2, 2000, allow_nan=False).map(lambda x: round(x, 4))


@st.composite
def checks(draw: st.DrawFn) -> Check:
    unit = draw(st.sampled_from(list(Unit)))
    limit = Limit("x", draw(values), draw(st.sampled_from(list(Direction))), unit)
    low, value, high = sorted(draw(st.tuples(values, values, values)))
    name = draw(st.sampled_from(NAMES))
    if draw(st.integers(0, 5)) == 0:
        return Check(name, draw(st.sampled_from(list(Verdict)[:3])), detail="not measured: no time")
    if draw(st.booleans()):
        return limit.point(name, value, draw(st.sampled_from(["", "a.png, b.png"])))
    verdict = limit.judge(low, high)
    lacking = "about 1,234 people would decide" if verdict is Verdict.INCONCLUSIVE else ""
    detail = f"12 errors in 217,140 impostor comparisons; {lacking}"
    return Check(name, verdict, limit, value, low, high, detail, lacking)


@st.composite
def records(draw: st.DrawFn, label: str) -> VariantRecord:
    names = draw(st.lists(st.sampled_from(GATES), unique=True, max_size=6))
    gates = {
        name: GateResult(
            name,
            tuple(draw(st.lists(checks(), min_size=1, max_size=3))),
            waiver=draw(st.sampled_from([None, None, None, WAIVER])),
        )
        for name in names
    }
    shown = draw(st.sampled_from([{}, {"cosine": "0.9988 / -0.1191"}, {NAMES[2]: "0.5000"}]))
    notes = draw(st.sampled_from([(), ("the intervals are too narrow " * 5,)]))
    options = draw(st.sampled_from([{}, {"reduce_range": True, "reason": "of this CPU " * 9}]))
    size = draw(st.integers(1, 10**9))
    return VariantRecord(
        "face", label, "ab", size, size / 10**6, options, gates, {"wall_p50_ms": 1.5}, notes, shown
    )


@st.composite
def runs(draw: st.DrawFn) -> Collected:
    found = Collected(ENVIRONMENT)
    for number in range(draw(st.integers(1, 2))):
        labels = draw(st.lists(st.sampled_from(LABELS), min_size=1, max_size=4, unique=True))
        tried = [draw(records(label)) for label in labels]
        fell = tried[-1] if draw(st.booleans()) else tried[0]
        reasons = ("mixed was not tried: a reason", *objections_of(tried[0]))
        given = reasons if fell is not tried[0] else ()
        shipment = Shipment(labels[0], fell, given, tuple(tried))
        found.by_key[str(number)] = GatedModel(
            f"face{number}",
            f"tests/gates/test_face.py::TestFace{number}",
            found.outcomes,
            variants={each.variant: each for each in (draw(records("fp32")), *tried)},
            shipments={labels[0]: shipment},
            tests={f"tests/gates/test_face.py::TestFace::test_far[{labels[0]}]": labels[0]},
            profile_note="standard; looser than the defaults: latency_ratio 1000 (1.05)",
        )
    if draw(st.booleans()):
        gates = draw(records("shipped")).gates
        found.pipelines[PIPELINE.gate] = replace(PIPELINE, gates=gates, shipped=row(), fp32=row())
        found.policies[PIPELINE.gate] = "fail"
    return found


def row() -> object:
    timing = {
        "p50": 183.4, "p95": 222.5, "bound": 312.1, "slowest": 312.1, "load": 610.2,
        "stages": {"other": 12.5, "detector": 83.25},
    }  # fmt: skip
    return replace(PIPELINE.shipped, variants={"detector": "int8-weights"}, timing=timing)


@given(runs(), st.integers(80, 160), st.booleans())
@settings(max_examples=100, deadline=None)
def test_every_line_fits_and_no_figure_is_broken(
    found: Collected, width: int, verbose: bool
) -> None:
    for text in map(text_of, lines(found, width, verbose=verbose)):
        assert len(text) <= width, text
        assert text.count("[") == text.count("]"), text
        assert not re.match(r"\s*(?:%|ms\b|MB\b|\d[^:\s]*\]$)", text), text
        assert not re.search(r"(?:limit|<=?|>=|=)$", text), text
        assert text == text.rstrip()


@given(runs(), st.integers(80, 160))
@settings(max_examples=100, deadline=None)
def test_every_gate_that_does_not_pass_is_seen(found: Collected, width: int) -> None:
    for gate in found.gates:
        table = VariantTable(gate, width)
        shown = [text_of(one) for one in table.lines()]
        for record in gate.rows():
            for result in record.gates.values():
                if result.verdict is Verdict.PASS:
                    continue
                block = " ".join(of_variant(shown, record.variant, list(gate.variants)))
                assert result.verdict.value in block, (result, shown)
                assert result.gate in block, (result, shown)
    text = " ".join(" ".join(map(text_of, lines(found, width))).split())
    for record in found.pipelines.values():
        for result in record.gates.values():
            assert result.verdict is Verdict.PASS or f"{result.gate}" in text.split("pipeline, ")[1]


def of_variant(shown: list[str], label: str, labels: list[str]) -> list[str]:
    """The lines of a table that are about a variant."""
    starts = [
        at
        for at, text in enumerate(shown)
        if re.split(r"  |:", text)[0].strip() in labels and not text.startswith(" ")
    ]
    start = next(at for at in starts if re.split(r"  |:", shown[at])[0].strip() == label)
    later = [at for at in starts if at > start]
    return shown[start : later[0] if later else len(shown)]


@given(runs())
@settings(max_examples=30, deadline=None)
def test_a_column_of_a_gate_that_fails_is_never_dropped(found: Collected) -> None:
    for gate in found.gates:
        for width in (80, 100, 120, 160):
            form = VariantTable(gate, width)._form
            for name in form.moved if form else ():
                judged = [r.gates[name].verdict for r in gate.rows() if name in r.gates]
                assert set(judged) <= {Verdict.PASS}


@given(runs())
@settings(max_examples=30, deadline=None)
def test_verbose_says_more_and_the_same_run_reads_the_same(found: Collected) -> None:
    short, whole = (list(lines(found, verbose=verbose)) for verbose in (False, True))
    assert len(whole) >= len(short)
    assert render("terminal", found) == "".join(f"{text_of(one)}\n" for one in short)
    assert list(lines(found)) == short


@pytest.mark.parametrize("width", [80, 120])
def test_a_saturation_note_stands_once(width: int) -> None:
    found = Collected(ENVIRONMENT)
    counted = "{} of 34 convolutions and matrix products ({} of 198,384 pairs of weights) can"
    tried = [
        VariantRecord(
            "face", label, "ab", 5, 0.3, {},
            {"far": GateResult("far", (Limit("far", 0.5).point("FAR", 0.1),))},
            notes=(f"{counted.format(number, 10 * number)} saturate on this CPU",),
        )
        for number, label in enumerate(("int8", "int8-dynamic"), 3)
    ]  # fmt: skip
    shipments = {each.variant: Shipment(each.variant, each, (), (each,)) for each in tried}
    found.by_key["1"] = GatedModel(
        "face", "t.py::T", found.outcomes, {r.variant: r for r in tried}, shipments
    )
    text = " ".join(" ".join(map(text_of, lines(found, width))).split())
    said = "note on int8, int8-dynamic: convolutions and matrix products can saturate on this CPU"
    assert text.count(said) == text.count("saturate on this CPU") == 1
    whole = " ".join(" ".join(map(text_of, lines(found, width, verbose=True))).split())
    assert "note on int8: 3 of 34 convolutions" in whole
    assert "note on int8-dynamic: 4 of 34 convolutions" in whole


def test_a_wider_terminal_shows_both_bounds() -> None:
    limit = Limit("far", 0.001)
    far = limit.check("FAR", _Rate(0.0004, 0.0002, 0.0006))
    record = VariantRecord("face", "int8", "ab", 5, 0.3, {}, {"far": GateResult("far", (far,))})
    found = Collected(ENVIRONMENT)
    labels = [f"a-recipe-with-a-long-name-{number}" for number in range(3)]
    found.by_key["1"] = GatedModel(
        "face",
        "t.py::T",
        found.outcomes,
        {label: replace(record, variant=label, shown={"cosine": "x" * 25}) for label in labels},
    )
    wide, narrow = ("\n".join(map(text_of, lines(found, width))) for width in (120, 80))
    assert "0.040 % [0.020, 0.060]" in wide
    assert "x" * 25 in wide
    assert "x" * 25 not in narrow
    assert "x" * 25 in "\n".join(map(text_of, lines(found, 80, verbose=True)))


class _Rate:
    supported = True

    def __init__(self, value: float, lower: float, upper: float) -> None:
        self.value, self.lower, self.upper = value, lower, upper
