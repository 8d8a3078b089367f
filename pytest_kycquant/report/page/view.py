"""What the page says: the report of a run, arranged for readers, as text and plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ...results import Offender
from ..document import GateEntry, Report, VariantEntry
from ..result_entries import CheckEntry, GroupEntry
from . import costs, det, plots, table
from .bars import Bar, bar_of, budget_used, figure, rate_text
from .reasons import Reason, instead, why
from .verdicts import ORDER, gate_verdict, shown, unfinished

Pictures = Mapping[str, Mapping[str, str]]
"""Pictures as data URIs, by the key of a gate (`key_of`) and the name of the image."""


class Drawing(NamedTuple):
    """Plots that stand side by side, where there is room, with their caption.

    Args:
        caption: what they show.
        panels: each of them, as SVG.
        wide: whether they take the whole width.
        scrolls: whether a narrow screen shows a part of them at a time.
    """

    caption: str
    panels: Sequence[str]
    wide: bool = False
    scrolls: bool = False


class Judged(NamedTuple):
    """One gate of one variant, with all of its checks."""

    gate: str
    verdict: str
    checks: Sequence[tuple[CheckEntry, str, Bar | None]]
    remedy: str
    waiver: str
    offenders: Sequence[Offender]


class Detail(NamedTuple):
    """Everything about one variant."""

    entry: VariantEntry
    verdict: str
    partly: str
    drawings: Sequence[Drawing]
    judged: Sequence[Judged]
    opened: bool


class Card(NamedTuple):
    """Everything about one model."""

    anchor: str
    entry: GateEntry
    verdict: str
    ships: str
    instead: str
    why: Sequence[Reason]
    size: str
    latency: str
    headers: Sequence[tuple[str, str]]
    rows: Sequence[table.Row]
    overview: Sequence[Drawing]
    details: Sequence[Detail]
    groups: Sequence[tuple[str, GroupEntry, str, str, str, Bar | None]]
    pictures: Mapping[str, str]


def key_of(gate: GateEntry) -> str:
    """What tells the gates of a report apart."""
    return f"{gate.model}\n{gate.gate}"


def cards(report: Report, pictures: Pictures) -> Iterator[Card]:
    """Yield a card for each model, in the order of the report."""
    for number, gate in enumerate(report.gates):
        yield _card(gate, report, f"model-{number + 1}", pictures.get(key_of(gate), {}))


def _card(gate: GateEntry, report: Report, anchor: str, pictures: Mapping[str, str]) -> Card:
    left = unfinished(report)
    ship = next((each for each in gate.variants if each.variant == gate.ship), None)
    headers = table.columns(gate)
    size = latency = "-"
    if ship is not None and not left:
        size = f"{ship.size_ratio:.2f} of FP32 ({ship.size / 1e6:.2f} MB)"
        if "latency" in ship.gates and ship.variant != "fp32":
            latency = f"{figure(ship.gates['latency'].checks[0])} of FP32"
    return Card(
        anchor=anchor,
        entry=gate,
        verdict=shown(gate_verdict(gate), report),
        ships="nothing yet" if left else gate.ship or "nothing",
        instead=instead(gate, report),
        why=[*why(gate, report)],
        size=size,
        latency=latency,
        headers=headers,
        rows=table.rows(gate, headers, decided=not left),
        overview=[*_overview(gate, anchor)],
        details=_details(gate, anchor),
        groups=[*_groups(gate)],
        pictures=pictures,
    )


def _overview(gate: GateEntry, anchor: str) -> Iterator[Drawing]:
    points = [_cost(each) for each in gate.variants]
    if len(points) > 1:
        caption = (
            "Size against latency, and against the share of an error's budget that its worst bound "
            "uses."
        )
        if any(one.budget is not None for one in points):
            caption += " The dashed line is the whole budget."
        if any(len(costs.front(points, axis)) > 1 for axis in costs.AXES):
            caption += (
                " The other line joins the variants that pass and that no other beats in both."
            )
        yield Drawing(caption, costs.size_and_latency(f"{anchor}-costs", points), wide=True)
    searches = [(one, search) for one in gate.decisions for search in one.searches]
    for number, (decision, search) in enumerate(searches):
        if not search.get("ranking"):
            continue
        kept = frozenset(_kept(search))
        svg = plots.layers(f"{anchor}-layers-{number}", search["ranking"], kept)
        total, shown = len(search["ranking"]), min(len(search["ranking"]), 30)
        first = f"the worst {shown} of {total}" if shown < total else f"all {total}"
        yield Drawing(
            f"Sensitivity of the layers of {decision.requested}, {first}; orange ones stay in "
            f"float in the mixed model ({len(kept)} of {total}).",
            [svg],
            wide=True,
            scrolls=True,
        )


def _kept(search: Mapping[str, Any]) -> Sequence[str]:
    """The blocks that the confirmed set of a search keeps in float; none if nothing passed."""
    passing = search.get("passing") or []
    if not passing:
        return ()
    kept: Sequence[str] = passing[search.get("confirmed", len(passing) - 1)]["blocks"]
    return kept


def _cost(entry: VariantEntry) -> costs.Cost:
    used = [
        share
        for result in entry.gates.values()
        for check in result.checks
        if (share := budget_used(check)) is not None
    ]
    latency = entry.gates["latency"].checks[0].value if "latency" in entry.gates else None
    fp32 = entry.variant == "fp32"
    verdicts = {"PASS": True, "WAIVED": True, "FAIL": False}
    return costs.Cost(
        entry.variant,
        entry.size_ratio,
        1.0 if fp32 else latency,
        None if fp32 else max(used, default=None),
        verdicts.get(entry.verdict),
        entry.runtime.runtime if entry.runtime else "onnxruntime",
    )


def _details(gate: GateEntry, anchor: str) -> list[Detail]:
    """Every variant, the worst first; what fails is open, and if nothing does, what ships."""
    asked = {each.requested for each in gate.decisions}
    said = table.partly(gate)
    details = []
    for number, entry in enumerate(gate.variants):
        verdict = table.verdict_of(entry)
        objects = entry.verdict != "PASS" and (entry.variant in asked or entry.verdict == "FAIL")
        details.append(
            Detail(
                entry,
                verdict,
                said[entry.variant],
                [*_drawings(entry, f"{anchor}-{number}")],
                [_judged(name, entry) for name in entry.gates],
                opened=objects or (entry.variant == gate.ship != "fp32"),
            )
        )
    # FP32 is first in the table, as the reference; here, only if nothing is worse.
    details.sort(key=lambda one: (ORDER.index(one.entry.verdict), one.entry.variant == "fp32"))
    if details and not any(one.opened for one in details):
        details[0] = details[0]._replace(opened=True)
    return details


def _drawings(entry: VariantEntry, salt: str) -> Iterator[Drawing]:
    curves, label = entry.curves, entry.variant
    if curves is None:
        return
    kinds = _only("first", plots.KINDS, len(curves.scores.kinds)) if curves.scores else ""
    if curves.scores is not None:
        yield Drawing(
            f"Scores: FP32 as a line, the variant as an area.{kinds}",
            [plots.histogram(f"{salt}-scores", curves.scores, label)],
        )
    if curves.trade_offs:
        first = curves.trade_offs[0]
        only = _only("worst", det.SHOWN, len(curves.trade_offs))
        yield Drawing(
            f"Detection error trade-off, {first.x} against {first.y}, with 95 % bands; the dot is "
            f"the frozen threshold. A rate of zero lies on the lower or left edge.{only}",
            det.trade_offs(f"{salt}-det", curves.trade_offs, label),
            wide=len(curves.trade_offs) > 1,
        )
    if curves.scores is not None:
        yield Drawing(
            f"The same trials by both models; darker where there are more of them.{kinds}",
            [plots.scatter(f"{salt}-pairs", curves.scores, label)],
        )
    if curves.rounds:
        check = entry.gates["latency"].checks[0] if "latency" in entry.gates else None
        yield Drawing(
            f"Latency in {len(curves.rounds)} interleaved rounds. FP32 again is the control.",
            [plots.rounds(f"{salt}-rounds", curves.rounds, check.limit if check else None, label)],
        )


def _only(which: str, shown: int, of: int) -> str:
    """What a drawing leaves out, at the end of its caption."""
    return f" Only the {which} {shown} of {of} are drawn." if of > shown else ""


def _judged(name: str, entry: VariantEntry) -> Judged:
    result = entry.gates[name]
    checks = sorted(result.checks, key=lambda check: ORDER.index(check.verdict))
    waiver = result.waiver.describe() if result.waiver else ""
    failed = result.verdict != "PASS"
    return Judged(
        name,
        result.verdict,
        [(check, figure(check), bar_of(check)) for check in checks],
        result.remedy if failed else "",
        waiver,
        result.offenders,
    )


def _groups(gate: GateEntry) -> Iterator[tuple[str, GroupEntry, str, str, str, Bar | None]]:
    """The groups of the variant that ships, or of the first with groups; the worst first."""
    with_groups = [each for each in gate.variants if each.groups]
    with_groups.sort(key=lambda each: each.variant != gate.ship)
    for entry in with_groups[:1]:
        for group in sorted(entry.groups, key=lambda one: ORDER.index(one.check.verdict)):
            fp32, variant = rate_text(group.fp32), rate_text(group.variant)
            found = figure(group.check), bar_of(group.check)
            yield entry.variant, group, fp32, variant, *found
