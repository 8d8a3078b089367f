"""The table of a model's variants on the page, and what it says of each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...bench.records import VariantRecord
from ...results import GateResult
from ..document import GateEntry, VariantEntry
from ..records import GatedModel
from ..restored import check_of
from ..result_entries import CheckEntry
from ..variant_table import columns_of
from .bars import Bar, bar_of, figure, limit_text


class Cell(NamedTuple):
    """The figure that decided a gate.

    Args:
        text: the figure with its bounds.
        verdict: the verdict of the gate.
        bar: where the figure lies; None if there is none.
        check: what was measured; "" where the name of the gate says it.
        limit: the limit of that figure.
        repeated: whether the heading of the column says all of that, too.
    """

    text: str
    verdict: str
    bar: Bar | None
    check: str
    limit: str
    repeated: bool


class Row(NamedTuple):
    """A variant in the table of a model.

    Args:
        label: the variant.
        size: the size of its files.
        cells: a cell for each gate; None for a gate that was not judged.
        verdict: its verdict.
        partly: what the terminal adds to that word, such as "(only size)".
        ships: whether it ships.
    """

    label: str
    size: str
    cells: Sequence[Cell | None]
    verdict: str
    partly: str
    ships: bool


def columns(gate: GateEntry) -> list[tuple[str, str]]:
    """The gates of a model, each with the limit that its whole column is judged by, or ""."""
    names = dict.fromkeys(name for each in gate.variants for name in each.gates)
    return [(name, _header(gate, name)) for name in names]


def rows(gate: GateEntry, headers: Sequence[tuple[str, str]], *, decided: bool) -> list[Row]:
    """The variants of a model: FP32 first, as the reference; then the worst first.

    Args:
        gate: the findings about the model.
        headers: its `columns`.
        decided: whether this report says what ships.
    """
    said = partly(gate)
    return [
        Row(
            each.variant,
            f"{each.size / 1e6:.2f} MB ({each.size_ratio:.2f})",
            [_cell(each, *header) if header[0] in each.gates else None for header in headers],
            verdict_of(each),
            said[each.variant],
            ships=decided and each.variant == gate.ship,
        )
        for each in gate.variants
    ]


def verdict_of(entry: VariantEntry) -> str:
    """The verdict of a variant in one word, as in the terminal."""
    return entry.verdict if entry.gates else "not judged"


def partly(gate: GateEntry) -> dict[str, str]:
    """What the terminal's table adds to the verdict of each variant; "" if nothing.

    That a verdict is about some gates only, "(only size)", or about which: "far; INCONCLUSIVE frr".
    """
    records = {
        one.variant: VariantRecord(
            one.model,
            one.variant,
            one.sha256,
            one.size,
            one.size_ratio,
            one.options,
            {
                name: GateResult(name, tuple(map(check_of, found.checks)), waiver=found.waiver)
                for name, found in one.gates.items()
            },
            one.figures,
        )
        for one in gate.variants
    }
    model = GatedModel(gate.model, gate.gate, variants=records, unjudged=gate.unjudged)
    _, cells = columns_of(model)
    said = zip(model.rows(), (row[-1] for row in cells), strict=True)
    told = {record.variant: text for record, text in said}
    return {
        one.variant: told[one.variant].removeprefix(verdict_of(one)).strip()
        for one in gate.variants
    }


def worst(checks: Sequence[CheckEntry]) -> CheckEntry:
    """The check that decided, as in the terminal."""
    as_checks = [check_of(check) for check in checks]
    chosen = GateResult("", tuple(as_checks)).worst_check()
    return checks[next(i for i, check in enumerate(as_checks) if check is chosen)]


def _header(gate: GateEntry, name: str) -> str:
    """The limit that a column is judged by: that of the first check, where all have the same."""
    for each in gate.variants:
        if name in each.gates and each.variant != "fp32":
            checks = each.gates[name].checks
            limits = {limit_text(check) for check in checks}
            return limits.pop() if len(limits) == 1 else ""
    return ""


def _cell(entry: VariantEntry, name: str, header: str) -> Cell:
    result = entry.gates[name]
    check = worst(result.checks)
    limit = limit_text(check)
    several = len({limit_text(each) for each in result.checks}) > 1
    named = check.name if several else ""
    repeated = not several and limit == header
    return Cell(figure(check), result.verdict, bar_of(check), named, limit, repeated)
