"""The figures as Markdown."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

from .environments import REQUIREMENTS
from .judging import Row

HEADERS = (
    *("", "wall s", "CPU s", "tried", "float", "size"),
    *("latency", "search", "held out", "error"),
)


def legend(date: str, machine: str, limit: float) -> str:
    """A line for above the tables: date, machine, target, limit and versions of the peers."""
    peers = "; ".join(f"{name}: {', '.join(pins)}" for name, pins in REQUIREMENTS.items())
    return (
        f"{date}, {machine}. Target: a mean cosine on the search images. Limit: {limit:g} s. "
        f"Peers: {peers}."
    )


def table(rows: list[Row]) -> str:
    """The competitors on one model; those that made none come last, with their reasons."""
    figures = [row for row in rows if row.figures]
    extra = _extra_headers(figures[0].figures) if figures else ()
    lines = [
        [row.method, *_cost(row), *_shown(row.figures), *_extra(row.figures)] for row in figures
    ]
    width = len(HEADERS) + len(extra)
    for row in rows:
        if not row.figures:
            cells = [row.method, *_cost(row), row.problem]
            lines.append(cells + [""] * (width - len(cells)))
    return tabulate(lines, headers=(*HEADERS, *extra), tablefmt="github", disable_numparse=True)


def _cost(row: Row) -> list[str]:
    facts = row.facts
    tried = str(facts.get("evaluations", ""))
    return [
        f"{facts['wall_s']:.1f}" if "wall_s" in facts else "",
        f"{facts['cpu_s']:.1f}" if "cpu_s" in facts else "",
        f"{tried} + {facts['ranked']}" if "ranked" in facts else tried,
    ]


def _shown(figures: dict[str, Any]) -> list[str]:
    latency, search, held_out = (figures[name] for name in ("latency", "search", "held_out"))
    return [
        f"{figures['float_operators']} of {figures['operators']}",
        f"{figures['size']:.2f}",
        f"{latency['ratio']:.2f} [{latency['lower']:.2f}, {latency['upper']:.2f}]",
        f"{search['mean']:.4f} / {search['min']:.3f}",
        f"{held_out['mean']:.4f} / {held_out['min']:.3f}",
        f"{held_out['error']:.3f}",
    ]


def _extra_headers(figures: dict[str, Any]) -> tuple[str, ...]:
    if "far" in figures:
        return "FAR %", "FRR %"
    if "agreement" in figures:
        return "agreement", "score drift"
    return ("other class %",)


def _extra(figures: dict[str, Any]) -> list[str]:
    if "far" in figures:
        return [_rate(figures["far"], 3), _rate(figures["frr"], 2)]
    if "agreement" in figures:
        found = figures["agreement"]
        return [f"{found['recall']:.3f} / {found['precision']:.3f}", f"{found['score_drift']:.4f}"]
    return [f"{100 * figures['other_class']:.1f}"]


def _rate(rate: dict[str, Any], digits: int) -> str:
    value, lower, upper = (f"{100 * rate[k]:.{digits}f}" for k in ("value", "lower", "upper"))
    return f"{value} [{lower}, {upper}]"
