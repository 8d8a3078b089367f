"""The table at the end of a run, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..bench.records import VariantRecord
from ..errors import printable
from ..results import objections, worst_of
from ..runtimes.ort import EXACT_ENTRY
from ..spec.flags import UPDATE_GOLDEN
from ..spec.profiles import NOTHING_CLEARED
from ..verdicts import Check, Direction, Unit, Verdict
from . import pipelines
from .pipelines import waivers
from .records import Collected, GatedModel

# Gates that do not have a column of their own, or whose column has a fixed place.
_ELSEWHERE = ("finite", "degradation", "latency", "size")
NOTHING_PASSES = "nothing: no variant passes, not even FP32"
_HEADERS = {"recall": "recall", "map": "mAP50", "metric": "metric"}


def render(collected: Collected, *, verbose: bool = False) -> str:
    """A table for each model, then one for each pipeline; see `report.Report`.

    Args:
        collected: everything that the tests of the run reported.
        verbose: whether to add the absolute time and memory of each variant.
    """
    return "".join(f"{printable(line)}\n" for line in _lines(collected, verbose))


def _lines(collected: Collected, verbose: bool) -> Iterator[str]:
    environment = collected.environment
    if environment is None:
        return
    kernels = "U8S8 saturates" if environment.u8s8_saturates else "U8S8 exact"
    if collected.exact:
        kernels += f", INT8 run with {'='.join(EXACT_ENTRY)}"
    features = ", ".join(environment.features) or "no known vector features"
    yield f"onnxruntime {environment.onnxruntime}, {environment.cpu} ({features}; {kernels})"
    yield f"artefacts: {collected.built} built, {collected.reused} taken from the cache"
    for gate in collected.gates:
        yield ""
        yield from _table(gate)
        yield f"profile: {gate.profile_note}"
        if verbose:
            yield from _costs(gate)
        yield from _reasons(gate)
        yield f"ship: {_advice(gate)}"
    yield from pipelines.lines(collected, verbose=verbose)


def next_command(collected: Collected, failed: int, report: Path | None = None) -> str:
    """The command to run next.

    Args:
        collected: everything that the tests of the run reported.
        failed: number of tests that failed.
        report: the file that the run was asked to write its report to.
    """
    if failed and _only_undecided(collected):
        return "next: judge as many people as said above, or widen the limits that are undecided"
    if failed:
        return "next: pytest --lf to see the failures again, or gate another recipe"
    if any(gate.incomplete for gate in collected.gates):
        return "next: run all tests of these gates, without -k, -m, -x or --lf, to see what ships"
    smoke = [gate for gate in collected.gates if gate.profile == "smoke"]
    if any(gate.golden is not None and not gate.golden.rates for gate in smoke):
        return f"next: pytest {UPDATE_GOLDEN} records the golden, so that error rates are judged"
    if smoke:
        return "next: pytest --kycquant-profile=standard decides about error rates and latency"
    if any(_ships_fallback(gate) for gate in collected.gates):
        return "next: ship the fallback, or pytest --kycquant-strict to see the requested one fail"
    if report is not None:
        return f"next: keep {report} as evidence"
    return "next: pytest --kycquant-report report.json keeps the figures as evidence"


def _only_undecided(collected: Collected) -> bool:
    """Whether there are undecided figures, and none that are beyond their limits."""
    shipped = [s.record.verdict for gate in collected.gates for s in gate.shipments.values()]
    shipped += [record.verdict for record in collected.pipelines.values()]
    return Verdict.INCONCLUSIVE in shipped and Verdict.FAIL not in shipped


def _ships_fallback(gate: GatedModel) -> bool:
    ship = gate.ship
    requested = {s.requested for s in gate.shipments.values()}
    return ship is not None and ship.variant not in {*requested, "fp32"}


def _table(gate: GatedModel) -> Iterator[str]:
    from tabulate import tabulate

    measured = "bounds one-sided 95 %, latency relative to FP32"
    if gate.profile == "smoke":
        measured = "figures of these images alone, no bounds"
    headers, cells = columns_of(gate)
    table = tabulate(cells, headers=headers, tablefmt="simple", disable_numparse=True)
    yield f"{gate.model}, {gate.name} ({measured})"
    yield from table.split("\n")


def columns_of(gate: GatedModel) -> tuple[list[str], list[list[str]]]:
    """The headers and the rows of the table of a gate, as text."""
    rows = gate.rows()
    accuracy = list(dict.fromkeys(g for r in rows for g in r.gates if g not in _ELSEWHERE))
    extra = list(dict.fromkeys(header for r in rows for header in r.shown))
    quantized = [row for row in rows if row.variant != "fp32"]
    bounded = {name: _header(name, quantized or rows) for name in ("latency", *accuracy)}
    if gate.profile == "smoke":
        bounded = {}
    headers = ["variant", "size", *bounded.values(), *extra, "verdict"]
    partly = bool(gate.unjudged)
    return headers, [_row(record, list(bounded), extra, partly=partly) for record in rows]


def _header(gate: str, rows: list[VariantRecord]) -> str:
    """Name of a gate's column, which shows the figure of its first check, and the limit."""
    checks = next((r.gates[gate].checks for r in rows if gate in r.gates), ())
    name = _HEADERS.get(gate, gate.upper())
    if gate == "agreement":
        name = "flips" if checks[0].unit is Unit.RATE else gate
    if gate == "latency":
        name = gate
    limit = checks[0].limit if checks else None
    if limit is None:
        return name
    sign = "<" if limit.direction is Direction.BELOW else ">="
    return f"{name} {sign} {limit.unit.show(limit.value)}"


