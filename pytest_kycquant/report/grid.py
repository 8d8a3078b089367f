"""Tables of styled cells: their columns side by side, with two spaces between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .spans import Line, Span, text_of

GAP = 2


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        title: the lines of its header, the last one just above the rule.
        cells: a cell for each row, as one or more lines.
    """

    title: tuple[str, ...]
    cells: tuple[tuple[Line, ...], ...]

    @property
    def width(self) -> int:
        """The number of characters of its longest line."""
        lines = [text_of(one) for cell in self.cells for one in cell]
        return max(map(len, (*self.title, *lines)), default=0)


def width_of(columns: Sequence[Column]) -> int:
    """The number of characters of a whole table."""
    return sum(column.width for column in columns) + GAP * (len(columns) - 1)


def grid(columns: Sequence[Column]) -> Iterator[Line]:
    """Yield the lines of a table: headers, a rule, and the rows."""
    widths = [column.width for column in columns]
    height = max(len(column.title) for column in columns)
    for at in range(height):
        titles = [_title(column, at) for column in columns]
        yield _row([(Span(title, "strong"),) if title else () for title in titles], widths)
    yield (Span((" " * GAP).join("-" * width for width in widths), "faint"),)
    for cells in zip(*(column.cells for column in columns), strict=True):
        for at in range(max(map(len, cells))):
            yield _row([cell[at] if at < len(cell) else () for cell in cells], widths)


def _title(column: Column, at: int) -> str:
    return column.title[at] if at < len(column.title) else ""


def _row(cells: Sequence[Line], widths: Sequence[int]) -> Line:
    """The cells of one line, padded; nothing follows the last one."""
    spans: list[Span] = []
    pad = 0
    for cell, width in zip(cells, widths, strict=True):
        if text_of(cell):
            if pad:
                spans.append(Span(" " * pad))
            spans += cell
            pad = width - len(text_of(cell)) + GAP
        else:
            pad += width + GAP
    return tuple(spans)
