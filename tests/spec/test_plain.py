"""Records become plain values and come back unchanged."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kycquant.plain import from_plain, plain


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Leaf:
    number: float
    colour: Colour = Colour.RED
    maybe: Colour | None = None


@dataclass(frozen=True)
class Tree:
    name: Literal["oak", "elm"]
    leaf: Leaf
    leaves: tuple[Leaf, ...] = ()
    named: Mapping[str, Leaf] = field(default_factory=dict)
    pairs: tuple[tuple[str, float], ...] = ()
    best: Leaf | None = None
    free: Mapping[str, Any] = field(default_factory=dict)


numbers = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False))
colours = st.sampled_from(Colour)
leaves = st.builds(Leaf, numbers, colours, st.none() | colours)
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
trees = st.builds(
    Tree,
    st.sampled_from(["oak", "elm"]),
    leaves,
    st.lists(leaves, max_size=3).map(tuple),
    st.dictionaries(st.text(), leaves, max_size=3),
    st.lists(st.tuples(st.text(), numbers), max_size=3).map(tuple),
    st.none() | leaves,
    st.dictionaries(st.text(), anything, max_size=3),
)


@given(trees)
def test_round_trip_through_json(tree: Tree) -> None:
    text = json.dumps(plain(tree), allow_nan=False)
    again = from_plain(Tree, json.loads(text))
    assert again == tree
    assert json.dumps(plain(again), allow_nan=False) == text
    assert isinstance(again.leaf.colour, Colour)


def test_numbers_stay_as_they_are() -> None:
    assert json.dumps(plain(from_plain(Leaf, {"number": 20}))["number"]) == "20"


def test_what_a_file_says_besides_is_left_out() -> None:
    assert from_plain(Leaf, {"number": 1.5, "verdict": "PASS"}) == Leaf(1.5)


def test_what_does_not_fit() -> None:
    with pytest.raises(TypeError, match="number"):
        from_plain(Leaf, {"colour": "red"})
    with pytest.raises(ValueError, match="green"):
        from_plain(Leaf, {"number": 1, "colour": "green"})
