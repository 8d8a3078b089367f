"""Two pipelines side by side: which stages they reach, what they answer, how long they take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.files import listed
from ..errors import BaselineError, DataError, MeasurementError
from ..statistics import upper_rank
from ..tasks.face.measures import normalise
from .stages import Photo, Trace

Runner = Callable[[Photo], Trace]
Answers = NDArray[np.float64]
PERCENTILE = 0.95


@dataclass(frozen=True)
class Coverage:
    """How far both pipelines got.

    Args:
        images: number of all images.
        reached: the images on which FP32 reached every stage.
        lost: of these, the names of the images on which the shipped pipeline skipped stages, with
            the stages.
        broken: of these, the names of the images with NaN or Inf, with the stages that gave it.
        drift: difference of the shipped pipeline's answers from FP32, end to end.
        farthest: name of the image with the largest difference, by stage.
    """

    images: int
    reached: tuple[Photo, ...]
    lost: Mapping[str, str]
    broken: Mapping[str, str]
    drift: Mapping[str, float]
    farthest: Mapping[str, str]

    @property
    def complete(self) -> bool:
        """Whether no image is lost or broken."""
        return not self.lost and not self.broken


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


def cover(
    fp32: Runner,
    shipped: Runner,
    photos: Sequence[Photo],
    stages: Sequence[str],
    on_image: Callable[[], None] = lambda: None,
) -> Coverage:
    """Run both pipelines over every image once.

    Args:
        fp32: a function that runs the FP32 pipeline on an image.
        shipped: a function that runs the shipped pipeline on an image.
        photos: all images.
        stages: names of all stages.
        on_image: a function that is called after each image.

    Raises:
        BaselineError: FP32 itself gives NaN or Inf.
        DataError: FP32 reaches every stage on none of the images.
    """
    reached: list[Photo] = []
    lost: dict[str, str] = {}
    broken: dict[str, str] = {}
    ends: Counter[str] = Counter()
    answers: list[tuple[str, Trace, Trace]] = []
    for photo in photos:
        exact, other = fp32(photo), shipped(photo)
        on_image()
        if exact.broken:
            raise BaselineError(
                photo.name,
                f"FP32 itself gives NaN or Inf ({', '.join(exact.broken)})",
                "check the preprocessing and the crops of that stage",
            )
        if left_out := _left_out(exact, stages):
            ends[left_out] += 1
            continue
        reached.append(photo)
        if left_out := _left_out(other, stages):
            lost[photo.name] = left_out
        elif other.broken:
            broken[photo.name] = ", ".join(other.broken)
        else:
            answers.append((photo.name, exact, other))
    if not reached:
        where = photos[0].images.origin
        found = "; ".join(f"{what} skipped on {count:,}" for what, count in ends.most_common())
        raise DataError(
            where,
            f"FP32 reaches every stage on none of its {len(photos):,} images ({found})",
            "give images in which the detector finds the class `face`, or check process()",
        )
    return Coverage(len(photos), tuple(reached), lost, broken, *_drift(answers))


def time_runs(
    fp32: Runner, shipped: Runner, photos: Sequence[Photo], runs: int, stages: Sequence[str]
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
                    "make process() do the same each time",
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


def _drift(
    answers: Sequence[tuple[str, Trace, Trace]],
) -> tuple[dict[str, float], dict[str, str]]:
    """Answers of the shipped pipeline relative to FP32, and the images where they differ most.

    This can exceed the drift of each model: another box gives another crop, perhaps of another
    face.
    """
    drift: dict[str, float] = {}
    farthest: dict[str, str] = {}
    for stage, figures in (("liveness", _score_drift), ("embedder", _cosines)):
        names, fp32, shipped = [], [], []
        for name, exact, other in answers:
            given = (exact.answers.get(stage, ()), other.answers.get(stage, ()))
            for one, changed in zip(*given, strict=False):
                names.append(name)
                fp32.append(one)
                shipped.append(changed)
        if names:
            found, worst = figures(np.stack(fp32), np.stack(shipped))
            drift |= found
            farthest[stage] = names[worst]
    return drift, farthest


def _score_drift(fp32: Answers, shipped: Answers) -> tuple[dict[str, float], int]:
    """Absolute differences in the probability of a live face, and the index of the largest."""
    apart = np.abs(shipped - fp32)[:, 0]
    figures = {"score_drift_mean": float(apart.mean()), "score_drift_max": float(apart.max())}
    return figures, int(apart.argmax())


def _cosines(fp32: Answers, shipped: Answers) -> tuple[dict[str, float], int]:
    """Cosines between embeddings, -1 for one without direction; and the index of the smallest."""
    one, other = (normalise(side.astype(np.float32)) for side in (fp32, shipped))
    cosines = np.nan_to_num(np.einsum("ij,ij->i", one, other), nan=-1.0)
    figures = {"cosine_mean": float(cosines.mean()), "cosine_min": float(cosines.min())}
    return figures, int(cosines.argmin())
