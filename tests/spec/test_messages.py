"""Text that came from files of others reaches neither the terminal raw nor at any length."""

from __future__ import annotations

import pickle

import pytest

from pytest_kycquant.context.progress import Progress
from pytest_kycquant.errors import (
    DataError,
    InconclusiveWarning,
    KycquantWarning,
    ModelError,
    printable,
)
from pytest_kycquant.results import GateResult
from pytest_kycquant.verdicts import Check, Verdict
from tests.worlds.limits import below

NASTY = [
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x9b31m",
    "a\rPASS",
    "a\nship: int8",
    "a\u2028b",
    "\u202egnp.exe",
    "\u2066x\u2069",
    "\udcff",
    "\x00",
    "\x7f",
    "a\u200bb",
]


@pytest.mark.parametrize("text", NASTY)
def test_nothing_that_a_terminal_acts_on(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    shown.encode()
    assert printable(shown) == shown
    error = ModelError(text, f"weight {text!s} is broken", f"rename {text}")
    assert str(error).isprintable()
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(KycquantWarning(text.replace("\n", "\r"))).isprintable()
    check = Check(text, Verdict.FAIL, below(0.1), 0.2, 0.1, 0.3, f"in {text}")
    assert check.describe().isprintable()
    lines: list[str] = []
    Progress(lines.append).say(text)
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("text", ["Zoë", "张伟", "O'Brien", "a b", "C:\\faces", "50 %", "😀"])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text
    assert text in str(DataError(text, "is wrong", "correct it"))


def test_report_of_a_gate_keeps_its_lines() -> None:
    checks = tuple(Check(f"one\n{i}", Verdict.FAIL, below(0.1), 0.2) for i in range(2))
    report = GateResult("far", checks, "Do this.").describe()
    assert len(report.splitlines()) == 3
    assert str(InconclusiveWarning(report)) == report


@pytest.mark.parametrize("length", [599, 600, 601, 2_000_000])
def test_message_is_short_and_shows_both_ends(length: int) -> None:
    text = "a" * (length - 1) + "z"
    message = str(ModelError(text, text, text))
    assert len(message) < 2000
    assert message.startswith("aaa")
    assert message.endswith("z")
    assert (text in message) is (length <= 600)
