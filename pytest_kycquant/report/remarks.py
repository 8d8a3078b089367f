"""What stands below the table of a model: each fact on one line, and once.

Without -v these are the facts that change what one would do: why a variant does not pass, if the
table does not show it, what would decide, waivers, fallbacks and caveats. With -v everything else
that was found follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..bench.portability import uncounted
from ..bench.records import VariantRecord
from ..bench.shipping import NO_FALLBACK, Shipment
from ..results import GateResult, worst_of
from ..verdicts import Check, Unit, Verdict
from .figures import figure, finding
from .pipelines import waivers
from .records import GatedModel
from .spans import Line, Span, line, style_of
from .variant_table import VariantTable

_WORST = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)


def remarks(gate: GatedModel, table: VariantTable, *, verbose: bool = False) -> Iterator[Line]:
    """Yield what a reader should know about the variants of a model.

    Args:
        gate: the findings about the model.
        table: the table above these lines.
        verbose: whether to tell everything.
    """
    yield from _objections(gate, table, verbose=verbose)
    for record in gate.rows():
        for said in waivers(record.variant, record.gates):
            yield line(Span(said, "unsure"))
    yield from _fallbacks(gate)
    yield from _rejected(gate)
    for note, variants in _grouped(
        (note if verbose else uncounted(note), record.variant)
        for record in gate.rows()
        for note in record.notes
    ):
        yield line(f"note on {variants}: {note}")
    if verbose:
        yield from table.hidden()
        yield from _details(gate)


def _objections(gate: GatedModel, table: VariantTable, *, verbose: bool) -> Iterator[Line]:
    """Why variants do not pass: what the table does not show, and what would decide."""
    found: dict[tuple[Verdict, str], list[str]] = {}
    for record in gate.rows():
        for result in sorted(record.gates.values(), key=lambda result: _WORST.index(result.found)):
            # The line of a waiver tells what was found.
            if result.found is Verdict.PASS or result.waiver is not None:
                continue
            said = _objection(result, shown=table.tells(record, result), verbose=verbose)
            if said:
                found.setdefault((result.found, said), []).append(record.variant)
    for (verdict, said), variants in found.items():
        word = Span(verdict.value, style_of(verdict))
        yield line(f"{', '.join(variants)}: ", word, f" {said}")


def _objection(result: GateResult, *, shown: bool, verbose: bool) -> str:
    """What is to be said of a gate that does not pass; "" if the table says it all."""
    check = result.worst_check()
    whole = check.describe().removeprefix(f"{check.verdict.value} ")
    # The counts behind a rate are details, but what a check without bounds counts is its finding.
    if verbose or check.value is None or (check.lower is None and check.detail):
        return whole
    if shown:
        return f"{check.name}: {check.lacking}" if check.lacking else ""
    return f"{finding(check)}: {check.lacking}" if check.lacking else finding(check)


def _fallbacks(gate: GatedModel) -> Iterator[Line]:
    """What stands in for the precisions that do not pass, and what was not tried, and why."""
    fallbacks = _grouped(
        (shipment.record.variant, requested)
        for requested, shipment in sorted(gate.shipments.items())
        if shipment.fell_back
    )
    searches = _searches(gate)
    for variant, requested in fallbacks:
        kept = _briefly_kept(gate.variants[variant], searches) if variant in gate.variants else ""
        yield line(f"fallback of {requested}: ", Span(variant, "unsure"), kept)
    for reason, requested in _grouped(
        (reason, requested)
        for requested, shipment in sorted(gate.shipments.items())
        for reason in shipment.other_reasons
    ):
        yield line(f"fallback of {requested}: {reason}")
    for said, requested in _grouped(
        (_undecidable(shipment), requested)
        for requested, shipment in sorted(gate.shipments.items())
        if shipment.undecidable is not None
    ):
        yield line(f"{requested}: {said}")


def _undecidable(shipment: Shipment) -> str:
    """Why no fallback was tried; the figure only if the variant has no such figure itself."""
    check = shipment.undecidable
    assert check is not None
    own = (result.worst_check().name for result in shipment.record.failed)
    return NO_FALLBACK if check.name in own else f"{NO_FALLBACK}: {finding(check)}"


def _rejected(gate: GatedModel) -> Iterator[Line]:
    """The variants that pass their gates, but that a test did not clear."""
    # The line about what ships says for all variants that the smoke profile clears none.
    if gate.profile == "smoke":
        return
    rejected = gate.rejected
    for why, variants in _grouped(
        (rejected[record.variant], record.variant)
        for record in gate.rows()
        if record.ships and record.variant in rejected
    ):
        verb = "pass, but do not ship" if ", " in variants else "passes, but does not ship"
        yield line(f"{variants} {verb}: {why}")


def _details(gate: GatedModel) -> Iterator[Line]:
    """Everything else that is known about the variants."""
    searches = _searches(gate)
    rows = gate.rows()
    for requested, shipment in sorted(gate.shipments.items()):
        if shipment.note:
            yield line(f"{requested}: {shipment.note}")
    for record in rows:
        if record.options.get("keep_fp32"):
            yield line(_kept(record, searches.get(record.variant)))
    for record in rows:
        if record.groups:
            yield line(_worst_group(record))
    yield from _each("remark on", ((remark, r.variant) for r in rows for remark in r.remarks))
    recipes = ((r.options["reason"], r.variant) for r in rows if "reduce_range" in r.options)
    yield from _each("recipe of", recipes)
    rewrites = ((r.options.get("rewrites"), r.variant) for r in rows)
    yield from _each("rewrites of", rewrites)
    yield from _costs(rows)


def _each(title: str, facts: Iterable[tuple[str | None, str]]) -> Iterator[Line]:
    for fact, variants in _grouped((fact, variant) for fact, variant in facts if fact):
        yield line(f"{title} {variants}: {fact}")


def _grouped(facts: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Each fact once, with the names of those that it is about."""
    found: dict[str, list[str]] = {}
    for fact, name in facts:
        found.setdefault(fact, []).append(name)
    yield from ((fact, ", ".join(dict.fromkeys(names))) for fact, names in found.items())