def _row(record: VariantRecord, bounded: list[str], extra: list[str], *, partly: bool) -> list[str]:
    verdict = Verdict.PASS.value
    if against := objections(record.gates):
        verdict = against
    elif partly:
        verdict += f" (only {', '.join(record.gates)})"
    return [
        record.variant,
        f"{record.size / 1e6:.2f} MB ({record.size_ratio:.2f})",
        *(_interval(record, name) for name in bounded),
        *(record.shown.get(header, "-") for header in extra),
        verdict if record.gates else "not judged",
    ]


def _interval(record: VariantRecord, gate: str) -> str:
    """The figure of a gate that is worst, among those in the unit of its column."""
    if gate not in record.gates:
        return "-"
    result = record.gates[gate]
    alike = [check for check in result.checks if check.unit is result.checks[0].unit]
    return _figure(replace(result, checks=tuple(alike)).worst_check())


def _figure(check: Check) -> str:
    """A figure with its bounds; small rates get one more digit."""
    if check.value is None or check.lower is None or check.upper is None:
        return "-"
    if check.unit in (Unit.METRIC, Unit.MS, Unit.MB):
        unit = "" if check.unit is Unit.METRIC else f" {check.unit.value}"
        return f"{check.value:.4g}{unit} [{check.lower:.4g}, {check.upper:.4g}]"
    scale, unit = (100.0, "%") if check.unit in (Unit.RATE, Unit.SHARE) else (1.0, "")
    form = ".3f" if unit and check.limit is not None and check.limit.value < 0.01 else ".2f"
    low, high = (format(scale * bound, form) for bound in (check.lower, check.upper))
    return f"{format(scale * check.value, form)}{unit} [{low}, {high}]"


def _costs(gate: GatedModel) -> Iterator[str]:
    """Wall clock, load time and memory of each variant, where they are known."""
    named = (
        ("wall_p50_ms", "wall clock {:.2f} ms"),
        ("wall_p95_ms", "95 % of runs within {:.2f} ms"),
        ("load_ms", "opens in {:.0f} ms"),
        ("memory_mb", "takes {:.0f} MB"),
    )
    for record in gate.rows():
        known = [text.format(record.figures[k]) for k, text in named if k in record.figures]
        if known:
            yield f"{record.variant}: {', '.join(known)}"


def _reasons(gate: GatedModel) -> Iterator[str]:
    notes: dict[str, list[str]] = {}
    for requested, shipment in sorted(gate.shipments.items()):
        if shipment.note:
            notes.setdefault(shipment.note, []).append(requested)
        if shipment.reasons:
            yield f"fallback of {requested}: {shipment.record.variant}, because"
            yield from (f"  {reason}" for reason in shipment.reasons)
    for note, requests in notes.items():
        yield f"{', '.join(requests)}: {note}"
    searches = {
        f"{requested}>mixed": found
        for requested, shipment in gate.shipments.items()
        for found in shipment.searches
    }
    rejected = gate.rejected
    recipes: dict[str, list[str]] = {}
    rewrites: dict[str, list[str]] = {}
    undecided: dict[str, list[str]] = {}
    for record in gate.rows():
        if "reduce_range" in record.options:
            recipes.setdefault(record.options["reason"], []).append(record.variant)
        if record.options.get("rewrites"):
            rewrites.setdefault(record.options["rewrites"], []).append(record.variant)
        # The last line says for all variants that the smoke profile clears none.
        if record.ships and record.variant in rejected and gate.profile != "smoke":
            yield f"{record.variant} passes, but does not ship: {rejected[record.variant]}"
        if record.options.get("keep_fp32"):
            yield _kept(record, searches.get(record.variant))
        if record.groups:
            yield _worst_group(record)
        for note in record.notes:
            yield f"note on {record.variant}: {note}"
        yield from waivers(record.variant, record.gates)
        for result in record.gates.values():
            if result.verdict is Verdict.INCONCLUSIVE:
                described = result.worst_check().describe()
                undecided.setdefault(described, []).append(record.variant)
    for described, variants in undecided.items():
        yield f"undecided for {', '.join(variants)}: {described}"
    for reason, variants in recipes.items():
        yield f"recipe of {', '.join(variants)}: {reason}"
    for choice, variants in rewrites.items():
        yield f"rewrites of {', '.join(variants)}: {choice}"


