"""What a reader asks of the page: what ships, what does not pass, by which limit, and why."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from pytest_kycquant.curves import Round, ScoreCounts, ScorePlot
from pytest_kycquant.report.document import Report
from pytest_kycquant.report.json_report import report_of
from pytest_kycquant.report.page import costs, page, plots
from pytest_kycquant.report.page.failures import failures
from pytest_kycquant.report.page.reasons import why
from pytest_kycquant.report.page.verdicts import headline
from pytest_kycquant.report.page.view import cards
from pytest_kycquant.report.records import Collected
from pytest_kycquant.report.run_entries import ErrorEntry, OutcomeEntry, Shard
from pytest_kycquant.report.variant_table import columns_of
from pytest_kycquant.results import GateResult
from pytest_kycquant.verdicts import Check, Unit, Verdict
from tests.worlds import pages
from tests.worlds.limits import below
from tests.worlds.parts import OfGate, of_gate, run_of

UNITS = re.compile(r"\d (?:%|ms|MB|s|min)\b|\d %")


@pytest.fixture(scope="module")
def report() -> Report:
    return report_of(pages.collected())


@pytest.fixture(scope="module")
def shown(report: Report) -> str:
    return page(report)


def words_of(text: str) -> str:
    """What a page says, in one line, without its style sheet and its drawings."""
    text = re.sub(r"<(style|svg)\b.*?</\1>", "", text, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", text).replace("&lt;", "<").replace("&gt;", ">").split())


def partly(gate: OfGate) -> OfGate:
    """A gate of which only some tests were asked for, as with ``-k far``."""
    sent = (replace(one, gate=replace(one.gate, unjudged=("frr",))) for one in gate.found
            if one.gate)  # fmt: skip
    return replace(gate, found=tuple(sent))


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_a_verdict_is_qualified_as_in_the_terminal(verdict: Verdict) -> None:
    run = run_of([partly(of_gate("test_a", verdict))])
    text = words_of(page(report_of(run)))
    _, rows = columns_of(run.gates[0])
    assert len(rows) == 3
    for label, *_, said in rows:
        assert text.count(f" {label} {said} ") == 2, (label, said)  # in the table and above all
    assert ("fp16", "PASS (only far)") in [(row[0], row[-1]) for row in rows]


def a_shard() -> Collected:
    return run_of([of_gate("test_a")], shard=Shard(1, 2, ("test_a.py::TestIt",), "run"))


def a_shard_that_fails() -> Collected:
    gates = [of_gate("test_a"), of_gate("test_b", Verdict.FAIL, "failed")]
    return run_of(gates, shard=Shard(1, 2, ("test_a.py::TestIt",), "run"))


def without_a_shard() -> Collected:
    run = run_of([of_gate("test_a")])
    run.missing = ("the report of shard 2/2 is missing",)
    return run


def with_a_test_left() -> Collected:
    return run_of([of_gate("test_a"), of_gate("test_b", outcome="not run")])


def with_an_error() -> Collected:
    return run_of([of_gate("test_a"), of_gate("test_b", broken="no such model")])


@pytest.mark.parametrize(
    "made", [a_shard, a_shard_that_fails, without_a_shard, with_a_test_left, with_an_error]
)
def test_nothing_ships_before_everything_was_judged(made: Callable[[], Collected]) -> None:
    report = report_of(made())
    first = next(cards(report, {}))
    assert report.gates[0].ship is not None  # what the JSON says of this gate stays
    assert (first.ships, first.verdict, first.size, first.latency) == (
        "nothing yet", "INCOMPLETE", "-", "-",
    )  # fmt: skip
    assert not any(row.ships for row in first.rows)
    table = page(report).partition('id="what-ships"')[2].partition("</table>")[0]
    assert f"{report.gates[0].ship} passes here" in table
    assert not re.search(r"\b(PASS|WAIVED)\b", table)
    assert any("nothing is decided yet" in line for line, _ in first.why)


@pytest.mark.parametrize("verdict", ["INCOMPLETE", "ERROR"])
def test_the_verdict_of_the_run_is_enough(verdict: str) -> None:
    report = report_of(run_of([of_gate("test_a")]))
    (card,) = cards(replace(report, verdict=verdict), {})  # type: ignore[arg-type]
    assert (card.ships, card.verdict) == ("nothing yet", "INCOMPLETE")


def test_what_ships_in_a_whole_run_is_said() -> None:
    (card,) = cards(report_of(run_of([of_gate("test_a")])), {})
    assert (card.ships, card.verdict) == ("fp16", "PASS")
    assert [row.label for row in card.rows if row.ships] == ["fp16"]


def test_a_pipeline_does_not_hold_before_everything_was_judged(report: Report) -> None:
    good = replace(report.pipelines[0], verdict="PASS", tests=())
    whole = replace(report, pipelines=(good,))
    for one, expected in ((whole, "PASS"), (replace(whole, problems=("x",)), "INCOMPLETE")):
        table = page(one).partition('id="what-ships"')[2].partition("</table>")[0]
        row = words_of(table.partition("TestFlow")[2])
        assert re.findall(r"\b(PASS|INCOMPLETE)\b", row) == [expected]
        assert row.startswith("nothing yet") == (expected == "INCOMPLETE")


@pytest.mark.parametrize("made", [a_shard, a_shard_that_fails])
def test_the_head_names_the_shard(made: Callable[[], Collected]) -> None:
    text = page(report_of(made()))
    assert "shard 1 of 2" in text.partition("</title>")[0]
    assert "This is shard 1 of 2" in text.partition("</header>")[0]


def test_all_tests_that_object_are_named_failures_first(report: Report) -> None:
    gate = report_of(run_of([of_gate("test_a")])).gates[0]
    told = [
        OutcomeEntry("test_bpcer[int8]", "int8", "failed, undecided", finished=True),
        OutcomeEntry("test_apcer[int8]", "int8", "passed", finished=True),
        OutcomeEntry("test_mine", "", "was skipped", finished=True),
        OutcomeEntry("test_size[int8]", "int8", "failed", finished=True),
        OutcomeEntry("test_size[fp16]", "fp16", "failed", finished=True),
    ]
    gate = replace(gate, tests=tuple(told), rejected={"int8": "test_bpcer[int8] failed"})
    said = dict(why(gate, replace(report, gates=(gate,))))
    assert said["int8 does not ship:"] == [
        "test_size[int8]: FAIL",
        "test_bpcer[int8]: INCONCLUSIVE",
        "test_mine: was skipped",
    ]
    many = [replace(told[3], test=f"test_{number:02}[int8]") for number in range(12)]
    gate = replace(gate, tests=tuple(many))
    *named, more = dict(why(gate, replace(report, gates=(gate,))))["int8 does not ship:"]
    assert (len(named), more) == (10, "and 2 more")


def sized() -> Report:
    """A run whose int8 has gates with several limits each."""
    finite = (
        Check("images with NaN or Inf", Verdict.PASS, below(1, Unit.COUNT), 0.0),
        Check("spread of scores", Verdict.PASS, below(2, Unit.RATIO), 1.0),
    )
    size = (
        Check("size relative to FP32", Verdict.FAIL, below(0.3, Unit.RATIO), 0.39),
        Check("size", Verdict.PASS, below(9, Unit.MB), 1.0),
    )
    run = run_of([of_gate("test_a", Verdict.FAIL)])
    (gate,) = run.gates
    for label, record in gate.variants.items():
        added = {} if label == "fp32" else {"size": GateResult("size", size)}
        gates = {**record.gates, "finite": GateResult("finite", finite), **added}
        gate.variants[label] = replace(record, gates=gates)
    return report_of(run)


def test_every_cell_has_its_limit() -> None:
    report = sized()
    (card,) = cards(report, {})
    assert card.headers == [("far", "< 0.1 %"), ("finite", ""), ("size", "")]
    cells = [cell for row in card.rows for cell in row.cells if cell is not None]
    assert len(cells) == 8
    assert all(cell.limit for cell in cells)
    said = {(cell.check, cell.limit, cell.repeated) for cell in cells}
    assert said == {
        ("", "< 0.1 %", True),
        ("images with NaN or Inf", "< 1", False),
        ("size relative to FP32", "< 0.3", False),
    }
    table = words_of(page(report).partition("stack variants")[2].partition("</table>")[0])
    assert "0 images with NaN or Inf, limit < 1" in table
    assert "FAIL 0.39 size relative to FP32, limit < 0.3" in table
    assert table.count("limit < 0.1 %") == 3


def test_a_limit_that_the_heading_does_not_have_is_shown() -> None:
    """Rewrites may be larger than what is quantized: one column, two limits."""
    report = sized()
    gate = report.gates[0]
    label = gate.variants[-1]
    other = tuple(replace(check, limit=0.5) for check in label.gates["far"].checks)
    gates = {**label.gates, "far": replace(label.gates["far"], checks=other)}
    changed = replace(gate, variants=(*gate.variants[:-1], replace(label, gates=gates)))
    (card,) = cards(replace(report, gates=(changed,)), {})
    cell = card.rows[-1].cells[0]
    assert cell is not None
    assert (cell.limit, cell.repeated) == ("< 50 %", False)


def test_what_does_not_pass_says_so_in_its_cell(shown: str) -> None:
    """For those who see no colours, who print in black and white, or who listen."""
    cells = re.findall(r'<td data-label="[^"]*" class="(FAIL|INCONCLUSIVE|WAIVED)">(.{50})', shown)
    assert {verdict for verdict, _ in cells} == {"FAIL", "INCONCLUSIVE"}
    assert all(f'<strong class="mark">{verdict}</strong>' in inside for verdict, inside in cells)
    passing = re.findall(r'<td data-label="[^"]*" class="PASS">(.{50})', shown)
    assert passing
    assert not any("mark" in inside for inside in passing)


def cost(label: str, size: float, latency: float, *, passes: bool | None = True) -> costs.Cost:
    return costs.Cost(label, size, latency, 0.5, passes, "onnxruntime")


def test_dots_that_do_not_pass_say_so() -> None:
    many = [cost("a", 1, 1), cost("b", 0.5, 1, passes=False), cost("c", 0.7, 1, passes=None)]
    for svg in costs.size_and_latency("s", many):
        assert re.findall(r">(\w[\w ]*)</text>", svg)[-3:] == ["b FAIL", "c undecided", "a"]


def test_no_line_ends_between_a_figure_and_its_unit(shown: str) -> None:
    text = re.sub(r"<(style|svg)\b.*?</\1>", "", shown, flags=re.DOTALL)
    assert not UNITS.search(text), UNITS.findall(text)
    assert len(re.findall("\\d(?:\N{NO-BREAK SPACE}|&nbsp;)(?:%|ms|MB|s)", text)) > 100


def test_each_plot_is_a_drawing_of_its_own(shown: str) -> None:
    """Side by side in one drawing, they would shrink with it."""
    panels = re.findall(r'<div class="panels[^"]*">(.*?)</div>', shown, re.DOTALL)
    numbers = [panel.count('<svg role="img"') for panel in panels]
    assert max(numbers) > 1
    assert sum(numbers) == shown.count('<svg role="img"')
    for svg in re.findall(r'<svg role="img".*?</svg>', shown, re.DOTALL):
        assert svg.count(">size relative to FP32<") <= 1


def blocks(text: str) -> list[tuple[bool, str]]:
    """The blocks of variants, in order: whether each is open, and its label."""
    found = re.findall(r'<details class="variant"( open)?>\s*<summary><strong>([^<]*)<', text)
    return [(bool(opened), label) for opened, label in found]


def test_the_worst_block_is_first_and_open() -> None:
    report = report_of(run_of([of_gate("test_a", Verdict.FAIL, "failed")]))
    assert blocks(page(report)) == [(True, "int8"), (True, "fp16"), (False, "fp32")]
    good = report_of(run_of([of_gate("test_a")]))
    assert blocks(page(good)) == [(True, "fp16"), (False, "int8"), (False, "fp32")]


def test_fp32_is_not_hidden_behind_what_passes() -> None:
    report = report_of(run_of([of_gate("test_a")]))
    gate = report.gates[0]
    fp32 = replace(gate.variants[0], verdict="INCONCLUSIVE")
    changed = replace(report, gates=(replace(gate, variants=(fp32, *gate.variants[1:])),))
    assert blocks(page(changed))[0][1] == "fp32"


def test_no_two_columns_have_one_name() -> None:
    (card,) = cards(sized(), {})
    assert "size" in [name for name, _ in card.headers]
    head = page(sized()).partition("stack variants")[2].partition("</thead>")[0]
    names = [name.lower() for name in re.findall(r'<th scope="col">([^<]*)', head)]
    assert len(names) == len(set(names)) > 4
    assert "the worst first" not in head.partition("FP32 first, as the reference, then")[0]
    assert "FP32 first, as the reference, then the worst first" in head


@pytest.mark.parametrize("size", [1.0, 0.2])
def test_a_line_is_explained_if_it_is_drawn(report: Report, size: float) -> None:
    gate = report.gates[0]
    fp32 = replace(gate.variants[0], size_ratio=size, verdict="PASS")
    changed = replace(report, gates=(replace(gate, variants=(fp32, *gate.variants[1:])),))
    overview = next(cards(changed, {})).overview[0]
    drawn = any("stroke: var(--good)" in svg for svg in overview.panels)
    assert drawn == ("joins the variants" in overview.caption) == (size == 0.2)


def test_layers_that_stay_in_float_say_so() -> None:
    svg = plots.layers("s", [("conv1", 0.5), ("conv2", 0.1)], frozenset(["conv1"]))
    assert re.findall(r">(conv[^<]*)</text>", svg) == ["conv1 (float)", "conv2"]


def test_trials_have_a_legend() -> None:
    kinds = tuple(ScoreCounts(kind, ((0, 1, 5),)) for kind in ("impostor", "genuine", "a", "b"))
    svg = plots.scatter("s", ScorePlot("cosine", (0.0, 0.5, 1.0), 0.5, kinds), "int8")
    texts = re.findall(r">([^<>]+)</text>", svg)
    assert set(texts) >= {"impostor", "genuine", "a", "b"}


def test_rounds_are_whole_numbers() -> None:
    svg = plots.rounds("s", [Round(1.0, 0.5, 1.0)] * 20, 1.05, "int8")
    axis = svg[: svg.index(">round<")]
    ticks = re.findall(r">([\d.]+)</text>", axis)
    assert len(ticks) > 3
    assert all(float(tick).is_integer() for tick in ticks), ticks


def test_each_cause_of_failure_is_told_once(report: Report) -> None:
    again = "test_a.py: this gate cannot run; see the error of test_a.py::TestIt::test_1"
    errors = [ErrorEntry("test_a.py::TestIt::test_1", "no golden")]
    errors += [ErrorEntry(f"test_a.py::TestIt::test_{number}", again) for number in range(2, 7)]
    found = failures(replace(report, errors=tuple(errors)))
    assert found.counts == "1 error, 5 unjudged"
    assert [one.message for one in found.told] == ["no golden"]
    text = page(replace(report, errors=tuple(errors)))
    assert "see the error of" not in text
    assert "Tests: 1 error, 5 unjudged" in text
    assert all(one.test in text for one in errors)


def test_what_was_judged_and_failed_is_a_failure() -> None:
    report = report_of(run_of([of_gate("test_a", Verdict.FAIL, "failed")]))
    assert failures(report).counts == "1 failed"
    gate = report.gates[0]
    unjudged = replace(
        gate, decisions=tuple(one for one in gate.decisions if one.requested != "int8")
    )
    assert failures(replace(report, gates=(unjudged,))).counts == "1 error"
    broken = report_of(with_an_error())
    assert failures(broken).counts == "2 errors"
    assert failures(report_of(run_of([of_gate("test_a")]))).counts == ""


def test_an_undecided_latency_is_not_the_doing_of_an_option(report: Report) -> None:
    gate = report.gates[1]
    row = gate.variants[1]
    gates = {
        name: replace(result, verdict="INCONCLUSIVE" if name == "latency" else "PASS")
        for name, result in row.gates.items()
    }
    row = replace(row, gates=gates, verdict="INCONCLUSIVE")
    changed = replace(gate, variants=(gate.variants[0], row), inconclusive="warn")
    said = headline(replace(report, gates=(changed,), pipelines=()))
    assert said.endswith("latency of live int8, and an undecided latency only warns.")
