"""pytest-kycquant: INT8 by the default recipe, or the mixed-precision search of the fallback."""

from __future__ import annotations

import numpy as np

from benchmarks.default_recipe import default_ingredients
from pytest_kycquant.quantize import (
    Ingredients,
    build,
    keep_in_float,
    load_model,
    observe_activations,
    operators,
    postprocessing,
    prepare,
    quantize_whole,
    rewrite,
    static_types,
)
from pytest_kycquant.quantize.blocks import blocks_of
from pytest_kycquant.quantize.graph import serialize
from pytest_kycquant.quantize.rewrite_choice import choose
from pytest_kycquant.quantize.search import Block, search, store_smallest
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.recipe import Recipe
from pytest_kycquant.statistics import mean_lower_bound

from ..job import Job, Run, cosines, main

PROBES = 8  # images, to rank blocks with
BUDGET = 60  # candidates


class Quantizer:
    """The default recipe for one model, calibrated once."""

    def __init__(self, job: Job) -> None:
        named = [(f"calibration image {i}", x[None]) for i, x in enumerate(job.calibration)]
        chosen = np.linspace(0, len(named) - 1, PROBES).astype(int)
        self.probes = [named[i][1] for i in chosen]
        self.prepared = prepare(load_model(job.original), self.probes)
        choice = choose(self.prepared, self.probes, integer=True)
        self._given = default_ingredients(self.prepared, named, self.probes, choice.names)
        self.whole = quantize_whole(self._given, Recipe("int8"))

    def candidate(self, keep: tuple[str, ...] = (), stored: str = "float32") -> bytes:
        """The model that keeps these operators in FP32, with their weights stored as asked."""
        if stored == "float32":
            return serialize(keep_in_float(self.whole, keep))
        recipe = Recipe("mixed", keep_fp32=keep, float_weights=stored)  # type: ignore[arg-type]
        return build(self._given, recipe, whole=self.whole).content

    def blocks(self) -> tuple[tuple[Block, ...], tuple[str, ...]]:
        """Blocks to rank, and what every candidate keeps, as the fallback of the gates has them."""
        graph, types = self.prepared.proto.graph, static_types()
        behind = set(postprocessing(self.prepared))
        quantized = [node.name for node in graph.node if node.op_type in types]
        others = {name for name in quantized if name not in behind}
        always = tuple(name for name in quantized if name in behind)
        return blocks_of(graph, operators(self.prepared), others), always


def stored_weights(job: Job) -> bytes:
    """The recipe "int8-weights", with its biases corrected."""
    named = [(f"calibration image {i}", x[None]) for i, x in enumerate(job.calibration)]
    probes = [image for _, image in named[:PROBES]]
    prepared = prepare(load_model(job.original), probes)
    names = choose(prepared, probes).names
    return build(
        Ingredients(
            prepared,
            saturates=False,
            statistics=observe_activations(prepared, named).channels,
            rewritten=rewrite(prepared, names, probes) if names else None,
        ),
        Recipe("int8-weights"),
    ).content


def compete(job: Job) -> None:
    job.start()
    if "weights" in job.method:
        job.finish(stored_weights(job))
        return
    quantizer = Quantizer(job)
    if "mixed" in job.method:
        _search(job, quantizer)
    else:
        job.finish(quantizer.candidate())


def _runner(job: Job, content: bytes) -> Run:
    session = open_session(content)
    return lambda image: session.run(None, {job.input_name: image})


def _search(job: Job, quantizer: Quantizer) -> None:
    def outputs(run: Run) -> np.ndarray:
        return np.stack([job.reading(run(image)) for image in quantizer.probes])

    session = open_session(job.prepared)
    wanted = outputs(lambda image: session.run(None, {job.input_name: image}))
    everything = [node.name for node in quantizer.prepared.proto.graph.node]

    def harm(block: Block) -> float:
        keep = tuple(name for name in everything if name not in block.names)
        found = outputs(_runner(job, quantizer.candidate(keep)))
        return float(1 - cosines(found, wanted).mean())

    made: dict[tuple[tuple[str, ...], str], bytes] = {}

    def try_out(keep: tuple[str, ...], stored: str = "float32") -> tuple[bool, str]:
        content = quantizer.candidate(keep, stored)
        found = job.cosines(_runner(job, content))
        # With the bound: of the mean of other images of the kind, one-sided, at 95 %.
        bounded = "bound" in job.method
        reached = mean_lower_bound(found, job.subjects) if bounded else float(found.mean())
        if reached < job.target:
            return False, f"cosine {reached:.5f}"
        made[keep, stored] = content
        return True, ""

    if try_out(())[0]:
        job.finish(made[(), "float32"], minimal=True, kept=[])
        return
    blocks, always = quantizer.blocks()
    found = search(blocks, harm, try_out, always=always, budget=BUDGET)
    found = store_smallest(found, try_out, BUDGET)
    facts = {
        "ranked": len(blocks),
        "minimal": found.minimal,
        "note": found.note,
        "kept": list(found.best.blocks),
        "stored": found.stored,
        "attempts": [[e.kept, e.stored, e.passed, e.reason] for e in found.attempts],
    }
    if found.passing:
        job.finish(made[found.best.keep, found.stored], **facts)
    else:
        reason = "none with at most half of the blocks in FP32 reaches the target"
        job.give_up(f"{reason}; {found.note}" if found.note else reason, **facts)


if __name__ == "__main__":
    main(compete)
