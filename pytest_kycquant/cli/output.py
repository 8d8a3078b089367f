"""Text and JSON on standard output, at most 80 columns wide; progress goes to standard error."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import printable
from ..plain import plain

if TYPE_CHECKING:
    from ..context.progress import Progress
    from ..report.spans import Span

CHANGED = "+ after a commit: tracked files differed from it."
"""What stands below commits that are marked so, see `report.run_entries.Commit`."""
_WIDTH = 80
_LABEL = 13  # columns of the names of facts
_NO_BREAK = "\ue000"  # stands for a space at which no line is broken; nobody writes it
_DEEPEST = 4  # columns by which a line of a message is indented


def say(text: str = "", *, indent: int = 0) -> None:
    """Print a paragraph, wrapped between words."""
    print(_wrapped(printable(text), " " * indent, " " * indent))


def fact(name: str, text: str) -> None:
    """Print a named fact, with its continuation below itself."""
    print(_wrapped(printable(text), f"  {name:<{_LABEL}} ", " " * (_LABEL + 3)))


def point(text: str, mark: str = "-", *, whole: str = "") -> None:
    """Print one item of a list.

    Args:
        text: the item.
        mark: what stands before it.
        whole: a part of it that stays on one line, such as a command to type.
    """
    shown, kept = printable(text), printable(whole)
    if kept:
        shown = shown.replace(kept, kept.replace(" ", _NO_BREAK))
    lines = _wrapped(shown, f"  {mark} ", " " * (len(mark) + 3))
    print(lines.replace(_NO_BREAK, " "))


def message(text: str, mark: str = "!") -> None:
    """Print a message of a test as an item of a list, its further lines below the first."""
    first, *more = text.split("\n")
    point(first, mark)
    for each in filter(None, map(str.rstrip, more)):
        lead = len(each) - len(each.lstrip())
        say(each.lstrip(), indent=len(mark) + 3 + min(lead, _DEEPEST))


def command(text: str) -> None:
    """Print a command to type next, which is never wrapped."""
    print(f"  {printable(text)}")


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table. Cells are broken between words where it is wider than a terminal.

    If that does not suffice, such as for long names, each row is a paragraph.
    """
    from ..report.grid import Column, grid
    from ..report.spans import text_of

    found = [[printable(cell) for cell in row] for row in rows]
    widths = _widths(headers, found)
    if widths is None:
        for row in found:
            first, *more = (f"{name} {cell}" for name, cell in zip(headers, row, strict=True))
            point(", ".join((first.removeprefix(f"{headers[0]} "), *more)))
        return
    titles = [_lines(name, width) for name, width in zip(headers, widths, strict=True)]
    height = max(map(len, titles))
    columns = [
        Column(
            (*[""] * (height - len(title)), *title),
            tuple(_cell(row[at], widths[at]) for row in found),
        )
        for at, title in enumerate(titles)
    ]
    for each in grid(columns):
        print(text_of(each).rstrip())


def _widths(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int] | None:
    """Widths of columns that fit, the widest ones narrowed first; None if there are none."""
    from ..report.grid import GAP

    def taken(at: int, width: int) -> int:
        """What a column really takes if its lines have at most that many characters."""
        cells = (headers[at], *(row[at] for row in rows))
        return max(len(line) for cell in cells for line in _lines(cell, width))

    widths = [taken(at, _WIDTH) for at in range(len(headers))]
    least = [taken(at, 1) for at in range(len(headers))]
    most = _WIDTH - GAP * (len(widths) - 1)
    while sum(widths) > most:
        room = [at for at, width in enumerate(widths) if width > least[at]]
        if not room:
            return None
        at = max(room, key=lambda at: (widths[at], at))
        widths[at] = taken(at, widths[at] - 1)
    for at in reversed(range(len(widths))):  # a word that no longer fits leaves room to others
        widths[at] = taken(at, widths[at] + most - sum(widths))
    return widths


def _lines(cell: str, width: int) -> list[str]:
    from ..report.spans import Span, text_of, wrap

    return [text_of(each) for each in wrap((Span(cell),), width, indent=0)]


def _cell(text: str, width: int) -> tuple[tuple[Span, ...], ...]:
    from ..report.spans import Span

    return tuple((Span(each),) for each in _lines(text, width))


def as_json(value: Any) -> None:
    """Print a record as JSON, and nothing else."""
    print(json.dumps(plain(value), indent=1, ensure_ascii=False))


def megabytes(size: int) -> str:
    """A size in bytes as megabytes of 10^6 bytes."""
    return f"{size / 1e6:.2f} MB"


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def progress() -> Progress:
    """Progress on standard error, which lets JSON on standard output be read by a machine."""
    from ..context.progress import Progress

    live = sys.stderr.isatty()

    def write(text: str) -> None:
        if live:
            print(f"\r\x1b[K{text[: _WIDTH - 1]}", end="", file=sys.stderr, flush=True)
        elif text:
            print(text, file=sys.stderr, flush=True)

    return Progress(write, live=live)


def _wrapped(text: str, first: str, later: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )
