"""What a run of pytest said: its errors, verdicts and warnings, read from the terminal's text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.repeat import comparable

_SECTION = re.compile(r"^={3,} (.+?) ={3,}$")
_BLOCK = re.compile(r"^_{3,} (.+?) _{3,}$")
_CAPTURED = re.compile(r"^-{3,} Captured .+ -{3,}$")
_VERDICT = re.compile(r"^.+ (FAIL|INCONCLUSIVE) \w+$")
_WORKER = re.compile(r"^\[gw\d+\] \w+ -- Python ")
_REPEATED = "; see the error of"
_OURS = re.compile(r"^E +(?:pytest_kycquant\.errors\.)\w+: ")
_USAGE = re.compile(r"^ERROR: (?!found no collectors|not found)(.+)", re.MULTILINE)
_WARNING = re.compile(r"^.*?:\d+: (\w+Warning): (.+)", re.MULTILINE)
_RAW = (
    re.compile(r"^.*Traceback \(most recent call last\).*$", re.MULTILINE),
    re.compile(r"^.*\bFile \"[^\"\n]*\", line \d+.*$", re.MULTILINE),
    re.compile(r"^.*INTERNALERROR.*$", re.MULTILINE),
    re.compile(r"^\S+\.py:\d+: (?!AssertionError)[A-Z]\w+$", re.MULTILINE),
    re.compile(r"^.*(?:Fatal Python error|Segmentation fault|core dumped|terminate called).*$",
               re.MULTILINE),
    re.compile(r"^Exception ignored in.*$", re.MULTILINE),
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """A finished run.

    Args:
        status: exit status; negative if a signal ended it, None if it had to be killed.
        text: everything that it printed, standard error last.
        seconds: how long it took.
        report: its JSON report, if it wrote one.
    """

    status: int | None
    text: str
    seconds: float = 0.0
    report: Mapping[str, Any] = field(default_factory=dict)

    @property
    def errors(self) -> tuple[str, ...]:
        """The different messages that are not verdicts of gates."""
        found = [message for message in self._messages() if not _is_verdict(message)]
        return tuple(dict.fromkeys(found + _USAGE.findall(self.text)))

    @property
    def failures(self) -> tuple[str, ...]:
        """The reports of gates that did not pass."""
        return tuple(message for message in self._messages() if _is_verdict(message))

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings, each with its class."""
        return tuple(f"{kind}: {text}" for kind, text in _WARNING.findall(self.text))

    @property
    def raw(self) -> tuple[str, ...]:
        """Lines of tracebacks and crashes."""
        found = [match.group(0) for rule in _RAW for match in rule.finditer(self.text)]
        return (*found, *(line for block in self._blocks() for line in _raised(block)))

    @property
    def ships(self) -> tuple[str, ...]:
        """The quantized variants that the run names as what to ship."""
        named = re.findall(r"^ship: (\S+) \(", self.text, re.MULTILINE)
        return tuple(name for name in named if name != "fp32")

    @property
    def verdicts(self) -> dict[str, Any]:
        """Every verdict except of latency, and what ships, by place in the report."""
        return {
            place: value
            for place, value in comparable(self.report)
            if place.endswith(("verdict", "/ship")) and "latency" not in place
        }

    def _messages(self) -> Iterator[str]:
        for block in self._blocks():
            yield from _message(block)

    def _blocks(self) -> Iterator[list[str]]:
        """The lines about each test, or file, that had an error or failed."""
        section, block = "", None
        for line in (*self.text.split("\n"), "=== end ==="):
            if (heading := _SECTION.match(line)) or _BLOCK.match(line):
                if block is not None:
                    yield block
                section = heading.group(1) if heading else section
                block = None if heading or section not in ("ERRORS", "FAILURES") else []
            elif block is not None:
                block.append(line)


def _message(block: list[str]) -> Iterator[str]:
    """The message in a block of the sections of errors and failures; none if it is a repetition."""
    end = next((i for i, line in enumerate(block) if _CAPTURED.match(line)), len(block))
    lines = [line for line in block[:end] if not _WORKER.match(line)]
    raised = [line for line in lines if line.startswith("E  ")]
    if raised:  # pytest shows how it came to a gate file that raises when it is imported
        lines = [_OURS.sub("", line).removeprefix("E").strip() for line in raised]
    text = "\n".join(lines).strip()
    if text and _REPEATED not in text:
        yield text


def _raised(block: list[str]) -> Iterator[str]:
    """The first line of an exception that is neither of this package nor a user's assertion."""
    first = next((line for line in block if line.startswith("E  ")), None)
    if first is not None and not _OURS.match(first) and not re.match(r"E +(assert |Assert)", first):
        yield first


def _is_verdict(message: str) -> bool:
    """Whether a gate did not pass, or a rule of the user's."""
    first, *more = message.splitlines()
    return bool(_VERDICT.match(first) and more) or first.startswith(("assert ", "AssertionError"))
