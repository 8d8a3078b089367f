"""The plots of one variant beside FP32: scores, rounds of latency, sensitivity of layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...curves import Round, ScorePlot
from ...errors import printable
from .drawing import SIZE, as_svg, colour_of, empty, in_percent, legend, named, style, written_out

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = 6
"""Kinds of trials that a plot can tell apart."""
_NCOLS = 3  # of the legend above a plot of scores
_LONGEST_NAME = 48  # characters of a layer
_LEVELS = 5  # of shade, each for as many times more trials
_MOST_LAYERS = 30
_FAR_LIMIT = 3.0  # times the largest ratio; a limit beyond would only flatten the plot


def histogram(salt: str, plot: ScorePlot, label: str) -> str:
    """Scores by kind: FP32 as outlines, the variant as areas, the threshold as a line."""
    with style(salt):
        figure = empty(*SIZE, left=0.95, top=_room(plot))
        axes = figure.subplots()
        bins = len(plot.edges) - 1
        missing = []
        for index, kind in enumerate(plot.kinds[:KINDS]):
            colour = colour_of(f"kind{index}")
            fp32, variant = kind.of_fp32(bins), kind.of_variant(bins)
            total = max(sum(fp32), 1)
            shares = [[count / total for count in each[:bins]] for each in (fp32, variant)]
            axes.stairs(shares[1], plot.edges, fill=True, color=colour, alpha=0.35)
            axes.stairs(
                shares[0],
                plot.edges,
                color=colour,
                linewidth=1.2,
                label=named(f"{kind.kind} ({total:,})"),
            )
            if variant[bins] or fp32[bins]:
                missing.append(f"{kind.kind} {fp32[bins]:,} and {variant[bins]:,}")
        if plot.threshold is not None:
            axes.axvline(plot.threshold, color=colour_of("ink"), linestyle=(0, (4, 3)), linewidth=1)
            middle = (plot.edges[0] + plot.edges[-1]) / 2
            side = "right" if plot.threshold > middle else "left"
            axes.annotate(
                f"threshold {plot.threshold:.4g}",
                (plot.threshold, 1),
                xycoords=("data", "axes fraction"),
                xytext=(-3 if side == "right" else 3, -2),
                textcoords="offset points",
                ha=side,
                va="top",
                fontsize=8,
            )
        axes.set_yscale("log")
        in_percent(axes.yaxis)
        axes.set_xlabel(plot.score)
        axes.set_ylabel("share of its kind")
        legend(axes, loc="lower left", bbox_to_anchor=(0, 1.01), ncols=_NCOLS, borderaxespad=0)
        title = f"Scores: line FP32, area {label}"
        if missing:
            title += f"; without a score, FP32 and {label}: {', '.join(missing)}"
        return as_svg(figure, title)


def scatter(salt: str, plot: ScorePlot, label: str) -> str:
    """Each trial's score by both models, in bins; the area of a dot grows with its trials."""
    with style(salt):
        figure = empty(*SIZE, top=_room(plot))
        axes = figure.subplots()
        bins = len(plot.edges) - 1
        most = max((cell[2] for kind in plot.kinds for cell in kind.cells), default=1)
        for index, kind in enumerate(plot.kinds[:KINDS]):
            cells = [cell for cell in kind.cells if cell[0] < bins and cell[1] < bins]
            colour = colour_of(f"kind{index}")
            for level in range(_LEVELS):
                low, high = most ** (level / _LEVELS), most ** ((level + 1) / _LEVELS)
                alike = [c for c in cells if low <= c[2] < high or (c[2] == most == high)]
                _squares(
                    axes,
                    plot.edges,
                    alike,
                    colour,
                    (level + 1.5) / (_LEVELS + 1),
                )
            axes.scatter([], [], marker="s", color=colour, linewidths=0, label=named(kind.kind))
        ends = plot.edges[0], plot.edges[-1]
        axes.plot(ends, ends, color=colour_of("grid"), linewidth=1, zorder=0)
        if plot.threshold is not None:
            for line in (axes.axvline, axes.axhline):
                line(plot.threshold, color=colour_of("ink"), linestyle=(0, (4, 3)), linewidth=0.8)
        axes.set_xlim(*ends)
        axes.set_ylim(*ends)
        axes.set_xlabel(f"{plot.score}, FP32")
        axes.set_ylabel(f"{plot.score}, {label}")
        legend(axes, loc="lower left", bbox_to_anchor=(0, 1.01), ncols=_NCOLS, borderaxespad=0)
        return as_svg(figure, f"Scores of the same trials by FP32 and by {label}")


