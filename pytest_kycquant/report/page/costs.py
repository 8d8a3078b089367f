"""What each variant costs: size against latency, and against the error budget that it uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from .drawing import as_svg, colour_of, empty, legend, named, style, written_out

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = "osD^vP"
_COLOURS = {True: "good", False: "bad", None: "open"}
_WORDS = {True: "", False: " FAIL", None: " undecided"}  # for those who see no colours


class Cost(NamedTuple):
    """One variant in the plot of what it costs.

    Args:
        label: the variant.
        size: size relative to FP32.
        latency: latency relative to FP32; None if it is unknown.
        budget: the largest share of an error's budget that its bound uses; None if unknown.
        passes: whether it may ship; None if that is undecided.
        runtime: name of the runtime.
    """

    label: str
    size: float
    latency: float | None
    budget: float | None
    passes: bool | None
    runtime: str


AXES = ("latency", "budget")
"""What is shown over the size, each in a plot of its own."""
_TITLES = {
    "latency": ("Size against latency", "latency relative to FP32"),
    "budget": ("Size against the error budget used", "share of the error budget used"),
}


def size_and_latency(salt: str, variants: Sequence[Cost]) -> list[str]:
    """Size against latency, and against the error budget used; the line joins what is best."""
    return [_plot(f"{salt}-{axis}", variants, axis) for axis in AXES]


def front(variants: Sequence[Cost], axis: str) -> list[tuple[float, float]]:
    """The places of the variants that pass and that no other beats; two or more are joined."""
    known = [(one.size, getattr(one, axis)) for one in variants if one.passes]
    return best([place for place in known if place[1] is not None])


def _plot(salt: str, variants: Sequence[Cost], axis: str) -> str:
    title, label = _TITLES[axis]
    names = sorted({one.runtime for one in variants})
    shown = [one for one in variants if getattr(one, axis) is not None]
    shown.sort(key=lambda one: one.size)
    with style(salt):
        figure = empty(4.2, 3.3)
        axes = figure.subplots()
        high = 1.15 * max((getattr(one, axis) for one in shown), default=1.0)
        heights = [getattr(one, axis) for one in shown if getattr(one, axis) > 0]
        if axis == "budget" and heights and max(heights) > 30 * min(heights):
            axes.set_yscale("log")
            written_out(axes.yaxis)
            axes.set_ylim(min(heights) / 2, 2 * max(max(heights), 1.0))
        else:
            axes.set_ylim(0, max(high, 1.1))
        axes.set_xlim(0, 1.3 * max((one.size for one in shown), default=1.0))
        taken = [_around(axes, (one.size, getattr(one, axis))) for one in shown]
        for one in shown:
            place = one.size, getattr(one, axis)
            marker = _MARKERS[names.index(one.runtime) % len(_MARKERS)]
            colour = colour_of(_COLOURS[one.passes])
            axes.scatter(*place, s=36, color=colour, marker=marker, linewidths=0, zorder=3)
            _label(axes, f"{one.label}{_WORDS[one.passes]}", place, taken)
        joined = front(variants, axis)
        if len(joined) > 1:
            axes.step(
                *zip(*joined, strict=True), where="post", color=colour_of("good"), linewidth=1
            )
        axes.set_xlabel("size relative to FP32")
        axes.set_ylabel(label)
        if axis == "budget" and shown:
            axes.axhline(1, color=colour_of("bad"), linestyle=(0, (4, 3)), linewidth=1)
        if len(names) > 1:
            for index, name in enumerate(names):
                axes.scatter(
                    [],
                    [],
                    marker=_MARKERS[index % len(_MARKERS)],
                    color=colour_of("ink"),
                    label=named(name),
                )
            legend(axes, loc="best")
        return as_svg(figure, title)


def _around(axes: Axes, place: tuple[float, float]) -> tuple[float, float, float, float]:
    """The box of a dot, in points."""
    across, up = axes.transData.transform(place) * 72 / axes.figure.dpi
    return across - 4, up - 4, across + 4, up + 4


def _label(
    axes: Axes,
    text: str,
    place: tuple[float, float],
    taken: list[tuple[float, float, float, float]],
) -> None:
    """Write a label beside a place, on the first side on which it covers no other label."""
    width, height = 5.0 * len(text), 9.0  # points, of the font's size
    across, up = axes.transData.transform(place) * 72 / axes.figure.dpi
    left = axes.bbox.x0 * 72 / axes.figure.dpi
    for x, y in ((6, 3), (6, -11), (-width - 6, 3), (-width - 6, -11), (6, 14), (6, -22)):
        box = across + x, up + y, across + x + width, up + y + height
        if box[0] > left and not any(_overlap(box, other) for other in taken):
            break
    taken.append(box)
    axes.annotate(text, place, xytext=(x, y), textcoords="offset points", fontsize=8)


def _overlap(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> bool:
    """Whether two boxes (left, bottom, right, top) share a point."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def best(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The Pareto front: the places that no other beats in one way and matches in the other."""
    front: list[tuple[float, float]] = []
    for place in sorted(places):
        if not front or place[1] < front[-1][1]:
            front.append(place)
    return front
