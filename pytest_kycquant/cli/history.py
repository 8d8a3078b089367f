"""Show JSON reports over time: what shipped, its size, its latency, its figures.

Give folders or files. Each gate is a table, in the order in which the runs
began. The verdict is that of the gate in that run; what ships stands apart
from it, since FP32 may ship where a gate failed. "of limit" names the figure
that uses most of its limit, by the bound that decides: beyond 100 % it does not
pass. Latencies of different machines cannot be compared; they are marked. --out
writes a plot. A REPORT that does not exist is an error.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from . import output
from .exits import DONE, NEGATIVE, UsageError

if TYPE_CHECKING:
    from ..report.history import History, Point

_ENDINGS = (".html", ".svg")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "reports", nargs="+", type=Path, metavar="REPORT", help="JSON reports, or folders of them"
    )
    parser.add_argument(
        "-o", "--out", type=Path, metavar="FILE", help="write a plot: trend.html or trend.svg"
    )
    parser.add_argument("--json", action="store_true", help="print the history as JSON")


def run(given: argparse.Namespace) -> int:
    """Show the reports."""
    from ..files import write_whole
    from ..report import refuse_file
    from ..report.history import history_of
    from ..report.reading import readable_reports

    if given.out is not None:
        if given.out.suffix not in _ENDINGS:
            raise UsageError(
                "--out", f"{given.out.name} is not a plot", "name a .html or .svg file"
            )
        refuse_file(given.out, "--out")
    reports, aside = readable_reports(given.reports)
    history = history_of(reports)
    if given.out is not None and history.gates:
        from ..report.trend import as_html, as_svg

        drawn = (as_html if given.out.suffix == ".html" else as_svg)(history)
        write_whole(given.out, drawn)
    if given.json:
        output.as_json({"history": history, "left_out": aside})
    else:
        _tell(history)
        for line in aside:
            output.point(f"left out: {line}", "!")
        if given.out is not None and history.gates:
            output.say(f"wrote {given.out}")
    return DONE if history.gates else NEGATIVE


def _tell(history: History) -> None:
    several = len(history.machines) > 1
    headers = ["date", "commit", "verdict", "ships", "size", "latency", "of limit"]
    for name, points in history.gates.items():
        days = Counter(one.started[:10] for one in points)
        output.say(name)
        output.table(
            headers,
            [_row(one, several=several, timed=days[one.started[:10]] > 1) for one in points],
        )
        output.say()
    if any(one.changed for points in history.gates.values() for one in points):
        output.say(output.CHANGED)
    if several:
        output.say("Latency is that of several machines:")
        for label, described in history.machines.items():
            output.point(described, f"{label}:")
    if not history.gates:
        output.say("no report holds a gate")


def _row(point: Point, *, several: bool, timed: bool) -> list[str]:
    machine = f" {point.machine or '?'}" if several and point.latency else ""
    worst = point.worst
    return [
        point.started[:16].replace("T", " ") if timed else point.started[:10],
        point.short_commit,
        point.verdict,
        point.ships or ("nothing yet" if point.verdict == "INCOMPLETE" else "nothing"),
        "-" if point.size is None else output.megabytes(point.size),
        "-" if point.latency is None else f"{point.latency[0]:.2f}{machine}",
        "-" if worst is None else f"{100 * worst.upper:.0f} % {worst.name}",
    ]
