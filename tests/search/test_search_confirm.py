"""Sets that passed a search are confirmed, the largest first, up to the first failure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from pytest_kycquant.bench.judge import Judge
from pytest_kycquant.bench.mixed_search import confirm, values_of
from pytest_kycquant.bench.people import CONFIRMATION, Role
from pytest_kycquant.bench.records import VariantRecord
from pytest_kycquant.quantize.search import Attempt, KeptSet, SearchResult
from pytest_kycquant.report.remarks import _kept
from pytest_kycquant.results import GateResult
from pytest_kycquant.spec.recipe import Recipe
from pytest_kycquant.verdicts import Check, Verdict
from tests.worlds.limits import below


@dataclass
class Passes:
    """A stand-in for a judge that passes certain numbers of operators in FP32."""

    passing: set[int]
    judged: list[int] = field(default_factory=list)

    def record(self, recipe: Recipe, role: Role) -> VariantRecord:
        assert role is CONFIRMATION
        count = len(recipe.keep_fp32)
        self.judged.append(count)
        verdict = Verdict.PASS if count in self.passing else Verdict.INCONCLUSIVE
        gate = GateResult("far", (Check("FAR", verdict, below(0.03), 0.1 / count),))
        options = {"keep_fp32": ", ".join(recipe.keep_fp32)}
        return VariantRecord("m", recipe.name, "", 1, 1.0, options, {"far": gate})


def found() -> SearchResult:
    names = tuple("abcdefgh")
    sets = [names[:8], names[:4], names[:2], names[:1]]
    passing = tuple(KeptSet(kept, kept, 1 - len(kept) / 20) for kept in sets)
    attempts = tuple(Attempt(len(kept), True, "", 1.2) for kept in sets)
    return SearchResult(passing, 20, True, "", (), attempts)


@pytest.mark.parametrize(
    ("passing", "judged", "kept", "ships"),
    [
        ({8, 4, 2, 1}, [8, 4, 2, 1], 1, True),
        ({8, 4}, [8, 4, 2], 4, True),
        ({8, 4, 1}, [8, 4, 2], 4, True),  # sets after a failure are not judged
        ({4, 2, 1}, [8], 8, False),
        (set(), [8], 8, False),
    ],
)
def test_sequence(passing: set[int], judged: list[int], kept: int, ships: bool) -> None:
    judge = Passes(passing)
    record, confirmed = confirm(cast("Judge", judge), Recipe("int8"), found())
    assert judge.judged == judged
    assert len(record.options["keep_fp32"].split(", ")) == kept
    assert bool(record.failed) != ships
    assert len(found().passing[cast("int", confirmed["confirmed"])].keep) == kept
    assert bool(confirmed["stopped"]) == (ships and kept > 1)


def test_of_many_sets_few_are_judged_the_largest_and_the_smallest_among_them() -> None:
    names = tuple("abcdefghijklm")
    sets = tuple(KeptSet(names[:n], names[:n], 0.5) for n in range(13, 0, -1))
    judge = Passes(set(range(14)))
    _, confirmed = confirm(
        cast("Judge", judge), Recipe("int8"), SearchResult(sets, 20, True, "", (), ())
    )
    assert judge.judged == [13, 9, 5, 1]
    assert confirmed["confirmed"] == 12


def line(passing: set[int]) -> str:
    record, confirmed = confirm(cast("Judge", Passes(passing)), Recipe("int8"), found())
    values: dict[str, Any] = values_of(found()) | confirmed
    return _kept(record, values)


def test_the_report_of_the_smallest() -> None:
    assert line({8, 4, 2, 1}) == (
        "int8>mixed keeps 1 of 20 operators with weights in FP32: a; 95 % of the weights are "
        "quantized; 4 candidates in 5 s, minimal"
    )


def test_the_report_where_not_even_the_largest_passes() -> None:
    """No smaller one was tried, so the report does not mention a minimum."""
    assert line({4, 2, 1}).endswith("candidates in 5 s, the largest set that passed the search")


def test_the_report_of_a_larger_one_says_what_stopped_the_next() -> None:
    assert line({8}) == (
        "int8>mixed keeps 8 of 20 operators with weights in FP32: a, b, c, d, e and 3 more; 60 % "
        "of the weights are quantized; 4 candidates in 5 s, not minimal: with fewer it passed the "
        "search, but not here: INCONCLUSIVE FAR = 2.5 % must be below 3 %"
    )
