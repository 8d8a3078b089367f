"""The published JSON: every figure of a run, and the evidence for one gate.

`document` says what is in it; here records become that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from ..bench.records import VariantRecord
from ..bench.shipping import Shipment
from ..context.cache import digest_of
from ..pipeline.record import PipelineRecord
from ..plain import plain
from ..results import GateResult, GroupIncrease
from ..verdicts import Check, Direction
from .document import (
    SCHEMA,
    DecisionEntry,
    Evidence,
    GateEntry,
    PipelineEntry,
    Report,
    VariantEntry,
)
from .guidance import advice
from .records import Collected, GatedModel
from .result_entries import CheckEntry, GroupEntry, ResultEntry
from .run_entries import CollectedGate, ErrorEntry, OutcomeEntry, Provenance, Scope, Times


def render(collected: Collected, *, verbose: bool = False) -> str:
    """Every figure of the run; see `report.Report`. `verbose` makes no difference."""
    return _text(report_of(collected))


def report_of(collected: Collected) -> Report:
    """The report of a run, without its digest."""
    return Report(
        schema=SCHEMA,
        verdict=collected.verdict,
        provenance=_provenance(collected),
        shard=collected.present.shard,
        parts=collected.parts,
        environment=collected.environment,
        session_config=collected.session_config,
        scope=_scope(collected),
        problems=tuple(collected.problems()),
        errors=tuple(ErrorEntry(*each) for each in sorted(collected.errors.items())),
        gates=tuple(_gate(collected, gate) for gate in collected.gates),
        pipelines=_pipelines(collected),
        times=Times(
            collected.started,
            collected.finished or _now(),
            dict(sorted(collected.seconds.items())),
        ),
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
        Evidence(
            schema=SCHEMA,
            files=files,
            replaced=replaced,
            provenance=_provenance(collected),
            environment=collected.environment,
            session_config=collected.session_config,
            written=_now(),
            model=gate.model,
            gate=gate.name,
            found=_gate(collected, gate),
            pipelines=tuple(
                pipeline
                for pipeline in _pipelines(collected)
                if gate in [collected.by_key.get(key) for key in pipeline.models.values()]
            ),
        )
    )


def _text(document: Report | Evidence) -> str:
    values = plain(document)
    del values["digest"]
    return json.dumps(values | {"digest": digest_of(values)}, indent=2, allow_nan=False) + "\n"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _provenance(collected: Collected) -> Provenance:
    return Provenance(version("pytest-kycquant"), collected.commit)


def _scope(collected: Collected) -> Scope:
    outcomes, present = collected.outcomes, collected.present
    gates = [CollectedGate(name, model, key) for key, (model, name) in collected.models().items()]
    gates += [CollectedGate(name, "", "") for name in {*present.pipelines, *collected.pipelines}]
    return Scope(
        gates=tuple(sorted(gates, key=lambda one: (one.gate, one.key))),
        broken=tuple(ErrorEntry(*each) for each in sorted(collected.broken.items())),
        uncollected=tuple(sorted(set(outcomes.uncollected))),
        torn=tuple(sorted(set(outcomes.torn))),
    )


def _outcomes(collected: Collected, tests: Mapping[str, str]) -> tuple[OutcomeEntry, ...]:
    return tuple(collected.outcomes.told(*each) for each in sorted(tests.items()))


def _gate(collected: Collected, gate: GatedModel) -> GateEntry:
    return GateEntry(
        model=gate.model,
        gate=gate.name,
        key=next(key for key, one in collected.by_key.items() if one is gate),
        profile=gate.profile,
        profile_note=gate.profile_note,
        inconclusive=gate.inconclusive,
        fallback=gate.fallback,
        ship_by=gate.ship_by,
        limits=gate.limits,
        data=dict(gate.data),
        ship=gate.ship.variant if gate.ship else None,
        incomplete=gate.incomplete,
        not_run=tuple(gate.outcomes.unfinished(gate.tests)),
        tests=_outcomes(collected, gate.tests),
        unjudged=gate.unjudged,
        golden=plain(gate.golden or {}),
        rejected=dict(sorted(gate.rejected.items())),
        variants=tuple(map(_variant, gate.rows())),
        decisions=tuple(_decision(each, gate) for _, each in sorted(gate.shipments.items())),
        advice=tuple(advice(gate, collected.environment)),
    )


def _decision(shipment: Shipment, gate: GatedModel) -> DecisionEntry:
    record = shipment.record
    cleared = not gate.incomplete and record.variant not in gate.rejected
    ships = record.ships and cleared and gate.profile != "smoke"
    return DecisionEntry(
        model=record.model,
        requested=shipment.requested,
        judged=record.variant,
        ships=record.variant if ships else None,
        reasons=shipment.reasons,
        note=shipment.note,
        undecidable=_check(shipment.undecidable) if shipment.undecidable else None,
        tried=tuple(each.variant for each in shipment.tried),
        searches=shipment.searches,
    )


def _variant(record: VariantRecord) -> VariantEntry:
    return VariantEntry(**_found(record))


def _pipelines(collected: Collected) -> tuple[PipelineEntry, ...]:
    return tuple(
        PipelineEntry(
            **_found(record),
            inconclusive=collected.policies.get(name, "fail"),
            limits=collected.limits.get(name, ()),
            not_shipped=tuple(collected.misfits(record)),
            tests=_outcomes(collected, dict.fromkeys(collected.members.get(name, ()), "")),
        )
        for name, record in sorted(collected.pipelines.items())
    )


def _found(record: VariantRecord | PipelineRecord) -> dict[str, Any]:
    """The fields that a record shares with its entry."""
    fields = {name: getattr(record, name) for name in record.__dataclass_fields__}
    return fields | {
        "gates": {name: _result(result) for name, result in record.gates.items()},
        "groups": tuple(map(_group, record.groups)),
        "verdict": record.verdict.value,
    }


def _group(group: GroupIncrease) -> GroupEntry:
    return GroupEntry(group.group, group.measure, group.fp32, group.variant, _check(group.check))


def _result(result: GateResult) -> ResultEntry:
    checks = tuple(map(_check, result.checks))
    return ResultEntry(
        result.gate,
        result.verdict.value,
        checks,
        result.remedy,
        result.offenders,
        result.waiver,
    )


def _check(check: Check) -> CheckEntry:
    limit = check.limit
    return CheckEntry(
        name=check.name,
        verdict=check.verdict.value,
        value=check.value,
        lower=check.lower,
        upper=check.upper,
        limit=limit.value if limit else None,
        direction=(limit.direction if limit else Direction.BELOW).value,
        unit=check.unit.value,
        detail=check.detail,
    )