def _room(plot: ScorePlot) -> float:
    """Inches above a plot of scores, for the rows of its legend."""
    return 0.12 + 0.19 * math.ceil(min(len(plot.kinds), KINDS) / _NCOLS)


def _squares(
    axes: Axes,
    edges: Sequence[float],
    cells: Sequence[tuple[int, int, int]],
    colour: str,
    alpha: float,
) -> None:
    """Fill cells of a grid, as one shape, which keeps the page small."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if not cells:
        return
    corners, codes = [], []
    for row, column, _ in cells:
        left, right = edges[row], edges[row + 1]
        low, high = edges[column], edges[column + 1]
        corners += [(left, low), (right, low), (right, high), (left, high), (left, low)]
        codes += [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    shape = PathPatch(Path(corners, codes), facecolor=colour, alpha=alpha, linewidth=0)
    axes.add_patch(shape)


def rounds(salt: str, measured: Sequence[Round], limit: float | None, label: str) -> str:
    """The ratio to FP32 of each round, beside the control: FP32 relative to itself."""
    from matplotlib.ticker import MaxNLocator

    with style(salt):
        figure = empty(*SIZE)
        axes = figure.subplots()
        timed = {n: one for n, one in enumerate(measured, 1) if one.fp32 > 0}  # clocks are coarse
        axes.scatter(
            list(timed),
            [one.fp32_again / one.fp32 for one in timed.values()],
            s=9,
            facecolors="none",
            edgecolors=colour_of("fp32"),
            linewidths=0.8,
            label="FP32 again",
        )
        axes.scatter(
            list(timed),
            [one.variant / one.fp32 for one in timed.values()],
            s=9,
            color=colour_of("variant"),
            linewidths=0,
            label=named(label),
        )
        ratios = [max(one.variant, one.fp32_again) / one.fp32 for one in timed.values()]
        largest = max(ratios, default=0.0)
        if limit is not None and limit < _FAR_LIMIT * largest:
            axes.axhline(
                limit, color=colour_of("bad"), linestyle=(0, (4, 3)), linewidth=1, label="limit"
            )
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.set_xlabel("round")
        axes.set_ylabel("time relative to FP32")
        legend(axes, loc="lower right")
        return as_svg(figure, f"Time of each round relative to FP32: {label}, and FP32 again")


def layers(salt: str, ranking: Sequence[tuple[str, float]], kept: frozenset[str]) -> str:
    """How much quantizing each layer alone changes the outputs; what is kept in float stands out.

    Args:
        salt: makes identifiers of this drawing unique.
        ranking: layers with their harm, the worst first.
        kept: names of those that stay in float.
    """
    with style(salt):
        shown = ranking[:_MOST_LAYERS]
        # Not by colour alone: not everybody sees it.
        names = [f"{_short(name)}{' (float)' if name in kept else ''}" for name, _ in shown]
        longest = max(map(len, names), default=0)
        figure = empty(8.4, 0.8 + 0.19 * len(shown), left=0.2 + 0.075 * longest)
        axes = figure.subplots()
        axes.barh(
            range(len(shown)),
            [harm for _, harm in shown],
            color=[colour_of("variant" if name in kept else "fp32") for name, _ in shown],
            height=0.7,
        )
        axes.set_yticks(range(len(shown)), names, fontsize=8)
        axes.invert_yaxis()
        axes.set_ylim(len(shown) - 0.4, -0.6)
        positive = [harm for _, harm in shown if harm > 0]
        if positive and max(positive) > 30 * min(positive):
            axes.set_xscale("log")
            written_out(axes.xaxis)
        axes.set_xlabel("distance of the outputs from FP32 if only this layer is quantized")
        return as_svg(figure, "Sensitivity of each layer to quantization")


def _short(name: str) -> str:
    """The end of a name, which tells the layers of a block apart."""
    name = printable(name)
    return name if len(name) <= _LONGEST_NAME else f"...{name[3 - _LONGEST_NAME :]}"
