"""The findings about a pipeline: plain records, and the gates that it passes or fails."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..results import GateResult, GroupIncrease
from ..spec.limits import PipelineLimits
from ..verdicts import Check, Direction, Kind, Limit, Unit, Verdict

if TYPE_CHECKING:
    from ..measure.memory import Peak
    from .timing import Timing


NO_CERTIFICATE = (
    "measured against the figures of public yardsticks on stored images; this is no certificate, "
    "for which they ask for live subjects, operating conditions and an independent laboratory"
)


@dataclass(frozen=True)
class Yardstick:
    """One figure of a yardstick.

    Args:
        yardstick: the text.
        figure: what it asks about.
        limit: its limit, a fraction.
        value: the figure as the yardstick computes it, a fraction; None if it cannot be measured.
        rule: how the yardstick computes it.
        upper: our upper bound of the same rate, which allows for people who appear several times;
            None if there is none.
        holds: whether the figure keeps the limit by the rule of the yardstick.
        detail: the counts, or what the data lacks.
    """

    yardstick: str
    figure: str
    limit: float
    value: float | None
    rule: str
    upper: float | None
    holds: bool
    detail: str = ""


@dataclass(frozen=True)
class PipelineRow:
    """One pipeline: a row of its table.

    Args:
        label: "fp32" or "shipped".
        variants: label of the variant of each stage.
        size: size of all files in bytes.
        timing: plain values of a `timing.Timing`; None if the pipeline was not timed.
        peak_mb: peak resident memory of a process of its own, in MB (10^6 bytes), if known.
        imports_mb: memory of that process before it opened a model, in MB.
    """

    label: str
    variants: Mapping[str, str]
    size: int
    timing: Mapping[str, Any] | None = None
    peak_mb: float | None = None
    imports_mb: float | None = None


@dataclass(frozen=True)
class PipelineRecord:
    """The shipped pipeline, compared with FP32.

    Args:
        gate: node id of the class that defines the pipeline.
        fp32: the row of FP32, the reference, which is not gated.
        shipped: the row of the variants that their own gates let ship.
        gates: results of the shipped pipeline, by gate.
        models: key of each stage's own gate in the report, to check that it ships the same variant.
        figures: further figures: latency relative to FP32, end-to-end drift of the answers.
        farthest: for liveness and embedder, the image whose answer differs most from FP32.
        notes: caveats that change what a reader would do.
        rates: rates of transactions with their bounds, by the label of the pipeline and the name of
            the rate; each is a `statistics.Rate` as `plain` converts it.
        reasons: number of customers who are turned away, by label and reason.
        stopped: number of attacks that are stopped, by label, species and reason.
        groups: rates within each group of people.
        yardsticks: figures of the shipped pipeline beside those that public yardsticks ask for.
        search: what a search for a combination found (`combination.Found`, as plain values); None
            if there was none.
    """

    gate: str
    fp32: PipelineRow
    shipped: PipelineRow
    gates: Mapping[str, GateResult]
    models: Mapping[str, str]
    figures: Mapping[str, float]
    farthest: Mapping[str, str]
    notes: tuple[str, ...] = ()
    rates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reasons: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    stopped: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    groups: tuple[GroupIncrease, ...] = ()
    yardsticks: tuple[Yardstick, ...] = ()
    search: Mapping[str, Any] | None = None
    remarks: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst verdict."""
        return Verdict.worst([gate.verdict for gate in self.gates.values()])


_THROUGH = Limit("through", 1.0, Direction.AT_LEAST, Unit.SHARE, Kind.SANITY)
_COPIED = Limit("copied", 1.0, Direction.BELOW, Unit.COUNT, Kind.SANITY)
_BROKEN = Limit("broken", 1.0, Direction.BELOW, Unit.COUNT, Kind.SANITY)


