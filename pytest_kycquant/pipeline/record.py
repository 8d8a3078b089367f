"""What was found about a pipeline: plain records, and the gates that they pass or fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..results import GateResult
from ..spec.limits import PipelineLimits
from ..verdicts import Check, Direction, Kind, Limit, Unit, Verdict

if TYPE_CHECKING:
    from ..measure.memory import Peak
    from .timing import Coverage, Timing


@dataclass(frozen=True)
class PipelineRow:
    """One pipeline: a row of its table.

    Args:
        label: "fp32" or "shipped".
        variants: label of the variant of each stage.
        size: of all files in bytes.
        timing: see `measure.Timing`, as plain values; None if it was not timed.
        peak_mb: peak resident memory of a process of its own, in MB (10^6 bytes), if known.
        imports_mb: what that process held before it opened a model.
    """

    label: str
    variants: Mapping[str, str]
    size: int
    timing: Mapping[str, Any] | None = None
    peak_mb: float | None = None
    imports_mb: float | None = None


@dataclass(frozen=True)
class PipelineRecord:
    """The shipped pipeline beside FP32.

    Args:
        gate: node id of the class that asked.
        fp32: the reference, which is not gated.
        shipped: the variants that their own gates let ship.
        gates: results by gate, of the shipped pipeline.
        models: key of each stage's own gate in the report, to see whether it ships the same.
        figures: further figures: ratio to FP32, drift of the answers end to end.
        farthest: image on which liveness and embedder answer least like FP32.
        notes: caveats worth reading.
    """

    gate: str
    fp32: PipelineRow
    shipped: PipelineRow
    gates: Mapping[str, GateResult]
    models: Mapping[str, str]
    figures: Mapping[str, float]
    farthest: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst verdict."""
        return Verdict.worst([gate.verdict for gate in self.gates.values()])


_THROUGH = Limit("through", 1.0, Direction.AT_LEAST, Unit.SHARE, Kind.SANITY)
_BROKEN = Limit("broken", 1.0, Direction.BELOW, Unit.COUNT, Kind.SANITY)


def judge_complete(coverage: Coverage) -> GateResult:
    """Every stage was reached wherever FP32 reached it, with finite outputs."""
    total = len(coverage.reached)
    kept = total - len(coverage.lost)
    through = _THROUGH.point(
        "images that go through every stage, of those of FP32",
        kept / total,
        f"{kept:,} of {total:,}{_first(coverage.lost, 'goes without')}",
    )
    finite = _BROKEN.point(
        "images with NaN or Inf",
        float(len(coverage.broken)),
        _first(coverage.broken, "in").removeprefix(", "),
    )
    remedy = "A pipeline that skips a stage is fast for the wrong reason: ship other variants."
    return GateResult("complete", (through, finite), remedy)


def judge_latency(timing: Timing, fp32: Timing, ratio: float, limits: PipelineLimits) -> GateResult:
    """The bound of the 95th percentile is below its limit; with 59 runs it is the maximum."""
    parts = ", ".join(f"{name} {value:.3g}" for name, value in timing.stages.items())
    limit = limits["wall_ms"]
    check = Check(
        "95th percentile of wall clock",
        limit.judge(timing.bound, timing.bound),
        limit,
        timing.p95,
        timing.p50,
        timing.bound,
        f"{timing.runs} runs, bounds are the median and the upper bound of the percentile; "
        f"medians in ms: {parts}; {ratio:.2f} of FP32, whose median is {fp32.p50:.4g} ms",
    )
    return GateResult("latency", (check,), "See which stage takes the time.")


def judge_memory(
    fp32: Peak | None, shipped: Peak | None, problem: str, limits: PipelineLimits
) -> GateResult:
    """Peak resident memory of a process of its own, relative to FP32 and absolute.

    Args:
        fp32: of the FP32 pipeline; None where it could not be measured.
        shipped: of the other one.
        problem: why not.
        limits: of the gates.
    """
    if fp32 is None or shipped is None:
        check = Check("peak memory", Verdict.INCONCLUSIVE, detail=f"not measured: {problem}")
        return GateResult("memory", (check,))
    checks = [
        limits["memory_ratio"].point(
            "peak memory relative to FP32",
            shipped.peak_mb / fp32.peak_mb,
            f"{shipped.peak_mb:.4g} MB to {fp32.peak_mb:.4g} MB, of which "
            f"{shipped.imports_mb:.4g} MB are Python and its libraries",
        )
    ]
    absolute = limits.given("memory_mb")
    if absolute is not None:
        checks.append(absolute.point("peak memory", shipped.peak_mb))
    remedy = "Models and their arenas stay in memory: ship smaller variants or smaller inputs."
    return GateResult("memory", tuple(checks), remedy)


def not_judged(gate: str) -> GateResult:
    """A gate that cannot pass because the pipeline is incomplete."""
    detail = "not measured, since the pipeline is incomplete: a shorter way is no better one"
    return GateResult(gate, (Check(gate, Verdict.FAIL, detail=detail),))


def _first(offenders: Mapping[str, str], verb: str) -> str:
    """The first offender and what is wrong with it."""
    if not offenders:
        return ""
    name, what = next(iter(offenders.items()))
    return f", {name} {verb} {what}"
