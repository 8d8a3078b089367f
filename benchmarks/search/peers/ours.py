"""pytest-kycquant: INT8 by the default recipe, or the mixed-precision search of the fallback."""

from __future__ import annotations

import numpy as np

from pytest_kycquant.quantize import Quantizer
from pytest_kycquant.quantize.quantizer import PROBES
from pytest_kycquant.quantize.search import Block, search, store_smallest
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.recipe import Recipe
from pytest_kycquant.statistics import mean_lower_bound

from ..job import Job, Run, cosines, main

BUDGET = 60  # candidates
INT8 = Recipe("int8")


def quantizer_of(job: Job) -> Quantizer:
    """The quantizer, with the images of the job."""
    named = [(f"calibration image {i}", x[None]) for i, x in enumerate(job.calibration)]
    return Quantizer(job.original, named)


def compete(job: Job) -> None:
    job.start()
    if "weights" in job.method:
        job.finish(quantizer_of(job).build("int8-weights").content)
        return
    quantizer = quantizer_of(job)
    if "mixed" in job.method:
        _search(job, quantizer)
    else:
        job.finish(quantizer.candidate(INT8, ()))


def _runner(job: Job, content: bytes) -> Run:
    session = open_session(content)
    return lambda image: session.run(None, {job.input_name: image})


def _search(job: Job, quantizer: Quantizer) -> None:
    chosen = np.linspace(0, len(job.calibration) - 1, PROBES).astype(int)
    probes = [job.calibration[i][None] for i in chosen]

    def outputs(run: Run) -> np.ndarray:
        return np.stack([job.reading(run(image)) for image in probes])

    def candidate(keep: tuple[str, ...], stored: str = "float32") -> bytes:
        if stored == "float32":
            return quantizer.candidate(INT8, keep)
        return quantizer.build(Recipe("mixed", keep_fp32=keep, float_weights=stored)).content

    session = open_session(job.prepared)
    wanted = outputs(lambda image: session.run(None, {job.input_name: image}))
    everything = [node.name for node in quantizer.prepared.proto.graph.node]

    def harm(block: Block) -> float:
        keep = tuple(name for name in everything if name not in block.names)
        found = outputs(_runner(job, candidate(keep)))
        return float(1 - cosines(found, wanted).mean())

    made: dict[tuple[tuple[str, ...], str], bytes] = {}

    def try_out(keep: tuple[str, ...], stored: str = "float32") -> tuple[bool, str]:
        content = candidate(keep, stored)
        found = job.cosines(_runner(job, content))
        # "bound": the one-sided 95 % bound of the mean over other images of the same kind.
        bounded = "bound" in job.method
        reached = mean_lower_bound(found, job.subjects) if bounded else float(found.mean())
        if reached < job.target:
            return False, f"cosine {reached:.5f}"
        made[keep, stored] = content
        return True, ""

    if try_out(())[0]:
        job.finish(made[(), "float32"], minimal=True, kept=[])
        return
    blocks, always = quantizer.blocks(INT8), quantizer.postprocessing(INT8)
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
