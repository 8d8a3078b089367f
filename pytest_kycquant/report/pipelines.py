"""The tables of whole pipelines, which follow those of the models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..pipeline.combination import Found
from ..pipeline.record import NO_CERTIFICATE, PipelineRecord, PipelineRow
from ..plain import from_plain
from ..results import GateResult, objections
from ..verdicts import Verdict
from .records import Collected


def lines(collected: Collected, *, verbose: bool = False) -> Iterator[str]:
    """Yield a table for each pipeline.

    Args:
        collected: everything that the tests of the run reported.
        verbose: whether figures are also shown beside those of public yardsticks.
    """
    # A run whose limits follow such a text shows what it asks for.
    strict = any(gate.profile == "nist63a4" for gate in collected.gates)
    for _, record in sorted(collected.pipelines.items()):
        yield ""
        yield from _table(record, other=any(collected.misfits(record)))
        yield from _transactions(record, verbose=verbose)
        yield from _combination(record)
        if verbose or strict:
            yield from _yardsticks(record)
        yield from _remarks(record, collected)


def _table(record: PipelineRecord, *, other: bool) -> Iterator[str]:
    from tabulate import tabulate

    stages = list(record.shipped.variants)
    timed = record.shipped.timing is not None
    times = ["other", "p50", "p95 [bound]", "max", "load", "peak memory"] if timed else []
    verdict = objections(record.gates) or record.verdict.value
    if other:
        verdict += " (not what ships)"
    cells = [
        [*_row(record.fp32), "-"],
        [*_row(record.shipped), verdict],
    ]
    headers = ["pipeline", *stages, *times, "verdict"]
    table = tabulate(cells, headers=headers, tablefmt="simple", disable_numparse=True)
    yield f"pipeline, {record.gate} (wall clock in ms, medians of stages, bound one-sided 95 %)"
    yield from table.split("\n")


def _transactions(record: PipelineRecord, *, verbose: bool) -> Iterator[str]:
    """The rates of whole transactions, and why somebody is not let in."""
    from tabulate import tabulate

    if not record.rates:
        return
    names = list(record.rates["shipped"])
    cells = [
        [label, *(rate_cell(rates[name]) for name in names)]
        for label, rates in record.rates.items()
    ]
    yield "transactions (bounds one-sided 95 %)"
    headers = ["", *names]
    yield from tabulate(cells, headers=headers, tablefmt="simple", disable_numparse=True).split(
        "\n"
    )
    for label, reasons in record.reasons.items():
        found = record.rates[label]["FRR"]
        more = _counted(reasons)
        yield f"{label} turns away {found['errors']:,} of {found['trials']:,} customers{more}"
    for label, stopped in record.stopped.items() if verbose else ():
        for species, reasons in stopped.items():
            trials = record.rates[label][f"IAPAR {species}"]["trials"]
            number = sum(reasons.values())
            yield f"{label} stops {number:,} of {trials:,} {species} attacks{_counted(reasons)}"


def _counted(reasons: Mapping[str, int]) -> str:
    """How often each reason occurs, after a colon; "" if none does."""
    found = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items() if count)
    return f": {found}" if found else ""


def _yardsticks(record: PipelineRecord) -> Iterator[str]:
    """The figures that public yardsticks ask for, with our bound beside."""
    from tabulate import tabulate

    if not record.yardsticks:
        return
    cells = [
        [
            row.yardstick,
            row.figure,
            f"{100 * row.limit:.3g} %",
            "-" if row.value is None else f"{100 * row.value:.3g} %",
            row.rule,
            "-" if row.upper is None else f"{100 * row.upper:.3g} %",
            "yes" if row.holds else "no",
            row.detail,
        ]
        for row in record.yardsticks
    ]
    headers = ["yardstick", "figure", "limit", "found", "rule", "our bound", "holds", "of"]
    yield NO_CERTIFICATE
    table = tabulate(cells, headers=headers, tablefmt="simple", disable_numparse=True)
    yield from table.split("\n")


def rate_cell(rate: Mapping[str, Any]) -> str:
    """A rate with its bounds: a `statistics.Rate` as `plain` converts it."""
    low, high = (f"{100 * rate[bound]:.3g}" for bound in ("lower", "upper"))
    return f"{100 * rate['value']:.3g} % [{low}, {high}]"


def _combination(record: PipelineRecord) -> Iterator[str]:
    """Which stage had to give so that the variants hold together, and why."""
    if record.search is None:
        return
    found = from_plain(Found, record.search)
    tried = f"{len(found.tried)} combinations tried" if found.tried else ""
    if found.happened:
        yield "the variants that ship alone do not hold together; what ships is a combination"
        for line in found.gave():
            yield f"  {line}"
    if found.note:
        yield f"note: {found.note}{f' ({tried})' if tried else ''}"


def _row(row: PipelineRow) -> list[str]:
    timing = row.timing
    if timing is None:
        return [row.label, *row.variants.values()]
    return [
        row.label,
        *(f"{variant} {timing['stages'][name]:.3g}" for name, variant in row.variants.items()),
        f"{timing['stages']['other']:.3g}",
        f"{timing['p50']:.4g}",
        f"{timing['p95']:.4g} [{timing['bound']:.4g}]",
        f"{timing['slowest']:.4g}",
        f"{timing['load']:.0f}",
        "-" if row.peak_mb is None else f"{row.peak_mb:.0f} MB",
    ]


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


def _remarks(record: PipelineRecord, collected: Collected) -> Iterator[str]:
    figures = record.figures
    if "latency_ratio" in figures:
        yield f"shipped takes {figures['latency_ratio']:.2f} of the time of fp32"
    if "cosine_mean" in figures:
        yield (
            f"end to end, cosine of embeddings to fp32: mean {figures['cosine_mean']:.4f}, "
            f"smallest {figures['cosine_min']:.4f} ({record.farthest['embedder']})"
        )
    if "score_drift_mean" in figures:
        yield (
            f"end to end, difference of liveness scores to fp32: mean "
            f"{figures['score_drift_mean']:.4f}, largest {figures['score_drift_max']:.4f} "
            f"({record.farthest['liveness']})"
        )
    for note in record.notes:
        yield f"note: {note}"
    for result in record.gates.values():
        for check in result.checks:
            if check.verdict is not Verdict.PASS:
                yield f"{result.gate}: {check.describe()}"
    yield from waivers("shipped", record.gates)
    yield from collected.misfits(record)
