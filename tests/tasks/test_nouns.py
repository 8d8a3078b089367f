"""Numbers stand with nouns in the right number."""

from __future__ import annotations

import pytest

from pytest_kycquant.tasks.checks import many


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [
        (0, "comparisons", "0 comparisons"),
        (1, "comparisons", "1 comparison"),
        (2400, "people", "2,400 people"),
        (1, "people", "1 person"),
        (1, "identities", "1 identity"),
        (1, "transactions of impostors", "1 transaction of impostors"),
        (12, "customers", "12 customers"),
    ],
)
def test_many(number: int, noun: str, said: str) -> None:
    assert many(number, noun) == said
