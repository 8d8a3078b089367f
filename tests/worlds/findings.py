"""Invented findings that tests of gates and pipelines pass on."""

from __future__ import annotations

from dataclasses import replace

from pytest_kycquant.bench.golden import Golden
from pytest_kycquant.bench.records import VariantRecord
from pytest_kycquant.bench.shipping import Shipment
from pytest_kycquant.pipeline.record import PipelineRecord, PipelineRow
from pytest_kycquant.report.found import GateFound, Origin
from pytest_kycquant.results import GateResult
from pytest_kycquant.runtimes.environment import Environment
from pytest_kycquant.verdicts import Check, Verdict
from tests.worlds.limits import below

ENVIRONMENT = Environment("1", "2", "3", "4", "5", "Linux", "a CPU", ("avx2", "amx_int8"), True)
ORIGIN = Origin(ENVIRONMENT, exact=False, worker="gw0", reused=1, built=2)
GOLDEN = Golden({"size": 9}, {}, None, "none", {"FAR": {"errors": 1}}, 0.5, {})


def record(variant: str, verdict: Verdict = Verdict.PASS) -> VariantRecord:
    figures = (0.0005, 0.0002, 0.0008) if verdict is Verdict.PASS else (0.5, 0.25, 0.75)
    far = GateResult("far", (Check("FAR", verdict, below(0.001), *figures, "1 of 2"),), "remedy")
    options, further = {"keep_fp32": "a, b", "depth": {"of": [1, 2]}}, {"rounds": 20, "ratio": 1.0}
    return VariantRecord(
        "face", variant, "ab", 3, 0.25, options, {"far": far}, further, ("note",), {"x": "y"}
    )


INT8, MIXED = record("int8", Verdict.FAIL), record("int8>mixed")
FALLBACK = Shipment("int8", MIXED, ("because",), (INT8, MIXED), ({"attempts": [{"of": 3}]},))
PATHS = {"int8": ("a.onnx",), "int8>mixed": ("b.onnx", "c.onnx")}
FAR_TEST = "test_b.py::TestIt::test_far[int8]"
GATE = GateFound(
    "key", "test_b.py::TestIt", "standard", "note", GOLDEN, record("fp32"), FALLBACK, PATHS,
    {FAR_TEST: "int8"},
)  # fmt: skip
ROW = PipelineRow("fp32", {"detector": "fp32"}, 3, {"p50": 1.5, "stages": {"other": 0.5}})
SHIPPED = replace(ROW, label="shipped", variants={"detector": "int8>mixed"}, peak_mb=1.0)
PIPELINE = PipelineRecord(
    "test_p.py::TestIt", ROW, SHIPPED, MIXED.gates,
    {"detector": "key"}, {"ratio": 1.5}, {"embedder": "a.png"}, ("note",),
)  # fmt: skip
