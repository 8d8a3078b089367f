"""The published JSON: every figure of a run, and the evidence for one gate.

Its keys, their order and its nesting are an interface. What changes them changes `SCHEMA`.
"""

from __future__ import annotations

import json
from typing import Any

from .records import Collected, Gate

SCHEMA = 1


def render(collected: Collected, *, verbose: bool = False) -> str:
    """Every figure of the run; see `report.Report`. There is no more to say with `verbose`."""
    return _text(
        {
            "schema": SCHEMA,
            "environment": dict(collected.environment),
            "session_config": collected.session_config,
            "gates": [_gate(gate) for gate in collected.gates],
            "pipelines": [record.as_dict() for _, record in sorted(collected.pipelines.items())],
        }
    )


def evidence(collected: Collected, gate: Gate) -> str:
    """What speaks for the model to ship, which lies beside it."""
    return _text(
        {
            "environment": dict(collected.environment),
            "session_config": collected.session_config,
            **_gate(gate),
        }
    )


def _text(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def _gate(gate: Gate) -> dict[str, Any]:
    return {
        "model": gate.model,
        "gate": gate.name,
        "profile": gate.profile,
        "ship": gate.ship.variant if gate.ship else None,
        "golden": dict(gate.golden),
        "rejected": sorted(gate.rejected),
        "variants": [record.as_dict() for record in gate.rows()],
        "decisions": [dict(decision) for _, decision in sorted(gate.decisions.items())],
    }
