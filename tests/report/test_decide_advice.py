"""Advice after a run: the questions of docs/decide.md, where they change what one would do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_kycquant.bench import decide
from pytest_kycquant.bench.records import VariantRecord
from pytest_kycquant.bench.shipping import Shipment
from pytest_kycquant.report.document import DataEntry, LimitEntry
from pytest_kycquant.report.guidance import advice
from pytest_kycquant.report.records import GatedModel
from pytest_kycquant.results import GateResult
from pytest_kycquant.verdicts import Check, Limit, Unit, Verdict
from tests.worlds.findings import ENVIRONMENT
from tests.worlds.limits import below

PASS, FAIL = Verdict.PASS, Verdict.FAIL
STATIC = {"precision": "int8", "reduce_range": True, "calibration_method": "mse"}
SOUND = replace(ENVIRONMENT, u8s8_saturates=False)


def row(
    variant: str,
    far: Verdict = PASS,
    latency: tuple[float, float, float] | None = None,
    *,
    size: float = 0.3,
    timed: Verdict = PASS,
    **options: Any,
) -> VariantRecord:
    gates = {"far": GateResult("far", (Check("FAR", far, below(0.5), 0.3, 0.2, 0.4),))}
    if latency is not None:
        limit = Limit("latency_ratio", 1.05, unit=Unit.RATIO)
        gates["latency"] = GateResult("latency", (Check("ratio", timed, limit, *latency),))
    return VariantRecord("face", variant, "ab", int(4e6 * size), size, options, gates)


def gate(
    *rows: VariantRecord,
    images: int | None = 200,
    size_mb: float | None = None,
    latency_ms: float | None = None,
    **more: Any,
) -> GatedModel:
    limits = (
        LimitEntry("size_mb", size_mb, "below", "MB"),
        LimitEntry("latency_ms", latency_ms, "below", "ms"),
    )
    fp32 = row("fp32", size=1.0)
    if latency_ms is not None:  # as FP32 is judged by it: the bound of its 95th percentile
        limit = Limit("latency_ms", latency_ms, unit=Unit.MS)
        timed = GateResult("latency", (Check("p95", PASS, limit, 1.5, 1.4, 2.0),))
        fp32 = replace(fp32, gates={**fp32.gates, "latency": timed})
    return GatedModel(
        "face", "test_gate.py::TestFace",
        variants={one.variant: one for one in (fp32, *rows)},
        shipments={one.variant: Shipment(one.variant, one, (), (one,)) for one in rows},
        limits=limits,
        data={} if images is None else {"calibration": DataEntry(images, "ab")},
        **more,
    )  # fmt: skip


INT8 = row("int8", **STATIC)
LOST = row("int8", FAIL, **STATIC)
WEIGHTS = row("int8-weights", precision="int8-weights")


def test_nothing_to_say() -> None:
    assert advice(gate(INT8, WEIGHTS), ENVIRONMENT) == []
    assert advice(gate(), ENVIRONMENT) == []
    assert advice(gate(row("fp16", FAIL, precision="fp16")), None) != []
    assert advice(gate(LOST, profile="smoke"), ENVIRONMENT) == []
    assert advice(gate(LOST, tests={"a test": "int8"}), ENVIRONMENT) == []  # it did not run


def test_fp32_is_small_and_fast_enough() -> None:
    (line,) = advice(gate(INT8, size_mb=5.0, latency_ms=3.0), ENVIRONMENT)
    assert line == (
        "FP32 keeps the absolute limits: 4.00 MB of 5 MB, 2.00 ms of 3 ms. Do not quantize it: "
        "there is nothing to gain, and something to lose."
    )
    assert len(advice(gate(INT8, size_mb=5.0), ENVIRONMENT)) == 1
    assert advice(gate(INT8, size_mb=3.0, latency_ms=3.0), ENVIRONMENT) == []
    assert advice(gate(INT8, size_mb=5.0, latency_ms=1.0), ENVIRONMENT) == []


def test_too_few_images_for_static_quantization() -> None:
    lines = advice(gate(LOST, images=30), SOUND)
    assert lines[0] == (
        "int8: calibration has 30 images, and ranges need 100; give more, or gate int8-weights, "
        "which needs none."
    )
    assert not [one for one in advice(gate(LOST, images=100), SOUND) if "calibration" in one]
    assert not [one for one in advice(gate(LOST, images=None), SOUND) if "calibration" in one]
    assert advice(gate(INT8, images=30), SOUND) == []
    slow = row("int8", latency=(1.5, 1.4, 1.6), timed=FAIL, **STATIC)
    assert not [one for one in advice(gate(slow, images=30), SOUND) if "calibration" in one]


def test_few_weights() -> None:
    """A file of .7 of the size: weights are .4 of it."""
    found = gate(row("int8-weights", precision="int8-weights", size=0.7))
    (line,) = advice(found, ENVIRONMENT)
    assert line == (
        "Weights are too little of this file: no recipe makes it much smaller. What is left to "
        "gain is time: gate fp32-optimized."
    )
    assert advice(gate(row("int8-weights", precision="int8-weights", size=0.6)), SOUND) == []
    faster = row("int8", latency=(0.5, 0.4, 0.6), **STATIC)
    assert advice(gate(*found.variants.values(), faster), ENVIRONMENT) == []


def test_a_smaller_file_shows_that_there_are_weights() -> None:
    """``int8-weights`` keeps some layers here; it is false that no recipe makes it much smaller."""
    kept = row("int8-weights", precision="int8-weights", size=0.7)
    whole = row("int8", latency=(1.0, 0.9, 1.1), size=0.3, precision="int8")
    assert not any("no recipe" in line for line in advice(gate(kept, whole), SOUND))
    assert any("no recipe" in line for line in advice(gate(kept), SOUND))


def test_int8_that_is_slower() -> None:
    slow = row("int8", latency=(1.2, 1.1, 1.3), timed=FAIL, **STATIC)
    lines = advice(gate(slow), SOUND)
    assert lines[0].startswith("int8: not faster than FP32 on this machine; gate int8-weights")
    undecided = row("int8", latency=(1.0, 0.9, 1.1), **STATIC)
    assert advice(gate(undecided), SOUND) == []
    assert advice(gate(slow, WEIGHTS), SOUND) == []


def test_four_bits_of_an_embedder() -> None:
    lost = row("int4-weights", FAIL, precision="int4-weights")
    assert advice(gate(lost), SOUND)[0] == ("int4-weights: Do not store its weights in 4 bits.")
    found = gate(lost)
    found.variants["fp32"] = replace(found.variants["fp32"], gates={})  # no face model
    assert not [one for one in advice(found, SOUND) if "4 bits" in one]


def test_what_was_not_gated() -> None:
    assert advice(gate(LOST), SOUND)[-1] == (
        "not gated yet: int8-weights (kycquant inspect says what each can do)."
    )
    other = row("int8-weights", FAIL, precision="int8-weights")
    assert not [one for one in advice(gate(LOST, other), SOUND) if "not gated" in one]
    faster = row("opt", latency=(0.5, 0.4, 0.6), precision="fp32-optimized")
    assert "fp32-optimized" not in str(advice(gate(LOST, faster), SOUND))


@pytest.mark.parametrize(("name", "value"), [("FEW_WEIGHTS", 0.3), ("ENOUGH_IMAGES", 20)])
def test_limits_are_those_of_the_questions(
    monkeypatch: pytest.MonkeyPatch, name: str, value: float
) -> None:
    few = row("int8-weights", precision="int8-weights", size=0.7)
    found = gate(few, replace(LOST, size_ratio=0.7), images=30)
    before = advice(found, SOUND)
    monkeypatch.setattr(decide, name, value)
    assert len(advice(found, SOUND)) < len(before)
