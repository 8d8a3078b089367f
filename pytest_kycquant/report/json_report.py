"""The published JSON: every figure of a run, and the evidence for one gate.

Its keys, their order and its nesting are an interface: any change to them must change `SCHEMA`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..bench.records import VariantRecord
from ..bench.shipping import Shipment
from ..pipeline.record import PipelineRecord
from ..plain import plain
from ..results import GateResult
from ..verdicts import Check, Direction
from .records import Collected, GatedModel

SCHEMA = 6


def render(collected: Collected, *, verbose: bool = False) -> str:
    """Every figure of the run; see `report.Report`. `verbose` makes no difference."""
    return _text(
        {
            "schema": SCHEMA,
            "environment": plain(collected.environment or {}),
            "session_config": collected.session_config,
            "problems": collected.problems(),
            "gates": [_gate(gate) for gate in collected.gates],
            "pipelines": [
                _pipeline(record) | {"not_shipped": list(collected.misfits(record))}
                for _, record in sorted(collected.pipelines.items())
            ],
        }
    )


def evidence(
    collected: Collected, gate: GatedModel, files: Mapping[str, str], replaced: Mapping[str, str]
) -> str:
    """The evidence for the model to ship; it is written beside the model.

    Args:
        collected: everything that the tests of the run reported.
        gate: the gate of the model.
        files: SHA-256 of each exported file, by name; empty if none is exported.
        replaced: SHA-256 of each file of an earlier export that these replace, by name.
    """
    return _text(
        {
            "files": dict(files),
            "replaced": dict(replaced),
            "environment": plain(collected.environment or {}),
            "session_config": collected.session_config,
            **_gate(gate),
        }
    )


def _text(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def _gate(gate: GatedModel) -> dict[str, Any]:
    return {
        "model": gate.model,
        "gate": gate.name,
        "profile": gate.profile,
        "profile_note": gate.profile_note,  # names limits that are looser than the defaults
        "inconclusive": gate.inconclusive,
        "fallback": gate.fallback,
        "ship_by": gate.ship_by,
        "ship": gate.ship.variant if gate.ship else None,
        "incomplete": gate.incomplete,
        "golden": plain(gate.golden or {}),
        "rejected": dict(sorted(gate.rejected.items())),
        "variants": [_variant(record) for record in gate.rows()],
        "decisions": [_shipment(each, gate) for _, each in sorted(gate.shipments.items())],
    }


def _shipment(shipment: Shipment, gate: GatedModel) -> dict[str, Any]:
    record = shipment.record
    cleared = not gate.incomplete and record.variant not in gate.rejected
    ships = record.ships and cleared and gate.profile != "smoke"
    return {
        "model": record.model,
        "requested": shipment.requested,
        "ships": record.variant if ships else None,
        "reasons": plain(shipment.reasons),
        "note": shipment.note,
        "tried": [each.variant for each in shipment.tried],
        "searches": plain(shipment.searches),
    }


def _variant(record: VariantRecord) -> dict[str, Any]:
    gates = {name: _result(result) for name, result in record.gates.items()}
    groups = [plain(group) | {"check": _check(group.check)} for group in record.groups]
    verdict = record.verdict.value
    return {**plain(record), "gates": gates, "groups": groups, "verdict": verdict}


def _pipeline(record: PipelineRecord) -> dict[str, Any]:
    gates = {name: _result(result) for name, result in record.gates.items()}
    groups = [plain(group) | {"check": _check(group.check)} for group in record.groups]
    verdict = record.verdict.value
    return {**plain(record), "gates": gates, "groups": groups, "verdict": verdict}


def _result(result: GateResult) -> dict[str, Any]:
    return {
        "gate": result.gate,
        "verdict": result.verdict.value,
        "checks": [_check(check) for check in result.checks],
        "remedy": result.remedy,
        "offenders": plain(result.offenders),
        "waiver": plain(result.waiver),
    }


def _check(check: Check) -> dict[str, Any]:
    limit = check.limit
    return {
        "name": check.name,
        "verdict": check.verdict.value,
        "value": check.value,
        "lower": check.lower,
        "upper": check.upper,
        "limit": limit.value if limit else None,
        "direction": (limit.direction if limit else Direction.BELOW).value,
        "unit": check.unit.value,
        "detail": check.detail,
    }
