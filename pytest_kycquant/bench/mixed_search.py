"""The search for a mixed-precision model of one gate, on people that the verdict does not use."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..data.sampling import portions
from ..data.split import SEARCH_SHARE
from ..errors import QuantizationError
from ..plain import from_plain, plain
from ..quantize.search import Block, SearchResult, search, store_smallest
from ..runtimes import library
from ..spec.recipe import Recipe
from ..verdicts import Verdict
from .judge import Judge
from .people import CONFIRMATION, SEARCH
from .records import VariantRecord

_CONFIRMED = 4  # sets at most; judging each costs as much as a variant


class MixedSearch:
    """Searches for operators to keep in FP32, and asks less than the gates do.

    The selection split may be too small to *show* that error rates do not rise, so the estimates
    must stay within half of each budget. The winner is judged by all limits, with bounds, on other
    people (see `confirm`).

    Args:
        judge: the judge of the model.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.variants = judge.variants
        self._budget = judge.workspace.settings.search_budget

    @property
    def hindered(self) -> str:
        """Why a search could not lead to a verdict, or ""."""
        why = self.variants.people.why_not_searched
        if why or self.variants.data.selection is not None:
            return why
        if undecidable := self._judge.undecidable(CONFIRMATION):
            return (
                "the people who would confirm it cannot decide even for FP32 compared with itself: "
                f"{undecidable[0].describe()}; they are {1 - SEARCH_SHARE:.0%} of all people"
            )
        return ""

    def find(self, recipe: Recipe) -> SearchResult:
        """Search, or read the result from the store; the same input gives the same result."""

        def make(folder: Path) -> None:
            found = json.dumps(values_of(self._search(recipe)))
            (folder / "search.json").write_text(found, encoding="utf-8")

        def read(folder: Path) -> SearchResult:
            return from_plain(
                SearchResult, json.loads((folder / "search.json").read_bytes()), strict=True
            )

        store = self._judge.workspace.context.store
        return store.load("search", self.key(recipe), make, read)

    def key(self, recipe: Recipe) -> list[Any]:
        """Plain values that determine the result of a search."""
        options = {k: v for k, v in asdict(recipe).items() if k != "name"}
        variants, judge = self.variants, self._judge
        images = variants.data.calibration
        facts: list[Any] = [variants.model_facts(), judge.baseline.input_facts()]
        facts += [images.digest if images else None, variants.data.groups]
        return [
            options,
            asdict(judge.limits),
            judge.require_golden().threshold,
            variants.postprocessing(recipe),
            self._budget,
            [source.origin(recipe) for source in variants.sources],
            judge.workspace.context.exact,
            library(recipe.runs_on).describe(),
            *facts,
        ]

    def harm(self, recipe: Recipe, block: Block) -> float:
        """Distance of the outputs from FP32 when only this block is quantized."""
        variants = self.variants
        fp32 = variants.outputs(variants.fp32, variants.probes, "probe")
        changed = variants.alone(recipe, block)
        # Keeping a block in FP32 gains nothing if it cannot be quantized alone.
        return 0.0 if changed is None else variants.task.harm(fp32, changed)

    def objection(self, recipe: Recipe) -> str:
        """The first objection to a variant on people that the verdict does not use; "" if none.

        Images are run a part at a time. The run stops once the variant could not pass even if it
        agreed with FP32 on all remaining images.
        """
        variants, judge = self.variants, self._judge
        selection = variants.people.part(SEARCH)
        variant = variants.variant(recipe)
        size = judge.judge_size(variant)
        if size.verdict is not Verdict.PASS:
            return size.worst_check().describe()
        baseline = judge.baseline.comparison(judge.require_golden().threshold, SEARCH)
        found = variants.people.fp32(SEARCH)
        number = len(selection.images)
        seen = 0
        for part in portions(number):
            given = variants.outputs(variant, selection.images.subset(part), SEARCH)
            found = found.with_images(part, given)
            seen += len(part)
            comparison = variants.task.compare(baseline, found)
            gates = (comparison.finite(), comparison.against_fp32())
            for check in (check for gate in gates for check in gate.checks):
                if not check.promising:
                    rest = f" (after {seen:,} of {number:,} images, assuming FP32 on the others)"
                    return check.describe() + (rest if seen < number else "")
        return ""

    def _search(self, recipe: Recipe) -> SearchResult:
        variants, budget = self.variants, self._budget
        blocks, always = variants.blocks(recipe), variants.postprocessing(recipe)
        name, stage = variants.model.name, variants.context.progress.stage
        harms: dict[Block, float] = {}
        with stage(f"{name}: ranking operators of {recipe.name}", len(blocks)) as advance:
            for block in blocks:
                harms[block] = self.harm(recipe, block)
                advance()
        firsts = {block.names[0] for block in blocks}
        passed: list[int] = []  # for each candidate that passed, the number of blocks in FP32
        tried = 0
        with stage(f"{name}: searching {recipe.name}>mixed", budget) as advance:

            def try_out(keep: tuple[str, ...], stored: str = "float32") -> tuple[bool, str]:
                nonlocal tried
                tried += 1
                best = f"best keeps {min(passed)} of {len(blocks)}" if passed else "none passed"
                candidate = keeping(recipe, keep, stored)
                # Progress shows the name of the recipe; the model does not depend on it.
                label = f"{candidate.name} (candidate {tried} of at most {budget}, {best})"
                try:
                    objection = self.objection(replace(candidate, name=label))
                except QuantizationError as error:
                    objection = error.problem
                if not objection:
                    passed.append(len(firsts.intersection(keep)))
                advance()
                return not objection, objection

            found = search(blocks, harms.__getitem__, try_out, always=always, budget=budget)
            if recipe.float_weights is None:
                found = store_smallest(found, try_out, budget)
        return found


