"""When a gate fails: look for another precision that passes, and decide what to ship."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from .errors import QuantizationError
from .evaluation import Bench
from .recipe import FP32_OPTIMIZED, Recipe
from .search import Found, search
from .spec import Verdict
from .verdicts import VariantRecord

Fallback = Literal["mixed", "fp16", "fp32-optimized", "fp32"] | None
RUNGS = ("mixed", "fp16", "fp32-optimized", "fp32")


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


def decide(bench: Bench, recipe: Recipe, fallback: Fallback) -> Decision:
    """Judge a precision and, if it may not ship and a fallback is allowed, what may instead.

    Args:
        bench: of the model.
        recipe: what the gate file asked for.
        fallback: the first rung of the ladder mixed -> fp16 -> fp32-optimized -> fp32; None for
            no ladder.
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
        elif rung == "fp16":
            record = bench.record(Recipe("fp16"))
        elif rung == "fp32-optimized":
            if not bench.rewrites_pay():
                continue
            record = bench.record(FP32_OPTIMIZED)
        # More FP32 mends accuracy, not size; and nobody knows that it mends latency.
        elif not {gate.gate for gate in first.failed} - {"size", "latency"}:
            continue
        elif bench.data.selection is None:
            reasons.append(f"mixed was not searched: {bench.task.name}(selection=...) names nobody")
            continue
        else:
            found = search_mixed(bench, recipe)
            searches.append(found.as_dict())
            if not found.keep:
                reasons.append("no mixed model with at most half of its operators in FP32 passes")
                continue
            record = bench.record(_keeping(recipe, found.keep))
        tried.append(record)
        if not record.failed:
            return Decision(recipe.name, record, tuple(reasons), tuple(tried), tuple(searches))
        reasons += _objections(record)
    return Decision(recipe.name, first, (), tuple(tried), tuple(searches))


def search_mixed(bench: Bench, recipe: Recipe) -> Found:
    """Search on people whom the verdict does not use; the same input gives the same result."""

    def make(folder: Path) -> None:
        task = f"{bench.model.name}: ranking operators of {recipe.name}"
        operators = bench.operators(recipe)
        with bench.workbench.progress.stage(task, len(operators)) as advance:

            def harm(name: str) -> float:
                value = bench.operator_harm(recipe, name)
                advance()
                return value

            def try_out(keep: tuple[str, ...]) -> tuple[bool, str]:
                try:
                    objection = bench.search_objection(_keeping(recipe, keep))
                except QuantizationError as error:
                    objection = str(error)
                return not objection, objection

            found = search(operators, harm, try_out, always=bench.postprocessing(recipe))
        (folder / "search.json").write_text(json.dumps(found.as_dict()), encoding="utf-8")

    folder = bench.workbench.cache.entry("search", bench.search_key(recipe), make)
    return Found.from_dict(json.loads((folder / "search.json").read_text(encoding="utf-8")))


def _keeping(recipe: Recipe, operators: tuple[str, ...]) -> Recipe:
    keep = (*recipe.keep_fp32, *operators)
    return replace(recipe, precision="mixed", name=f"{recipe.name}>mixed", keep_fp32=keep)


def _ladder(recipe: Recipe, fallback: Fallback) -> tuple[str, ...]:
    below = RUNGS[RUNGS.index(fallback or "fp32") :]
    if recipe.is_static:
        return below
    if recipe.precision in RUNGS:  # it is a rung itself
        return tuple(rung for rung in RUNGS[RUNGS.index(recipe.precision) + 1 :] if rung in below)
    return tuple(rung for rung in below if rung != "mixed")


def _objections(record: VariantRecord) -> Iterator[str]:
    for gate in record.failed:
        yield f"{record.variant} does not pass {gate.gate}: {gate.worst_check().describe()}"
