"""Whole pipelines: FP32 beside what ships, a row for each stage and figure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..pipeline.combination import Found
from ..pipeline.record import PipelineRecord, PipelineRow
from ..plain import from_plain
from ..results import GateResult, objections
from ..verdicts import Check, Limit, Unit, Verdict
from .figures import bound, finding, short_limit
from .grid import Column, grid, width_of
from .records import Collected
from .spans import Line, Span, line, style_of
from .yardsticks import yardsticks

# What follows the limit where a check is described.
_DETAIL = re.compile(r"( must be (?:below|at least) [^:]*): .*")


def blocks(
    collected: Collected, width: int, *, verbose: bool = False
) -> Iterator[tuple[list[Line], int]]:
    """Yield the lines about each pipeline, and how many more `verbose` would give.

    Args:
        collected: everything that the tests of the run reported.
        width: the number of characters that fit on a line.
        verbose: whether to tell everything.
    """
    for _, record in sorted(collected.pipelines.items()):
        shown = list(_lines(record, collected, width, verbose=verbose))
        whole = shown if verbose else list(_lines(record, collected, width, verbose=True))
        yield shown, max(len(whole) - len(shown), 0)


def _lines(
    record: PipelineRecord, collected: Collected, width: int, *, verbose: bool
) -> Iterator[Line]:
    yield line(Span("pipeline", "strong"), ", ", Span(record.gate, whole=True))
    yield line(Span("wall clock, medians for the stages", "faint"))
    rows = list(_rows(record, verbose=verbose))
    yield from _table(rows, width)
    yield from _turned_away(record, verbose=verbose)
    yield from _combination(record, verbose=verbose)
    # A run whose limits follow such a text shows what it asks for.
    if verbose or any(gate.profile == "nist63a4" for gate in collected.gates):
        yield from yardsticks(record, width)
    yield from _remarks(record, collected, rows, verbose=verbose)
    yield _verdict(record, other=any(collected.misfits(record)))


@dataclass(frozen=True)
class _Row:
    """A row of the table: a stage, or a figure of both pipelines.

    Args:
        name: what it is about.
        fp32: what FP32 gives, in full and in short.
        shipped: the same for what ships.
        limit: the limit of the figure; None if it has none.
        verdict: the verdict about it; None if there is none.
        check: the check that the figure was judged by.
    """

    name: str
    fp32: tuple[str, str]
    shipped: tuple[str, str]
    limit: Limit | None = None
    verdict: Verdict | None = None
    check: Check | None = None


def _rows(record: PipelineRecord, *, verbose: bool) -> Iterator[_Row]:
    both = record.fp32, record.shipped
    for name in record.shipped.variants:
        fp32, shipped = (_stage(row, name) for row in both)
        yield _Row(name, (fp32, fp32), (shipped, shipped))
    yield from _times(record, verbose=verbose)
    if any(row.peak_mb is not None for row in both):
        cells = ["-" if row.peak_mb is None else f"{row.peak_mb:.0f} MB" for row in both]
        yield _judged(record, "memory", "peak memory", *((cell, cell) for cell in cells))
    for name, rate in record.rates.get("shipped", {}).items():
        check = _check(record, name)
        exact = rate_cell(record.rates["fp32"][name])
        short = f"{100 * record.rates['fp32'][name]['value']:.3g} %"
        least = rate_cell(rate) if check is None else bound(check)
        verdict = None if check is None else check.verdict
        limit = None if check is None else check.limit
        yield _Row(name, (exact, short), (rate_cell(rate), least), limit, verdict, check)
    rates = {name.partition(" ")[0].lower() for name in record.rates.get("shipped", ())}
    for gate, result in record.gates.items():
        if gate not in {"latency", "memory", *rates}:  # several figures, of different kinds
            yield _Row(gate, ("", ""), ("", ""), None, result.verdict)


def _stage(row: PipelineRow, name: str) -> str:
    """The variant of a stage, with its median time."""
    if row.timing is None:
        return row.variants[name]
    return f"{row.variants[name]}, {row.timing['stages'][name]:.3g} ms"


def _times(record: PipelineRecord, *, verbose: bool) -> Iterator[_Row]:
    times = [row.timing for row in (record.fp32, record.shipped)]
    if None in times:
        if "latency" in record.gates:
            yield _judged(record, "latency", "latency", ("-", "-"), ("-", "-"))
        return
    named = {
        "other": lambda t: f"{t['stages']['other']:.3g} ms",
        "median": lambda t: f"{t['p50']:.4g} ms",
        "slowest": lambda t: f"{t['slowest']:.4g} ms",
        "opening": lambda t: f"{t['load']:.0f} ms",
    }
    for name in ("other", "median", "slowest", "opening") if verbose else ("median",):
        fp32, shipped = (named[name](time) for time in times)
        yield _Row(name, (fp32, fp32), (shipped, shipped))
    cells = [(f"{t['p95']:.4g} ms [{t['bound']:.4g}]", f"<= {t['bound']:.4g} ms") for t in times]  # type: ignore[index]
    yield _judged(record, "latency", "95th percentile", *cells)


def _judged(
    record: PipelineRecord, gate: str, name: str, fp32: tuple[str, str], shipped: tuple[str, str]
) -> _Row:
    """A row about the figure that decides a gate."""
    result = record.gates.get(gate)
    if result is None:
        return _Row(name, fp32, shipped)
    check = result.worst_check()
    return _Row(name, fp32, shipped, check.limit, result.verdict, check)


def _check(record: PipelineRecord, name: str) -> Check | None:
    """The check of a rate."""
    checks = (check for result in record.gates.values() for check in result.checks)
    return next((check for check in checks if check.name == name), None)


def _table(rows: list[_Row], width: int) -> Iterator[Line]:
    for full, bounds in ((True, True), (False, True), (False, False)):
        columns = [
            Column(("",), tuple((line(row.name),) for row in rows)),
            Column(("fp32",), tuple((line(row.fp32[not full]),) for row in rows)),
            Column(("shipped",), tuple((_shipped(row, full=bounds),) for row in rows)),
            Column(("limit",), tuple((_limit(row),) for row in rows)),
            Column(("verdict",), tuple((_word(row),) for row in rows)),
        ]
        if width_of(columns) <= width:
            yield from grid(columns)
            return
    for row in rows:
        facts = [line(row.name, ": fp32 ", row.fp32[1], ", shipped "), _shipped(row, full=False)]
        if row.limit is not None:
            facts.append(line(", ", *_limit(row), " "))
        yield tuple(span for part in (*facts, _word(row)) for span in part)


def _shipped(row: _Row, *, full: bool) -> Line:
    style = "" if row.verdict in (None, Verdict.PASS) else style_of(row.verdict or Verdict.FAIL)
    return line(Span(row.shipped[not full], style))


def _limit(row: _Row) -> Line:
    if row.limit is None:
        return ()
    return line(short_limit(row.limit), " of fp32" if row.limit.unit is Unit.RATIO else "")


def _word(row: _Row) -> Line:
    return () if row.verdict is None else line(Span(row.verdict.value, style_of(row.verdict)))


def _verdict(record: PipelineRecord, *, other: bool) -> Line:
    against = objections(record.gates)
    style = style_of(record.verdict)
    said = line(Span("verdict: ", "strong"), Span(against or record.verdict.value, style))
    return (*said, Span(" (not what ships)", "bad")) if other else said


def _turned_away(record: PipelineRecord, *, verbose: bool) -> Iterator[Line]:
    """Why somebody is not let in; all of it, or only what explains a gate that does not pass."""
    frr = record.gates.get("frr")
    if not verbose and (frr is None or frr.verdict is Verdict.PASS):
        return
    for label, reasons in record.reasons.items():
        found = record.rates[label]["FRR"]
        errors, trials = found["errors"], found["trials"]
        customers = "customer" if trials == 1 else "customers"
        more = _counted(reasons)
        yield line(f"{label} turns away {errors:,} of {trials:,} {customers}{more}")
    for label, stopped in record.stopped.items() if verbose else ():
        for species, reasons in stopped.items():
            trials = record.rates[label][f"IAPAR {species}"]["trials"]
            number = sum(reasons.values())
            attacks = "attack" if trials == 1 else "attacks"
            told = f"{label} stops {number:,} of {trials:,} {species} {attacks}"
            yield line(f"{told}{_counted(reasons)}")


def _counted(reasons: Mapping[str, int]) -> str:
    """How often each reason occurs, after a colon; "" if none does."""
    found = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items() if count)
    return f": {found}" if found else ""


def rate_cell(rate: Mapping[str, Any]) -> str:
    """A rate with its bounds: a `statistics.Rate` as `plain` converts it."""
    low, high = (f"{100 * rate[end]:.3g}" for end in ("lower", "upper"))
    return f"{100 * rate['value']:.3g} % [{low}, {high}]"


def _combination(record: PipelineRecord, *, verbose: bool) -> Iterator[Line]:
    """Which stage had to give so that the variants hold together, and why."""
    if record.search is None:
        return
    found = from_plain(Found, record.search)
    number = len(found.tried)
    tried = f"{number:,} combination{'' if number == 1 else 's'} tried" if number else ""
    if found.happened:
        yield line("the variants that ship alone do not hold together; a combination ships")
        for said in found.gave():
            yield line("  ", said if verbose else _DETAIL.sub(r"\1", said))
    if found.note:
        yield line(f"note: {found.note}{f' ({tried})' if tried else ''}")


def waivers(variant: str, gates: Mapping[str, GateResult]) -> Iterator[str]:
    """Describe each waiver that a variant needs, expired ones included, and what was found.

    Args:
        variant: label of the variant.
        gates: its results by gate.
    """
    for gate, result in gates.items():
        if result.waiver is not None and result.found is not Verdict.PASS:
            found = result.worst_check().describe()
            yield f"{gate} of {variant}: {result.waiver.describe()}: {found}"


def _remarks(
    record: PipelineRecord, collected: Collected, rows: list[_Row], *, verbose: bool
) -> Iterator[Line]:
    figures = record.figures
    if "latency_ratio" in figures:
        yield line(f"shipped takes {figures['latency_ratio']:.2f} of the time of fp32")
    if verbose and "cosine_mean" in figures:
        yield line(
            f"end to end, cosine of embeddings to fp32: mean {figures['cosine_mean']:.4f}, "
            f"smallest {figures['cosine_min']:.4f} ({record.farthest['embedder']})"
        )
    if verbose and "score_drift_mean" in figures:
        yield line(
            f"end to end, difference of liveness scores to fp32: mean "
            f"{figures['score_drift_mean']:.4f}, largest {figures['score_drift_max']:.4f} "
            f"({record.farthest['liveness']})"
        )
    for note in record.notes:
        yield line(f"note: {note}")
    for remark in record.remarks if verbose else ():
        yield line(f"remark: {remark}")
    for result in record.gates.values():
        if result.waiver is None:
            yield from _objections(result, [row.check for row in rows], verbose=verbose)
    for said in waivers("shipped", record.gates):
        yield line(Span(said, "unsure"))
    for misfit in collected.misfits(record):
        yield line(Span(misfit, "bad"))


def _objections(result: GateResult, shown: list[Check | None], *, verbose: bool) -> Iterator[Line]:
    """Each check that does not pass, or all of them, unless the table says it all."""
    for check in result.checks:
        if check.verdict is Verdict.PASS and not (verbose and check not in shown):
            continue
        said = finding(check)
        if verbose or check.value is None or (check.lower is None and check.detail):
            said = check.describe().removeprefix(f"{check.verdict.value} ")
        elif check.lacking:
            said = f"{said}: {check.lacking}"
        elif check in shown:
            continue
        word = Span(check.verdict.value, style_of(check.verdict))
        yield line(f"{result.gate}: ", word, f" {said}")