def _worst_group(record: VariantRecord) -> str:
    """The group and measure that a variant harms most; the JSON report lists all of them."""
    worst = worst_of(record.groups)
    before, after = (Unit.RATE.show(rate["value"]) for rate in (worst.fp32, worst.variant))
    budget = (
        "" if worst.check.limit is None else f", budget {Unit.RATE.show(worst.check.limit.value)}"
    )
    return (
        f"worst group of {record.variant}: {worst.group}, {worst.measure} {before} with FP32 and "
        f"{after} now, increase {_figure(worst.check)}{budget}"
    )


def _kept(record: VariantRecord, found: Mapping[str, Any] | None) -> str:
    """What a mixed model keeps in FP32 (the first five names), and how a search found it."""
    names = record.options["keep_fp32"].split(", ")
    if found is None:
        return f"{record.variant} keeps {_operators(names)} in FP32: {_first(names)}"
    choice, attempts = found["passing"][found["confirmed"]], found["attempts"]
    blocks = choice["blocks"]
    kept = f"{len(blocks)} of {found['of']} operators with weights in FP32: {_first(blocks)}"
    if not blocks:
        have = "has" if len(names) == 1 else "have"
        kept = f"{_operators(names)}, which {have} no weights, in FP32: {_first(names)}"
    seconds = sum(attempt["seconds"] for attempt in attempts)
    number = f"{len(attempts)} candidate{'s' if len(attempts) > 1 else ''} in {seconds:.0f} s"
    proof = "minimal" if found["minimal"] else found["note"]
    if not found["stopped"] and found["confirmed"] < len(found["passing"]) - 1:
        proof = "the largest set that passed the search"
    elif found["stopped"]:
        proof = f"not minimal: with fewer it passed the search, but not here: {found['stopped']}"
    if found.get("stored", "float32") != "float32" and blocks:
        kept += f", which store their weights as {found['stored']}"
    share = f"{100 * choice['quantized_share']:.0f} % of the weights are quantized"
    return f"{record.variant} keeps {kept}; {share}; {number}, {proof}"


def _operators(names: Sequence[str]) -> str:
    return f"{len(names)} operator{'' if len(names) == 1 else 's'}"


def _why_fp32(gate: GatedModel) -> str:
    quantized = [record for record in gate.rows() if record.variant != "fp32"]
    if any(record.ships for record in quantized):
        return "the quantized variants that pass do not ship, see above"
    if any(record.verdict is Verdict.INCONCLUSIVE for record in quantized):
        return "no quantized variant is shown to pass"
    return "no quantized variant passes"


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _advice(gate: GatedModel) -> str:
    if gate.profile == "smoke":
        return NOTHING_CLEARED
    record = gate.ship
    if record is None:
        return f"nothing yet: {gate.incomplete}" if gate.incomplete else NOTHING_PASSES
    if gate.together is not None and gate.together[0] == record.variant:
        return f"{record.variant} ({gate.together[1]} does not hold with a leaner one)"
    if record.variant == "fp32":
        return f"fp32 ({_why_fp32(gate)}: keep FP32)"
    ratio = record.latency_ratio
    speed = "" if ratio is None else f", {ratio:.2f} of its latency"
    alone = "; no quantized variant passes" if record.is_float else ""
    latency = "; its latency is undecided" if record.verdict is Verdict.INCONCLUSIVE else ""
    if named := [name for name, r in record.gates.items() if r.verdict is Verdict.WAIVED]:
        latency += f"; with a waiver for {', '.join(named)}"
    return f"{record.variant} ({record.size_ratio:.2f} of the size of FP32{speed}{alone}{latency})"
