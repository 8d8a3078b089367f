"""What the page says about whole pipelines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ...pipeline.combination import Found
from ...plain import from_plain
from ..document import PipelineEntry, Report
from ..result_entries import CheckEntry, GroupEntry
from .bars import Bar, bar_of, figure, rate_text
from .verdicts import pipeline_verdict, shown, unfinished


class Span(NamedTuple):
    """The time of one stage: its name, its variant, ms, and the share of the longer pipeline."""

    stage: str
    variant: str
    ms: float
    share: float


class PipelineCard(NamedTuple):
    """Everything about one pipeline."""

    anchor: str
    entry: PipelineEntry
    checks: Sequence[tuple[str, str, Sequence[tuple[CheckEntry, str, Bar | None]]]]
    times: Sequence[tuple[str, str, Sequence[Span]]]
    rates: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    groups: Sequence[tuple[GroupEntry, str, str, str, Bar | None]]
    gave: Sequence[str]
    ships: str
    size: str
    latency: str
    verdict: str


def pipeline_cards(report: Report) -> Iterator[PipelineCard]:
    """Yield a card for each pipeline, in the order of the report."""
    left = unfinished(report)
    for number, entry in enumerate(report.pipelines):
        ran = ", ".join(f"{stage} {label}" for stage, label in entry.shipped.variants.items())
        yield PipelineCard(
            f"pipeline-{number + 1}",
            entry,
            [*_checks(entry)],
            [*_times(entry)],
            [*_rates(entry.rates)],
            [
                (group, rate_text(group.fp32), rate_text(group.variant), figure(group.check),
                 bar_of(group.check))
                for group in entry.groups
            ],
            [*([f"{ran} ran, but {left}"] if left else []), *_gave(entry)],
            "nothing yet" if left else ran,
            *(("-", "-") if left else _costs(entry)),
            shown(pipeline_verdict(entry), report),
        )  # fmt: skip


def _costs(entry: PipelineEntry) -> tuple[str, str]:
    """The size and the latency of a pipeline, both relative to FP32."""
    size = entry.shipped.size / entry.fp32.size if entry.fp32.size else None
    ratios = size, entry.figures.get("latency_ratio")
    shown_size, latency = ("-" if one is None else f"{one:.2f} of FP32" for one in ratios)
    return shown_size, latency


def _checks(
    entry: PipelineEntry,
) -> Iterator[tuple[str, str, Sequence[tuple[CheckEntry, str, Bar | None]]]]:
    for name, result in entry.gates.items():
        yield name, result.verdict, [(c, figure(c), bar_of(c)) for c in result.checks]


def _times(entry: PipelineEntry) -> Iterator[tuple[str, str, Sequence[Span]]]:
    rows = [row for row in (entry.fp32, entry.shipped) if row.timing is not None]
    totals = [sum(row.timing["stages"].values()) for row in rows if row.timing is not None]
    longest = max(totals, default=0.0) or 1.0
    for row in rows:
        assert row.timing is not None
        spans = [
            Span(stage, row.variants.get(stage, ""), ms, round(100 * ms / longest, 2))
            for stage, ms in row.timing["stages"].items()
        ]
        timing = row.timing
        text = (
            f"median {timing['p50']:.4g} ms, 95th percentile {timing['p95']:.4g} ms (upper bound "
            f"{timing['bound']:.4g} ms), opens in {timing['load']:.0f} ms"
        )
        if row.peak_mb is not None:
            text += f", peak memory {row.peak_mb:.0f} MB"
        yield row.label, text, spans


def _rates(
    rates: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[str, Sequence[tuple[str, str]]]]:
    labels = list(rates)
    for name in rates[labels[0]] if labels else ():
        yield name, [(label, rate_text(rates[label][name])) for label in labels]


def _gave(entry: PipelineEntry) -> Iterator[str]:
    if entry.search is not None:
        found = from_plain(Found, entry.search)
        if found.happened:
            yield from found.gave()
        if found.note:
            yield found.note
