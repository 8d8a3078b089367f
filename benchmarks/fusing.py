"""What is gained by not rounding what a runtime's kernels fuse? Latency and cosine, side by side.

OpenVINO applies an activation to the result of an integer convolution before it rounds it. A pair
of QuantizeLinear and DequantizeLinear between the two would keep it from doing so, and the
activation would be computed in float; see `quantize.fused_activations`. This builds INT8 for
OpenVINO with and without these pairs, and measures one against the other in one run. Models as for
`benchmarks.rewrites`. Run with::

    python -m benchmarks.fusing [--real DIR]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tabulate import tabulate

from pytest_kycquant.measure.latency import measure
from pytest_kycquant.quantize import Quantizer
from pytest_kycquant.runtimes import library
from pytest_kycquant.runtimes.environment import describe_machine
from pytest_kycquant.spec.recipe import Recipe
from pytest_kycquant.spec.runtime import RUNTIMES, Runtime

from .rewrites import NONE_SLOWER, PROBES, Subject, cosine, public, reference, tensors

OPENVINO = "openvino"
INT8 = Recipe("int8", runtime=OPENVINO, equalize=False, bias_correction=False)


def built(subject: Subject, fuses: tuple[str, ...]) -> bytes:
    """INT8 of a model for a runtime that fuses these activations."""
    named = tensors(subject)[::2]
    known = RUNTIMES[OPENVINO]
    RUNTIMES[OPENVINO] = known._replace(fuses=fuses)
    try:
        probes = [tensor for _, tensor in named[:PROBES]]
        return Quantizer(subject.model, named, probes=probes).build(INT8).content
    finally:
        RUNTIMES[OPENVINO] = known


def row(subject: Subject) -> list[str]:
    """A row of the table."""
    here = library(Runtime(OPENVINO))
    held_out = [tensor for _, tensor in tensors(subject)[1::2]]
    fp32 = library().open(subject.model)
    (name,) = fp32.inputs
    expected = [fp32.run({name: tensor})[0] for tensor in held_out]
    apart = here.open(built(subject, ()))
    fused = here.open(built(subject, RUNTIMES[OPENVINO].fuses))
    feed = {name: held_out[0]}
    timed = [model.runner(feed) for model in (apart, apart, fused)]
    took = measure(*timed, limit=NONE_SLOWER)

    def cosines(model: object) -> str:
        found = [model.run({name: x})[0] for x in held_out]
        each = list(map(cosine, found, expected))
        return f"{np.mean(each):.4f} / {np.min(each):.4f}"

    ratio = f"{took.ratio:.2f} [{took.lower:.2f}, {took.upper:.2f}]"
    return [subject.model.stem, ratio, cosines(apart), cosines(fused)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, help="folder of public models and photographs")
    folder = parser.parse_args().real
    subjects = [*reference(), *(public(folder) if folder else ())]
    print(describe_machine(), library(Runtime(OPENVINO)).describe(), sep="; ")
    headers = ["model", "latency to rounded apart", "cosine, rounded apart", "cosine, fused"]
    print(tabulate(list(map(row, subjects)), headers=headers, disable_numparse=True))


if __name__ == "__main__":
    main()
