"""Detection error trade-off (DET) curves: both error rates over thresholds, with their bounds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ...curves import OperatingPoint, TradeOff
from .drawing import SIZE, as_svg, colour_of, empty, in_percent, legend, named, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 3
"""Curves that stand side by side; a detector may have a hundred classes."""
_SMALL = 3.4, 2.9
"""Width and height of one of several, in inches."""
_MOST_SHOWN = 0.1  # error rate at which a curve ends, unless the frozen threshold is beyond


def trade_offs(salt: str, curves: Sequence[TradeOff], label: str) -> list[str]:
    """Error rates over thresholds on logarithmic axes, with 95 % bands, one plot for each kind.

    Of many curves, those are shown whose variant errs most at the frozen threshold.
    """
    curves = sorted(curves, key=lambda one: -_errors(one))[:SHOWN]
    size = SIZE if len(curves) == 1 else _SMALL
    return [_plot(f"{salt}-{number}", one, label, size) for number, one in enumerate(curves)]


def _plot(salt: str, curve: TradeOff, label: str, size: tuple[float, float]) -> str:
    with style(salt):
        figure = empty(*size)
        axes = figure.subplots()
        _trade_off(axes, curve, label)
        axes.set_ylabel(curve.y)
        legend(axes, loc="upper right")
        names = f"{curve.x} {curve.kind}".strip()
        title = f"{names} against {curve.y}: FP32 and {label}, with 95 % bands; the dot is frozen"
        return as_svg(figure, title)


def _errors(curve: TradeOff) -> float:
    """Both error rates of the variant at the frozen threshold; infinite if that is not drawn."""
    if curve.frozen is None:
        return math.inf
    point = curve.variant[curve.frozen]
    return point.x + point.y


def _trade_off(axes: Axes, curve: TradeOff, label: str) -> None:
    sides = (("fp32", "FP32", curve.fp32), ("variant", label, curve.variant))
    every = [one for _, _, side in sides for one in side]
    floors = [_floor(_known(every, axis)) for axis in ("x", "y")]
    frozen = [side[curve.frozen].x for _, _, side in sides if curve.frozen is not None]
    most = max([_MOST_SHOWN, *(3 * x for x in frozen)])
    axes.set_xlabel(f"{curve.x} {curve.kind}".strip())
    if not any(_is_shown(one, most) for one in every):  # a logarithmic axis needs something
        axes.annotate("too many errors to be drawn", (0.5, 0.5), xycoords="axes fraction",
                      ha="center")  # fmt: skip
        return
    for name, text, side in sides:
        colour = colour_of(name)
        shown = [one for one in side if _is_shown(one, most)]
        shown.sort(key=lambda one: (one.x, -one.y))
        banded = [one for one in shown if one.x > 0]
        axes.fill_between(
            [one.x for one in banded],
            [max(one.y_lower, floors[1]) for one in banded],
            [max(one.y_upper, floors[1]) for one in banded],
            color=colour,
            alpha=0.18,
            linewidth=0,
        )
        x = [max(one.x, floors[0]) for one in shown]
        axes.plot(x, [max(one.y, floors[1]) for one in shown], color=colour, label=named(text))
        if curve.frozen is not None:
            point = side[curve.frozen]
            axes.errorbar(
                max(point.x, floors[0]),
                max(point.y, floors[1]),
                xerr=_arms(point.x, point.x_lower, point.x_upper, floors[0]),
                yerr=_arms(point.y, point.y_lower, point.y_upper, floors[1]),
                color=colour,
                marker="o",
                markersize=4,
                linewidth=1,
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    in_percent(axes.yaxis)
    if any(one.x_upper is not None for one in every):
        in_percent(axes.xaxis, 5)


def _is_shown(point: OperatingPoint, most: float) -> bool:
    """Whether a point is drawn: a figure without bounds is not a rate and has no end."""
    return point.x_upper is None or point.x <= most


def _known(points: Sequence[OperatingPoint], axis: str) -> Iterator[float]:
    for one in points:
        yield getattr(one, axis)
        upper = getattr(one, f"{axis}_upper")
        if upper is not None:
            yield upper


def _floor(values: Iterator[float]) -> float:
    """What stands for zero on a logarithmic axis: a third of the smallest figure that is not."""
    return min((value for value in values if value > 0), default=1e-6) / 3


def _arms(
    value: float, lower: float | None, upper: float | None, floor: float
) -> list[list[float]] | None:
    if lower is None or upper is None:
        return None
    centre = max(value, floor)
    return [[max(centre - max(lower, floor), 0)], [max(upper - centre, 0)]]
