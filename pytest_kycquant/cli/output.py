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

_WIDTH = 80
_LABEL = 13  # columns of the names of facts


def say(text: str = "", *, indent: int = 0) -> None:
    """Print a paragraph, wrapped between words."""
    print(_wrapped(printable(text), " " * indent, " " * indent))


def fact(name: str, text: str) -> None:
    """Print a named fact, with its continuation below itself."""
    print(_wrapped(printable(text), f"  {name:<{_LABEL}} ", " " * (_LABEL + 3)))


def point(text: str, mark: str = "-") -> None:
    """Print one item of a list."""
    print(_wrapped(printable(text), f"  {mark} ", " " * (len(mark) + 3)))


def command(text: str) -> None:
    """Print a command to type next, which is never wrapped."""
    print(f"  {printable(text)}")


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table whose columns are as wide as their content."""
    lines = [list(headers), *([printable(cell) for cell in row] for row in rows)]
    wide = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    lines.insert(1, ["-" * width for width in wide])
    for line in lines:
        print(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(line, wide, strict=True)).rstrip()
        )


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
