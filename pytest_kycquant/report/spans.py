"""Text with styles, broken between words: what the terminal shows, before anything is coloured.

Nothing here knows a terminal. A line is a sequence of spans; whoever prints it decides what the
styles look like, and the text alone is the same without them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from ..errors import printable
from ..verdicts import Verdict

Style = Literal["", "good", "bad", "unsure", "strong", "faint"]

_NUMBER = r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?"
_UNIT = r"(?: (?:%|ms|MB|GB|s)(?!\w))?"
_BOUNDS = r"(?: \[[^\[\]]*\])?"
_SIGN = r"(?:limit |below |at least )?(?:(?:<=?|>=?|=) )?"
# A comparison, a value, its unit and its bounds are one figure, which is never broken; so is a
# number of a number, such as "1 of 180".
_OF = rf"(?: (?:of|/) {_NUMBER})?"
_FIGURE = re.compile(rf"{_SIGN}{_NUMBER}{_OF}{_UNIT}{_BOUNDS}")


@dataclass(frozen=True)
class Span:
    """A part of a line.

    Args:
        text: what it says.
        style: what it means; "" for plain text.
        whole: whether it must stay on one line, such as a command to be copied.
    """

    text: str
    style: Style = ""
    whole: bool = False


Line = tuple[Span, ...]


def line(*parts: str | Span) -> Line:
    """A line from plain texts and spans; nothing in it can be acted on by a terminal."""
    spans = (part if isinstance(part, Span) else Span(part) for part in parts)
    return tuple(Span(printable(s.text), s.style, s.whole) for s in spans if s.text)


def text_of(given: Line) -> str:
    """The text of a line without its styles."""
    return "".join(span.text for span in given)


def style_of(verdict: Verdict) -> Style:
    """The style of a verdict's word."""
    if verdict is Verdict.PASS:
        return "good"
    return "bad" if verdict is Verdict.FAIL else "unsure"


def wrap(given: Line, width: int, indent: int = 2) -> Iterator[Line]:
    """Break a line between words, but never within a figure or within what must stay whole.

    Args:
        given: the line.
        width: the number of characters that fit. A longer word, such as a node id, is left whole.
        indent: the number of spaces before each line but the first.
    """
    text = text_of(given).rstrip()
    if len(text) <= width:
        yield _cut(given, 0, len(text))
        return
    glued = _glued(given, text)
    start, room = 0, width
    while len(text) - start > room:
        end = _last_break(text, glued, start, start + room)
        if end is None:
            break
        yield _indented(_cut(given, start, end), indent if start else 0)
        start, room = end + 1, width - indent
    yield _indented(_cut(given, start, len(text)), indent if start else 0)


def wrapped(lines: Iterable[Line], width: int, indent: int = 2) -> Iterator[Line]:
    """Break each of some lines; see `wrap`. A line's own indentation is kept."""
    for one in lines:
        text = text_of(one)
        yield from wrap(one, width, len(text) - len(text.lstrip()) + indent)


def _glued(given: Line, text: str) -> set[int]:
    """The places of spaces at which a line is not broken."""
    places = [range(*match.span()) for match in _FIGURE.finditer(text)]
    at = 0
    for span in given:
        if span.whole:
            places.append(range(at, at + len(span.text)))
        at += len(span.text)
    lead = len(text) - len(text.lstrip())
    return {place for where in (*places, range(lead)) for place in where}


def _last_break(text: str, glued: set[int], start: int, end: int) -> int | None:
    """The last space up to `end`, or else the first one behind; None if there is none."""
    for place in range(min(end, len(text) - 1), start, -1):
        if text[place] == " " and place not in glued:
            return place
    later = (i for i in range(end, len(text)) if text[i] == " " and i not in glued)
    return next(later, None)


def _cut(given: Line, start: int, end: int) -> Line:
    """The characters of a line from `start` to before `end`."""
    found, at = [], 0
    for span in given:
        low, high = max(start - at, 0), min(end - at, len(span.text))
        if low < high:
            found.append(Span(span.text[low:high], span.style, span.whole))
        at += len(span.text)
    return tuple(found)


def _indented(given: Line, indent: int) -> Line:
    return (Span(" " * indent), *given) if indent else given
