"""Which exact rewrites of the FP32 graph a recipe starts from: forced, forbidden, or measured."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import QuantizationError, one_line
from ..measure.clocks import usable
from ..measure.latency import LOOKS, Latency, measure
from ..runtimes import library
from ..spec.recipe import REWRITES
from ..spec.runtime import REFERENCE, Runtime
from ..verdicts import Direction, Kind, Limit, Unit, Verdict
from .graph import serialize
from .preparation import PreparedModel
from .rewrites import applicable, rewrite

if TYPE_CHECKING:
    from ..runtimes.feeding import Sample

PAYS = Limit("pays", 0.97, Direction.BELOW, Unit.RATIO, Kind.COST)
"""A rewrite is used if the upper bound of its latency ratio is below this."""
_LOOKS = LOOKS[:1]  # a gain that needs a closer look is not worth having

_RACES: dict[bytes, Latency] = {}
"""Races of this process by the two graphs: recipes of integers and of floats have some in common.
"""
Race = Callable[[PreparedModel, PreparedModel], Latency]


@dataclass(frozen=True)
class RewriteChoice:
    """The rewrites to start from, and why.

    Args:
        names: names of rewrites in `spec.recipe.REWRITES`.
        reasons: rewrite that fits the model -> why it is used or not, in words.
    """

    names: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)

    def describe(self) -> str:
        """All reasons on one line; "" if nothing fits the model."""
        return "; ".join(f"{REWRITES[name].title}: {why}" for name, why in self.reasons.items())


def choose(
    prepared: PreparedModel,
    inputs: Sequence[Sample],
    *,
    integer: bool = False,
    runtime: Runtime = REFERENCE,
    race: Race | None = None,
) -> RewriteChoice:
    """Measure each rewrite that fits the model, on top of those that have already won.

    Args:
        prepared: the prepared FP32 model.
        inputs: preprocessed images to verify the rewrites on; the first is also used for timing.
        integer: whether the convolutions are to be quantized. The measurement precedes this, since
            otherwise every recipe would need its own.
        runtime: the runtime that will run the variant: a rewrite may pay on one only.
        race: function that compares the latency of its second argument with that of its first; None
            for real timing.
    """
    race = race or (lambda before, after: _race(before, after, inputs[0], runtime))
    names: list[str] = []
    reasons: dict[str, str] = {}
    fastest = prepared
    for name in applicable(prepared):
        try:
            candidate = rewrite(prepared, (*names, name), inputs, integer=integer)
        except QuantizationError as error:
            reasons[name] = f"not rewritten, {one_line(error)}"
            continue
        found = race(fastest, candidate)
        figure = f"{found.ratio:.2f} [{found.lower:.2f}, {found.upper:.2f}] of the latency of FP32"
        if PAYS.judge(found.lower, found.upper) is Verdict.PASS:
            names.append(name)
            fastest = candidate
            reasons[name] = f"rewritten, {figure}, measured here"
        else:
            reasons[name] = f"not rewritten, {figure}, measured here"
    return RewriteChoice(tuple(names), reasons)


def resolve(
    measured: RewriteChoice | None,
    fitting: tuple[str, ...] | None,
    *,
    rewrites: bool | tuple[str, ...] | None,
    op_types: tuple[str, ...] | None = None,
) -> RewriteChoice:
    """Decide which rewrites a recipe starts from.

    Args:
        measured: result of `choose`; needed if the recipe leaves the choice open.
        fitting: names of the rewrites that fit the model; needed if the recipe forces all of them.
        rewrites: setting of the recipe: forced (True, or names), forbidden (False) or left open
            (None).
        op_types: operator types that the recipe names.
    """
    if rewrites is None:
        assert measured is not None
        choice = measured
    elif rewrites is False:
        return RewriteChoice()
    else:
        named = fitting or () if isinstance(rewrites, bool) else rewrites
        choice = RewriteChoice(named, dict.fromkeys(named, "rewritten, as the recipe says"))
    # An operator that is itself to be quantized has to stay.
    asked = op_types or ()
    stay = [name for name in choice.names if REWRITES[name].replaces in asked]
    names = tuple(name for name in choice.names if name not in stay)
    left = dict.fromkeys(stay, "not rewritten, op_types quantizes it")
    return RewriteChoice(names, {**choice.reasons, **left})


def _race(before: PreparedModel, after: PreparedModel, sample: Sample, runtime: Runtime) -> Latency:
    opener = library(runtime)
    contents = serialize(before.proto), serialize(after.proto)
    parts = (*contents, opener.describe().encode())
    key = hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in parts)).digest()
    if key not in _RACES:

        def runner(content: bytes) -> Callable[[], object]:
            return opener.open(content).runner(before.feed(sample))

        one, other = contents
        _RACES[key] = measure(
            *(runner(one), runner(one), runner(other)), PAYS, looks=_LOOKS, timed=usable("thread")
        )
    return _RACES[key]