def judge_complete(reached: int, lost: Mapping[str, str], broken: Mapping[str, str]) -> GateResult:
    """Judge whether every stage is reached wherever FP32 reaches it, with finite outputs.

    Args:
        reached: number of images on which FP32 reaches every stage.
        lost: of these, the names of those on which stages were skipped, with these stages.
        broken: of these, the names of those with NaN or Inf, with the stages that gave it.
    """
    kept = reached - len(lost)
    through = _THROUGH.point(
        "images that go through every stage, of those of FP32",
        kept / reached if reached else math.nan,
        f"{kept:,} of {reached:,}{_first(lost, 'skips')}",
    )
    remedy = "A pipeline that skips a stage is fast for the wrong reason: ship other variants."
    return GateResult("complete", (through, _finite(broken, "")), remedy)


def judge_finite(number: int, broken: Mapping[str, str], copied: Sequence[str] = ()) -> GateResult:
    """Judge whether all outputs are finite, where rates tell how often a stage is not reached.

    Args:
        number: number of images.
        broken: names of the images with NaN or Inf, with the stages that gave it.
        copied: names of the selfies whose embedding is that of the document: everybody would match.
    """
    remedy = (
        "Leave the operators that overflow unquantized: see the gates of that stage. A selfie with "
        "the embedding of the document has not been looked at: see document() and selfie()."
    )
    shown = ", ".join(copied[:5]) + (" ..." if len(copied) > 5 else "")
    same = _COPIED.point("selfies with the embedding of the document", float(len(copied)), shown)
    return GateResult("complete", (same, _finite(broken, f"of {number:,}")), remedy)


def _finite(broken: Mapping[str, str], of_all: str) -> Check:
    found = (of_all + _first(broken, "in")).removeprefix(", ")
    return _BROKEN.point("images with NaN or Inf", float(len(broken)), found)


def judge_latency(timing: Timing, fp32: Timing, ratio: float, limits: PipelineLimits) -> GateResult:
    """Judge the bound of the 95th percentile; with 59 runs the bound is the maximum."""
    parts = ", ".join(f"{name} {value:.3g}" for name, value in timing.stages.items())
    limit = limits["wall_ms"]
    check = Check(
        "95th percentile of wall clock",
        limit.judge_bound(timing.p50, timing.bound),
        limit,
        timing.p95,
        timing.p50,
        timing.bound,
        f"{timing.runs} runs, bounds are the median and the upper bound of the percentile; "
        f"medians in ms: {parts}; {ratio:.2f} of the time of FP32, whose median is "
        f"{fp32.p50:.4g} ms",
    )
    return GateResult("latency", (check,), "See which stage takes the time.")


def judge_memory(
    fp32: Peak | None, shipped: Peak | None, problem: str, limits: PipelineLimits
) -> GateResult:
    """Judge peak resident memory of a process of its own, relative to FP32 and absolute.

    Args:
        fp32: peak memory of the FP32 pipeline; None if it could not be measured.
        shipped: peak memory of the shipped pipeline; None if it could not be measured.
        problem: why it could not be measured; "" if it was.
        limits: the limits of the gates.
    """
    if fp32 is None or shipped is None:
        check = Check("peak memory", Verdict.INCONCLUSIVE, detail=f"not measured: {problem}")
        return GateResult("memory", (check,))
    checks = [
        limits["memory_ratio"].point(
            "peak memory relative to FP32",
            shipped.peak_mb / fp32.peak_mb,
            f"{shipped.peak_mb:.4g} MB compared with {fp32.peak_mb:.4g} MB for FP32; Python and "
            f"its libraries take {shipped.imports_mb:.4g} MB",
        )
    ]
    absolute = limits.given("memory_mb")
    if absolute is not None:
        checks.append(absolute.point("peak memory", shipped.peak_mb))
    remedy = "Models and their arenas stay in memory: ship smaller variants or use smaller inputs."
    return GateResult("memory", tuple(checks), remedy)


def not_judged(gate: str) -> GateResult:
    """A gate that fails because the pipeline is incomplete."""
    detail = (
        "not measured: the pipeline skipped a stage or gave NaN or Inf, so its figures would not "
        "be comparable"
    )
    return GateResult(gate, (Check(gate, Verdict.FAIL, detail=detail),))


def _first(offenders: Mapping[str, str], verb: str) -> str:
    """Text about the first offender; "" if there is none."""
    if not offenders:
        return ""
    name, what = next(iter(offenders.items()))
    return f", {name} {verb} {what}"
