"""The table of a model's variants, in the widest form that a terminal has room for.

What gives way first is what decides least: information without a limit, then all of a figure but
the bound that decides, then columns in which every variant passed. A column in which one does not
pass stays, and if even these do not fit, each variant gets lines of its own.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

from ..bench.records import VariantRecord
from ..results import GateResult, objections
from ..verdicts import Check, Limit, Unit, Verdict
from .figures import bound, figure, short_limit
from .grid import Column, grid, width_of
from .records import GatedModel
from .spans import Line, Span, Style, line, style_of, text_of, wrap

# Gates that do not have a column of their own, or whose column has a fixed place.
_ELSEWHERE = ("finite", "degradation", "latency", "size")
_HEADERS = {"recall": "recall", "map": "mAP50", "metric": "metric", "latency": "latency"}
_TITLE = 16  # characters of a line of a header
_WHOLE, _STACKED, _NARROW = 999, 32, 18  # characters of a line of a verdict


@dataclass(frozen=True)
class _Form:
    """How much a table shows.

    Args:
        full: whether a figure stands with both bounds, or only the bound that decides.
        information: whether there are columns of what is not judged.
        verdict: characters of a line of the last column; each verdict has lines of its own if they
            do not fit on one.
        moved: gates that every variant passed, which are named below the table instead.
    """

    full: bool = True
    information: bool = True
    verdict: int = _WHOLE
    moved: tuple[str, ...] = ()


class VariantTable:
    """The table of a gate's variants.

    Args:
        gate: the findings about the model.
        width: the number of characters that fit.
    """

    def __init__(self, gate: GatedModel, width: int) -> None:
        self._gate = gate
        self._rows = gate.rows()
        self._width = width

    def lines(self) -> Iterator[Line]:
        """Yield the table, then what every variant passed and has no column for."""
        if self._form is None:
            yield from self._blocks()
            return
        yield from grid(self._columns(self._form))
        if self._form.moved:
            passed = ", ".join(map(self._passed, self._form.moved))
            yield line(f"also passed by all: {passed}")

    def hidden(self) -> Iterator[Line]:
        """Yield the figures and the information that the table has no room for."""
        form = self._form or _Form(full=False, information=False)
        for gate in self._bounded if not form.full else ():
            judged = [(r, r.gates[gate]) for r in self._rows if gate in r.gates]
            figures = [f"{r.variant} {figure(_worst_alike(result))}" for r, result in judged]
            yield from _listing(_name(gate, self._first(gate)), figures)
        for header in () if form.information else self._unjudged:
            known = [f"{r.variant} {r.shown[header]}" for r in self._rows if header in r.shown]
            yield from _listing(header, known)

    def tells(self, record: VariantRecord, result: GateResult) -> bool:
        """Whether the table shows the figure that decided a gate, below the limit it is judged by.

        Args:
            record: the record of a variant.
            result: its result for a gate.
        """
        if result.gate not in self._bounded:
            return False
        check = result.worst_check()
        first = self._first(result.gate)
        return (
            check == _worst_alike(result)
            and first is not None
            and (check.name, check.limit) == (first.name, first.limit)
            and check.value is not None
        )

    def plain(self) -> tuple[list[str], list[list[str]]]:
        """Headers and cells as text, with everything in it."""
        columns = self._columns(_Form())
        headers = [" ".join(column.title).strip() for column in columns]
        cells = zip(*(column.cells for column in columns), strict=True)
        return headers, [["; ".join(map(text_of, cell)) for cell in row] for row in cells]

    @cached_property
    def _bounded(self) -> list[str]:
        """The gates that have a column with a limit."""
        if self._gate.profile == "smoke":
            return []
        found = dict.fromkeys(g for r in self._rows for g in r.gates if g not in _ELSEWHERE)
        return ["latency", *found]

    @cached_property
    def _information(self) -> list[str]:
        return list(dict.fromkeys(header for r in self._rows for header in r.shown))

    @cached_property
    def _unjudged(self) -> list[str]:
        """The columns of information that no check is about, so that they may be left out."""
        return [header for header in self._information if self._limit_of(header) is None]

    @cached_property
    def _form(self) -> _Form | None:
        """The first form that fits; None if none does."""
        forms = [
            _Form(full, information, verdict)
            for full, information, verdict in product(
                (True, False), (True, False), (_WHOLE, _STACKED)
            )
        ]
        forms.append(_Form(False, False, _NARROW))
        droppable = [name for name in self._bounded if self._all_pass(name)]
        order = [name for name in droppable if name == "latency"]
        order += [name for name in reversed(droppable) if name != "latency"]
        for number in range(1, len(order) + 1):
            moved = tuple(name for name in self._bounded if name in order[:number])
            forms += [_Form(False, False, chars, moved) for chars in (_WHOLE, _STACKED, _NARROW)]
        fitting = (form for form in forms if width_of(self._columns(form)) <= self._width)
        return next(fitting, None)

    def _all_pass(self, gate: str) -> bool:
        judged = [record.gates[gate] for record in self._rows if gate in record.gates]
        return all(result.verdict is Verdict.PASS for result in judged)

    def _passed(self, gate: str) -> str:
        """A gate that every variant passes, with the bound that is nearest to the limit."""
        judged = [r.gates[gate] for r in self._rows if gate in r.gates]
        if not judged:
            return _name(gate, None)
        nearest = max((_worst_alike(one) for one in judged), key=lambda check: check.excess)
        return f"{' '.join(self._title(gate))} (worst {bound(nearest)})".strip()

    def _columns(self, form: _Form) -> list[Column]:
        return list(self._each_column(form))

    def _each_column(self, form: _Form) -> Iterator[Column]:
        rows = self._rows
        yield Column(("variant",), tuple((line(r.variant),) for r in rows))
        yield Column(("size", *self._size_limit()), tuple((_size(r, form),) for r in rows))
        for gate in self._bounded:
            if gate not in form.moved:
                cells = tuple((_cell(r, gate, form),) for r in rows)
                yield Column(self._title(gate), cells)
        for header in self._information:
            if header in self._unjudged and not form.information:
                continue
            yield Column(
                _broken(header, self._limit_of(header)),
                tuple((_informed(r, header),) for r in rows),
            )
        yield Column(("verdict",), tuple(tuple(self._verdict(r, form)) for r in rows))

    def _first(self, gate: str) -> Check | None:
        """The check that gives a column its name and its limit: the first one of a variant."""
        quantized = [row for row in self._rows if row.variant != "fp32"]
        judged = (r.gates[gate] for r in quantized or self._rows if gate in r.gates)
        return next((result.checks[0] for result in judged), None)

    def _title(self, gate: str) -> tuple[str, ...]:
        check = self._first(gate)
        limit = None if check is None else check.limit
        return (_name(gate, check), *([] if limit is None else [short_limit(limit)]))

    def _size_limit(self) -> list[str]:
        check = self._first("size")
        if check is None or check.limit is None or check.unit is not Unit.RATIO:
            return []
        return [short_limit(check.limit)]

    def _limit_of(self, header: str) -> Limit | None:
        """The limit of the check of that name, if there is one."""
        checks = (c for r in self._rows for g in r.gates.values() for c in g.checks)
        return next((check.limit for check in checks if check.name == header), None)

    def _verdict(self, record: VariantRecord, form: _Form) -> Iterator[Line]:
        if not record.gates:
            yield line(Span("not judged", "unsure"))
            return
        verdicts = [part.split(" ", 1) for part in objections(record.gates).split("; ") if part]
        if not verdicts:
            partly = f" (only {', '.join(record.gates)})" if self._gate.unjudged else ""
            passes = line(Span("PASS", "good"), partly)
            yield from wrap(passes, form.verdict, 5)
            return
        parts = [
            (Span(word, style_of(Verdict(word))), Span(f" {names}")) for word, names in verdicts
        ]
        if form.verdict != _WHOLE:
            for part in parts:
                yield from wrap(part, form.verdict, len(part[0].text) + 1)
            return
        spans: list[Span] = []
        for part in parts:
            spans += [Span("; "), *part] if spans else part
        yield tuple(spans)

    def _blocks(self) -> Iterator[Line]:
        """Each variant on lines of its own, for names that are longer than a terminal is wide."""
        form = _Form(full=False)
        for record in self._rows:
            verdict = [span for part in self._verdict(record, form) for span in part]
            yield (Span(record.variant, "strong"), Span(": "), *verdict)
            facts: list[Line] = [line("size ", *_size(record, _Form()))]
            for gate in self._bounded:
                if gate in record.gates:
                    title = " ".join(self._title(gate))
                    facts.append(line(f"{title}: ", *_cell(record, gate, form)))
            facts += [line(f"{name} {text}") for name, text in record.shown.items()]
            for fact in facts:
                yield (Span("  "), *fact)


def columns_of(gate: GatedModel) -> tuple[list[str], list[list[str]]]:
    """The headers and the rows of the table of a gate, as text."""
    return VariantTable(gate, 0).plain()


def _listing(title: str, facts: list[str]) -> Iterator[Line]:
    """Facts after a title, each of them on one line."""
    if facts:
        spans = [Span(fact + ("," if fact is not facts[-1] else ""), whole=True) for fact in facts]
        yield line(f"{title}:", *(part for span in spans for part in (" ", span)))


def _name(gate: str, check: Check | None) -> str:
    if gate == "agreement":
        return "flips" if check is not None and check.unit is Unit.RATE else gate
    return _HEADERS.get(gate, gate.upper())


def _broken(header: str, limit: Limit | None) -> tuple[str, ...]:
    """A long header on several lines, then its limit."""
    lines = textwrap.wrap(header, _TITLE, break_long_words=False) or [""]
    return (*lines, *([] if limit is None else [short_limit(limit)]))


def _size(record: VariantRecord, form: _Form) -> Line:
    """The size relative to FP32; that of FP32 itself in MB."""
    absolute, ratio = f"{record.size / 1e6:.2f} MB", f"{record.size_ratio:.2f}"
    text = absolute if record.variant == "fp32" else ratio
    if form.full:
        text = f"{absolute} ({ratio})"
    return line(Span(text, _style(record.gates.get("size"))))


def _cell(record: VariantRecord, gate: str, form: _Form) -> Line:
    """The figure of a gate that is worst, among those in the unit of its column."""
    if gate not in record.gates:
        return line("-")
    check = _worst_alike(record.gates[gate])
    text = figure(check) if form.full else bound(check)
    style = "" if check.verdict is Verdict.PASS else style_of(record.gates[gate].verdict)
    return line(Span(text, style))


def _informed(record: VariantRecord, header: str) -> Line:
    checks: Iterable[Check] = (c for g in record.gates.values() for c in g.checks)
    verdicts = [c.verdict for c in checks if c.name == header and c.verdict is not Verdict.PASS]
    style = style_of(Verdict.worst(verdicts)) if verdicts else ""
    return line(Span(record.shown.get(header, "-"), style))


def _style(result: GateResult | None) -> Style:
    passes = result is None or result.verdict is Verdict.PASS
    return "" if passes or result is None else style_of(result.verdict)


def _worst_alike(result: GateResult) -> Check:
    alike = [check for check in result.checks if check.unit is result.checks[0].unit]
    return replace(result, checks=tuple(alike)).worst_check()
