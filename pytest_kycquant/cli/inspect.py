"""Say what quantization can do for a model, what it cannot, and when to leave it.

Each recipe is made in memory to see what it covers; nothing is written. The
questions are those of docs/decide.md. The exit code is 1 if the answer is not
to quantize the model.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import output
from .exits import DONE, NEGATIVE
from .families import FAMILIES

if TYPE_CHECKING:
    from ..bench.decide import Advice, Situation
    from .coverage import Coverage
    from .model_facts import ModelFacts

_ANSWERS = {True: "yes", False: "no", None: "not known"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="the FP32 .onnx file")
    parser.add_argument("--images", type=Path, metavar="DIR", help="images for calibration")
    parser.add_argument("--gpu", action="store_true", help="the model runs on a GPU only")
    parser.add_argument(
        "--budget-ms", type=float, metavar="MS", help="CPU time of a run that is fast enough"
    )
    parser.add_argument("--budget-mb", type=float, metavar="MB", help="size that is small enough")
    parser.add_argument(
        "--family", choices=list(FAMILIES), help="what the model is, if that is not found"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


@dataclass(frozen=True)
class Inspection:
    """What `inspect` found, for ``--json``."""

    model: ModelFacts
    coverage: Coverage
    situation: Situation
    advice: Advice


def run(given: argparse.Namespace) -> int:
    """Inspect the model and follow the questions."""
    from ..bench.decide import decide
    from ..context.scratch import scratch_context
    from .coverage import cover
    from .model_facts import look_at

    images = None if given.images is None else _count(given.images)
    facts = look_at(given.model, given.family)
    coverage = cover(facts, scratch_context(progress=output.progress()))
    now = _situation(given, facts, coverage, images)
    found = Inspection(facts, coverage, now, decide(now))
    if given.json:
        output.as_json(found)
    else:
        _tell(found)
    return DONE if found.advice.quantize else NEGATIVE


def _situation(
    given: argparse.Namespace, facts: ModelFacts, coverage: Coverage, images: int | None
) -> Situation:
    from ..bench.decide import Situation

    recipes = {each.recipe: each for each in coverage.recipes}
    stored, integer = recipes["int8-weights"], recipes["int8"]
    return Situation(
        gpu_only=True if given.gpu else None,
        size_mb=facts.size_bytes / 1e6,
        fp32_ms=coverage.fp32_ms,
        budget_mb=given.budget_mb,
        budget_ms=given.budget_ms,
        rewrite_pays=coverage.rewrite_pays,
        weights_share=stored.weights * coverage.weights * 4 / facts.size_bytes,
        integer_work=0.0 if integer.cannot else integer.work,
        images=images,
        decodes=facts.family == "detector" and coverage.decodes > 0,
        is_embedder=facts.family == "face",
        saturates=coverage.saturates,
    )


def _count(path: Path) -> int:
    from ..data.unlabelled import load_images

    return len(load_images(path))


def _tell(found: Inspection) -> None:
    facts, coverage = found.model, found.coverage
    output.say(f"{facts.path}: {FAMILIES[facts.family]}, since {facts.why}")
    kinds = [f"{count} {kind}" for kind, count in list(coverage.operators.items())[:6]]
    output.fact("operators", ", ".join(kinds))
    work = "" if coverage.work is None else f", {coverage.work / 1e6:,.0f} M multiplications"
    output.fact("layers", f"{coverage.weights:,} weights{work} for one image")
    size = output.megabytes(facts.size_bytes)
    output.fact("FP32", f"{size}, {coverage.fp32_ms:.2f} ms of CPU time for a run here")
    output.fact("rewrites", coverage.rewrites or "none fits this model")
    saturates = "saturates on this CPU" if coverage.saturates else "does not saturate on this CPU"
    output.fact("INT8", saturates)
    output.say()
    output.table(("recipe", "size", "of FP32", "weights", "work"), _rows(found))
    for each in coverage.recipes:
        if each.cannot:
            output.point(f"{each.recipe} cannot be made: {each.cannot}")
        for note in each.not_covered:
            output.point(f"{each.recipe}: {note}")
    output.say()
    for number, answer in enumerate(found.advice.answers, start=1):
        output.point(f"{answer.asks} {_ANSWERS[answer.answer]}. {answer.so}".strip(), f"{number}.")
    output.say()
    recipes = ", ".join(found.advice.recipes)
    if found.advice.quantize:
        output.say(
            f"Quantize it: gate {recipes}. Of those that pass, the one with the least size times "
            "latency ships."
        )
        _next(Path(facts.path))
    else:
        output.say(f"Do not quantize it to integers.{f' Gate {recipes}.' if recipes else ''}")
    output.say("The grounds of the questions are in docs/decide.md, and in --json.")


def _next(model: Path) -> None:
    """The gate that this project has for the model, or else how to write one."""
    from ..files import shown_command
    from .own_gates import gates_of

    known = gates_of(model, Path.cwd())
    if known:
        number = output.counted(len(known), "gate")
        output.say(f"next: this project has {number} of this model already")
        for gate in known:
            output.command(shown_command(["pytest", gate]))
    else:
        output.say("next:")
        output.command(f"{shown_command(['kycquant', 'init', str(model)])} IMAGES")


def _rows(found: Inspection) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for each in found.coverage.recipes:
        if each.size_bytes is None:
            rows.append((each.recipe, "-", "-", "-", "-"))
            continue
        rows.append(
            (
                each.recipe,
                output.megabytes(each.size_bytes),
                f"{each.size_bytes / found.coverage.size_bytes:.2f}",
                f"{each.weights:.0%}",
                "?" if each.work is None else f"{each.work:.0%}",
            )
        )
    return rows
