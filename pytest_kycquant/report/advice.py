"""What ships, why, and what to do next: each sentence is true of the records that it is about."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..bench.records import VariantRecord
from ..files import shown_command
from ..pipeline.record import PipelineRecord
from ..spec.flags import UPDATE_GOLDEN
from ..spec.profiles import NOTHING_CLEARED
from ..verdicts import Verdict
from .records import Collected, GatedModel
from .spans import Line, Span, Style, line

NOTHING_PASSES = "nothing: no variant passes, not even FP32"


def ship_line(gate: GatedModel) -> Line:
    """What ships of a model, and why."""
    return line(Span("ship: ", "strong"), Span(_ships(gate), "strong"), *_because(gate))


def _ships(gate: GatedModel) -> str:
    """The variant that ships, or "nothing"."""
    if gate.profile == "smoke":
        return ""
    if gate.ship is not None:
        return gate.ship.variant
    return "nothing yet" if gate.incomplete else "nothing"


def _because(gate: GatedModel) -> Iterator[str]:
    if gate.profile == "smoke":
        yield NOTHING_CLEARED
        return
    record = gate.ship
    if record is None:
        yield f": {gate.incomplete or _why_nothing(gate)}"
        return
    if gate.together is not None and gate.together[0] == record.variant:
        yield f" ({gate.together[1]} does not hold with a leaner one)"
        return
    if record.variant == "fp32":
        yield f" ({_why_fp32(gate)}: keep FP32)"
        return
    parts = [f"{record.size_ratio:.2f} of the size of FP32"]
    if record.latency_ratio is not None:
        parts[0] += f", {record.latency_ratio:.2f} of its latency"
    if record.is_float:
        parts.append(_why_fp32(gate, float_ships=True))
    if record.verdict is Verdict.INCONCLUSIVE:
        parts.append("its latency is undecided")
    if named := [name for name, r in record.gates.items() if r.verdict is Verdict.WAIVED]:
        parts.append(f"with a waiver for {', '.join(named)}")
    yield f" ({'; '.join(parts)})"


def _why_nothing(gate: GatedModel) -> str:
    """Why nothing ships although every test was run."""
    records = gate.rows()
    if any(record.ships for record in records):
        return f"the variants that pass do not ship, see above{_unjudged(gate)}"
    if any(record.verdict is not Verdict.FAIL for record in records):
        return f"no variant is shown to pass, not even FP32{_unjudged(gate)}"
    return NOTHING_PASSES.removeprefix("nothing: ") + _unjudged(gate)


def _why_fp32(gate: GatedModel, *, float_ships: bool = False) -> str:
    """Why no quantized variant ships.

    Args:
        gate: the findings about the model.
        float_ships: whether another variant without quantization ships.
    """
    others = [record for record in gate.rows() if record.variant != "fp32"]
    quantized = [record for record in others if not (float_ships and record.is_float)]
    return _why_not(quantized) + _unjudged(gate)


def _why_not(quantized: Sequence[VariantRecord]) -> str:
    if not quantized:
        return "no quantized variant was judged"
    if any(record.ships for record in quantized):
        return "the quantized variants that pass do not ship, see above"
    if any(record.verdict is Verdict.INCONCLUSIVE for record in quantized):
        return "no quantized variant is shown to pass"
    return "no quantized variant passes"


def _unjudged(gate: GatedModel) -> str:
    """The precisions about which nobody knows anything, because their tests did not judge them."""
    found = gate.not_judged
    return f"; {_listed(found)} {_were(found)} not judged" if found else ""


def _were(names: Sequence[str]) -> str:
    return "was" if len(names) == 1 else "were"


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def headline(collected: Collected) -> Line:
    """The verdict of the whole run, and one reason."""
    verdict = collected.verdict
    style: Style = "good" if verdict == "PASS" else "unsure"
    if verdict in ("FAIL", "ERROR"):
        style = "bad"
    reasons = list(dict.fromkeys(_reasons(collected)))
    more = f"; and {len(reasons) - 1:,} more" if len(reasons) > 1 else ""
    reason = f": {reasons[0]}{more}" if reasons else ""
    return line(Span("kycquant: ", "strong"), Span(verdict, style), reason)


def _reasons(collected: Collected) -> Iterator[str]:
    verdict = collected.verdict
    if verdict == "ERROR":
        told = {
            f"{name} was not judged: {error}": f"{_short(name)}: {collected.reasons[name][0]}"
            for name, error in collected.broken.items()
            if name in collected.reasons
        }
        # What else an error says stands among pytest's errors.
        for problem in other_problems(collected):
            yield told.get(problem, problem.partition(": ")[0]).partition("; ")[0]
        if collected.no_golden:
            missing = sorted(set(collected.no_golden.values()))
            yield f"there is no golden baseline yet: {', '.join(missing)}"
    elif verdict in ("FAIL", "INCONCLUSIVE", "WAIVED"):
        yield from _objections(collected, verdict)
    elif verdict == "INCOMPLETE":
        yield from collected.missing
        partly = [gate.model for gate in collected.gates if gate.incomplete]
        if partly and not collected.missing:
            yield f"not every test of {_listed(partly)} was run"
        if collected.present.shard is not None:
            yield f"shard {collected.present.shard.index} of {collected.present.shard.of}"
        yield from collected.problems()
    elif verdict == "PASS" and len(collected.gates) + len(collected.pipelines) == 1:
        yield ", ".join(map(_shipped, collected.gates)) or "what ships holds together"


def _shipped(gate: GatedModel) -> str:
    fallback = ", a fallback" if _ships_fallback(gate) else ""
    return f"{gate.model} ships {gate.ship.variant if gate.ship else 'nothing'}{fallback}"


def _objections(collected: Collected, verdict: str) -> Iterator[str]:
    """What gives the run that verdict: variants by model, pipelines, tests."""
    found = []
    for gate in collected.gates:
        records = {s.record.variant: s.record for _, s in sorted(gate.shipments.items())}
        itself = gate.variants.get("fp32")
        if itself is not None:  # where FP32 is undecided, every variant is, too
            records = {"fp32": itself, **records}
        named = [label for label, record in records.items() if record.verdict == verdict]
        if named:
            gates = dict.fromkeys(g for label in named for g in _gates(records[label], verdict))
            found.append(f"{gate.model} {', '.join(named)} ({', '.join(gates)})")
        rejected = gate.rejected if verdict == "FAIL" else {}
        passing = [variant for variant in rejected if gate.variants[variant].ships]
        found += [f"{gate.model} {variant}: {rejected[variant]}" for variant in passing]
    for name, record in sorted(collected.pipelines.items()):
        if record.verdict == verdict:
            found.append(f"{_short(name)} ({', '.join(_gates(record, verdict))})")
    if verdict == "FAIL" and not found:
        found += [f"{test} failed" for test in sorted(collected.errors)]
    yield from found or collected.unanswered()


def _gates(record: VariantRecord | PipelineRecord, verdict: str) -> Iterator[str]:
    """The gates that give a record its verdict, and those of a failed one that are undecided."""
    yield from (name for name, result in record.gates.items() if result.verdict == verdict)
    if verdict == "FAIL":
        for name, result in record.gates.items():
            if result.verdict is Verdict.INCONCLUSIVE:
                yield f"{name} undecided"


def _short(name: str) -> str:
    """Name of the class or function of a gate."""
    return name.rpartition("::")[2]


def other_problems(collected: Collected) -> list[str]:
    """Describe what was collected but has no verdict, but for gates that lack a golden."""
    missing = {f"{name} was not judged: {collected.broken[name]}" for name in collected.no_golden}
    return [problem for problem in collected.problems() if problem not in missing]


def next_step(collected: Collected, failed: int, report: Path | None = None) -> Line:
    """What to do next; commands in it stay whole.

    Args:
        collected: everything that the tests of the run reported.
        failed: number of tests that failed.
        report: the file that the run was asked to write its report to.
    """
    return line(Span("next: ", "strong"), *_next(collected, failed, report))


def _next(collected: Collected, failed: int, report: Path | None) -> tuple[str | Span, ...]:
    for name in collected.broken:  # recording what is missing would replace what is wrong
        if name not in collected.no_golden and name in collected.reasons:
            return _remedy(collected.reasons[name][1])
    if collected.no_golden:
        number = len(set(collected.no_golden.values()))
        goldens = "the golden that is" if number == 1 else f"the {number} goldens that are"
        return _command(_recording(collected)), f" records {goldens} missing"
    if failed and _only_undecided(collected):
        return ("judge as many people as said above, or widen the limits that are undecided",)
    if failed:
        return _command("pytest --lf"), " to see the failures again, or gate another recipe"
    if any(gate.incomplete for gate in collected.gates):
        return ("run all tests of these gates (no -k, -m, -x, --lf) to see what ships",)
    smoke = [gate for gate in collected.gates if gate.profile == "smoke"]
    if any(gate.golden is not None and not gate.golden.rates for gate in smoke):
        recording = _command(f"pytest {UPDATE_GOLDEN}")
        return recording, " records the golden, so that error rates are judged"
    if smoke:
        command = _command("pytest --kycquant-profile=standard")
        return command, " decides about error rates and latency"
    if any(_ships_fallback(gate) for gate in collected.gates):
        strict = _command("pytest --kycquant-strict")
        return "ship the fallback, or ", strict, " to see what fails"
    if report is not None:
        return "keep ", Span(str(report), whole=True), " as evidence"
    return _command("pytest --kycquant-report report.json"), " keeps the figures as evidence"


def _recording(collected: Collected) -> str:
    """The command that records the goldens that are missing, and no others."""
    reasons = (collected.reasons.get(name, ("", "")) for name in sorted(collected.no_golden))
    commands = [shlex.split(remedy.partition(": ")[2]) for _, remedy in reasons]
    commands = [words for words in commands if UPDATE_GOLDEN in words] or [["", UPDATE_GOLDEN]]
    tests = dict.fromkeys(w for words in commands for w in words[1 : words.index(UPDATE_GOLDEN)])
    first = commands[0]
    return shown_command(["pytest", *tests, *first[first.index(UPDATE_GOLDEN) :]])


def _remedy(text: str) -> tuple[str | Span, ...]:
    """A remedy, whose command stays whole."""
    found = re.fullmatch(r"(.*: )(pytest .*?)( \(.*)?", text)
    return (text,) if found is None else (found[1], _command(found[2]), found[3] or "")


def _command(text: str) -> Span:
    return Span(text, "strong", whole=True)


def _only_undecided(collected: Collected) -> bool:
    """Whether there are undecided figures, and none that are beyond their limits."""
    return collected.verdict == "INCONCLUSIVE"


def _ships_fallback(gate: GatedModel) -> bool:
    ship = gate.ship
    requested = {s.requested for s in gate.shipments.values()}
    return ship is not None and ship.variant not in {*requested, "fp32"}
