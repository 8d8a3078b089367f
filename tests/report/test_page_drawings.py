"""Drawings of odd figures and names: none ends in an error or a warning, and none hides a thing."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from pytest_kycquant.curves import OperatingPoint, Round, ScoreCounts, ScorePlot, TradeOff
from pytest_kycquant.report.json_report import report_of
from pytest_kycquant.report.page import costs, det, plots
from pytest_kycquant.report.page.view import cards
from pytest_kycquant.tasks.face import curves as face_curves
from tests.worlds import embeddings, pages

EDGES = (0.0, 0.25, 0.5, 0.75, 1.0)
SOME = OperatingPoint(0.5, 0.01, 0.0, 0.02, 0.02, 0.01, 0.03)
BEYOND = OperatingPoint(0.5, 0.9, 0.8, 1.0, 0.9, 0.8, 1.0)


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    """As in a suite that makes errors of warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def scores(*kinds: str, cells: tuple[tuple[int, int, int], ...] = ((0, 1, 5),)) -> ScorePlot:
    return ScorePlot("cosine", EDGES, 0.5, tuple(ScoreCounts(kind, cells) for kind in kinds))


DRAWINGS: dict[str, Callable[[str], str]] = {
    "histogram": lambda name: plots.histogram("s", scores(name), name),
    "scatter": lambda name: plots.scatter("s", scores(name), name),
    "layers": lambda name: plots.layers("s", [(name, 0.5), ("b", 0.1)], frozenset([name])),
    "rounds": lambda name: plots.rounds("s", [Round(1.0, 0.5, 1.0)] * 3, 1.05, name),
    "trade-offs": lambda name: det.trade_offs(
        "s", [TradeOff(name, "FAR", "FRR", 0, (SOME,), (SOME,))], name
    )[0],
    "costs": lambda name: costs.size_and_latency(
        "s", [costs.Cost(name, 1.0, 1.0, 0.5, True, name), costs.Cost("b", 0.5, 0.5, 2, False, "r")]
    )[0],
}


@pytest.mark.parametrize("kind", DRAWINGS)
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("_print", "_print"),  # matplotlib hides such labels
        ("\u4eba\u8138", "\u4eba\u8138"),  # its own font has no such letters
        ("a\x1b[31m", r"a\x1b[31m"),
        ("\u202elive", r"\u202elive"),  # would be read from right to left
        ("caf\udce9", r"caf\udce9"),  # a file name that is not UTF-8
        ("</svg><b>", "&lt;/svg&gt;&lt;b&gt;"),
    ],
)
def test_names(kind: str, name: str, shown: str) -> None:
    svg = DRAWINGS[kind](name)
    svg.encode()
    assert shown in svg[svg.index(">") :]  # as text, not only in its title
    if shown != name:
        assert name not in svg


def test_an_embedder_with_too_many_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """No threshold is left at which the false accepts and the false rejects of both are known."""
    monkeypatch.setattr(face_curves, "_MOST", 100)
    noise = np.random.default_rng(0).normal(size=embeddings.embeddings().shape)
    (curve,) = embeddings.comparison(noise.astype(np.float32)).curves().trade_offs
    assert not curve.fp32
    assert "too many errors to be drawn" in det.trade_offs("s", [curve], "int8")[0]


def test_rates_beyond_what_is_drawn() -> None:
    curve = TradeOff("", "FAR", "FRR", None, (BEYOND,), (BEYOND,))
    assert "too many errors to be drawn" in det.trade_offs("s", [curve], "int8")[0]
    frozen = replace(curve, frozen=0)
    assert "too many errors" not in det.trade_offs("s", [frozen], "int8")[0]


@pytest.mark.parametrize("cells", [(), ((4, 4, 5),)])
def test_no_scores(cells: tuple[tuple[int, int, int], ...]) -> None:
    for draw in (plots.histogram, plots.scatter):
        assert draw("s", scores("live", cells=cells), "int8").startswith("<svg")
        assert draw("s", scores(), "int8").startswith("<svg")


def test_a_clock_that_did_not_advance() -> None:
    """Each figure stays at the number of its round."""
    stuck = Round(0.0, 1.0, 0.0)
    assert plots.rounds("s", [stuck], 1.05, "int8").startswith("<svg")
    one = Round(1.0, 0.5, 1.0)
    assert plots.rounds("s", [stuck, one], None, "x") != plots.rounds("s", [one, one], None, "x")


def test_of_many_species_the_worst_are_drawn_and_the_caption_says_so() -> None:
    names = [f"species{number}" for number in range(7)]
    each = [
        TradeOff(name, "APCER", "BPCER", 0, (SOME,), (replace(SOME, x=0.01 * number),))
        for number, name in enumerate(names)
    ]
    drawn = "".join(det.trade_offs("s", each, "int8"))
    assert [name in drawn for name in names] == [False] * 4 + [True] * 3
    report = report_of(pages.collected())
    gate = report.gates[1]
    rows = [
        row if row.curves is None
        else replace(row, curves=replace(row.curves, scores=scores(*names), trade_offs=tuple(each)))
        for row in gate.variants
    ]  # fmt: skip
    (card,) = cards(replace(report, gates=(replace(gate, variants=tuple(rows)),)), {})
    captions = [one.caption for detail in card.details for one in detail.drawings]
    assert [one.partition("Only ")[2] for one in captions if "Only" in one] == [
        "the first 6 of 7 are drawn.",
        "the worst 3 of 7 are drawn.",
        "the first 6 of 7 are drawn.",
    ]
