"""The HTML page: what it says is what the JSON says, whatever names the data has."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kycquant.errors import SettingsError
from pytest_kycquant.report import MARK
from pytest_kycquant.report.document import ErrorEntry, Report
from pytest_kycquant.report.json_report import report_of
from pytest_kycquant.report.page import page, render, require
from pytest_kycquant.report.page.bars import bar_of, budget_used, figure, limit_text
from pytest_kycquant.report.page.costs import best
from pytest_kycquant.report.page.verdicts import headline
from pytest_kycquant.report.page.view import cards, key_of
from pytest_kycquant.report.records import Collected
from pytest_kycquant.report.result_entries import CheckEntry
from pytest_kycquant.results import Offender, Waiver
from tests.worlds import pages
from tests.worlds.findings import ORIGIN


class Read(HTMLParser):
    """The text of a page, its addresses, and elements that should not be there."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [str(v) for k, v in attrs if k in ("src", "href", "xlink:href", "action")]
        assert not [k for k, _ in attrs if k.startswith("on")]
        if tag not in ("meta", "br", "img", "path", "use", "rect"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def report() -> Report:
    return report_of(pages.collected())


@pytest.fixture(scope="module")
def shown(report: Report) -> str:
    return page(report)


def test_the_verdict_and_what_ships_come_first(report: Report, shown: str) -> None:
    assert shown.startswith(f"<!-- {MARK} -->\n<!DOCTYPE html>")
    words = Read(shown).words.partition("face PASS")[0]
    assert report.verdict == "PASS"
    assert "PASS kycquant Nothing failed, but not everything is decided: frr of pipeline" in words
    assert (
        "face int8>mixed int8 did not pass PASS 0.40 of FP32 (0.40 MB) 0.6 [0.5, 0.7] of FP32"
        in words
    )
    assert "live int8 PASS" in words
    assert "TestFlow detector fp32, liveness int8, embedder int8>mixed INCONCLUSIVE" in words


def test_every_check_of_the_report_is_there_with_its_figure(report: Report, shown: str) -> None:
    words = Read(shown).words
    checks = [
        c for g in report.gates for v in g.variants for r in v.gates.values() for c in r.checks
    ]
    checks += [c for p in report.pipelines for r in p.gates.values() for c in r.checks]
    assert len(checks) > 25
    for check in checks:
        line = f"{check.name} {check.verdict} {figure(check)} {limit_text(check)}"
        assert " ".join(f"{line} {check.detail}".split()) in words


def test_the_worst_cases_groups_and_reasons_are_there(report: Report, shown: str) -> None:
    words = Read(shown).words
    offenders = report.gates[0].variants[1].gates["far"].offenders
    assert len(offenders) == 10
    for one in offenders:
        assert one.score is not None
        assert f"{' '.join(one.images)} - {one.finding} {one.score:.4f}" in words
    assert "age 60+ FRR 3 % [1, 8] 3 % [1, 8] INCONCLUSIVE 1 % [-1, 4] limit < 2 %" in words
    assert "int8>mixed instead of int8: int8 does not pass far: it lets everybody in" in words
    assert "orange ones stay in float in the mixed model (1 of 3)" in words
    assert "fp32: no face 1, liveness 2" in words
    assert "shipped: liveness 3" in words
    assert "print: liveness 9" in words
    assert "evaluation: 660 images, SHA-256" in words


def test_it_needs_nothing_else(shown: str) -> None:
    read = Read(shown)
    assert not {"script", "link", "iframe", "img"} & set(read.tags)
    assert all(address.startswith("#") for address in read.addresses)
    assert not re.search(r"@import|url\((?!#)", shown)
    identifiers = re.findall(r'\bid="([^"]+)"', shown)
    assert len(identifiers) == len(set(identifiers))
    assert {address.removeprefix("#") for address in read.addresses} <= set(identifiers)


def test_it_is_the_same_for_the_same_report(report: Report, shown: str) -> None:
    assert page(report) == shown


def test_plots_of_every_variant(report: Report, shown: str) -> None:
    labels = re.findall(r'<svg role="img" aria-label="([^"]+)"', shown)
    for variant in ("int8", "int8&gt;mixed"):
        assert any(label.startswith(f"Scores: line FP32, area {variant}") for label in labels)
        assert f"Scores of the same trials by FP32 and by {variant}" in labels
        assert f"FAR against FRR: FP32 and {variant}, with 95 % bands; the dot is frozen" in labels
        assert f"Time of each round relative to FP32: {variant}, and FP32 again" in labels
    assert labels.count("Size against latency") == 2
    assert labels.count("Size against the error budget used") == 2
    assert labels.count("Sensitivity of each layer to quantization") == 1
    species = [one for one in labels if re.match(r"APCER \w+ against BPCER: FP32 and int8", one)]
    assert len(species) == len(set(species)) > 1
    assert not re.search(r"#00f0", shown)  # every placeholder became a variable


def hostile(report: Report) -> Report:
    """The same report with names that would be markup, scripts or control characters."""
    evil = "<img src=x onerror=alert(1)>\"'&\x1b[31m{{ 7*7 }}"
    gate = report.gates[0]
    variants = []
    for each in gate.variants:
        gates = {
            name: replace(
                result,
                checks=tuple(replace(c, name=evil + c.name, detail=evil) for c in result.checks),
                remedy=evil,
                offenders=(Offender((evil, evil), evil, 0.5, None, 0.5, evil),),
                waiver=Waiver(evil, evil, evil, evil, evil, "2026-01-01"),
            )
            for name, result in each.gates.items()
        }
        variants.append(replace(each, gates=gates, notes=(evil,), options={evil: evil}))
    curves = variants[1].curves
    assert curves is not None
    assert curves.scores is not None
    kinds = tuple(replace(kind, kind=f"$evil$<b>{kind.kind}") for kind in curves.scores.kinds)
    scores = replace(curves.scores, kinds=kinds, score="</svg><script>")
    variants[1] = replace(variants[1], curves=replace(curves, scores=scores))
    mine = replace(gate, model=evil, gate=evil, variants=tuple(variants), profile_note=evil)
    return replace(
        report,
        gates=(mine, *report.gates[1:]),
        problems=(evil,),
        errors=(ErrorEntry(evil, f"{evil}\n{evil}"),),
    )


def test_names_cannot_break_it(report: Report) -> None:
    text = page(hostile(report))
    read = Read(text)
    assert not {"script", "img", "b"} & set(read.tags)
    assert "\x1b" not in text
    assert "49" not in re.findall(r"\x1b\[31m(\d+)", text)
    assert "{{ 7*7 }}" in read.words
    assert "$evil$<b>impostor" in read.words


def test_pictures_are_shown_only_if_they_are_given(report: Report) -> None:
    gate = report.gates[0]
    named = gate.variants[1].gates["far"].offenders[0].images[0]
    text = page(report, {key_of(gate): {named: "data:image/jpeg;base64,AAAA"}})
    sources = [address for address in Read(text).addresses if not address.startswith("#")]
    assert set(sources) == {"data:image/jpeg;base64,AAAA"}
    assert f'alt="{named}"' in text


def test_pictures_of_a_run() -> None:
    found = pages.collected()
    offenders = found.by_key["key face"].variants["int8"].gates["far"].offenders
    found.by_key["key face"].pictures[offenders[0].images[0]] = "data:image/jpeg;base64,AAAA"
    assert '<img src="data:image/jpeg;base64,AAAA"' in render(found)


@pytest.mark.parametrize(
    "verdict", ["PASS", "WAIVED", "FAIL", "INCONCLUSIVE", "ERROR", "INCOMPLETE", "SMOKE"]
)
def test_every_verdict_is_explained(report: Report, verdict: str) -> None:
    changed = replace(report, verdict=verdict, gates=(), pipelines=())  # type: ignore[arg-type]
    assert headline(changed) in Read(page(changed)).words


def test_a_run_without_gates() -> None:
    words = Read(render(Collected())).words
    assert "No gate was judged." in words


def test_what_was_not_judged_is_on_the_first_screen() -> None:
    found = pages.collected()
    found.broken["test_d.py::TestIt"] = "there is no such model"
    found.errors["test_d.py::TestIt::test_far"] = "E  no such model\nmore"
    words = Read(render(found)).words
    first = words.partition("face INCOMPLETE")[0]
    assert first != words
    assert "ERROR kycquant Something could not be judged or collected." in first
    assert "test_d.py::TestIt was not judged: there is no such model" in first
    assert "Tests: 1 error test_d.py::TestIt::test_far E no such model more" in first


def test_a_pipeline_decides_what_ships(report: Report) -> None:
    pipeline = report.pipelines[0]
    search = {"alone": {"embedder": "int8"}, "variants": {"embedder": "int8>mixed"}}
    changed = replace(report, pipelines=(replace(pipeline, search=search),))
    card = next(cards(changed, {}))
    assert card.instead == "the pipeline does not hold with a leaner one"
    line = "test_flow.py::TestFlow does not hold with int8, which would ship alone"
    assert card.why[0] == (line, ())
    same = {"alone": {"embedder": "int8>mixed"}, "variants": {"embedder": "int8>mixed"}}
    changed = replace(report, pipelines=(replace(pipeline, search=same),))
    assert next(cards(changed, {})).instead == "int8 did not pass"


def verdict_of(report: Report, **changes: object) -> str:
    gate = replace(report.gates[0], **changes)  # type: ignore[arg-type]
    return next(cards(replace(report, gates=(gate,)), {})).verdict


def test_the_verdict_of_a_card(report: Report) -> None:
    gate = report.gates[0]
    lost = tuple(replace(each, ships=None) for each in gate.decisions)
    assert verdict_of(report) == "PASS"
    assert verdict_of(report, profile="smoke") == "SMOKE"
    assert verdict_of(report, incomplete="tests are missing") == "INCOMPLETE"
    assert verdict_of(report, decisions=lost, ship=None) == "FAIL"
    assert verdict_of(report, decisions=()) == "INCONCLUSIVE"
    good = tuple(replace(each, verdict="PASS") for each in gate.variants)
    assert verdict_of(report, decisions=lost, ship=None, variants=good) == "FAIL"
    waived = tuple(replace(each, verdict="WAIVED") for each in gate.variants)
    assert verdict_of(report, variants=waived) == "WAIVED"
    open_ = tuple(replace(each, verdict="INCONCLUSIVE") for each in gate.variants)
    assert verdict_of(report, decisions=lost, ship=None, variants=open_) == "INCONCLUSIVE"


def check(**given: object) -> CheckEntry:
    known: dict[str, object] = {
        "name": "FAR", "verdict": "PASS", "value": 0.0004, "lower": 0.0002, "upper": 0.0008,
        "limit": 0.001, "direction": "below", "unit": "rate", "detail": "",
    }  # fmt: skip
    return CheckEntry(**(known | given))  # type: ignore[arg-type]


def test_figures() -> None:
    assert figure(check()) == "0.04 % [0.02, 0.08]"
    assert limit_text(check()) == "< 0.1 %"
    assert figure(check(value=None)) == "-"
    assert figure(check(lower=None, upper=None, unit="count", value=12345.0)) == "12,345"
    shown = figure(check(unit="cosine", value=0.99876, lower=0.99812, upper=0.99901))
    assert shown == "0.9988 [0.9981, 0.9990]"
    assert figure(check(unit="ms", value=12.345, lower=12.0, upper=13.5)) == "12.35 ms [12, 13.5]"
    assert limit_text(check(direction="at least", unit="share", limit=0.9)) == "≥ 90 %"
    assert limit_text(check(limit=None)) == ""


def test_the_budget_that_a_check_uses() -> None:
    assert budget_used(check()) == pytest.approx(0.8)
    cosine = check(unit="cosine", direction="at least", limit=0.98, value=0.99, lower=0.97)
    assert budget_used(cosine) == pytest.approx(1.5)
    assert budget_used(check(unit="ratio")) is None
    assert budget_used(check(value=None, lower=None, upper=None)) is None
    assert budget_used(check(limit=None)) is None


@given(
    st.tuples(*[st.floats(-1e3, 1e3)] * 3).map(sorted),
    st.floats(-1e3, 1e3),
    st.sampled_from(["below", "at least"]),
    st.sampled_from(["rate", "share", "cosine", "ratio", "ms"]),
)
def test_bars_keep_the_order_of_figures(
    bounds: list[float], limit: float, direction: str, unit: str
) -> None:
    lower, value, upper = bounds
    bar = bar_of(check(lower=lower, value=value, upper=upper, limit=limit, direction=direction,
                       unit=unit))  # fmt: skip
    assert bar is not None
    assert bar.limit is not None
    assert 0 <= bar.low <= bar.value <= bar.high <= 100
    places = sorted([(lower, bar.low), (value, bar.value), (upper, bar.high), (limit, bar.limit)])
    assert [place for _, place in places] == sorted(place for _, place in places)
    assert (bar.bad_from, bar.bad_to) == (
        (bar.limit, 100) if direction == "below" else (0, bar.limit)
    )


def test_no_bar_without_a_figure() -> None:
    assert bar_of(check(value=None)) is None
    without = bar_of(check(limit=None))
    assert without is not None
    assert without.limit is None


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=12))
def test_the_pareto_front(places: list[tuple[float, float]]) -> None:
    front = best(places)
    for one in places:
        beaten = [o for o in places if o != one and o[0] <= one[0] and o[1] <= one[1]]
        assert (one in front) == (not beaten)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that matplotlib is not installed."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == "matplotlib" else real(name, *more),
    )


@pytest.mark.usefixtures("without")
def test_a_missing_library_is_one_error(report: Report) -> None:
    for call in (require, lambda: page(report)):
        with pytest.raises(SettingsError, match=r"matplotlib is not installed.*kycquant\[html\]"):
            call()


def test_the_users_own_settings_of_matplotlib_stay(report: Report) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    page(report)
    assert dict(matplotlib.rcParams) == before


def test_the_machine_is_named(shown: str) -> None:
    assert ORIGIN.environment.cpu in Read(shown).words
