"""A line of progress fits into the terminal, and never shows a part of a figure."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_kycquant.plugin.writing import on_one_line

TEXT = "running face on evaluation images 124/4,800, about 35 s left"


def test_what_fits_is_whole() -> None:
    assert on_one_line(TEXT, 80) == f"kycquant: {TEXT}"
    assert on_one_line("", 80) == ""


def test_the_end_stays() -> None:
    assert on_one_line(TEXT, 50) == "on evaluation images 124/4,800, about 35 s left"


@given(st.integers(0, 80))
def test_words_are_never_cut(width: int) -> None:
    shown = on_one_line(TEXT, width)
    assert len(shown) <= width
    assert not shown or f" kycquant: {TEXT}".endswith(f" {shown}")
