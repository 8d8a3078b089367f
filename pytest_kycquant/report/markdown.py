"""The run as Markdown, for a comment or the summary of a CI job.

What decides stands first: the verdict, what ships, and why something does not pass. All variants
follow, folded away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..errors import printable
from ..results import GateResult, objections
from ..verdicts import Verdict
from . import MARK
from .pipelines import rate_cell
from .records import Collected, GatedModel
from .variant_table import columns_of

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#])")
_MOST = 20  # messages; a job has a log for all of them


def render(collected: Collected, *, verbose: bool = False) -> str:
    """The run as GitHub-flavoured Markdown; see `report.Report`. `verbose` makes no difference."""
    return "".join(f"{line}\n" for line in _lines(collected))


def _lines(collected: Collected) -> Iterator[str]:
    yield f"<!-- {MARK} -->"
    yield f"## kycquant: {collected.verdict}"
    yield ""
    if collected.gates:
        headers = ("model", "ships", "size", "latency", "gate")
        yield from _table(headers, map(_ships, collected.gates))
    for name in sorted(collected.pipelines):
        yield from _pipeline(name, collected)
    yield from _objections(collected)
    for gate in collected.gates:
        columns, rows = columns_of(gate)
        yield f"<details><summary>{_text(gate.model)}: all variants</summary>"
        yield ""
        yield from _table(columns, ([_text(cell) for cell in row] for row in rows))
        yield f"{_text(gate.profile_note)}. Bounds one-sided, 95 %; latency relative to FP32."
        yield ""
        yield "</details>"
        yield ""
    yield from _origin(collected)


def _ships(gate: GatedModel) -> list[str]:
    ship = gate.ship
    shown = [_text(gate.model), "nothing", "-", "-", _code(gate.name)]
    if gate.profile == "smoke":
        shown[1] = "nothing (smoke clears nothing)"
    elif ship is not None:
        ratio = ship.latency_ratio
        latency = "-" if ratio is None else f"{ratio:.2f}"
        shown[1:4] = [f"**{_text(ship.variant)}**", f"{ship.size_ratio:.2f}", latency]
    elif gate.incomplete:
        shown[1] = "nothing yet"
    return shown


def _pipeline(name: str, collected: Collected) -> Iterator[str]:
    record = collected.pipelines[name]
    verdict = objections(record.gates) or record.verdict.value
    variants = ", ".join(f"{stage} {label}" for stage, label in record.shipped.variants.items())
    yield f"**Pipeline** {_code(name)}: {_text(verdict)}; ships {_text(variants)}"
    yield ""
    if record.rates:
        names = list(record.rates["shipped"])
        rows = (
            [label, *(rate_cell(rates[rate]) for rate in names)]
            for label, rates in record.rates.items()
        )
        yield from _table(["", *map(_text, names)], rows)


def _objections(collected: Collected) -> Iterator[str]:
    """Why something does not pass: by variant that would ship, or by test."""
    found: dict[str, None] = {}
    for gate in collected.gates:
        for _, shipment in sorted(gate.shipments.items()):
            label = f"{gate.model} as {shipment.record.variant}"
            found |= {f"{_text(label)}: {line}": None for line in _worst(shipment.record.gates)}
    for name, record in sorted(collected.pipelines.items()):
        found |= {f"{_code(name)}: {line}": None for line in _worst(record.gates)}
    for gate in collected.gates:
        for variant, why in gate.rejected.items():
            if gate.variants[variant].ships:  # else its gates say why
                found[_text(f"{gate.model} as {variant} does not ship: {why}")] = None
    found |= {_text(problem): None for problem in collected.problems()}
    if not found:
        return
    yield "**What does not pass**"
    yield ""
    lines = list(found)
    yield from (f"- {line}" for line in lines[:_MOST])
    if len(lines) > _MOST:
        yield f"- and {len(lines) - _MOST} more"
    yield ""


def _worst(gates: Mapping[str, GateResult]) -> Iterator[str]:
    for result in gates.values():
        if result.verdict is not Verdict.PASS:
            described = result.worst_check().describe()
            waiver = "" if result.waiver is None else f" ({result.waiver.describe()})"
            yield _text(f"{described}{waiver}")


def _origin(collected: Collected) -> Iterator[str]:
    environment, commit = collected.environment, collected.commit
    parts = []
    if environment is not None:
        parts.append(f"onnxruntime {environment.onnxruntime}, {environment.cpu}")
    if commit is not None:
        changed = ", with changes" if commit.changed else ""
        parts.append(f"commit {commit.sha[:12]}{changed}")
    if parts:
        yield f"<sub>{_text('; '.join(parts))}</sub>"


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    from tabulate import tabulate

    table = tabulate(list(rows), headers=headers, tablefmt="github", disable_numparse=True)
    yield from table.split("\n")
    yield ""


def _text(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\1", printable(text))


def _code(text: str) -> str:
    """A name in code; a bar would end the cell of a table, and a backtick the code."""
    return f"`{printable(text).replace('`', chr(39)).replace('|', '/')}`"
