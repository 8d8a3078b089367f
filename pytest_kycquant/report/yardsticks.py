"""The figures of a pipeline beside those that public yardsticks ask for, with our bound."""

from __future__ import annotations

from collections.abc import Iterator

from ..pipeline.record import NO_CERTIFICATE, PipelineRecord, Yardstick
from .grid import Column, grid, width_of
from .spans import Line, Span, Style, line

_TITLES = ("yardstick", "figure", "limit", "found", "rule", "our bound", "holds", "of")


def yardsticks(record: PipelineRecord, width: int) -> Iterator[Line]:
    """Yield a table if there is room for it, and else a line for each figure.

    Args:
        record: the record of a pipeline.
        width: the number of characters that fit on a line.
    """
    if not record.yardsticks:
        return
    yield line(NO_CERTIFICATE)
    cells = zip(*(_cells(row) for row in record.yardsticks), strict=True)
    columns = [
        Column((title,), tuple((one,) for one in column))
        for title, column in zip(_TITLES, cells, strict=True)
    ]
    if width_of(columns) <= width:
        yield from grid(columns)
    else:
        yield from map(_sentence, record.yardsticks)


def _cells(row: Yardstick) -> tuple[Line, ...]:
    texts = (row.yardstick, row.figure, _share(row.limit), _share(row.value), row.rule)
    return (*map(line, texts), line(_share(row.upper)), line(_holds(row)), line(row.detail))


def _sentence(row: Yardstick) -> Line:
    found = "is not known" if row.value is None else f"is {_share(row.value)}"
    ours = "" if row.upper is None else f"; our bound {_share(row.upper)}"
    of = f"; {row.detail}" if row.detail else ""
    what = f"{row.yardstick}, {row.figure} {found}, limit {_share(row.limit)} ({row.rule}): "
    verb = "holds" if row.holds else "does not hold"
    return line(what, Span(verb, _style(row)), f"{ours}{of}")


def _holds(row: Yardstick) -> Span:
    return Span("yes" if row.holds else "no", _style(row))


def _style(row: Yardstick) -> Style:
    return "good" if row.holds else "unsure"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.3g} %"
