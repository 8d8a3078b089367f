"""What to do after a run: the questions of docs/decide.md, answered with what the run knows.

A line is written only where it changes what one would do: where something did not pass, or where
there was nothing to gain. `bench.decide` has the questions, their limits and their grounds. What
saturates is not said here: a variant has a note of its own about it, which counts operators.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..bench.decide import ENOUGH_IMAGES, Answer, Situation, decide
from ..bench.records import VariantRecord
from ..runtimes.environment import Environment
from ..verdicts import Unit
from .records import GatedModel

_STORED = 0.25
"""Size of a weight in INT8, relative to FP32."""
_COSTS = ("latency", "size", "memory")  # gates that say nothing about what a variant computes


def advice(gate: GatedModel, environment: Environment | None) -> list[str]:
    """Say what to try next, or why not to quantize.

    Args:
        gate: what a run found about a model.
        environment: the machine that judged it; None if that is not known.

    Returns:
        A few short lines, the most important one first; none for the smoke profile, which measures
        nothing, and for a gate whose tests did not all run.
    """
    quantized = [row for row in gate.rows() if not row.is_float]
    if gate.profile == "smoke" or gate.incomplete or not quantized:
        return []
    now = _situation(gate, environment)
    answers = {one.key: one for one in decide(now).answers}
    budget = answers["budget"]
    if budget.answer:
        return [f"{_small_and_fast(now)}. {budget.so}"]
    lines = [*_weights(answers, quantized, gate), *_images(answers, quantized, now)]
    lines += [*_bits(answers, quantized), *_slow(quantized, gate)]
    fp32 = gate.variants.get("fp32")
    if not any(_passes(row, gate) for row in quantized) and fp32 is not None and fp32.ships:
        lines += _untried(gate, decide(now).recipes)
    return lines


def _situation(gate: GatedModel, environment: Environment | None) -> Situation:
    """What the run knows. Multiplications are not counted, so `integer_work` stays unknown."""
    rows = gate.variants
    budgets = {limit.name: limit.value for limit in gate.limits}
    fp32 = rows.get("fp32")
    calibration = gate.data.get("calibration")
    return Situation(
        size_mb=fp32.size / 1e6 if fp32 else None,
        fp32_ms=_milliseconds(fp32) if fp32 else None,
        budget_mb=budgets.get("size_mb"),
        budget_ms=budgets.get("latency_ms"),
        rewrite_pays=_rewrite_pays(gate),
        weights_share=_weights_share(gate),
        images=calibration.images if calibration else None,
        is_embedder=fp32 is not None and "far" in fp32.gates,
        saturates=environment.u8s8_saturates if environment else None,
    )


def _milliseconds(fp32: VariantRecord) -> float | None:
    """The latency of FP32 as its limit judges it, by the bound that decides; None if it was not."""
    for check in fp32.gates["latency"].checks if "latency" in fp32.gates else ():
        if check.unit is Unit.MS and check.value is not None:
            return check.value if check.upper is None else check.upper
    return None


def _rewrite_pays(gate: GatedModel) -> bool | None:
    """Whether FP32 after exact rewrites is shown to be faster; None if it was not judged."""
    found = [row for row in gate.variants.values() if _precision(row) == "fp32-optimized"]
    known = [bounds for row in found if (bounds := _latency(row)) is not None]
    return any(upper < 1 for _, upper in known) if known else None


def _weights_share(gate: GatedModel) -> float | None:
    """Share of the file that is weights, from ``int8-weights``: they take a quarter of their size.

    A recipe may keep some of them in float, so a smaller file beside it shows that there are more.
    """
    rows = gate.variants.values()
    if not any(_precision(row) == "int8-weights" for row in rows):
        return None
    smallest = min(row.size_ratio for row in rows)
    return min(1.0, max(0.0, (1 - smallest) / (1 - _STORED)))


def _small_and_fast(now: Situation) -> str:
    parts = []
    if now.budget_mb is not None and now.size_mb is not None:
        parts.append(f"{now.size_mb:.2f} MB of {now.budget_mb:g} MB")
    if now.budget_ms is not None and now.fp32_ms is not None:
        parts.append(f"{now.fp32_ms:.2f} ms of {now.budget_ms:g} ms")
    return f"FP32 keeps the absolute limits: {', '.join(parts)}"


def _weights(
    answers: dict[str, Answer], quantized: list[VariantRecord], gate: GatedModel
) -> Iterator[str]:
    """Where nobody can make the file much smaller, only speed is left to gain."""
    found = answers["weights"]
    if found.answer is False and not any(_faster(row) and _passes(row, gate) for row in quantized):
        yield f"{found.so} What is left to gain is time: gate fp32-optimized."


def _images(
    answers: dict[str, Answer], quantized: list[VariantRecord], now: Situation
) -> Iterator[str]:
    static = [row.variant for row in quantized if _is_static(row) and _damaged(row)]
    if answers["images"].answer is False and static:
        yield (
            f"{', '.join(static)}: calibration has {now.images:,} images, and ranges need "
            f"{ENOUGH_IMAGES}; give more, or gate int8-weights, which needs none."
        )


def _bits(answers: dict[str, Answer], quantized: list[VariantRecord]) -> Iterator[str]:
    small = [row.variant for row in quantized if _precision(row).startswith("int4")]
    lost = [row.variant for row in quantized if row.variant in small and _damaged(row)]
    if answers["bits"].answer and lost:
        yield f"{', '.join(lost)}: {answers['bits'].so}"


def _slow(quantized: list[VariantRecord], gate: GatedModel) -> Iterator[str]:
    """INT8 that is shown to be slower than FP32 here; weights alone keep the speed of FP32."""
    slow = [row.variant for row in quantized if row.is_integer and _slower(row)]
    if slow and not any(_precision(row) == "int8-weights" for row in gate.variants.values()):
        yield (
            f"{', '.join(slow)}: not faster than FP32 on this machine; gate int8-weights: about a "
            "third of the size, at the speed of FP32."
        )


def _untried(gate: GatedModel, recipes: tuple[str, ...]) -> Iterator[str]:
    """What the questions lead to and nobody gated, if nothing quantized passes."""
    judged = {_precision(row) for row in gate.variants.values()} | set(gate.shipments)
    rest = [name for name in recipes if name not in judged and name != "int4-weights"]
    if rest:
        yield f"not gated yet: {', '.join(rest)} (kycquant inspect says what each can do)."


def _passes(row: VariantRecord, gate: GatedModel) -> bool:
    return row.ships and row.variant not in gate.rejected


def _damaged(row: VariantRecord) -> bool:
    """Whether something is wrong with what a variant computes, not only with what it costs."""
    return any(result.gate not in _COSTS for result in row.failed)


def _precision(row: VariantRecord) -> str:
    return str(row.options.get("precision", ""))


def _is_static(row: VariantRecord) -> bool:
    return "calibration_method" in row.options


def _latency(row: VariantRecord) -> tuple[float, float] | None:
    """Bounds of the latency ratio to FP32; None if it was not measured."""
    for check in row.gates["latency"].checks if "latency" in row.gates else ():
        if check.unit is Unit.RATIO and check.lower is not None and check.upper is not None:
            return check.lower, check.upper
    return None


def _faster(row: VariantRecord) -> bool:
    bounds = _latency(row)
    return bounds is not None and bounds[1] < 1


def _slower(row: VariantRecord) -> bool:
    bounds = _latency(row)
    return bounds is not None and bounds[0] > 1
