"""How long two pipelines take, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.files import listed
from ..errors import MeasurementError
from ..statistics import upper_rank
from .stages import Named, Trace

Runner = Callable[[Any], Trace]
PERCENTILE = 0.95


@dataclass(frozen=True)
class Timing:
    """Wall clock of the warm runs of one pipeline, in ms.

    Args:
        runs: number of runs.
        p50: median.
        p95: 95th percentile.
        bound: one-sided 95 % upper bound of the 95th percentile.
        slowest: maximum.
        stages: median of each stage, and of "other": reading, decoding, cropping for the embedder.
        load: time to open all models.
        first: time of the first run, before anything is warm.
    """

    runs: int
    p50: float
    p95: float
    bound: float
    slowest: float
    stages: Mapping[str, float]
    load: float
    first: float


def time_runs(
    fp32: Runner, shipped: Runner, photos: Sequence[Named], runs: int, stages: Sequence[str]
) -> tuple[list[Trace], list[Trace]]:
    """Run both warm pipelines in turns, each on the same image.

    Args:
        fp32: a function that runs the FP32 pipeline on an image.
        shipped: a function that runs the shipped pipeline on an image.
        photos: the images to cycle over; if there are more than `runs`, evenly spaced ones.
        runs: number of runs of each pipeline.
        stages: names of all stages.

    Raises:
        MeasurementError: a run skipped a stage that was reached before, so its time is too short.
    """
    if len(photos) > runs:
        photos = [photos[i] for i in np.linspace(0, len(photos) - 1, runs).astype(np.int64)]
    timed: tuple[list[Trace], list[Trace]] = ([], [])
    both = ((fp32, timed[0]), (shipped, timed[1]))
    for number in range(runs):
        photo = photos[number % len(photos)]
        # The second pipeline finds the file in the caches of the CPU, so they alternate.
        for run, traces in both if number % 2 == 0 else reversed(both):
            trace = run(photo)
            if left_out := _left_out(trace, stages):
                raise MeasurementError(
                    photo.name,
                    f"skipped {left_out} when it was timed, but not before",
                    "make the functions of the gate class do the same each time",
                )
            traces.append(trace)
    return timed


def summarise(traces: Sequence[Trace], stages: Sequence[str], load: float, first: float) -> Timing:
    """Summarise warm runs.

    Args:
        traces: the traces of at least 59 runs.
        stages: names of all stages.
        load: time to open all models, in ms.
        first: time of the first run, in ms.

    Raises:
        MeasurementError: there are too few runs for a bound of the percentile.
    """
    wall = np.sort(np.array([trace.wall_ns for trace in traces])) / 1e6
    rank = upper_rank(len(wall), PERCENTILE)
    if rank is None:
        raise MeasurementError(
            f"{len(wall)} runs", "are too few to bound the 95th percentile", "time at least 59"
        )
    spent = np.array([[trace.spent_ns[name] for name in stages] for trace in traces]) / 1e6
    others = np.array([trace.wall_ns for trace in traces]) / 1e6 - spent.sum(axis=1)
    medians = [float(value) for value in np.median(spent, axis=0)]
    return Timing(
        runs=len(wall),
        p50=float(np.median(wall)),
        p95=float(np.quantile(wall, PERCENTILE)),
        bound=float(wall[rank]),
        slowest=float(wall[-1]),
        stages={**dict(zip(stages, medians, strict=True)), "other": float(np.median(others))},
        load=load,
        first=first,
    )


def ratio(fp32: Sequence[Trace], shipped: Sequence[Trace]) -> float:
    """Median of the ratios of wall-clock time, run by run."""
    pairs = [(one.wall_ns, other.wall_ns) for one, other in zip(fp32, shipped, strict=True)]
    return float(np.median([other / max(one, 1) for one, other in pairs]))


def _left_out(trace: Trace, stages: Sequence[str]) -> str:
    """The names of the stages that were not called, as text."""
    return listed([name for name in stages if name not in trace.spent_ns])
