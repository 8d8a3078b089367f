"""What got better or worse between two reports, beyond noise.

A figure with bounds has changed if the two intervals do not overlap: both bounds are one-sided,
95 %, so this happens by chance in far fewer than one of 20 comparisons. A figure that is known
exactly, such as a size, has changed if it differs by more than rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ..verdicts import Direction, Unit
from .document import GateEntry, LimitEntry, PipelineEntry, Report
from .result_entries import CheckEntry, ResultEntry

Kind = Literal["worse", "better", "changed"]
_ORDER = ("PASS", "WAIVED", "INCONCLUSIVE", "FAIL")
_OVERALL = ("PASS", "WAIVED", "SMOKE", "INCOMPLETE", "INCONCLUSIVE", "FAIL", "ERROR")
_ROUNDING = 1e-3  # relative; what a printed figure could not show


@dataclass(frozen=True)
class Change:
    """One difference between two reports.

    Args:
        gate: node id of the gate; "" for the run as a whole.
        variant: label of the variant; "" for the gate as a whole, "shipped" for a pipeline.
        what: what differs: "verdict", "ships", "limit", "data", "environment", "threshold",
            "judged", or the name of a figure.
        kind: whether it got worse or better, or only changed.
        old: how it was, in words.
        new: how it is.
        decides: whether it is a verdict, what ships, or whether something is judged at all.
    """

    gate: str
    variant: str
    what: str
    kind: Kind
    old: str
    new: str
    decides: bool = False


def changes(old: Report, new: Report) -> list[Change]:
    """List what differs, the run as a whole first, then gate by gate."""
    found = [*_of_run(old, new)]
    before = {gate.gate + gate.model: gate for gate in old.gates}
    after = {gate.gate + gate.model: gate for gate in new.gates}
    found += _judged(before, after)
    for key in before.keys() & after.keys():
        found += _of_gate(before[key], after[key])
    earlier = {one.gate: one for one in old.pipelines}
    later = {one.gate: one for one in new.pipelines}
    found += _judged(earlier, later)
    for key in earlier.keys() & later.keys():
        found += _of_pipeline(earlier[key], later[key])
    return sorted(found, key=lambda one: (one.gate, not one.decides, one.variant, one.what))


def _of_run(old: Report, new: Report) -> Iterator[Change]:
    yield from _ranked("", "", "verdict", old.verdict, new.verdict, _OVERALL)
    if old.environment != new.environment and old.environment and new.environment:
        names = [
            name
            for name in old.environment.__dataclass_fields__
            if getattr(old.environment, name) != getattr(new.environment, name)
        ]
        before, after = (
            ", ".join(f"{name} {getattr(one, name)}" for name in names)
            for one in (old.environment, new.environment)
        )
        yield Change("", "", "environment", "changed", before, after)


def _judged(
    old: Mapping[str, GateEntry] | Mapping[str, PipelineEntry],
    new: Mapping[str, GateEntry] | Mapping[str, PipelineEntry],
) -> Iterator[Change]:
    for key in old.keys() - new.keys():
        yield Change(old[key].gate, "", "judged", "worse", "yes", "not in this run", decides=True)
    for key in new.keys() - old.keys():
        yield Change(new[key].gate, "", "judged", "changed", "not in that run", "yes")


def _of_gate(old: GateEntry, new: GateEntry) -> Iterator[Change]:
    name = old.gate
    if old.ship != new.ship:
        kind: Kind = "worse" if new.ship is None else "better" if old.ship is None else "changed"
        before, after = (one.ship or "nothing" for one in (old, new))
        yield Change(name, "", "ships", kind, before, after, decides=True)
    yield from _limits(name, old.limits, new.limits)
    for role in sorted(old.data.keys() | new.data.keys()):
        both = old.data.get(role), new.data.get(role)
        if both[0] != both[1]:
            before, after = (
                f"{one.images:,} images, {one.sha256[:8]}" if one else "none" for one in both
            )
            yield Change(name, "", f"{role} data", "changed", before, after)
    before, after = (str(one.golden.get("threshold")) for one in (old, new))
    if before != after:
        yield Change(name, "", "threshold", "changed", before, after)
    rows = {row.variant: row for row in new.variants}
    for row in old.variants:
        later = rows.get(row.variant)
        if later is None:  # fallbacks come and go; what ships is compared above
            yield Change(name, row.variant, "judged", "changed", "yes", "no")
        else:
            yield from _of_results(name, row.variant, row.gates, later.gates)


def _of_pipeline(old: PipelineEntry, new: PipelineEntry) -> Iterator[Change]:
    before, after = (", ".join(one.shipped.variants.values()) for one in (old, new))
    if before != after:
        yield Change(old.gate, "", "ships", "changed", before, after, decides=True)
    yield from _limits(old.gate, old.limits, new.limits)
    yield from _of_results(old.gate, "shipped", old.gates, new.gates)


def _limits(gate: str, old: Iterable[LimitEntry], new: Iterable[LimitEntry]) -> Iterator[Change]:
    """Limits that differ: a looser one makes a PASS weaker, so it is worse."""
    later = {one.name: one for one in new}
    for one in old:
        other = later.get(one.name)
        if other is None or one.value == other.value:
            continue
        unit = Unit(one.unit)
        before, after = (
            "off" if each.value is None else unit.show(each.value) for each in (one, other)
        )
        if one.value is None or other.value is None:
            looser = other.value is None
        else:
            looser = (other.value > one.value) == (Direction(one.direction) is Direction.BELOW)
        yield Change(gate, "", f"limit {one.name}", "worse" if looser else "better", before, after)


def _of_results(
    gate: str, variant: str, old: Mapping[str, ResultEntry], new: Mapping[str, ResultEntry]
) -> Iterator[Change]:
    for name in old.keys() - new.keys():
        yield Change(gate, variant, f"{name} judged", "worse", "yes", "no", decides=True)
    for name, result in old.items():
        if name not in new:
            continue
        what = f"verdict of {name}"
        yield from _ranked(gate, variant, what, result.verdict, new[name].verdict, _ORDER)
        later = {check.name: check for check in new[name].checks}
        for check in result.checks:
            if check.name in later:
                yield from _of_figures(gate, variant, check, later[check.name])
            else:
                yield Change(gate, variant, f"{check.name} judged", "worse", "yes", "no")


def _ranked(
    gate: str, variant: str, what: str, old: str, new: str, order: tuple[str, ...]
) -> Iterator[Change]:
    if old != new:
        kind: Kind = "worse" if order.index(new) > order.index(old) else "better"
        yield Change(gate, variant, what, kind, old, new, decides=True)


def _of_figures(gate: str, variant: str, old: CheckEntry, new: CheckEntry) -> Iterator[Change]:
    if old.value is None or new.value is None or old.unit != new.unit:
        return
    low, high = (_bounds(one) for one in (old, new))
    if low[1] < high[0]:
        rises = True
    elif high[1] < low[0]:
        rises = False
    else:
        return
    worse = rises == (Direction(new.direction) is Direction.BELOW)
    yield Change(gate, variant, new.name, "worse" if worse else "better", _shown(old), _shown(new))


def _bounds(one: CheckEntry) -> tuple[float, float]:
    assert one.value is not None
    if one.lower is not None and one.upper is not None:
        return one.lower, one.upper
    slack = _ROUNDING * abs(one.value) / 2
    return one.value - slack, one.value + slack


def _shown(one: CheckEntry) -> str:
    unit = Unit(one.unit)
    assert one.value is not None
    if one.lower is None or one.upper is None:
        return unit.show(one.value)
    return f"{unit.show(one.value)} [{unit.show(one.lower)}, {unit.show(one.upper)}]"
