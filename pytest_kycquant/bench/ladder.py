"""When a gate fails: looks for another precision that passes, and decides what to ship."""

from __future__ import annotations

from ..spec.prequantized import Asked, Prequantized
from ..spec.recipe import RUNGS, Fallback, Recipe, on, runtimes_of
from .judge import Judge
from .mixed_search import MixedSearch, confirm, nothing_found, values_of
from .records import VariantRecord
from .shipping import Shipment, objections_of


def decide(
    judge: Judge, asked: Asked, fallback: Fallback | None, search: MixedSearch | None
) -> Shipment:
    """Judge a precision. If it does not pass and a fallback is allowed, judge others instead.

    Args:
        judge: the judge of the model.
        asked: the precision or the file that the gate file asked for.
        fallback: the first rung of the ladder mixed -> int8-weights -> fp16 -> fp32-optimized ->
            fp32; None for no ladder.
        search: the search for a mixed model; None for the smoke profile, which does not search.
    """
    first = judge.record(asked)
    beside = _beside(judge, asked)
    if not first.failed or fallback is None:
        return Shipment(asked.name, first, (), (first, *beside))
    if undecidable := judge.undecidable():
        # No other precision can do better than FP32 itself: more data is needed, not a fallback.
        return Shipment(asked.name, first, (), (first, *beside), undecidable=undecidable[0])
    if isinstance(asked, Prequantized) and fallback == "fp32":
        given = tuple(objections_of(first))
        return Shipment(asked.name, judge.fp32_record, given, (first, judge.fp32_record))
    recipe = asked.made_instead if isinstance(asked, Prequantized) else asked
    runtime = recipe.runs_on
    reasons = list(objections_of(first))
    tried, searches = [first], []
    for rung in _ladder(recipe, fallback):
        if rung in ("mixed", "fp32-optimized") and runtime.name not in runtimes_of(rung):
            reasons.append(f"{rung} was not tried: {runtime.name} has no such precision")
            continue
        if rung == "mixed" and (why := _why_not_mixed(recipe)):
            reasons.append(f"mixed was not tried: {why}")
            continue
        if rung == "fp32":
            same = [record for record in beside if not record.failed]
            record = same[0] if same else judge.fp32_record
        elif rung in ("int8-weights", "fp16"):
            record = judge.record(on(rung, runtime, recipe.format))
        elif rung == "fp32-optimized":
            if not judge.variants.rewrites_pay(runtime):
                continue
            record = judge.record(on(rung, runtime, recipe.format))
        # Keeping more in FP32 improves accuracy, but not size, and it may not improve latency.
        elif not {gate.gate for gate in first.failed} - {"size", "latency"}:
            continue
        elif search is None:
            reasons.append("mixed precision was not searched: the smoke profile does not search")
            continue
        elif why := search.hindered:
            reasons.append(f"mixed precision was not searched: {why}")
            continue
        else:
            found = search.find(recipe)
            if not found.passing:
                searches.append(values_of(found))
                reasons.append(nothing_found(found))
                continue
            record, confirmed = confirm(judge, recipe, found)
            searches.append(values_of(found) | confirmed)
        tried.append(record)
        if not record.failed:
            rest = (each for each in beside if each is not record)
            all_tried = (*tried, *rest)
            return Shipment(asked.name, record, tuple(reasons), all_tried, tuple(searches))
        reasons += objections_of(record)
    return Shipment(asked.name, first, (), (*tried, *beside), tuple(searches))


def _why_not_mixed(recipe: Recipe) -> str:
    """Why no operators of a recipe can be kept in FP32; "" if they can."""
    if recipe.float_fallback is False:
        return f"{recipe.name} must not compute in floating point"
    if recipe.precision == "int16x8":
        return f"its activations have 8 bits, and those of {recipe.name} 16"
    return ""


def _beside(judge: Judge, asked: Asked) -> tuple[VariantRecord, ...]:
    """FP32 on the same runtime: what the runtime or the format alone changes."""
    if isinstance(asked, Prequantized) or asked.precision == "fp32":
        return ()
    if asked.runs_on.is_reference and asked.format is None:
        return ()
    return (judge.record(on("fp32", asked.runs_on, asked.format)),)


def _ladder(recipe: Recipe, fallback: Fallback | None) -> tuple[str, ...]:
    below = RUNGS[RUNGS.index(fallback or "fp32") :]
    if recipe.is_static:
        return below
    if recipe.precision in RUNGS:
        return tuple(rung for rung in RUNGS[RUNGS.index(recipe.precision) + 1 :] if rung in below)
    rungs = RUNGS[RUNGS.index("fp32-optimized") :] if recipe.is_float else RUNGS
    return tuple(rung for rung in rungs if rung in below and rung != "mixed")