def confirm(
    judge: Judge, recipe: Recipe, found: SearchResult
) -> tuple[VariantRecord, dict[str, int | str]]:
    """Judge the sets that passed the search on other people, from the largest to the smallest.

    The smallest set passed the search by a small margin, or by luck, and may not pass here. Trying
    larger sets until one passes would give luck more chances. Going from the safest set towards the
    smallest, and stopping at the first that does not pass, would not: hypotheses in an order that
    was fixed beforehand are each tested at the full level (Maurer, Hothorn and Lehmacher 1995).
    Where many sets passed, some between the largest and the smallest are left out beforehand.

    If the smallest set passes, one more step stores the weights that it keeps in fewer bits.

    Returns:
        The record of the last set that passes, or of the first if that does not pass; and for the
        report, its place among the sets, what stopped the next one ("" if it is the smallest), and
        how its weights in FP32 are stored.
    """
    record, confirmed, stopped = (
        judge.record(keeping(recipe, found.passing[0].keep), CONFIRMATION),
        0,
        "",
    )
    stored = "float32"
    last = len(found.passing) - 1
    few = min(last, _CONFIRMED - 1)
    for place in (last * step // few for step in range(1, few + 1)):
        if record.failed:  # only the first can fail here
            break
        smaller = judge.record(keeping(recipe, found.passing[place].keep), CONFIRMATION)
        if smaller.failed:
            stopped = smaller.failed[0].worst_check().describe()
            break
        record, confirmed = smaller, place
    if not (record.failed or stopped or found.stored == stored):
        smaller = judge.record(keeping(recipe, found.best.keep, found.stored), CONFIRMATION)
        if not smaller.failed:
            record, stored = smaller, found.stored
    return record, {"confirmed": confirmed, "stopped": stopped, "stored": stored}


def values_of(found: SearchResult) -> dict[str, Any]:
    """Plain values for the store and the report, including those of the best set."""
    return {**plain(found.best), **plain(found)}


def nothing_found(found: SearchResult) -> str:
    """Say why no mixed model ships."""
    number = len(found.attempts)
    tried = f"{number} mixed model{'' if number == 1 else 's'}"
    text = f"{tried} tried, and none with at most half of its operators in FP32 passes"
    return f"{text}; {found.note}" if found.note else text


def keeping(recipe: Recipe, operators: tuple[str, ...], stored: str = "float32") -> Recipe:
    """The recipe of a mixed model that keeps more operators in FP32."""
    keep = (*recipe.keep_fp32, *operators)
    named = replace(recipe, precision="mixed", name=f"{recipe.name}>mixed", keep_fp32=keep)
    if stored == "float32":
        return named
    return replace(named, float_weights=stored)  # type: ignore[arg-type]
