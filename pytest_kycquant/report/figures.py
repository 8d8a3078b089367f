"""How the terminal shows a figure, its bounds and its limit."""

from __future__ import annotations

import math

from ..verdicts import Check, Direction, Limit, Unit, Verdict

_AS_THEY_ARE = (Unit.METRIC, Unit.MS, Unit.MB)


def figure(check: Check) -> str:
    """A figure with both bounds, or alone if it has none; "-" if there is no figure."""
    if check.value is None:
        return "-"
    if check.lower is None or check.upper is None:
        return check.unit.show(check.value)
    value, low, high = (_number(check, one) for one in (check.value, check.lower, check.upper))
    return f"{value}{_unit(check)} [{low}, {high}]"


def bound(check: Check) -> str:
    """The bound of a figure that decides, in few characters.

    "<= 0.06 %" says that the figure is at most that, "0.06..0.11 %" that the limit lies between its
    bounds. A figure without bounds is shown as it is.
    """
    if check.value is None:
        return "-"
    low, high = check.lower, check.upper
    if low is None or high is None:
        return check.unit.show(check.value)
    if low == high or check.limit is None or math.isnan(low) or math.isnan(high):
        return f"{_number(check, check.value)}{_unit(check)}"
    if check.verdict is Verdict.INCONCLUSIVE:
        return f"{_number(check, low)}..{_number(check, high)}{_unit(check)}"
    below = check.limit.direction is Direction.BELOW
    best, worst = (low, high) if below else (high, low)
    # A figure may fail although its better bound is inside the limit: the other one decides then.
    beyond = check.verdict is Verdict.FAIL and check.limit.excess(best) >= 0
    sign = "<=" if below != beyond else ">="
    return f"{sign} {_number(check, best if beyond else worst)}{_unit(check)}"


def finding(check: Check) -> str:
    """What was found, in one line without the verdict: name, figure with bounds, and limit."""
    text = check.name
    if check.value is not None:
        text += f" {check.unit.show(check.value)}"
    if check.lower is not None and check.upper is not None:
        ends = (
            check.unit.show(end).removesuffix(_unit(check)) for end in (check.lower, check.upper)
        )
        text += f" [{', '.join(ends)}]"
    return text if check.limit is None else f"{text}, limit {short_limit(check.limit)}"


def short_limit(limit: Limit) -> str:
    """A limit with its sign, such as "< 0.1 %"."""
    sign = "<" if limit.direction is Direction.BELOW else ">="
    return f"{sign} {limit.unit.show(limit.value)}"


def _number(check: Check, value: float) -> str:
    """A number in the unit of a check; small rates get one more digit."""
    if check.unit in _AS_THEY_ARE:
        return f"{value:.4g}"
    if check.unit is Unit.COUNT:
        return check.unit.show(value)
    if check.unit not in (Unit.RATE, Unit.SHARE):
        return f"{value:.2f}"
    small = check.limit is not None and check.limit.value < 0.01
    return format(100 * value, ".3f" if small else ".2f")


def _unit(check: Check) -> str:
    if check.unit in (Unit.RATE, Unit.SHARE):
        return " %"
    return f" {check.unit.value}" if check.unit in (Unit.MS, Unit.MB) else ""
