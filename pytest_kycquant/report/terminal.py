"""What a run prints at its end: the verdict, an overview, and each model and pipeline.

It is made of lines of styled spans, so that the plugin can colour them and everybody else can read
their text. No line is longer than the terminal is wide, unless a single name is.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..bench.shipping import Shipment
from ..runtimes.environment import Environment
from ..runtimes.ort import EXACT_ENTRY
from ..verdicts import Verdict
from . import pipelines
from .advice import headline, other_problems, ship_line
from .grid import Column, grid, width_of
from .guidance import advice
from .records import Collected, GatedModel
from .remarks import remarks
from .spans import Line, Span, Style, line, style_of, text_of, wrapped
from .variant_table import VariantTable

WIDTH = 80
"""Where nobody knows how wide a terminal is; pytest's own lines are as long there."""


def render(collected: Collected, *, verbose: bool = False) -> str:
    """The text of `lines` for an 80-column terminal; see `report.Report`.

    Args:
        collected: everything that the tests of the run reported.
        verbose: whether to tell everything.
    """
    return "".join(f"{text_of(one)}\n" for one in lines(collected, verbose=verbose))


def lines(
    collected: Collected, width: int = WIDTH, *, verbose: bool = False, introduce: bool = False
) -> Iterator[Line]:
    """Yield the verdict of a run, an overview, a table for each model and one for each pipeline.

    Args:
        collected: everything that the tests of the run reported.
        width: the number of characters that fit on a line.
        verbose: whether to tell everything.
        introduce: whether to name the machine, which nothing has named before.
    """
    yield from wrapped(_lines(collected, width, verbose=verbose, introduce=introduce), width)


def _lines(collected: Collected, width: int, *, verbose: bool, introduce: bool) -> Iterator[Line]:
    environment = collected.environment
    if collected.is_empty and environment is None:
        return
    yield headline(collected)
    if any(gate.profile != "smoke" for gate in collected.gates) or collected.pipelines:
        yield line(Span("bounds are one-sided, 95 %; size and latency relative to FP32", "faint"))
    if environment is not None and (verbose or introduce):
        yield line(Span(_machine(collected, environment), "faint"))
    if environment is not None and verbose:
        counts = f"artefacts: {collected.built:,} built, {collected.reused:,} taken from the cache"
        yield line(Span(counts, "faint"))
    if len(collected.gates) + len(collected.pipelines) > 1:
        yield ()
        yield from _overview(collected, width)
    for problem in other_problems(collected) if verbose and collected.verdict == "ERROR" else ():
        yield line(Span(problem, "bad"))
    more = 0
    for gate in collected.gates:
        yield ()
        yield from _gate(gate, environment, width, verbose=verbose)
        more += 0 if verbose else _hidden(gate, width)
    for own, rest in pipelines.blocks(collected, width, verbose=verbose):
        yield ()
        yield from own
        more += rest
    if more:
        yield ()
        yield line(Span(f"{more:,} more line{'' if more == 1 else 's'} with -v", "faint"))


def _machine(collected: Collected, environment: Environment) -> str:
    kernels = "U8S8 saturates" if environment.u8s8_saturates else "U8S8 exact"
    if collected.exact:
        kernels += f", INT8 run with {'='.join(EXACT_ENTRY)}"
    features = ", ".join(environment.features) or "no known vector features"
    return f"onnxruntime {environment.onnxruntime}, {environment.cpu} ({features}; {kernels})"


def _gate(
    gate: GatedModel, environment: Environment | None, width: int, *, verbose: bool
) -> Iterator[Line]:
    yield line(Span(gate.model, "strong"), ", ", Span(gate.name, whole=True))
    if gate.profile == "smoke":
        yield line(Span("figures of these images alone, no bounds", "faint"))
    note = gate.profile_note.removeprefix("standard").removeprefix("; ")
    if note:
        yield line(Span(note if gate.profile == "standard" else f"profile: {note}", "faint"))
    table = VariantTable(gate, width)
    yield from table.lines()
    yield from remarks(gate, table, verbose=verbose)
    yield ship_line(gate)
    yield from (line(Span("advice: ", "strong"), said) for said in advice(gate, environment))


def _hidden(gate: GatedModel, width: int) -> int:
    """How many more lines `verbose` would give."""
    table = VariantTable(gate, width)
    counts = [len(list(remarks(gate, table, verbose=verbose))) for verbose in (True, False)]
    return max(counts[0] - counts[1], 0)


def _overview(collected: Collected, width: int) -> Iterator[Line]:
    """A row for each model and pipeline: what ships, and the verdict."""
    rows = [(gate.model, *_shipped(gate), _state(gate)) for gate in collected.gates]
    for name, record in sorted(collected.pipelines.items()):
        verdict = record.verdict
        ships = ", ".join(dict.fromkeys(record.shipped.variants.values()))
        state = Span(verdict.value, style_of(verdict))
        if any(collected.misfits(record)):
            state = Span(f"{verdict.value} (not what ships)", "bad")
        rows.append((name.rpartition("::")[2], ships, "-", _ratio(record.figures), state))
    titles = ("gate", "ships", "size", "latency", "verdict")
    columns = [
        Column((title,), tuple((line(cell),) for cell in cells))
        for title, cells in zip(titles, zip(*rows, strict=True), strict=True)
    ]
    if width_of(columns) <= width:
        yield from grid(columns)
        return
    for name, ships, _, _, state in rows:
        yield line(Span(name, "strong"), ": ", state, f", ships {ships}")


def _ratio(figures: object) -> str:
    found = figures.get("latency_ratio") if isinstance(figures, dict) else None
    return "-" if found is None else f"{found:.2f}"


def _shipped(gate: GatedModel) -> tuple[str, str, str]:
    ship = gate.ship
    if ship is None:
        return ("nothing yet" if gate.incomplete else "nothing"), "-", "-"
    ratio = ship.latency_ratio
    return ship.variant, f"{ship.size_ratio:.2f}", "-" if ratio is None else f"{ratio:.2f}"


def _state(gate: GatedModel) -> Span:
    """The verdict of a gate in one word or two."""
    shipments = list(gate.shipments.values())
    if any(gate.outcomes.failed(test) and not gate.outcomes.undecided(test) for test in gate.tests):
        return Span("FAIL", "bad")
    verdict = Verdict.worst([shipment.record.verdict for shipment in shipments])
    if verdict is not Verdict.PASS:
        return Span(verdict.value, style_of(verdict))
    if gate.profile == "smoke":
        return Span("SMOKE", "unsure")
    if gate.incomplete:
        return Span("INCOMPLETE", "unsure")
    return _passed(shipments)


def _passed(shipments: list[Shipment]) -> Span:
    style: Style = "unsure" if any(each.fell_back for each in shipments) else "good"
    return Span("PASS on a fallback" if style == "unsure" else "PASS", style)
