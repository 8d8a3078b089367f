"""The text of a gate file: Python source with marks where something is open or assumed."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from ..spec.alternatives import written
from ..spec.model import Preprocess

FILL_IN = "FILL IN"
CHECK = "CHECK"
_WIDTH = 88  # columns of the file, as formatters have it
_STEP = 4


@dataclass(frozen=True)
class Mark:
    """A remark above a line of the gate file.

    Args:
        kind: `FILL_IN` where the file does not run before, `CHECK` where something was assumed.
        text: what to do, in words.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Argument:
    """One argument of a call.

    Args:
        name: its keyword; "" for a positional argument.
        value: its source, or the call that makes it.
        marks: remarks that stand above it.
    """

    name: str
    value: str | Call
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Call:
    """A call of a class with its arguments."""

    function: str
    arguments: tuple[Argument, ...]


@dataclass(frozen=True)
class GateFile:
    """What a gate file says.

    Args:
        model: the file of the model, for the docstring.
        base: the gate class to derive from.
        name: the name of the class.
        intention: its docstring.
        spec: the call that makes `model`.
        precisions: the source of each precision, with the marks of all.
        fallback: the first rung of the fallback.
        limits: the source of `limits`, or "".
        marks: remarks above `precisions`.
        helper: source of functions that stand before the class, or "".
    """

    model: str
    base: str
    name: str
    intention: str
    spec: Call
    precisions: tuple[str, ...]
    fallback: str
    limits: str = ""
    marks: tuple[Mark, ...] = ()
    helper: str = ""

    def render(self) -> str:
        """The source, formatted as ruff and Black would."""
        body = [
            *(f'"""{self.intention}"""', ""),
            *_assigned("model", self.spec),
            *_comments(self.marks),
            f"precisions = ({', '.join(self.precisions)},)"
            if len(self.precisions) == 1
            else f"precisions = ({', '.join(self.precisions)})",
            *([f"limits = {self.limits}"] if self.limits else []),
            f"fallback = {quoted(self.fallback)}",
        ]
        whole = [*self._head(), *self._imports(), "", ""]
        if self.helper:
            whole += [*self.helper.strip("\n").split("\n"), "", ""]
        whole += [f"class {self.name}({self.base}):"]
        whole += [f"{' ' * _STEP}{line}" if line else "" for line in body]
        return "\n".join(whole) + "\n"

    def _head(self) -> Iterator[str]:
        yield f'"""Whether variants of {self.model} may ship; first written by kycquant init.'
        yield ""
        yield f"Lines below {FILL_IN} cannot be known from files: the gate does not run before."
        yield f"Lines below {CHECK} were assumed: read them, and remove the mark."
        yield '"""'
        yield ""

    def _imports(self) -> Iterator[str]:
        if "np." in self.helper:
            yield from ("import numpy as np", "")
        used = {self.base, *_functions(self.spec)}
        used |= set(re.findall(r"\b[A-Z]\w+(?=\()", f"{self.limits} {self.precisions}"))
        names = sorted(used)
        line = f"from pytest_kycquant import {', '.join(names)}"
        if len(line) <= _WIDTH:
            yield line
        else:
            yield "from pytest_kycquant import ("
            yield from (f"{' ' * _STEP}{name}," for name in names)
            yield ")"


def marks_in(text: str) -> list[tuple[int, Mark]]:
    """The marks of a gate file with the numbers of their lines."""
    lines, found = text.split("\n"), []
    for number, line in enumerate(lines, start=1):
        if match := re.match(rf"\s*# ({FILL_IN}|{CHECK}): (.*)", line):
            words = [match[2]]
            for after in lines[number:]:
                more = re.match(r"\s*#   (.*)", after)
                if more is None:
                    break
                words.append(more[1])
            found.append((number, Mark(match[1], " ".join(words))))
    return found


def class_name(path: Path) -> str:
    """A name for the gate class, which pytest collects."""
    words = re.findall(r"[^\W_]+", path.stem)
    name = "".join(word[:1].upper() + word[1:] for word in words)
    return f"Test{name}" if f"Test{name}".isidentifier() else "TestModel"


def file_name(path: Path) -> str:
    """A name for the gate file, which pytest collects."""
    stem = "_".join(re.findall(r"\w+", path.stem)).lower() or "model"
    return f"test_{stem}.py"


def preprocess_call(spec: Preprocess, marks: Sequence[Mark] = ()) -> Argument:
    """The argument that gives a preprocessing, in all of its parts that matter."""
    plain = Preprocess(size=spec.size)
    text = written(plain, spec)
    parts = [Argument("size", f"({spec.size[0]}, {spec.size[1]})")]
    known = {field.name for field in fields(Preprocess)}
    for part in re.split(r", (?=[a-z_]+=)", text) if text else ():
        name, _, value = part.partition("=")
        assert name in known
        parts.append(Argument(name, value))
    if spec.channels == plain.channels:  # what is most often wrong is always said
        parts.insert(1, Argument("channels", quoted(spec.channels)))
    return Argument("preprocess", Call("Preprocess", tuple(parts)), tuple(marks))


def preprocess_source(spec: Preprocess) -> str:
    """A preprocessing as source on one line."""
    call = preprocess_call(spec).value
    assert isinstance(call, Call)
    return ", ".join(f"{each.name}={each.value}" for each in call.arguments)


def quoted(text: str) -> str:
    """A text as Python source, with double quotes."""
    return json.dumps(text, ensure_ascii=False)


def names(given: Sequence[str]) -> str:
    """A tuple of texts as Python source."""
    return f"({', '.join(map(quoted, given))}{',' if len(given) == 1 else ''})"


def _functions(call: Call) -> Iterator[str]:
    yield call.function
    for argument in call.arguments:
        if isinstance(argument.value, Call):
            yield from _functions(argument.value)


def _assigned(name: str, call: Call) -> Iterator[str]:
    yield f"{name} = {call.function}("
    yield from _arguments(call)
    yield ")"


def _arguments(call: Call) -> Iterator[str]:
    pad = " " * _STEP
    for argument in call.arguments:
        yield from (f"{pad}{line}" for line in _comments(argument.marks))
        start = f"{argument.name}=" if argument.name else ""
        if isinstance(argument.value, Call):
            yield f"{pad}{start}{argument.value.function}("
            yield from (f"{pad}{line}" for line in _arguments(argument.value))
            yield f"{pad}),"
        else:
            yield f"{pad}{start}{argument.value},"


def _comments(marks: Sequence[Mark]) -> Iterator[str]:
    for mark in marks:
        yield from textwrap.wrap(
            f"{mark.kind}: {mark.text}",
            _WIDTH - 3 * _STEP,
            initial_indent="# ",
            subsequent_indent="#   ",
            break_long_words=False,
            break_on_hyphens=False,
        )
