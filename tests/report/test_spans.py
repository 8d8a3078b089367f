"""Lines are broken between words, and never within a figure or a command."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_kycquant.report.spans import Line, Span, line, text_of, wrap, wrapped

FIGURES = (
    "0.012 % [0.004, 0.031]",
    "0.1 % [-0.5 %, 0.25 %]",
    "1.2 ms",
    "217,140",
    "1 of 180",
    "<= 0.061 %",
    "limit >= 0.9700",
    "below 5 %",
    "at least 0.9900",
    "0.061..0.112 %",
    "3.9 MB [1, 2.5]",
    "-1e-05",
    "0.4503 / -0.1191",
)
WORDS = (
    "int8:",
    "FAIL",
    "increase",
    "of",
    "FRR",
    "over",
    "FP32",
    "test_gate.py::TestFace::test_it[a]",
)
parts = st.lists(st.sampled_from([*WORDS, *FIGURES]), min_size=1, max_size=30)


def told(lines: list[Line]) -> list[str]:
    return [text_of(one) for one in lines]


@given(parts, st.integers(48, 160), st.integers(0, 6))
@example([*["int8:"] * 7, "increase", "increase", "1.2 ms", "of", "1 of 180"], 48, 0)
@example(["int8:", "int8:", "-1e-05", "of", "0.012 % [0.004, 0.031]"], 48, 0)
def test_no_line_is_too_long_and_no_figure_is_broken(
    words: list[str], width: int, indent: int
) -> None:
    text = " ".join(words)
    shown = told(list(wrap(line(text), width, indent)))
    assert all(len(one) <= width for one in shown)
    assert " ".join(one.strip() for one in shown) == text
    for figure in FIGURES:
        assert sum(one.count(figure) for one in shown) == text.count(figure), figure
    assert all(one[:indent].isspace() or not indent for one in shown[1:])


@given(parts, st.integers(40, 160))
@example(["FRR"] * 30, 40)
@example(["test_gate.py::TestFace::test_it[a]", "FAIL", "FAIL"], 40)  # a break between two
def test_styles_stay_with_their_words(words: list[str], width: int) -> None:
    spans = [Span(f"{word} ", "bad" if word == "FAIL" else "") for word in words]
    bad = [s.text for one in wrap(tuple(spans), width) for s in one if s.style == "bad"]
    assert " ".join(bad).split() == [word for word in words if word == "FAIL"]


@pytest.mark.parametrize("width", [80, 100])
def test_what_must_stay_whole_is_longer_than_the_line(width: int) -> None:
    command = "pytest " + " ".join(f"--an-option={number}" for number in range(20))
    shown = told(list(wrap(line("next: ", Span(command, whole=True), " records it"), width)))
    assert shown == ["next:", f"  {command}", "  records it"]


def test_a_long_name_is_not_broken() -> None:
    name = "tests/gates/" + "very_long_" * 20 + ".py::TestFace"
    shown = told(list(wrap(line(f"see {name} above"), 80)))
    assert shown == ["see", f"  {name}", "  above"]


def test_a_line_keeps_its_own_indentation() -> None:
    shown = told(list(wrapped([line("  " + "word " * 30)], 80)))
    assert shown[0].startswith("  word")
    assert all(re.match(r"    \w", one) for one in shown[1:])


def test_a_terminal_cannot_be_acted_on() -> None:
    assert text_of(line("a\x1b[2J\nb", Span("\r", "bad"))) == "a\\x1b[2J\\nb\\r"
