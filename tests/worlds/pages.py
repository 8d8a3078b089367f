"""A report with everything that a page can show, from invented people and invented machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_kycquant.bench.judge import with_offenders
from pytest_kycquant.bench.records import VariantRecord
from pytest_kycquant.bench.shipping import Shipment
from pytest_kycquant.curves import Round
from pytest_kycquant.pipeline.record import PipelineRecord, PipelineRow
from pytest_kycquant.report.document import DataEntry, LimitEntry
from pytest_kycquant.report.found import Found, GateFound
from pytest_kycquant.report.records import Collected
from pytest_kycquant.results import GateResult, GroupIncrease
from pytest_kycquant.tasks.comparison import Comparison
from pytest_kycquant.verdicts import Check, Unit, Verdict
from tests.worlds import embeddings, scores
from tests.worlds.findings import GOLDEN, ORIGIN
from tests.worlds.limits import below

RATE = {"errors": 3, "trials": 90, "value": 0.03, "lower": 0.01, "upper": 0.08}
STAGES = {"detector": 10.0, "liveness": 3.0, "embedder": 20.0, "other": 1.0}
SEARCH: dict[str, Any] = {
    "ranking": [["conv1", 0.5], ["conv2", 0.02], ["gemm", 0.001]],
    "passing": [{"blocks": ["conv1"], "keep": ["conv1"], "quantized_share": 0.9}],
    "attempts": [{"kept": 1, "passed": True, "reason": "", "seconds": 1.0}],
    "confirmed": 0,
    "stopped": "",
    "of": 3,
    "minimal": True,
    "note": "",
}


def judged(
    model: str, variant: str, comparison: Comparison, *, size: float = 0.3, ratio: float = 0.6
) -> VariantRecord:
    """A variant with the gates and the curves of a comparison, and a latency."""
    gates = [*comparison.accuracy(), comparison.against_fp32()]
    gates = [with_offenders(comparison, gate) for gate in gates]
    limit = below(1.05, Unit.RATIO)
    check = Check("latency ratio to FP32", Verdict.PASS, limit, ratio, ratio - 0.1, ratio + 0.1)
    gates.append(GateResult("latency", (check,)))
    rounds = tuple(Round(1.0, ratio + 0.01 * (i % 5), 1.0 + 0.01 * (i % 3)) for i in range(20))
    return VariantRecord(
        model,
        variant,
        "ab" * 32,
        int(1e6 * size),
        size,
        {"precision": variant, "reason": "a reason"},
        {gate.gate: gate for gate in gates},
        comparison.figures(),
        ("a note",),
        files={model: "ab" * 32},
        curves=replace(comparison.curves(), rounds=rounds),
    )


def faces() -> GateFound:
    """A face model whose INT8 fails, so that a mixed one ships."""
    bad = judged("face", "int8", embeddings.comparison(embeddings.embeddings() + np.float32(0.75)))
    good = judged("face", "int8>mixed", embeddings.comparison(embeddings.embeddings()), size=0.4)
    increase = Check("increase of FRR", Verdict.INCONCLUSIVE, below(0.02), 0.01, -0.01, 0.04)
    good = replace(good, groups=(GroupIncrease("age 60+", "FRR", RATE, RATE, increase),))
    fp32 = replace(judged("face", "fp32", embeddings.comparison(embeddings.embeddings()), size=1.0),
                   curves=None)  # fmt: skip
    fp32 = replace(fp32, gates={name: fp32.gates[name] for name in ("far", "frr")})
    reasons = ("int8 does not pass far: it lets everybody in",)
    shipment = Shipment("int8", good, reasons, (bad, good), (SEARCH,))
    return _gate("face", "test_face.py::TestFace", fp32, shipment)


def liveness() -> GateFound:
    """A liveness model that passes as it was asked for."""
    of = scores.captures()
    good = judged("live", "int8", scores.comparison(scores.logits(of), of))
    fp32 = replace(good, variant="fp32", size=1_000_000, size_ratio=1.0, curves=None, gates={})
    return _gate("live", "test_live.py::TestLive", fp32, Shipment("int8", good, (), (good,)))


def pipeline() -> PipelineRecord:
    """A pipeline of both, with transactions."""
    timing = {
        "runs": 59, "p50": 34.0, "p95": 40.0, "bound": 44.0, "slowest": 45.0, "stages": STAGES,
        "load": 100.0, "first": 50.0,
    }  # fmt: skip
    fp32 = PipelineRow("fp32", dict.fromkeys(("detector", "liveness", "embedder"), "fp32"),
                       10, timing, 200.0, 50.0)  # fmt: skip
    quicker = timing | {"stages": STAGES | {"embedder": 5.0}, "p50": 19.0}
    variants = {"detector": "fp32", "liveness": "int8", "embedder": "int8>mixed"}
    check = Check("FRR", Verdict.INCONCLUSIVE, below(0.05), 0.03, 0.01, 0.08, "3 of 90")
    return PipelineRecord(
        "test_flow.py::TestFlow",
        fp32,
        PipelineRow("shipped", variants, 4, quicker, 90.0, 50.0),
        {"frr": GateResult("frr", (check,))},
        {"liveness": "key live", "embedder": "key face"},
        {"latency_ratio": 0.56},
        {"embedder": "a.png"},
        ("a note on the pipeline",),
        {"fp32": {"FRR": RATE}, "shipped": {"FRR": RATE}},
        {"fp32": {"no face": 1, "liveness": 2}, "shipped": {"no face": 0, "liveness": 3}},
        {"shipped": {"print": {"liveness": 9, "match": 0}}},
    )


def collected() -> Collected:
    """A run of all of them, in which every test of the gates passed."""
    found = Collected(started="2026-01-02T03:04:05+00:00")
    for gate in (faces(), liveness()):
        for test in gate.tests:
            for phase in ("setup", "call", "teardown"):
                found.outcomes.add(test, "passed", expected=False, phase=phase)
            found.seconds[test] = 1.5
        found.add(Found(ORIGIN, "fail", gate, limits=(LimitEntry("far", 0.001, "below", "rate"),)))
    found.add(Found(ORIGIN, "warn", pipeline=pipeline()))
    return found


def _gate(model: str, name: str, fp32: VariantRecord, shipment: Shipment) -> GateFound:
    labels: Mapping[str, tuple[str, ...]] = {
        each.variant: (f"{each.variant}.onnx",) for each in shipment.tried
    }
    return GateFound(
        f"key {model}",
        name,
        "standard",
        "standard",
        GOLDEN,
        fp32,
        shipment,
        labels,
        {f"{name}::test_far[int8]": "int8"},
        data={"evaluation": DataEntry(660, "cd" * 32)},
    )
