"""Reports over time as a plot: figures with their intervals against their limits.

It takes matplotlib, which the extra ``html`` installs. Nothing in a report is trusted: its names
are escaped for SVG and HTML, and are never read as mathematics.
"""

from __future__ import annotations

import html
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import SettingsError, printable
from . import MARK
from .history import Figure, History, Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Plot

_MARKERS = "osD^vP*X"  # by machine
_WIDTH, _HEIGHT = 12.0, 3.6  # inches, of one gate
_MOST_FIGURES = 8  # of one gate; those that use most of their limits
_MOST_TICKS = 12
_BESIDE = 0.05  # of the distance of two runs
_FAR = 2.0  # a limit beyond this multiple of what is measured is not shown
_LONGEST = 60  # characters of a name
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")


def as_svg(history: History) -> str:
    """The plot as SVG.

    Raises:
        SettingsError: matplotlib is not installed.
    """
    return f"<!-- {MARK} -->\n{_drawn(history)}"


def as_html(history: History) -> str:
    """The plot in a page of its own, which loads nothing.

    Raises:
        SettingsError: matplotlib is not installed.
    """
    machines = "".join(
        f"<li>{html.escape(printable(f'{label}: {described}'))}</li>"
        for label, described in history.machines.items()
    )
    return (
        f"<!-- {MARK} -->\n<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8"><title>Gates over time</title>'
        "<style>body{font-family:sans-serif;margin:2em}svg{max-width:100%;height:auto}</style>"
        f"</head><body><h1>Gates over time</h1>\n{_drawn(history)}\n"
        f"<h2>Machines</h2><ul>{machines}</ul></body></html>\n"
    )


def _drawn(history: History) -> str:
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure as Plot
    except ImportError as error:
        raise SettingsError(
            "--out", "matplotlib is not installed", "pip install 'pytest-kycquant[html]'"
        ) from error
    # The same reports give the same bytes; text stays text, which can be searched.
    with mpl.rc_context({"svg.hashsalt": "kycquant", "svg.fonttype": "none"}):
        plot = Plot(figsize=(_WIDTH, _HEIGHT * max(1, len(history.gates))), layout="constrained")
        FigureCanvasSVG(plot)
        _draw(plot, history)
        written = io.StringIO()
        plot.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    return text[text.index("<svg") :].rstrip()


def _draw(plot: Plot, history: History) -> None:
    rows: Any = plot.subplots(len(history.gates), 2, squeeze=False)
    for (name, points), (left, right) in zip(history.gates.items(), rows, strict=True):
        left.set_title(_text(name), loc="left", fontsize=10)
        _draw_figures(left, points)
        _draw_costs(right, points, list(history.machines))
        every = math.ceil(len(points) / _MOST_TICKS)
        shown = range(0, len(points), every)
        for axes in (left, right):
            names = [_text(f"{points[at].started[:10]} {points[at].short_commit}") for at in shown]
            axes.set_xticks(list(shown), names, fontsize=7, rotation=30, ha="right")
            axes.set_xlim(-0.5, len(points) - 0.5)
            _, labels = axes.get_legend_handles_labels()
            if labels:
                axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _draw_figures(axes: Axes, points: Sequence[Point]) -> None:
    """Figures of what ships, as shares of their limits, those that use most of them."""
    axes.set_ylabel("used of the limit")
    axes.axhline(1.0, color="black", linewidth=1, linestyle="--")
    series: dict[tuple[str, str], dict[int, Figure]] = {}
    for place, point in enumerate(points):
        for figure in point.figures:
            series.setdefault((figure.gate, figure.name), {})[place] = figure
    worst = sorted(series, key=lambda key: -max(one.upper for one in series[key].values()))
    drawn = worst[:_MOST_FIGURES]
    for number, key in enumerate(drawn):
        found = series[key]
        beside = (number - (len(drawn) - 1) / 2) * _BESIDE  # else intervals hide each other
        _draw_series(
            axes,
            {at + beside: (one.value, one.lower, one.upper) for at, one in found.items()},
            _text(key[1]),
            _COLOURS[number],
            "o",
        )
    _, top = axes.get_ylim()
    axes.set_ylim(-0.05, 1.1 * top)  # a figure that is better than FP32's uses nothing
    for place, point in enumerate(points):  # what ships, where it becomes another
        if place == 0 or point.ships != points[place - 1].ships:
            axes.axvline(place - 0.5, color="#cccccc", linewidth=1)
            axes.annotate(
                _text(point.ships or "nothing"), (place - 0.45, 0.97), fontsize=7, va="top",
                xycoords=("data", "axes fraction"), color="#555555",
            )  # fmt: skip


def _draw_costs(axes: Axes, points: Sequence[Point], machines: list[str]) -> None:
    """Latency and size relative to FP32; latencies are joined only on one machine."""
    axes.set_ylabel("relative to FP32")
    for label in ("", *machines):
        timed = {
            float(at): point.latency
            for at, point in enumerate(points)
            if point.latency is not None and point.machine == label
        }
        number = machines.index(label) if label else len(machines)
        if timed:
            where = _text(f"latency on {label or 'an unknown machine'}")
            marker = _MARKERS[number % len(_MARKERS)]
            _draw_series(axes, timed, where, _COLOURS[number % len(_COLOURS)], marker)
    sizes = {at: one.size_ratio for at, one in enumerate(points) if one.size_ratio is not None}
    if sizes:
        axes.plot(list(sizes), list(sizes.values()), color="#999999", marker=".", label="size")
    limits = {at: one.latency_limit for at, one in enumerate(points) if one.latency_limit}
    if limits:
        bottom, top = axes.get_ylim()
        far = min(limits.values()) > _FAR * top  # it would leave nothing to see
        label = f"latency limit{' (far above)' if far else ''}"
        axes.plot(list(limits), list(limits.values()), "k--", linewidth=1, label=label)
        if far:
            axes.set_ylim(bottom, top)


def _draw_series(
    axes: Axes,
    points: Mapping[float, tuple[float, float, float]],
    label: str,
    colour: str,
    marker: str,
) -> None:
    """Estimates with their bounds.

    Args:
        axes: where to draw.
        points: estimate, lower and upper bound by place.
        label: name of the series.
        colour: its colour.
        marker: its marker.
    """
    values = list(points.values())
    below = [max(0.0, value - lower) for value, lower, _ in values]
    above = [max(0.0, upper - value) for value, _, upper in values]
    axes.errorbar(
        list(points), [value for value, _, _ in values], yerr=[below, above], label=label,
        color=colour, marker=marker, markersize=4, linewidth=1, capsize=2,
    )  # fmt: skip


def _text(name: str) -> str:
    """A name as it is: no dollars are read as mathematics, and no underscore hides a label."""
    shown = printable(name)
    if len(shown) > _LONGEST:
        shown = f"{shown[: _LONGEST // 2]}...{shown[-_LONGEST // 2 :]}"
    return shown.replace("$", r"\$").replace("_", "\u200a_", 1 if shown.startswith("_") else 0)
