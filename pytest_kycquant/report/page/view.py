"""What the page says: the report of a run, arranged for readers, as text and plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ...results import GateResult, Offender
from ...verdicts import Unit
from ..document import DecisionEntry, GateEntry, Report, VariantEntry
from ..restored import check_of
from ..result_entries import CheckEntry, GroupEntry
from . import costs, det, plots
from .bars import Bar, bar_of, budget_used, rate_text
from .verdicts import ORDER, gate_verdict

Reason = tuple[str, Sequence[str]]
"""Why something ships or does not, and what stands behind it."""
Pictures = Mapping[str, Mapping[str, str]]
"""Pictures as data URIs, by the key of a gate (`key_of`) and the name of the image."""

_NOTHING = 1e-9  # what rounding left of zero


class Cell(NamedTuple):
    """A figure in a table: its text, its verdict and its bar."""

    text: str
    verdict: str
    bar: Bar | None
    check: str


class Row(NamedTuple):
    """A variant in the table of a model."""

    label: str
    size: str
    cells: Sequence[Cell | None]
    verdict: str
    ships: bool


class Drawing(NamedTuple):
    """A plot with its caption."""

    caption: str
    svg: str
    wide: bool = False


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
    rows: Sequence[Row]
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
        shown = pictures.get(key_of(gate), {})
        yield _card(gate, f"model-{number + 1}", shown, [*_together(gate, report)])


def figure(entry: CheckEntry) -> str:
    """A figure with its bounds in one unit, such as "0.02 % [0.01, 0.04]"; a dash without one."""
    if entry.value is None:
        return "-"
    value, _, unit = _short(entry, entry.value).partition(" ")
    unit = f" {unit}" if unit else ""
    if entry.lower is None or entry.upper is None or entry.lower == entry.upper == entry.value:
        return f"{value}{unit}"
    low, high = (_short(entry, bound).partition(" ")[0] for bound in (entry.lower, entry.upper))
    return f"{value}{unit} [{low}, {high}]"


def _short(entry: CheckEntry, value: float) -> str:
    """A figure with three digits; `Unit.show` has four, which fill a table."""
    unit = Unit(entry.unit)
    if unit in (Unit.RATE, Unit.SHARE):
        return f"{100 * value if abs(value) >= _NOTHING else 0.0:.3g} %"
    return f"{value:.3g}" if unit in (Unit.RATIO, Unit.METRIC) else unit.show(value)


def limit_text(entry: CheckEntry) -> str:
    """A limit with its direction, such as "< 0.1 %"; empty if there is none."""
    if entry.limit is None:
        return ""
    sign = "<" if entry.direction == "below" else "≥"
    return f"{sign} {Unit(entry.unit).show(entry.limit)}"


def worst(checks: Sequence[CheckEntry]) -> CheckEntry:
    """The check that decided, as in the terminal."""
    as_checks = [check_of(check) for check in checks]
    chosen = GateResult("", tuple(as_checks)).worst_check()
    return checks[next(i for i, check in enumerate(as_checks) if check is chosen)]


def _card(
    gate: GateEntry, anchor: str, pictures: Mapping[str, str], together: Sequence[str]
) -> Card:
    ship = next((each for each in gate.variants if each.variant == gate.ship), None)
    names = list(dict.fromkeys(name for each in gate.variants for name in each.gates))
    headers = [(name, _header(gate, name)) for name in names]
    size = latency = "-"
    if ship is not None:
        size = f"{ship.size_ratio:.2f} of FP32 ({ship.size / 1e6:.2f} MB)"
        if "latency" in ship.gates and ship.variant != "fp32":
            latency = f"{figure(ship.gates['latency'].checks[0])} of FP32"
    return Card(
        anchor=anchor,
        entry=gate,
        verdict=gate_verdict(gate),
        ships=gate.ship or "nothing",
        instead=_instead(gate, together),
        why=[*((line, ()) for line in together), *_why(gate)],
        size=size,
        latency=latency,
        headers=headers,
        rows=[_row(each, names, ship=gate.ship) for each in gate.variants],
        overview=[*_overview(gate, anchor)],
        details=[_detail(gate, each, f"{anchor}-{i}") for i, each in enumerate(gate.variants)],
        groups=[*_groups(gate)],
        pictures=pictures,
    )


def _together(gate: GateEntry, report: Report) -> Iterator[str]:
    """Name the pipelines that do not hold with what would ship alone."""
    for pipeline in report.pipelines:
        for stage, key in pipeline.models.items():
            if key != gate.key or pipeline.search is None:
                continue
            alone = pipeline.search["alone"][stage]
            if pipeline.search["variants"][stage] == gate.ship != alone:
                yield f"{pipeline.gate} does not hold with {alone}, which would ship alone"


def _instead(gate: GateEntry, together: Sequence[str]) -> str:
    """Why another variant ships than asked for, in a few words; "" if it does not."""
    if together:
        return "the pipeline does not hold with a leaner one"
    lost = ", ".join(each.requested for each in gate.decisions if each.reasons)
    return f"{lost} did not pass" if lost else ""


def _why(gate: GateEntry) -> Iterator[Reason]:
    if gate.profile == "smoke":
        yield "the smoke profile clears nothing to ship", ()
    elif gate.incomplete:
        yield gate.incomplete, ()
    elif gate.ship is None:
        yield "no variant passes, not even FP32", ()
    for decision in gate.decisions:
        yield from _fallback(decision)
    for variant, test in gate.rejected.items():
        yield f"{variant} does not ship: {test}", ()


def _fallback(decision: DecisionEntry) -> Iterator[Reason]:
    if decision.reasons:
        ships = decision.ships or "nothing"
        yield f"{ships} instead of {decision.requested}:", decision.reasons
    if decision.note:
        yield f"{decision.requested}: {decision.note}", ()


def _header(gate: GateEntry, name: str) -> str:
    """The limit that a column is judged by: that of the first check, where all have the same."""
    for each in gate.variants:
        if name in each.gates and each.variant != "fp32":
            checks = each.gates[name].checks
            limits = {limit_text(check) for check in checks}
            return limits.pop() if len(limits) == 1 else ""
    return ""


def _row(entry: VariantEntry, names: Sequence[str], *, ship: str | None) -> Row:
    cells = [_cell(entry, name) if name in entry.gates else None for name in names]
    size = f"{entry.size / 1e6:.2f} MB ({entry.size_ratio:.2f})"
    verdict = entry.verdict if entry.gates else "not judged"
    return Row(entry.variant, size, cells, verdict, ships=entry.variant == ship)


def _cell(entry: VariantEntry, name: str) -> Cell:
    result = entry.gates[name]
    check = worst(result.checks)
    # Where checks have limits of their own, the header names none.
    several = len({limit_text(each) for each in result.checks}) > 1
    telling = check.lower is not None or result.verdict != "PASS"
    named = f"{check.name} {limit_text(check)}".strip() if several and telling else ""
    return Cell(figure(check), result.verdict, bar_of(check), named)


def _overview(gate: GateEntry, anchor: str) -> Iterator[Drawing]:
    points = [_cost(each) for each in gate.variants]
    if len(points) > 1:
        svg = costs.size_and_latency(f"{anchor}-costs", points)
        yield Drawing(
            "Size against latency (left), and against the share of an error's budget that its "
            "worst bound uses (right). The line joins the variants that pass and that no other "
            "beats in both.",
            svg,
            wide=True,
        )
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
            svg,
            wide=True,
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


def _detail(gate: GateEntry, entry: VariantEntry, salt: str) -> Detail:
    asked = {each.requested for each in gate.decisions}
    return Detail(
        entry,
        [*_drawings(entry, salt)],
        [_judged(name, entry) for name in entry.gates],
        opened=entry.variant == gate.ship or (entry.variant in asked and entry.verdict != "PASS"),
    )


def _drawings(entry: VariantEntry, salt: str) -> Iterator[Drawing]:
    curves, label = entry.curves, entry.variant
    if curves is None:
        return
    kinds = _only("first", plots.KINDS, len(curves.scores.kinds)) if curves.scores else ""
    if curves.scores is not None:
        yield Drawing(
            f"Scores: FP32 as a line, the variant as an area.{kinds}",
            plots.histogram(f"{salt}-scores", curves.scores, label),
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
            plots.scatter(f"{salt}-pairs", curves.scores, label),
        )
    if curves.rounds:
        check = entry.gates["latency"].checks[0] if "latency" in entry.gates else None
        yield Drawing(
            f"Latency in {len(curves.rounds)} interleaved rounds. FP32 again is the control.",
            plots.rounds(f"{salt}-rounds", curves.rounds, check.limit if check else None, label),
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
