"""The search keeps a minimal set of operators: none can be given back, and few tries prove it."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pytest_kycquant.bench.mixed_search import values_of
from pytest_kycquant.plain import from_plain
from pytest_kycquant.quantize.search import (
    Block,
    KeptSet,
    SearchResult,
    search,
    store_smallest,
)
from pytest_kycquant.spec.limits import CustomLimits, DetectionLimits, FaceLimits
from pytest_kycquant.tasks.custom.measured import judge_metric
from pytest_kycquant.verdicts import Check, Limit, Verdict
from tests.worlds.measurements import labelled, measured

OPERATORS = tuple("abcdefgh")


def found(
    needed: set[str],
    always: tuple[str, ...] = (),
    operators: tuple[str, ...] = OPERATORS,
    budget: int = 60,
) -> SearchResult:
    """Search when exactly `needed` must stay in FP32; harm falls from a to h."""
    return search(
        [Block((name,), 100) for name in operators],
        lambda block: float(1000 - ord(block.names[0])),
        lambda keep: (needed <= set(keep), "" if needed <= set(keep) else "something is missing"),
        always=always,
        budget=budget,
    )


@pytest.mark.parametrize("needed", ["a", "b", "e", "ab", "dg", "abcd", "cefg"])
def test_no_more_than_needed(needed: str) -> None:
    result = found(set(needed))
    assert result.best.keep == result.best.blocks == tuple(needed)  # worst first
    assert result.minimal
    assert result.note == ""
    assert result.of == 8
    assert result.best.quantized_share == (8 - len(needed)) / 8


def test_more_than_half_is_no_success() -> None:
    result = found(set("abcde"))
    assert (result.passing, result.minimal, result.note) == ((), False, "")
    assert result.best == KeptSet()


def test_all_but_one_in_fp32_is_the_last_to_be_tried() -> None:
    result = found(set("xyz"))
    assert result.best.keep == ()
    assert [attempt.kept for attempt in result.attempts] == [1, 4, 7]
    assert all(attempt.reason == "something is missing" for attempt in result.attempts)


def test_hopeless_ends_before_everything_was_given_back() -> None:
    """Once more than half of the operators are needed, the others do not matter."""
    operators = tuple(chr(ord("a") + i) for i in range(24))
    result = found(set(operators[:22]), operators=operators)
    assert result.best.keep == ()
    assert len(result.attempts) < 24


def test_postprocessing_may_be_all_it_takes() -> None:
    result = found({"sigmoid"}, ("sigmoid", "concat"))
    assert result.best.keep == ("sigmoid", "concat")
    assert result.best.blocks == ()
    assert result.minimal
    assert result.best.quantized_share == 1.0
    assert [attempt.kept for attempt in result.attempts] == [0]


@pytest.mark.parametrize("needed", ["a", "c", "bd"])
def test_postprocessing_is_kept_beside_layers(needed: str) -> None:
    assert found({"sigmoid", *needed}, ("sigmoid",)).best.keep == ("sigmoid", *needed)


def test_postprocessing_alone_is_no_success_where_nothing_passes() -> None:
    assert found({"x"}, ("sigmoid",)).best.keep == ()


@pytest.mark.parametrize("count", [0, 1])
def test_one_operator_cannot_be_searched(count: int) -> None:
    """Keeping it would keep everything, and quantizing it is what failed."""
    result = found(set(), operators=OPERATORS[:count])
    assert result.best.keep == ()
    assert result.attempts == ()


def test_a_block_is_kept_as_a_whole() -> None:
    blocks = [Block(("conv1", "sigmoid1", "mul1"), 6), Block(("conv2", "relu2"), 2)]
    result = search(blocks, lambda block: block.saves, lambda keep: ("mul1" in keep, ""))
    assert result.best.keep == ("conv1", "sigmoid1", "mul1")
    assert result.best.blocks == ("conv1",)
    assert result.best.quantized_share == 0.25


def test_of_blocks_that_harm_alike_the_heaviest_is_quantized() -> None:
    blocks = [Block(("large",), 900), Block(("small",), 10), Block(("medium",), 90)]
    result = search(blocks, lambda block: 1.0, lambda keep: (bool(keep), ""))
    assert result.best.keep == ("small",)


def test_blocks_that_are_alike_keep_the_order_of_the_graph() -> None:
    blocks = [Block((name,), 1) for name in "cab"]
    result = search(blocks, lambda block: 1.0, lambda keep: (bool(keep), ""))
    assert [name for name, _ in result.ranking] == ["c", "a", "b"]


def test_few_tries_where_the_ranking_is_right() -> None:
    operators = tuple(chr(ord("a") + i) for i in range(26))
    assert len(found({"a"}, operators=operators).attempts) == 1
    assert len(found(set("abcdefgh"), operators=operators).attempts) <= 20


@pytest.mark.parametrize("budget", range(1, 12))
def test_budget_is_never_exceeded(budget: int) -> None:
    result = found(set("beg"), budget=budget)
    assert len(result.attempts) <= budget
    candidates = f"{budget} candidate{'' if budget == 1 else 's'}"
    if result.minimal:
        assert (result.best.keep, result.note) == (("b", "e", "g"), "")
    elif result.best.keep:
        assert set("beg") <= set(result.best.keep)
        assert result.note == f"not minimal: the budget of {candidates} was used up"
    else:
        assert result.note == f"the budget of {candidates} was used up before one passed"


def test_a_budget_that_ends_while_giving_back() -> None:
    """The result is the smallest set that has passed, with a note that it may not be minimal."""
    whole = found(set("cd"))
    assert whole.minimal
    result = found(set("cd"), budget=len(whole.attempts) - 1)
    assert result.best.keep == ("c", "d")
    assert not result.minimal
    assert "used up" in result.note


def test_a_budget_that_ends_with_too_many_kept() -> None:
    result = found(set("ag"), budget=3)
    assert [attempt.passed for attempt in result.attempts] == [False, False, True]
    assert result.best.keep == ()
    assert "used up" in result.note


def test_costs_are_recorded_and_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = found(set("beg"))
    clock = iter(range(1000))
    monkeypatch.setattr(
        "pytest_kycquant.quantize.search.time.monotonic", lambda: float(next(clock))
    )
    slow = found(set("beg"))
    assert {attempt.seconds for attempt in slow.attempts} == {1.0}
    assert slow == quick


def test_json_round_trip() -> None:
    result = found(set("bd"), ("sigmoid",))
    text = json.dumps(values_of(result))
    again = from_plain(SearchResult, json.loads(text))
    assert again == result
    assert json.dumps(values_of(again)) == text


def test_what_passed_on_the_way_is_nested() -> None:
    result = found(set("bd"))
    kept = [set(choice.keep) for choice in result.passing]
    assert len(kept) > 1
    assert all(smaller < larger for larger, smaller in itertools.pairwise(kept))
    assert [len(each) for each in kept] == [a.kept for a in result.attempts if a.passed]
    assert kept[-1] == set("bd")


def test_what_passed_with_more_than_half_is_left_out() -> None:
    result = found(set("ag"))
    assert max(attempt.kept for attempt in result.attempts if attempt.passed) > 4
    assert all(len(choice.keep) <= 4 for choice in result.passing)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[float], Callable[[frozenset[int]], bool]]:
    """Harms of some operators, and the sets of them that pass, which are arbitrary."""
    harms = draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 8.0]), min_size=2, max_size=7))
    seed = draw(st.randoms(use_true_random=False))
    subsets = [
        frozenset(kept)
        for size in range(len(harms) + 1)
        for kept in itertools.combinations(range(len(harms)), size)
    ]
    passing = {kept for kept in subsets if seed.random() < draw(st.sampled_from([0.3, 0.6, 0.9]))}
    return harms, passing.__contains__


@st.composite
def monotone_worlds(draw: st.DrawFn) -> tuple[list[float], Callable[[frozenset[int]], bool]]:
    """The same, but every superset of a passing set also passes."""
    harms = draw(st.lists(st.floats(0, 10), min_size=2, max_size=9))
    some = st.frozensets(st.integers(0, len(harms) - 1), min_size=1)
    enough = draw(st.lists(some, min_size=1, max_size=4))
    return harms, lambda kept: any(kept >= each for each in enough)


def run(
    harms: list[float], passes: Callable[[frozenset[int]], bool], budget: int = 10_000
) -> tuple[SearchResult, list[frozenset[int]]]:
    """Search, and list what was tried."""
    tried = []

    def try_out(keep: tuple[str, ...]) -> tuple[bool, str]:
        tried.append(frozenset(map(int, keep)))
        return passes(tried[-1]), ""

    blocks = [Block((str(i),), 1) for i in range(len(harms))]
    return search(blocks, lambda block: harms[int(block.names[0])], try_out, budget=budget), tried


@settings(max_examples=200)
@given(worlds())
def test_each_operator_was_given_back_in_vain(
    world: tuple[list[float], Callable[[frozenset[int]], bool]],
) -> None:
    harms, passes = world
    result, tried = run(harms, passes)
    assert len(set(tried)) == len(tried) == len(result.attempts)  # nothing is tried twice
    assert all(0 < len(kept) < len(harms) for kept in tried)
    if result.best.keep:
        keep = frozenset(map(int, result.best.keep))
        assert passes(keep)
        assert len(keep) <= len(harms) // 2
        assert result.minimal
        for each in keep:
            assert keep == {each} or (keep - {each} in tried and not passes(keep - {each}))


@settings(max_examples=200)
@given(monotone_worlds())
def test_no_part_of_a_minimal_set_passes(
    world: tuple[list[float], Callable[[frozenset[int]], bool]],
) -> None:
    """Checked by brute force over all subsets, if keeping more never hurts."""
    harms, passes = world
    result, tried = run(harms, passes)
    keep = frozenset(map(int, result.best.keep))
    for size in range(1, len(keep)):
        assert not any(passes(frozenset(part)) for part in itertools.combinations(keep, size))
    n = len(harms)
    assert len(tried) <= 4 + 2 * n + (len(keep) + 1) * math.log2(n)


@settings(max_examples=100)
@given(monotone_worlds(), st.integers(1, 12))
def test_the_same_answers_give_the_same_set(
    world: tuple[list[float], Callable[[frozenset[int]], bool]], budget: int
) -> None:
    assert run(*world, budget) == run(*world, budget)


@pytest.mark.parametrize(
    ("value", "limit", "promising"),
    [
        (0.004, FaceLimits(far=0.01)["far"], True),
        (0.006, FaceLimits(far=0.01)["far"], False),
        (0.992, DetectionLimits(recall=0.98)["recall"], True),
        (0.988, DetectionLimits(recall=0.98)["recall"], False),
        (4.9, CustomLimits(metric=10.0)["metric"], True),
        (5.1, CustomLimits(metric=10.0)["metric"], False),
        (0.999, FaceLimits(mean_cosine=0.98)["mean_cosine"], False),
        (None, DetectionLimits(recall=0.98)["recall"], False),
    ],
)
def test_an_undecided_figure_may_use_half_of_its_budget(
    value: float | None, limit: Limit, promising: bool
) -> None:
    check = Check("x", Verdict.INCONCLUSIVE, limit, value, 0.0, 1.0)
    assert check.promising is promising


@pytest.mark.parametrize(
    ("values", "limit", "promising"),
    [
        ([0.0] * 21 + [105.0] * 3, 25.0, False),  # 13.1 in [0.8, 25.4]: far from 25
        ([0.9] + [1.0] * 29, 0.99, True),  # a fraction, of which 1 is the best
        ([0.97] * 12 + [1.0] * 12, 0.98, False),
    ],
)
def test_a_metric_of_which_more_is_better_is_promising_only_as_a_share(
    values: list[float], limit: float, promising: bool
) -> None:
    """Other metrics have no known maximum, so their budget is unknown, too."""

    def score(outputs: NDArray[np.float32], labels: NDArray[np.float64]) -> NDArray[np.float32]:
        return outputs

    found = measured(score, values, labelled(np.zeros(len(values))), higher=True)
    check = judge_metric(found, CustomLimits(metric=limit), "metric")
    assert check.verdict is Verdict.INCONCLUSIVE
    assert check.promising is promising


@pytest.mark.parametrize(
    ("works", "stored", "tried"),
    [
        ({"int8", "float16"}, "int8", ["int8"]),
        ({"float16"}, "float16", ["int8", "float16"]),
        (set(), "float32", ["int8", "float16"]),
    ],
)
def test_weights_of_what_is_kept_are_stored_as_small_as_passes(
    works: set[str], stored: str, tried: list[str]
) -> None:
    before = found(set("cd"))
    calls: list[tuple[tuple[str, ...], str]] = []

    def try_out(keep: tuple[str, ...], kind: str) -> tuple[bool, str]:
        calls.append((keep, kind))
        return kind in works, "" if kind in works else "drifts"

    after = store_smallest(before, try_out, 60)
    assert (after.stored, after.passing) == (stored, before.passing)
    assert calls == [(before.best.keep, kind) for kind in tried]
    assert [a.stored for a in after.attempts[len(before.attempts) :]] == tried
    assert store_smallest(before, try_out, len(before.attempts)) == before
    nothing = found(set("abcdefgh"), budget=1)
    assert not nothing.passing
    assert store_smallest(nothing, try_out, 60) == nothing
