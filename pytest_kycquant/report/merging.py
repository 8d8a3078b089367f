"""Reports of the parts of a run, united: what one run would have said.

The parts are shards (``--kycquant-shard``) or runs of some of the files or tests. Nothing is
believed that a part says of itself: all findings are put together and judged again. `pieces` unites
what several parts say about one gate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ReportError
from .document import GateEntry, Report
from .found import Present
from .pieces import one_gate, one_pipeline
from .records import Collected
from .restored import restored
from .run_entries import Part

_PACKAGES = ("onnxruntime", "onnx", "numpy", "pillow")  # of the environment
_ALIKE = "write all reports from one commit, on machines with the same packages"


@dataclass(frozen=True)
class Given:
    """A report to unite with others.

    Args:
        path: its file, for messages.
        report: the report.
    """

    path: Path
    report: Report

    @property
    def shard(self) -> str:
        """Which shard it is the report of, such as "2/3"; "" for none."""
        shard = self.report.shard
        return "" if shard is None else f"{shard.index}/{shard.of}"

    @property
    def judged(self) -> set[str]:
        """Node ids of the gates and pipelines that it judged."""
        return {entry.gate for entry in self.report.judged}


def united(given: Iterable[Given], of: int | None = None) -> Collected:
    """Unite reports. What is missing is a problem of the result, which does not pass then.

    The result does not depend on the order of the reports.

    Args:
        given: at least one report.
        of: how many reports there must be; None if they are shards, which say so themselves.

    Raises:
        ReportError: they are not parts of one run, or one of them was edited or is given twice.
    """
    parts = sorted(given, key=lambda one: one.report.digest)
    _refuse_united(parts)
    _refuse_doubled(parts)
    _refuse_unlike(parts)
    missing = list(_missing(parts, of))
    found = _whole(parts)
    _refuse_ambiguous(found)
    found.missing = tuple(missing)
    for gate in found.by_key.values():  # what a missing part says may keep it from being shipped
        gate.missing = "; ".join(missing)
    return found


def _refuse_united(parts: Iterable[Given]) -> None:
    for one in parts:
        if one.report.parts:
            raise ReportError(
                one.path, "unites other reports itself", "give the reports that it was made of"
            )


def _refuse_doubled(parts: Sequence[Given]) -> None:
    """Refuse a report that is given twice, and two reports of one shard."""
    known: dict[object, Given] = {}
    for one in parts:
        for mark in (one.report.digest, one.shard):
            if mark and (other := known.setdefault(mark, one)) is not one:
                what = f"shard {one.shard}" if one.shard else "the same run"
                raise ReportError(
                    one.path, f"is of {what}, and so is {other.path}", "keep the right one of them"
                )


def _refuse_unlike(parts: Iterable[Given]) -> None:
    """Refuse reports of different commits, plugins, settings or runs."""
    known: dict[str, tuple[object, Given]] = {}
    for one in parts:
        for name, now in _facts(one):
            before, other = known.setdefault(name, (now, one))
            if before != now:
                raise ReportError(
                    one.path,
                    f"is not of the same run as {other.path}: {name} {now}, not {before}",
                    _ALIKE,
                )


def _facts(one: Given) -> Iterator[tuple[str, object]]:
    """What must be the same in all reports, as far as this one knows it."""
    report, shard, machine = one.report, one.report.shard, one.report.environment
    commit = report.provenance.commit
    changed = " with changes" if commit and commit.changed else ""
    yield "plugin", report.provenance.plugin
    yield "commit", commit.sha[:12] + changed if commit else "unknown"
    yield "number of shards", shard.of if shard else "none"
    if shard:
        yield "tests or settings of the run", shard.run[:12]
    if machine:
        yield "session configuration", dict(report.session_config)
        yield from ((name, getattr(machine, name)) for name in _PACKAGES)


def _missing(parts: Sequence[Given], of: int | None) -> Iterator[str]:
    """Describe the reports that are missing.

    Raises:
        ReportError: there are more than there must be, or nobody says how many.
    """
    shard = parts[0].report.shard
    if shard is None:
        if of is None:
            raise ReportError(
                parts[0].path,
                "does not say of how many reports it is one",
                "say so with --of, or run its job with --kycquant-shard",
            )
        if len(parts) > of:
            raise ReportError(
                parts[0].path,
                f"is one of {len(parts)} reports, not {of}",
                "give those of one run, each once, or mend --of",
            )
        if lacking := of - len(parts):
            yield f"{lacking} of {of} reports {'is' if lacking == 1 else 'are'} missing"
        return
    if of not in (None, shard.of):
        raise ReportError(parts[0].path, f"is one of {shard.of} shards, not {of}", "mend --of")
    there = {one.report.shard.index for one in parts if one.report.shard}
    for index in range(1, shard.of + 1):
        if index not in there:
            yield f"the report of shard {index}/{shard.of} is missing"


def _refuse_strays(parts: Iterable[Given]) -> None:
    """Refuse gates that several shards have, or that a shard judged without having them."""
    owners = Counter(
        name for one in parts if one.report.shard for name in set(one.report.shard.gates)
    )
    for one in parts:
        if one.report.shard is None:
            continue
        strays = one.judged - set(one.report.shard.gates)
        strays |= {name for name in one.report.shard.gates if owners[name] > 1}
        if strays:
            raise ReportError(
                one.path, f"judges {min(strays)}, which another shard has", "run all shards again"
            )


def _whole(parts: Sequence[Given]) -> Collected:
    _refuse_strays(parts)
    _refuse_other_goldens(parts)
    _refuse_other_keys(parts)
    found = Collected(
        finished=max(one.report.times.finished for one in parts),
        started=min(one.report.times.started for one in parts),
        parts=tuple(map(_part, parts)),
    )
    machines = {one.report.environment for one in parts} - {None}
    found.environment = machines.pop() if len(machines) == 1 else None
    outcomes = found.outcomes
    origin: dict[str, Path] = {}  # of what was found about a gate first
    for part in parts:
        other = restored(part.report, part.path)
        found.exact, found.commit = found.exact or other.exact, other.commit
        for entry in part.report.judged:
            for told in entry.tests:
                outcomes.note(told)
        outcomes.uncollected = sorted({*outcomes.uncollected, *other.outcomes.uncollected})
        outcomes.torn = sorted({*outcomes.torn, *other.outcomes.torn})
        for key, gate in other.by_key.items():
            gate.outcomes = outcomes
            where = origin.setdefault(key, part.path), part.path
            known = found.by_key.get(key)
            found.by_key[key] = gate if known is None else one_gate(known, gate, where)
        for name, pipeline in other.pipelines.items():
            where = origin.setdefault(name, part.path), part.path
            both = found.pipelines.get(name)
            found.pipelines[name] = (
                pipeline if both is None else one_pipeline(both, pipeline, where)
            )
        found.policies |= other.policies
        found.limits |= other.limits
        found.members |= other.members
        found.errors = {**other.errors, **found.errors}
        found.broken = {**other.broken, **found.broken}
        for test, seconds in other.seconds.items():
            found.seconds[test] = max(seconds, found.seconds.get(test, 0.0))
        found.present = Present(
            {**found.present.gates, **other.present.gates},
            pipelines=tuple(sorted({*found.present.pipelines, *other.present.pipelines})),
        )
    return found


def _refuse_ambiguous(found: Collected) -> None:
    """Refuse a waiver whose name is that of gates in several parts: one run is not green with it.

    Each part knows only the gates that it judged itself.
    """
    rows = [row for gate in found.gates for row in gate.variants.values()]
    results = [each for row in rows for each in row.gates.values()]
    results += [each for one in found.pipelines.values() for each in one.gates.values()]
    for source in sorted({each.waiver.source for each in results if each.waiver}):
        gates = sorted({name for name, _ in found.waived(source)})
        if len(gates) > 1:
            raise ReportError(
                source,
                f"names several gates: {', '.join(gates)}",
                "write one of these names in it, and run all parts again",
            )


def _part(one: Given) -> Part:
    report = one.report
    return Part(
        digest=report.digest,
        shard=one.shard,
        verdict=report.verdict,
        gates=tuple(sorted(one.judged)),
        environment=report.environment,
        started=report.times.started,
    )


def _refuse_other_goldens(parts: Iterable[Given]) -> None:
    """Refuse reports in which models of one name have different goldens."""
    known: dict[tuple[str, str], tuple[GateEntry, Path]] = {}
    for one in parts:
        for gate in one.report.gates:
            first, path = known.setdefault((gate.model, gate.profile), (gate, one.path))
            if first.golden and gate.golden and first.golden != gate.golden:
                raise ReportError(
                    one.path,
                    f"judges {gate.model} against another golden than {path}",
                    "give all jobs the same model, images and golden",
                )


def _refuse_other_keys(parts: Iterable[Given]) -> None:
    """Refuse reports in which a gate means something else: pipelines name their stages by it."""
    known: dict[str, tuple[set[str], Path]] = {}
    for one in parts:
        here: dict[str, set[str]] = {}
        for gate in one.report.scope.gates:
            here.setdefault(gate.gate, set()).add(gate.key)
        for name, keys in here.items():
            before, path = known.setdefault(name, (keys, one.path))
            if before != keys:
                raise ReportError(
                    one.path,
                    f"has another definition of {name} than {path}",
                    "check the commit out in the same folder in all jobs, or write paths in gate "
                    "files relative to them",
                )
