"""Writes styled lines through pytest's terminal, which knows whether to colour them.

So --color, NO_COLOR, PY_COLORS and output that is not a terminal are respected. Colour never says
anything that the words do not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from ..report.spans import Line

LEAST_WIDTH = 80  # in a narrower terminal lines are as long as in one of 80 columns

_MARKUP = {
    "": {},
    "good": {"green": True},
    "bad": {"red": True},
    "unsure": {"yellow": True},
    "strong": {"bold": True},
    "faint": {"light": True},
}


def write(reporter: pytest.TerminalReporter, lines: Iterable[Line]) -> None:
    """Write lines, each below the last.

    Args:
        reporter: pytest's terminal.
        lines: the lines.
    """
    for one in lines:
        reporter.ensure_newline()
        for span in one:
            reporter.write(span.text, **_MARKUP[span.style])
        reporter.line("")


def on_one_line(text: str, width: int) -> str:
    """A line of progress that fits. Its end stays whole, since a figure cut off is another figure.

    Args:
        text: the line; "" for none.
        width: the number of characters that fit.
    """
    shown = f"kycquant: {text}" if text else ""
    if len(shown) <= width:
        return shown
    end = text
    while len(end) > width and " " in end:
        end = end.partition(" ")[2]
    return end if len(end) <= width else ""


def width_of(reporter: pytest.TerminalReporter) -> int:
    """The number of characters that fit on a line.

    It is what pytest's own lines of "=" take: the width of the terminal, or COLUMNS, or 80 where
    there is none. So a log reads as a terminal does; each fact begins a line with the words that
    one looks for, and a figure is never broken.
    """
    return max(reporter._tw.fullwidth, LEAST_WIDTH)
