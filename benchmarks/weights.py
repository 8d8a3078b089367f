"""What does storing weights in fewer bits give? Size, latency and held-out cosine to FP32.

For the cases of `benchmarks.quantizer`, it compares weights in 8 and in 4 bits that onnxruntime
turns into floats when it loads the model, weights in 8 bits with DequantizeLinear as other tools
write them, and INT8 of weights and activations. Run with::

    python -m benchmarks.weights [--images N] [--models NAME ...]

Latency is relative to the FP32 file, measured in turns with one thread. The output is a Markdown
table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

import numpy as np
from onnx import helper, load_model_from_string

from benchmarks.quantizer import CASES, Case, figures, read
from pytest_kycquant.measure.latency import measure
from pytest_kycquant.quantize import Quantizer, applicable
from pytest_kycquant.quantize.graph import initializers, serialize, sort_nodes
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.limits import Limits
from pytest_kycquant.spec.recipe import Recipe

NONE_SLOWER = Limits(latency_ratio=1.0)["latency_ratio"]


def behind_dequantization(content: bytes) -> bytes:
    """The same 8-bit weights, with DequantizeLinear in place of Cast and Mul."""
    proto = load_model_from_string(content)
    graph = proto.graph
    constants = initializers(graph)
    casts = {n.output[0]: n for n in graph.node if n.op_type == "Cast" and n.input[0] in constants}
    nodes = []
    for node in graph.node:
        if node.op_type == "Mul" and node.input[0] in casts:
            scale = constants[node.input[1]]
            (axis,) = [i for i, size in enumerate(scale.dims) if size > 1] or [0]
            scale.dims[:] = [int(np.prod(scale.dims))]
            inputs = [casts[node.input[0]].input[0], node.input[1]]
            nodes.append(helper.make_node("DequantizeLinear", inputs, node.output, axis=axis))
        elif node.output[0] not in casts:
            nodes.append(node)
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    sort_nodes(graph)
    return serialize(proto)


def variants(case: Case, count: int) -> Iterable[tuple[str, bytes]]:
    """Label and serialized model of each variant."""
    calibration, _ = read(case.images, case.preprocess, count)
    probes = [array for _, array in calibration[:4]]
    quantizer = Quantizer(case.model, calibration, probes=probes)
    fits = tuple(name for name in applicable(quantizer.prepared) if name == "prelu")

    def made(precision: str, **options: Any) -> bytes:
        return quantizer.build(Recipe(precision, rewrites=fits, **options)).content

    eight = made("int8-weights")
    yield "`int8-weights`", eight
    yield "without images", made("int8-weights", bias_correction=False)
    yield "with DequantizeLinear", behind_dequantization(eight)
    yield "`int4-weights`", made("int4-weights")
    yield "`int8`", made("int8", op_types=case.op_types)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=32, help="for each half (default 32)")
    parser.add_argument("--models", nargs="*", choices=CASES, default=list(CASES))
    given = parser.parse_args()
    head = False
    for name in given.models:
        case = CASES[name]
        if not (case.model.is_file() and case.images.is_dir()):
            print(f"| {name} | not present |")
            continue
        count = max(8, int(given.images * case.share))
        _, held_out = read(case.images, case.preprocess, count)
        fp32 = open_session(case.model.read_bytes())
        feed = fp32.get_inputs()[0].name

        def outputs(session, feed=feed, held_out=held_out):  # type: ignore[no-untyped-def]
            rows = [session.run(None, {feed: array}) for array in held_out]
            return np.stack([np.concatenate([o.ravel() for o in row]) for row in rows])

        wanted = outputs(fp32).astype(np.float64)
        cells = {}
        for label, content in variants(case, count):
            session = open_session(content)
            runs = [
                lambda s=s, feed=feed, image=held_out[0]: s.run(None, {feed: image})
                for s in (fp32, fp32, session)
            ]
            cosine = figures(outputs(session).astype(np.float64), wanted).mean_cosine
            ratio = measure(*runs, NONE_SLOWER).ratio
            size = len(content) / case.model.stat().st_size
            cells[label] = f"{size:.2f} / {ratio:.2f} / {cosine:.4f}"
        if not head:
            print(f"| model | {' | '.join(cells)} |\n|---{'|---' * len(cells)}|")
            head = True
        print(f"| {name} | {' | '.join(cells.values())} |", flush=True)


if __name__ == "__main__":
    main()
