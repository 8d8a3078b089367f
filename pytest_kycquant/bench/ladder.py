"""When a gate fails: look for another precision that passes, and decide what to ship."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..results import VariantRecord
from ..spec.recipe import (
    FP32_OPTIMIZED,
    RUNGS,
    Fallback,
    Recipe,
    as_recipe,
)
from ..verdicts import Verdict
from .judge import Judge
from .mixed_search import MixedSearch, confirm, nothing_found


@dataclass(frozen=True)
class Decision:
    """What to ship for one requested precision.

    Args:
        requested: label of the precision that the gate file asked for.
        record: the variant that the gates are asserted on, and that would ship.
        reasons: why it is not the requested one; empty if it is.
        tried: every variant that was judged on the way, the requested one first.
        searches: attempts of the mixed-precision search, for the report.
        note: why nothing else was tried, where that needs a word.
    """

    requested: str
    record: VariantRecord
    reasons: tuple[str, ...]
    tried: tuple[VariantRecord, ...]
    searches: tuple[Mapping[str, Any], ...] = ()
    note: str = ""

    @property
    def fell_back(self) -> bool:
        """Whether something else ships than was asked for."""
        return bool(self.reasons)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "model": self.record.model,
            "requested": self.requested,
            "ships": self.record.variant if self.record.verdict is Verdict.PASS else None,
            "reasons": list(self.reasons),
            "note": self.note,
            "tried": [record.variant for record in self.tried],
            "searches": [dict(found) for found in self.searches],
        }


def decide(
    judge: Judge, recipe: Recipe, fallback: Fallback | None, search: MixedSearch | None
) -> Decision:
    """Judge a precision and, if it may not ship and a fallback is allowed, what may instead.

    Args:
        judge: of the model.
        recipe: what the gate file asked for.
        fallback: the first rung of the ladder mixed -> int8-weights -> fp16 -> fp32-optimized ->
            fp32; None for no ladder.
        search: looks for a mixed model; None for the smoke profile, which does without.
    """
    first = judge.record(recipe)
    if not first.failed or fallback is None:
        return Decision(recipe.name, first, (), (first,))
    if judge.undecidable:
        # No other precision can fare better than FP32 itself: more data is needed, not a fallback.
        note = (
            "no fallback was tried, since the data cannot decide even about FP32 held against "
            f"itself: {judge.undecidable[0].describe()}"
        )
        return Decision(recipe.name, first, (), (first,), note=note)
    reasons = list(_objections(first))
    tried, searches = [first], []
    for rung in _ladder(recipe, fallback):
        if rung == "fp32":
            record = judge.fp32_record
        elif rung in ("int8-weights", "fp16"):
            record = judge.record(as_recipe(rung))
        elif rung == "fp32-optimized":
            if not judge.variants.rewrites_pay():
                continue
            record = judge.record(FP32_OPTIMIZED)
        # More FP32 mends accuracy, not size; and nobody knows that it mends latency.
        elif not {gate.gate for gate in first.failed} - {"size", "latency"}:
            continue
        elif search is None:
            reasons.append("mixed was not searched: the smoke profile does without a search")
            continue
        elif judge.variants.data.selection is None:
            reasons.append(
                f"mixed was not searched: {judge.variants.task.name}(selection=...) names nobody"
            )
            continue
        else:
            found = search.find(recipe)
            if not found.passing:
                searches.append(found.as_dict())
                reasons.append(nothing_found(found))
                continue
            record, confirmed = confirm(judge, recipe, found)
            searches.append(found.as_dict() | confirmed)
        tried.append(record)
        if not record.failed:
            return Decision(recipe.name, record, tuple(reasons), tuple(tried), tuple(searches))
        reasons += _objections(record)
    return Decision(recipe.name, first, (), tuple(tried), tuple(searches))


def _ladder(recipe: Recipe, fallback: Fallback | None) -> tuple[str, ...]:
    below = RUNGS[RUNGS.index(fallback or "fp32") :]
    if recipe.is_static:
        return below
    if recipe.precision in RUNGS:  # it is a rung itself
        return tuple(rung for rung in RUNGS[RUNGS.index(recipe.precision) + 1 :] if rung in below)
    return tuple(rung for rung in below if rung != "mixed")


def _objections(record: VariantRecord) -> Iterator[str]:
    for gate in record.failed:
        yield f"{record.variant} does not pass {gate.gate}: {gate.worst_check().describe()}"
