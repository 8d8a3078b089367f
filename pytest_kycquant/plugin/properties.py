"""What JUnit files hold of a gate: properties of its tests, one for each figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

from ..report.annotations import line_of
from ..verdicts import Check, Verdict
from .collection import gate_name

if TYPE_CHECKING:
    from ..bench.shipping import Shipment
    from ..results import GateResult

Properties = list[tuple[str, object]]


def place_of(item: pytest.Item) -> Properties:
    """Where the gate of a test is defined: pytest's own location is that of the inherited test."""
    name = gate_name(item)
    return [
        ("kycquant.file", name.partition("::")[0]),
        ("kycquant.line", line_of(item.config.rootpath, name)),
    ]


def properties_of(shipment: Shipment) -> Properties:
    """What was judged for one precision."""
    record = shipment.record
    found: Properties = [
        ("kycquant.variant", record.variant),
        ("kycquant.size_ratio", round(record.size_ratio, 4)),
        ("kycquant.sha256", record.sha256),
    ]
    if shipment.fell_back:
        found.append(("kycquant.fallback_reason", "; ".join(shipment.reasons)))
    return found + figures_of(record.gates)


def figures_of(gates: Mapping[str, GateResult]) -> Properties:
    """Each gate in words, and the figures of the check that decided as numbers."""
    found: Properties = []
    for gate in gates.values():
        name = f"kycquant.{gate.gate}"
        found.append((name, " | ".join(check.describe() for check in gate.checks)))
        found.append((f"{name}.verdict", gate.verdict.value))
        worst = gate.worst_check() if gate.checks else Check(gate.gate, gate.verdict)
        figures = {
            "value": worst.value,
            "lower": worst.lower,
            "upper": worst.upper,
            "limit": worst.limit.value if worst.limit else None,
        }
        found += [(f"{name}.{key}", value) for key, value in figures.items() if value is not None]
        if gate.waiver is not None and gate.verdict is Verdict.WAIVED:
            found.append((f"{name}.waiver", gate.waiver.describe()))
    return found
