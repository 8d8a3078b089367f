"""What a report was made of, from the report: it is judged again, never believed.

`report_of(restored(report))` is the report itself. One that says otherwise was edited by somebody
who made its digest anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from ..bench.golden import Golden
from ..bench.records import VariantRecord
from ..bench.shipping import Shipment
from ..errors import ReportError
from ..pipeline.record import PipelineRecord
from ..plain import from_plain, plain
from ..results import GateResult, GroupIncrease
from ..runtimes.ort import EXACT_ENTRY
from ..verdicts import Check, Direction, Limit, Unit, Verdict
from .document import GateEntry, PipelineEntry, Report, VariantEntry
from .found import Present
from .json_report import report_of
from .outcomes import Outcomes
from .records import Collected, GatedModel
from .result_entries import CheckEntry, GroupEntry, ResultEntry


def restored(report: Report, path: Path) -> Collected:
    """The findings that a report was made of.

    Args:
        report: the report of one run, not one that unites others.
        path: its file, for messages.

    Raises:
        ReportError: its verdicts do not follow from its figures.
    """
    try:
        found = _restored(report)
        same = _comparable(report_of(found)) == _comparable(report)
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise _edited(path) from error
    if not same:
        raise _edited(path)
    return found


def _edited(path: Path) -> ReportError:
    return ReportError(
        path,
        "was edited: its verdicts do not follow from its figures",
        "take the file that the run wrote",
    )


def _comparable(report: Report) -> Any:
    values = plain(report)
    del values["digest"]
    return values


def _restored(report: Report) -> Collected:
    scope, outcomes = report.scope, Outcomes()
    outcomes.uncollected, outcomes.torn = list(scope.uncollected), list(scope.torn)
    for entry in report.judged:
        for told in entry.tests:
            outcomes.note(told)
    found = Collected(
        environment=report.environment,
        exact=report.session_config == dict([EXACT_ENTRY]),
        outcomes=outcomes,
        broken={one.test: one.message for one in scope.broken},
        present=Present(
            {one.key: (one.model, one.gate) for one in scope.gates if one.key},
            pipelines=tuple(one.gate for one in scope.gates if not one.key),
            shard=report.shard,
        ),
        errors={one.test: one.message for one in report.errors},
        seconds=dict(report.times.tests),
        started=report.times.started,
        finished=report.times.finished,
        commit=report.provenance.commit,
    )
    for gate in report.gates:
        found.by_key[gate.key] = _gate(gate, outcomes)
    for pipeline in report.pipelines:
        name = pipeline.gate
        found.pipelines[name] = _record(PipelineRecord, pipeline)
        found.policies[name] = cast("Any", pipeline.inconclusive)
        found.limits[name] = pipeline.limits
        found.members[name] = tuple(told.test for told in pipeline.tests)
    return found


def _gate(entry: GateEntry, outcomes: Outcomes) -> GatedModel:
    variants = {one.variant: _record(VariantRecord, one) for one in entry.variants}
    return GatedModel(
        model=entry.model,
        name=entry.gate,
        outcomes=outcomes,
        variants=variants,
        shipments={
            one.requested: Shipment(
                requested=one.requested,
                record=variants[one.judged],
                reasons=one.reasons,
                tried=tuple(variants[label] for label in one.tried),
                searches=one.searches,
                undecidable=check_of(one.undecidable) if one.undecidable else None,
            )
            for one in entry.decisions
        },
        golden=from_plain(Golden, entry.golden) if entry.golden else None,
        tests={told.test: told.precision for told in entry.tests},
        unjudged=entry.unjudged,
        inconclusive=cast("Any", entry.inconclusive),
        fallback=entry.fallback,
        profile=cast("Any", entry.profile),
        profile_note=entry.profile_note,
        ship_by=cast("Any", entry.ship_by),
        limits=entry.limits,
        data=entry.data,
    )


def _record(kind: Any, entry: VariantEntry | PipelineEntry) -> Any:
    """The record whose fields an entry shares, see `json_report`."""
    shared = {each.name: getattr(entry, each.name) for each in fields(kind)}
    return kind(**shared | {"gates": _results(entry.gates), "groups": _groups(entry.groups)})


def _results(entries: Mapping[str, ResultEntry]) -> dict[str, GateResult]:
    return {
        name: GateResult(
            one.gate, tuple(map(_checked, one.checks)), one.remedy, one.offenders, one.waiver
        )
        for name, one in entries.items()
    }


def _groups(entries: Iterable[GroupEntry]) -> tuple[GroupIncrease, ...]:
    return tuple(
        GroupIncrease(one.group, one.measure, one.fp32, one.variant, _checked(one.check))
        for one in entries
    )


def check_of(entry: CheckEntry) -> Check:
    """The check that an entry records."""
    limit = None
    if entry.limit is not None:  # its name and kind decide nothing once it was compared
        limit = Limit("", entry.limit, Direction(entry.direction), Unit(entry.unit))
    return Check(
        entry.name,
        Verdict(entry.verdict),
        limit,
        entry.value,
        entry.lower,
        entry.upper,
        entry.detail,
    )


def _checked(entry: CheckEntry) -> Check:
    """The same, of a report that somebody may have edited.

    Raises:
        ValueError: it passes, although the bound that decides is beyond its limit.
    """
    check = check_of(entry)
    if check.verdict is Verdict.PASS and check.limit is not None and check.value is not None:
        bound = check.upper if check.limit.direction is Direction.BELOW else check.lower
        bound = check.value if bound is None else bound
        if check.limit.judge(bound, bound) is not Verdict.PASS:
            raise ValueError(f"{check.name} passes, and is beyond its limit")
    return check
