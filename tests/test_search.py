"""The search keeps few operators, and those without weights first."""

from __future__ import annotations

import pytest

from pytest_kycquant.evaluation import _promising
from pytest_kycquant.search import Found, search
from pytest_kycquant.spec import Verdict
from pytest_kycquant.verdicts import Check

OPERATORS = tuple("abcdefgh")


def found(needed: set[str], always: tuple[str, ...] = ()) -> Found:
    """Search when exactly `needed` must stay in FP32; harm falls from a to h."""
    return search(
        OPERATORS,
        lambda name: float(-ord(name)),
        lambda keep: (needed <= set(keep), "something is missing"),
        always=always,
    )


@pytest.mark.parametrize(("needed", "kept"), [("a", 1), ("b", 2), ("c", 3), ("d", 4)])
def test_no_more_than_needed(needed: str, kept: int) -> None:
    result = found({needed})
    assert result.keep == OPERATORS[:kept]
    assert result.attempts[-1].kept in (kept, kept - 1)


def test_more_than_half_is_no_success() -> None:
    result = found({"e"})
    assert result.keep == ()
    assert [attempt.kept for attempt in result.attempts] == [1, 2, 4]


def test_postprocessing_may_be_all_it_takes() -> None:
    result = found({"sigmoid"}, ("sigmoid", "concat"))
    assert result.keep == ("sigmoid", "concat")
    assert [attempt.kept for attempt in result.attempts] == [0]


@pytest.mark.parametrize(("needed", "kept"), [("a", 1), ("b", 2), ("c", 3), ("d", 4)])
def test_postprocessing_is_kept_beside_layers(needed: str, kept: int) -> None:
    result = found({"sigmoid", needed}, ("sigmoid",))
    assert result.keep == ("sigmoid", *OPERATORS[:kept])


def test_postprocessing_alone_is_no_success_where_nothing_passes() -> None:
    assert found({"h"}, ("sigmoid",)).keep == ()


@pytest.mark.parametrize(
    ("value", "limit", "direction", "unit", "promising"),
    [
        (0.004, 0.01, "below", "rate", True),
        (0.006, 0.01, "below", "rate", False),
        (0.992, 0.98, "at least", "share", True),
        (0.988, 0.98, "at least", "share", False),
        (4.9, 10.0, "below", "metric", True),
        (5.1, 10.0, "below", "metric", False),
        (0.999, 0.98, "at least", "cosine", False),
        (None, 0.98, "at least", "share", False),
    ],
)
def test_an_undecided_figure_may_use_half_of_its_budget(
    value: float | None, limit: float, direction: str, unit: str, promising: bool
) -> None:
    check = Check("x", Verdict.INCONCLUSIVE, value, 0.0, 1.0, limit, direction, unit)
    assert _promising(check) is promising
