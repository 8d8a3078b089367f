"""What several parts of a run found about one gate, as one: tests of a gate may run in many jobs.

Where two parts judged the same, the worse verdict counts. What cannot be put together, such as two
files under one label, is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ..bench.records import VariantRecord
from ..bench.shipping import Shipment
from ..errors import ReportError
from ..pipeline.record import PipelineRecord, PipelineRow
from ..plain import plain
from ..results import GateResult
from ..verdicts import Verdict
from .records import GatedModel

T = TypeVar("T")
Where = tuple[Path, Path]
"""The files that two pieces come from."""
_REMEDY = "run all tests of a gate in one job: --kycquant-shard never divides one"
_SAME = ("model", "golden", "inconclusive", "fallback", "profile", "ship_by", "limits", "data")


def one_gate(first: GatedModel, second: GatedModel, where: Where) -> GatedModel:
    """Unite what two parts found about a gate.

    Args:
        first: what the one found.
        second: what the other found, whose outcomes of tests are those of all parts.
        where: the files of both, for messages.

    Raises:
        ReportError: they disagree about what was judged.
    """
    for name in _SAME:
        if plain(getattr(first, name)) != plain(getattr(second, name)):
            raise _disagree(first.name, f"its {name}", where)
    variants = _united(
        first.variants, second.variants, lambda a, b: _one_variant(a, b, first.name, where)
    )
    shipments = _united(
        first.shipments, second.shipments, lambda a, b: _one_shipment(a, b, first.name, where)
    )
    return replace(
        second,
        name=min(first.name, second.name),
        variants=variants,
        shipments={
            requested: replace(
                shipment,
                record=variants[shipment.record.variant],
                tried=tuple(variants[one.variant] for one in shipment.tried),
            )
            for requested, shipment in shipments.items()
        },
        tests={**first.tests, **second.tests},
        unjudged=tuple(name for name in first.unjudged if name in second.unjudged),
    )


def one_pipeline(first: PipelineRecord, second: PipelineRecord, where: Where) -> PipelineRecord:
    """Unite what two parts found about a pipeline; see `one_gate`."""
    for name in ("models", "search"):
        if plain(getattr(first, name)) != plain(getattr(second, name)):
            raise _disagree(first.gate, f"its {name}", where)
    if first.shipped.variants != second.shipped.variants:
        raise _disagree(first.gate, "which variants ship", where)
    return replace(
        first,
        fp32=_one_row(first.fp32, second.fp32),
        shipped=_one_row(first.shipped, second.shipped),
        gates=_united(first.gates, second.gates, _worse),
        figures={**second.figures, **first.figures},
        notes=_listed(first.notes, second.notes),
        remarks=_listed(first.remarks, second.remarks),
        farthest={**second.farthest, **first.farthest},
    )


def _one_variant(
    first: VariantRecord, second: VariantRecord, gate: str, where: Where
) -> VariantRecord:
    if (first.sha256, first.size) != (second.sha256, second.size):
        raise _disagree(gate, f"the file of {first.variant}", where)
    return replace(
        first,
        gates=_united(first.gates, second.gates, _worse),
        figures={**second.figures, **first.figures},
        shown={**second.shown, **first.shown},
        notes=_listed(first.notes, second.notes),
        remarks=_listed(first.remarks, second.remarks),
        groups=first.groups or second.groups,
    )


def _one_shipment(first: Shipment, second: Shipment, gate: str, where: Where) -> Shipment:
    if first.record.variant != second.record.variant:
        raise _disagree(gate, f"what {first.requested} falls back to", where)
    return replace(
        first,
        reasons=_listed(first.reasons, second.reasons),
        tried=tuple({one.variant: one for one in (*first.tried, *second.tried)}.values()),
        searches=first.searches or second.searches,
        undecidable=first.undecidable or second.undecidable,
    )


def _one_row(first: PipelineRow, second: PipelineRow) -> PipelineRow:
    return replace(
        first,
        timing=first.timing or second.timing,
        peak_mb=second.peak_mb if first.peak_mb is None else first.peak_mb,
        imports_mb=second.imports_mb if first.imports_mb is None else first.imports_mb,
    )


def _worse(first: GateResult, second: GateResult) -> GateResult:
    worst = Verdict.worst([first.verdict, second.verdict])
    return first if first.verdict is worst else second


def _united(first: Mapping[str, T], second: Mapping[str, T], both: Any) -> dict[str, T]:
    found = {**first, **second}
    return found | {name: both(first[name], second[name]) for name in first if name in second}


def _listed(*lists: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each for one in lists for each in one))


def _disagree(gate: str, what: str, where: Where) -> ReportError:
    first, second = where
    return ReportError(second, f"and {first} disagree about {gate}: {what}", _REMEDY)
