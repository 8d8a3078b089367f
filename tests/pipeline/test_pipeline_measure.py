"""Two pipelines side by side, with simulated runs and clocks."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant import PipelineLimits, Verdict
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.errors import MeasurementError
from pytest_kycquant.pipeline.record import judge_latency
from pytest_kycquant.pipeline.stages import Photo, Trace
from pytest_kycquant.pipeline.timing import ratio, summarise, time_runs

STAGES = ("detector", "liveness", "embedder")
MS = 1_000_000
Run = Callable[[Photo], Trace]


def photos(count: int) -> list[Photo]:
    images = ImageSet.from_array(np.zeros((count, 2, 2, 3), np.uint8), Path("some.npz"))
    return [Photo(images, index) for index in range(count)]


def trace(ms: float = 10, **changes: object) -> Trace:
    """A complete run that spends a fifth of its time in each stage."""
    answers = {"liveness": (np.array([0.9]),), "embedder": (np.array([1.0, 0.0]),)}
    whole = Trace(int(ms * MS), dict.fromkeys(STAGES, int(ms * MS / 5)), (), answers)
    return replace(whole, **changes)  # type: ignore[arg-type]


def always(run: Trace, but: Mapping[int, Trace] | None = None) -> Run:
    return lambda photo: (but or {}).get(photo.index, run)


STOPPED = trace(1, spent_ns={"detector": 1})


def test_runs_take_turns_and_cycle() -> None:
    order: list[tuple[str, int]] = []

    def noted(label: str) -> Run:
        def run(photo: Photo) -> Trace:
            order.append((label, photo.index))
            return trace()

        return run

    one, other = time_runs(noted("a"), noted("b"), photos(2), 3, STAGES)
    assert len(one) == len(other) == 3
    assert order == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 0), ("b", 0)]
    order.clear()
    time_runs(noted("a"), noted("b"), photos(10), 4, STAGES)
    assert [index for label, index in order if label == "a"] == [0, 3, 6, 9]


def test_a_stage_left_out_while_timed_is_an_error() -> None:
    with pytest.raises(MeasurementError, match=r"some.npz\[1\]: skipped liveness, embedder"):
        time_runs(always(trace()), always(trace(), {1: STOPPED}), photos(3), 59, STAGES)


def test_bound_of_59_runs_is_the_maximum() -> None:
    traces = [trace(ms) for ms in range(1, 60)]
    found = summarise(traces, STAGES, load=7.0, first=90.0)
    assert (found.p50, found.bound, found.slowest) == (30, 59, 59)
    assert found.p95 == pytest.approx(56.1)
    assert found.stages == {
        "detector": pytest.approx(6), "liveness": pytest.approx(6),
        "embedder": pytest.approx(6), "other": pytest.approx(12),
    }  # fmt: skip
    # With more runs the bound is an order statistic: of 93 runs, the second largest.
    more = summarise([trace(ms) for ms in range(1, 94)], STAGES, 0, 0)
    assert (more.bound, more.slowest) == (92, 93)
    with pytest.raises(MeasurementError, match="58 runs: are too few to bound the 95th percentile"):
        summarise(traces[1:], STAGES, 0, 0)


def test_ratio_is_paired() -> None:
    fp32, shipped = [trace(10), trace(1000), trace(20)], [trace(5), trace(600), trace(10)]
    assert ratio(fp32, shipped) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("slowest", "verdict"), [(7999, Verdict.PASS), (8000, Verdict.FAIL), (9000, Verdict.FAIL)]
)
def test_a_single_slow_run_of_59_decides(slowest: float, verdict: Verdict) -> None:
    fast = summarise([trace(100)] * 59, STAGES, 0, 0)
    timing = summarise([trace(100)] * 58 + [trace(slowest)], STAGES, 0, 0)
    result = judge_latency(timing, fast, 1.0, PipelineLimits())
    assert result.verdict is verdict
    assert timing.p50 == 100
