"""The gate "size": how large a variant is, and whether the quantizer did anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..results import GateResult
from ..spec.limits import Limits
from ..verdicts import Direction, Kind, Limit, Unit

# Rewrites may enlarge a file by this factor; `Limits.size_ratio` is about quantized variants.
_REWRITTEN = 1.05
_CHANGED = Limit("changed", 1.0, Direction.AT_LEAST, Unit.COUNT, Kind.SANITY)
_NAME = "file size"
_REMEDY = "Quantize more operators, or ship another variant."


def judge_size(
    size: int,
    fp32_size: int,
    quantized: Mapping[str, int] | None,
    limits: Limits,
    *,
    rewritten: bool = False,
) -> GateResult:
    """Judge the size of a variant by its limits.

    Args:
        size: size of all its files in bytes.
        fp32_size: size of all files of FP32 in bytes.
        quantized: number of operators changed, by type. If there are none, the gate fails.
            None for the FP32 file itself on another runtime, where nothing is to be changed.
        limits: the limits of the gates.
        rewritten: whether the variant is FP32 after exact rewrites or on another runtime, which
            saves no space.
    """
    relative, absolute = limits["size_ratio"], limits.given("size_mb")
    if rewritten:
        relative = replace(relative, value=_REWRITTEN)
    checks = [relative.point("size relative to FP32", size / fp32_size)]
    if quantized is not None:
        by_type = ", ".join(f"{number} {op_type}" for op_type, number in sorted(quantized.items()))
        changed = float(sum(quantized.values()))
        checks.append(_CHANGED.point("operators changed by the quantizer", changed, by_type))
    if absolute is not None:
        checks.append(absolute.point(_NAME, size / 1e6))
    return GateResult("size", tuple(checks), _REMEDY)


def judge_fp32_size(size: int, limits: Limits) -> list[GateResult]:
    """Judge FP32 by the absolute limit, which applies to it, too; empty if there is no limit."""
    limit = limits.given("size_mb")
    return [] if limit is None else [GateResult("size", (limit.point(_NAME, size / 1e6),))]
