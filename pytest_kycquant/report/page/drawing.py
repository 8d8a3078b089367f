"""How plots are drawn: as SVG that inherits the colours and the fonts of the page.

Drawn by matplotlib, which needs no script in the page and whose SVG is the same text for the same
figures. Its colours are placeholders that become variables of the style sheet, so that one drawing
suits light, dark and paper.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...errors import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

SIZE = 4.4, 3.1
"""Width and height of a plot that stands beside others, in inches."""

# Placeholder colours, by the variable of page.css that takes their place.
_COLOURS = {
    "ink": "#00f001",
    "grid": "#00f002",
    "fp32": "#00f003",
    "variant": "#00f004",
    "good": "#00f005",
    "bad": "#00f006",
    "open": "#00f007",
    "kind0": "#00f008",
    "kind1": "#00f009",
    "kind2": "#00f00a",
    "kind3": "#00f00b",
    "kind4": "#00f00c",
    "kind5": "#00f00d",
}
_COORDINATES = re.compile(r' (?:d|x|y|transform|points)="[^"]*"')
_FINER = re.compile(r"(\d\.\d\d)\d+")  # hundredths of a point are fine enough
_UNUSED_ID = re.compile(r' id="(?:figure|axes|patch|line2d|text|matplotlib\.axis|xtick|ytick|legend'
                        r'|PathCollection|FillBetweenPolyCollection|PolyCollection|LineCollection'
                        r'|PolyQuadMesh|QuadMesh|collection)_\d+"')  # fmt: skip


def colour_of(name: str) -> str:
    """The placeholder of a variable of the style sheet."""
    return _COLOURS[name]


def empty(width: float, height: float, left: float = 0.8, top: float = 0.12) -> Figure:
    """An empty drawing, all in inches: `left` is room for labels, and `top` for a legend.

    Margins are fixed, since to find them matplotlib would draw everything a second time.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(
        left=left / width,
        right=1 - 0.16 / width,
        bottom=0.45 / height,
        top=1 - top / height,
        wspace=0.28,
    )
    return figure


@contextlib.contextmanager
def style(salt: str) -> Iterator[None]:
    """Draw with our settings, and without changing those of the user's own plots.

    Warnings of matplotlib are about its own fonts, which the page does not use, and about axes
    without anything to show. They would be errors in a suite that makes errors of warnings.
    """
    from matplotlib import rc_context

    ink, grid = colour_of("ink"), colour_of("grid")
    settings: Any = {  # keys that matplotlib has known for long, and checks itself
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "text.parse_math": False,  # names of layers and species are not formulas
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.titleweight": "normal",
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.edgecolor": grid,
        "axes.titlecolor": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "xtick.labelcolor": ink,
        "ytick.labelcolor": ink,
        "grid.color": grid,
        "grid.linewidth": 0.6,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "legend.fontsize": 8,
        "lines.linewidth": 1.4,
    }
    with rc_context(settings), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def named(label: str) -> str:
    """A label as a legend shows it: matplotlib leaves those out that begin with an underscore."""
    return f"\u200b{label}" if label.startswith("_") else label


def legend(axes: Axes, **settings: Any) -> None:
    """Add a legend, if anything has a label."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(**settings)


def as_svg(figure: Figure, title: str) -> str:
    """The drawing as an element of HTML, with a title for those who cannot see it."""
    from html import escape

    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.text import Text

    for text in figure.findobj(Text):  # as in the rest of the page
        text.set_text(_plain(text.get_text()))
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
        axes.minorticks_off()
    written = io.StringIO()
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(written, metadata={"Date": None, "Creator": None})
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :]
    for name, colour in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    svg = _UNUSED_ID.sub("", svg)
    svg = _COORDINATES.sub(lambda found: _FINER.sub(r"\1", found[0]), svg)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    label = escape(_plain(title), quote=True)
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1).strip()


def _plain(text: str) -> str:
    """Text without control characters but line breaks; UTF-8 can write it."""
    return "\n".join(map(printable, text.split("\n")))


def in_percent(axis: Axis, most: int = 6) -> None:
    """Write the figures of an axis in percent, and not as powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    axis.set_major_locator(LogLocator(numticks=most))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{_text(100 * value)} %"))


def written_out(axis: Axis) -> None:
    """Write the figures of an axis out, and not as powers of ten."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: _text(value)))


def _text(value: float) -> str:
    return f"{value:.12f}".rstrip("0").rstrip(".")
