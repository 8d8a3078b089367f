"""When a gate fails: look for another precision that passes, and decide what to ship."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import QuantizationError
from ..quantize.search import (
    Block,
    Found,
    search,
    store_smallest,
)
from ..spec.recipe import (
    FP32_OPTIMIZED,
    RUNGS,
    Fallback,
    Recipe,
    as_recipe,
)
from ..verdicts import VariantRecord, Verdict
from .judge import Bench


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


def decide(bench: Bench, recipe: Recipe, fallback: Fallback | None) -> Decision:
    """Judge a precision and, if it may not ship and a fallback is allowed, what may instead.

    Args:
        bench: of the model.
        recipe: what the gate file asked for.
        fallback: the first rung of the ladder mixed -> int8-weights -> fp16 -> fp32-optimized ->
            fp32; None for no ladder.
    """
    first = bench.record(recipe)
    if not first.failed or fallback is None:
        return Decision(recipe.name, first, (), (first,))
    if bench.undecidable:
        # No other precision can fare better than FP32 itself: more data is needed, not a fallback.
        note = (
            "no fallback was tried, since the data cannot decide even about FP32 held against "
            f"itself: {bench.undecidable[0].describe()}"
        )
        return Decision(recipe.name, first, (), (first,), note=note)
    reasons = list(_objections(first))
    tried, searches = [first], []
    for rung in _ladder(recipe, fallback):
        if rung == "fp32":
            record = bench.fp32_record
        elif rung in ("int8-weights", "fp16"):
            record = bench.record(as_recipe(rung))
        elif rung == "fp32-optimized":
            if not bench.rewrites_pay():
                continue
            record = bench.record(FP32_OPTIMIZED)
        # More FP32 mends accuracy, not size; and nobody knows that it mends latency.
        elif not {gate.gate for gate in first.failed} - {"size", "latency"}:
            continue
        elif not bench.searches:
            reasons.append("mixed was not searched: the smoke profile does without a search")
            continue
        elif bench.data.selection is None:
            reasons.append(f"mixed was not searched: {bench.task.name}(selection=...) names nobody")
            continue
        else:
            found = search_mixed(bench, recipe)
            if not found.passing:
                searches.append(found.as_dict())
                reasons.append(_nothing_found(found))
                continue
            record, confirmed = _confirm(bench, recipe, found)
            searches.append(found.as_dict() | confirmed)
        tried.append(record)
        if not record.failed:
            return Decision(recipe.name, record, tuple(reasons), tuple(tried), tuple(searches))
        reasons += _objections(record)
    return Decision(recipe.name, first, (), tuple(tried), tuple(searches))


def search_mixed(bench: Bench, recipe: Recipe) -> Found:
    """Search on people whom the verdict does not use; the same input gives the same result."""

    def make(folder: Path) -> None:
        blocks, always = bench.blocks(recipe), bench.postprocessing(recipe)
        budget = bench.workspace.settings.search_budget
        stage = bench.context.progress.stage
        harms: dict[Block, float] = {}
        title = f"{bench.model.name}: ranking operators of {recipe.name}"
        with stage(title, len(blocks)) as advance:
            for block in blocks:
                harms[block] = bench.harm(recipe, block)
                advance()
        firsts = {block.names[0] for block in blocks}
        passed: list[int] = []  # how many blocks each candidate kept that passed
        tried = 0
        with stage(f"{bench.model.name}: searching {recipe.name}>mixed", budget) as advance:

            def try_out(keep: tuple[str, ...], stored: str = "float32") -> tuple[bool, str]:
                nonlocal tried
                tried += 1
                best = f"best keeps {min(passed)} of {len(blocks)}" if passed else "none passed"
                candidate = _keeping(recipe, keep, stored)
                # The lines of progress name the recipe; what is made does not depend on its name.
                label = f"{candidate.name} (candidate {tried} of at most {budget}, {best})"
                try:
                    objection = bench.search_objection(replace(candidate, name=label))
                except QuantizationError as error:
                    objection = error.problem
                if not objection:
                    passed.append(len(firsts.intersection(keep)))
                advance()
                return not objection, objection

            found = search(blocks, harms.__getitem__, try_out, always=always, budget=budget)
            if recipe.float_weights is None:
                found = store_smallest(found, try_out, budget)
        (folder / "search.json").write_text(json.dumps(found.as_dict()), encoding="utf-8")

    folder = bench.context.store.entry("search", bench.search_key(recipe), make)
    return Found.from_dict(json.loads((folder / "search.json").read_text(encoding="utf-8")))


def _confirm(
    bench: Bench, recipe: Recipe, found: Found
) -> tuple[VariantRecord, dict[str, int | str]]:
    """Judge what passed the search on other people: the largest set first, the smallest last.

    The smallest set passed the search on the edge, or by luck, and may not pass here. To try
    larger ones until one passes would give luck more chances; to go from the safest towards the
    smallest and stop at the first that does not pass does not: hypotheses in an order that was
    fixed beforehand are each tested at the full level (Maurer, Hothorn and Lehmacher 1995).

    To store the weights of what the smallest set keeps in fewer bits is one step more.

    Returns:
        The record of the last that passes, or of the first if that does not; and for the report,
        its place among the sets, what stopped the next one ("" if it is the smallest), and how
        its weights in FP32 are stored.
    """
    record, confirmed, stopped = bench.record(_keeping(recipe, found.passing[0].keep)), 0, ""
    stored = "float32"
    for place, choice in enumerate(found.passing[1:], start=1):
        if record.failed:  # the first
            break
        smaller = bench.record(_keeping(recipe, choice.keep))
        if smaller.failed:
            stopped = smaller.failed[0].worst_check().describe()
            break
        record, confirmed = smaller, place
    if not (record.failed or stopped or found.stored == stored):
        smaller = bench.record(_keeping(recipe, found.best.keep, found.stored))
        if not smaller.failed:
            record, stored = smaller, found.stored
    return record, {"confirmed": confirmed, "stopped": stopped, "stored": stored}


def _nothing_found(found: Found) -> str:
    number = len(found.attempts)
    tried = f"{number} mixed model{'' if number == 1 else 's'}"
    text = f"of {tried}, none with at most half of its operators in FP32 passes"
    return f"{text}; {found.note}" if found.note else text


def _keeping(recipe: Recipe, operators: tuple[str, ...], stored: str = "float32") -> Recipe:
    keep = (*recipe.keep_fp32, *operators)
    named = replace(recipe, precision="mixed", name=f"{recipe.name}>mixed", keep_fp32=keep)
    if stored == "float32":
        return named
    return replace(named, float_weights=stored)  # type: ignore[arg-type]


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