def _costs(rows: Sequence[VariantRecord]) -> Iterator[Line]:
    """Wall clock, load time and memory of each variant, where they are known."""
    named = (
        ("wall_p50_ms", "wall clock {:.2f} ms"),
        ("wall_p95_ms", "95 % of runs within {:.2f} ms"),
        ("load_ms", "opens in {:.0f} ms"),
        ("memory_mb", "takes {:.0f} MB"),
    )
    for record in rows:
        known = [text.format(record.figures[k]) for k, text in named if k in record.figures]
        if known:
            yield line(f"{record.variant}: {', '.join(known)}")


def _worst_group(record: VariantRecord) -> str:
    """The group and measure that a variant harms most; the JSON report lists all of them."""
    worst = worst_of(record.groups)
    check: Check = worst.check
    before, after = (Unit.RATE.show(rate["value"]) for rate in (worst.fp32, worst.variant))
    budget = "" if check.limit is None else f", budget {Unit.RATE.show(check.limit.value)}"
    return (
        f"worst group of {record.variant}: {worst.group}, {worst.measure} {before} with FP32 and "
        f"{after} now, increase {figure(check)}{budget}"
    )


def _searches(gate: GatedModel) -> dict[str, Mapping[str, Any]]:
    """The search that found a mixed model, by its label."""
    return {
        f"{requested}>mixed": found
        for requested, shipment in gate.shipments.items()
        for found in shipment.searches
    }


def _briefly_kept(record: VariantRecord, searches: Mapping[str, Mapping[str, Any]]) -> str:
    """How much a mixed model keeps in FP32."""
    found = searches.get(record.variant)
    if found is None or not found["passing"]:
        return ""
    blocks = found["passing"][found["confirmed"]]["blocks"]
    if not blocks:
        return ""
    return f", which keeps {len(blocks)} of {found['of']} operators with weights in FP32"


def _kept(record: VariantRecord, found: Mapping[str, Any] | None) -> str:
    """What a mixed model keeps in FP32 (the first five names), and how a search found it."""
    names = record.options["keep_fp32"].split(", ")
    if found is None:
        return f"{record.variant} keeps {_operators(names)} in FP32: {_some(names)}"
    choice, attempts = found["passing"][found["confirmed"]], found["attempts"]
    blocks = choice["blocks"]
    kept = f"{len(blocks)} of {found['of']} operators with weights in FP32: {_some(blocks)}"
    if not blocks:
        have = "has" if len(names) == 1 else "have"
        kept = f"{_operators(names)}, which {have} no weights, in FP32: {_some(names)}"
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


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
