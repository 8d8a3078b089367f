"""Paired, interleaved latency: is a variant slower than FP32, on this machine, right now?

Absolute times on shared machines vary by a third; the ratio of the thread CPU times of interleaved
runs varies by about a percent. As a control, FP32 is also compared with itself: two sessions of one
model differ by where their memory happens to lie, and more rounds do not average that out. The
variant's interval is widened by the distance of the control from 1.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MeasurementError
from ..plain import plain
from ..results import GateResult
from ..spec.limits import Limits
from ..statistics import order_statistic_interval, upper_rank
from ..verdicts import Check, Estimate, Limit, Verdict
from .clocks import CLOCKS

Call = Callable[[], object]
_TIMED = {
    "thread": "CPU time",
    "process": "CPU time of all threads",
    "wall": "wall-clock time",
}

# Numbers of rounds after which the result is checked. The first check is early: a ratio far from
# its limit shows at once, and 20 rounds of a large model take long enough.
LOOKS = (20, 60, 200)
ALPHA = 0.05 / len(LOOKS)  # Bonferroni over the looks
WARM_UP = 8
_SHORTEST = (
    1_000_000  # ns; shorter runs are repeated so that the clock's resolution does not matter
)


@dataclass(frozen=True)
class Latency:
    """Latency of a variant compared with FP32.

    Args:
        ratio: median ratio of the time that `timed` names, variant to FP32.
        lower: lower bound of the ratio, widened by the control.
        upper: upper bound of the ratio, widened by the control.
        control: median distance of FP32 from itself, as a factor >= 1.
        rounds: number of interleaved rounds.
        cpu_ms: median of that time for one image, in ms.
        fp32_cpu_ms: the same for FP32.
        wall_p50_ms: median wall-clock time of one image, in ms.
        wall_p95_ms: 95th percentile of wall-clock time, in ms.
        wall_p95_upper_ms: one-sided 95 % upper bound of that percentile, in ms; None if there are
            too few runs.
        timed: what was measured: "thread", CPU time of the calling thread; "process", that of all
            threads; or "wall".
    """

    ratio: float
    lower: float
    upper: float
    control: float
    rounds: int
    cpu_ms: float
    fp32_cpu_ms: float
    wall_p50_ms: float
    wall_p95_ms: float
    wall_p95_upper_ms: float | None
    timed: str = "thread"

    def figures(self) -> dict[str, Any]:
        """Figures for the report, without a bound that there are too few runs for."""
        known = plain(self).items()
        return {name: value for name, value in known if name != "timed" and value is not None}


def measure(
    fp32: Call,
    fp32_again: Call,
    variant: Call,
    limit: Limit,
    *,
    percentile: bool = False,
    looks: Sequence[int] = LOOKS,
    clock: Callable[[], int] | None = None,
    timed: str = "thread",
) -> Latency:
    """Measure a variant against FP32 in interleaved rounds: A B C C B A, B C A A C B, and so on.

    It stops at the first check in which `limit` decides the ratio.

    Args:
        fp32: runs the FP32 model once (A).
        fp32_again: runs a second session of the same model (C), the control.
        variant: runs the variant once (B).
        limit: the limit of the ratio.
        percentile: whether to go on until the 95th percentile has an upper bound, too.
        looks: numbers of rounds after which the result is checked, at most three.
        clock: returns the time in ns; None takes the clock that `timed` names.
        timed: name of the clock in `CLOCKS`.

    Raises:
        MeasurementError: the clock does not advance.
    """
    runs, clock = (fp32, variant, fp32_again), clock or CLOCKS[timed]
    with _pinned():
        repeats = [_warm_up(run, clock) for run in runs]
        rounds: list[tuple[float, float, float]] = []
        wall: list[float] = []
        result = None
        for look in looks:
            while len(rounds) < look:
                rounds.append(_round(runs, repeats, clock, wall, len(rounds)))
            result = _summarise(np.asarray(rounds), np.asarray(wall), timed)
            unbounded = percentile and result.wall_p95_upper_ms is None
            decided = limit.judge(result.lower, result.upper) is not Verdict.INCONCLUSIVE
            if decided and not unbounded:
                break
    if result is None or not math.isfinite(result.ratio):
        raise MeasurementError(
            "latency",
            "the clock does not advance",
            "run on a machine with a clock that does",
        )
    return result


def judge(latency: Latency, limits: Limits) -> GateResult:
    """Judge the latency ratio to FP32, and the absolute latency if it has a limit."""
    detail = (
        f"{latency.rounds} rounds, {_TIMED[latency.timed]} {latency.cpu_ms:.3g} ms, FP32 "
        f"{latency.fp32_cpu_ms:.3g} ms; FP32 against itself {100 * (latency.control - 1):+.1f} %"
    )
    ratio = Estimate(latency.ratio, latency.lower, latency.upper)
    checks = [limits["latency_ratio"].check("latency ratio to FP32", ratio, detail)]
    absolute = limits.given("latency_ms")
    if absolute is not None:
        low, bound = latency.wall_p50_ms, latency.wall_p95_upper_ms
        verdict = Verdict.INCONCLUSIVE if bound is None else absolute.judge_bound(low, bound)
        checks.append(
            Check(
                "95th percentile of latency",
                verdict,
                absolute,
                latency.wall_p95_ms,
                low,
                bound,
                "wall-clock time; the bounds are the median and the upper bound of the percentile",
            )
        )
    return GateResult(
        "latency",
        tuple(checks),
        "INT8 is not faster everywhere: compare the variants in the table before shipping one.",
    )


def _round(
    runs: tuple[Call, Call, Call],
    repeats: list[int],
    clock: Callable[[], int],
    wall: list[float],
    first: int,
) -> tuple[float, float, float]:
    """Run one palindrome, so that a linear trend in the machine's speed cancels.

    A session that runs right after itself finds its weights in the CPU's caches. This happens in
    the middle of a palindrome and at its ends, so each round begins with the next of the three
    sessions. All three run equally often.
    """
    spent = [0.0, 0.0, 0.0]
    order = [(first + place) % 3 for place in range(3)]
    for index in (*order, *reversed(order)):
        began, before = clock(), time.perf_counter_ns()
        for _ in range(repeats[index]):
            runs[index]()
            now = time.perf_counter_ns()
            if index == 1:
                wall.append(now - before)
            before = now
        spent[index] += (clock() - began) / repeats[index]
    return spent[0] / 2, spent[1] / 2, spent[2] / 2


def _warm_up(run: Call, clock: Callable[[], int]) -> int:
    """Run until caches and allocators are warm; return how often to repeat a timed run."""
    run()
    began = clock()
    for _ in range(WARM_UP):
        run()
    each = (clock() - began) / WARM_UP
    return max(1, math.ceil(_SHORTEST / each)) if each > 0 else 1


def _summarise(
    rounds: NDArray[np.float64], wall: NDArray[np.float64], timed: str = "thread"
) -> Latency:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.sort(np.log(rounds[:, 1] / rounds[:, 0]))
        control = np.log(rounds[:, 2] / rounds[:, 0])
    ranks = order_statistic_interval(len(ratios), 0.5, 1 - ALPHA)
    if ranks is None:
        raise MeasurementError("latency", "too few rounds for an interval", "report this as a bug")
    low, high = ranks
    # Not the far end of its interval, which would count the noise of the rounds twice.
    stray = abs(float(np.median(control)))
    ordered = np.sort(wall) / 1e6
    p95 = upper_rank(len(ordered), 0.95, 0.95)
    return Latency(
        ratio=math.exp(float(np.median(ratios))),
        lower=math.exp(float(ratios[low]) - stray),
        upper=math.exp(float(ratios[high]) + stray),
        control=math.exp(stray),
        rounds=len(rounds),
        cpu_ms=float(np.median(rounds[:, 1])) / 1e6,
        fp32_cpu_ms=float(np.median(rounds[:, 0])) / 1e6,
        wall_p50_ms=float(np.median(ordered)),
        wall_p95_ms=float(np.quantile(ordered, 0.95)),
        wall_p95_upper_ms=float(ordered[p95]) if p95 is not None else None,
        timed=timed,
    )


@contextlib.contextmanager
def _pinned() -> Iterator[None]:
    """Stay on one core: a migration in the middle of a round is noise."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        yield
    finally:
        os.sched_setaffinity(0, before)
