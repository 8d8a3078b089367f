"""How a figure, its interval and its limit are written, and where they lie on a bar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ...verdicts import Unit
from ..result_entries import CheckEntry

_NOTHING = 1e-9  # what rounding left of zero
_MARGIN = 0.08  # of the range that is shown, on either side


class Bar(NamedTuple):
    """A bar from 0 to 100.

    Args:
        low: the lower bound.
        high: the upper bound.
        value: the figure.
        limit: the limit; None if there is none.
        bad_from: where the side begins on which figures must not lie.
        bad_to: where it ends.
    """

    low: float
    high: float
    value: float
    limit: float | None
    bad_from: float
    bad_to: float


def bar_of(check: CheckEntry) -> Bar | None:
    """The bar of a check; None if there is no figure to show."""
    if check.value is None:
        return None
    lower = check.value if check.lower is None else check.lower
    upper = check.value if check.upper is None else check.upper
    known = [lower, upper, check.value] + ([] if check.limit is None else [check.limit])
    start, end = min(known), max(known)
    below = check.direction == "below"
    if below and start >= 0:
        start = 0.0
    margin = _MARGIN * ((end - start) or abs(end) or 1.0)
    if start != 0.0:
        start -= margin
    end += margin
    if not below and check.unit in ("share", "cosine"):
        end = min(end, 1.0)
    width = (end - start) or 1.0

    def place(figure: float) -> float:
        return round(min(max(100 * (figure - start) / width, 0.0), 100.0), 2)

    limit = None if check.limit is None else place(check.limit)
    bad = (0.0, 0.0) if limit is None else (limit, 100.0) if below else (0.0, limit)
    return Bar(place(lower), place(upper), place(check.value), limit, *bad)


def budget_used(check: CheckEntry) -> float | None:
    """The share of its budget that the deciding bound of an error or of a drift uses.

    The budget is the distance from a perfect figure to the limit. None for figures of cost, for
    those whose best value is unknown, and for those that could not be measured.
    """
    if check.limit is None or check.unit not in ("rate", "share", "cosine", "probability"):
        return None
    if check.direction == "below":
        bound, budget = check.upper if check.upper is not None else check.value, check.limit
    else:
        least = check.lower if check.lower is not None else check.value
        bound, budget = None if least is None else 1 - least, 1 - check.limit
    return None if bound is None or budget <= 0 else max(bound, 0.0) / budget


def rate_text(rate: Mapping[str, Any]) -> str:
    """A rate with its bounds: a `statistics.Rate` as `plain` converts it."""
    low, high = (f"{100 * rate[bound]:.3g}" for bound in ("lower", "upper"))
    return f"{100 * rate['value']:.3g} % [{low}, {high}]"


def figure(entry: CheckEntry) -> str:
    """A figure with its bounds in one unit, such as "0.02 % [0.01, 0.04]"; a dash without one."""
    if entry.value is None:
        return "-"
    value, _, unit = _short(entry, entry.value).partition(" ")
    unit = f" {unit}" if unit else ""
    if entry.lower is None or entry.upper is None or entry.lower == entry.upper == entry.value:
        return f"{value}{unit}"
    low, high = (_short(entry, bound).partition(" ")[0] for bound in (entry.lower, entry.upper))
    return f"{value}{unit} [{low}, {high}]"


def _short(entry: CheckEntry, value: float) -> str:
    """A figure with three digits; `Unit.show` has four, which fill a table."""
    unit = Unit(entry.unit)
    if unit in (Unit.RATE, Unit.SHARE):
        return f"{100 * value if abs(value) >= _NOTHING else 0.0:.3g} %"
    return f"{value:.3g}" if unit in (Unit.RATIO, Unit.METRIC) else unit.show(value)


def limit_text(entry: CheckEntry) -> str:
    """A limit with its direction, such as "< 0.1 %"; empty if there is none."""
    if entry.limit is None:
        return ""
    sign = "<" if entry.direction == "below" else "≥"
    return f"{sign} {Unit(entry.unit).show(entry.limit)}"
