"""Two pipelines side by side, with simulated runs and clocks."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant import PipelineLimits, Verdict
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.errors import BaselineError, DataError, MeasurementError
from pytest_kycquant.pipeline.record import judge_complete, judge_latency
from pytest_kycquant.pipeline.stages import Photo, Trace
from pytest_kycquant.pipeline.timing import (
    Coverage,
    cover,
    ratio,
    summarise,
    time_runs,
)

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
BROKEN = trace(broken=("embedder",))


def covered(fp32: Run, shipped: Run, count: int = 5) -> Coverage:
    return cover(fp32, shipped, photos(count), STAGES)


def test_both_complete() -> None:
    found = covered(always(trace()), always(trace()))
    assert found.complete
    assert [photo.index for photo in found.reached] == [0, 1, 2, 3, 4]
    assert judge_complete(found).verdict is Verdict.PASS


def test_images_without_a_face_for_fp32_count_for_nothing() -> None:
    found = covered(always(trace(), {1: STOPPED}), always(trace(), {1: STOPPED}))
    assert found.complete
    assert [photo.index for photo in found.reached] == [0, 2, 3, 4]
    # It does not matter, either, that the shipped pipeline finds a face there.
    assert covered(always(trace(), {1: STOPPED}), always(trace())).complete


def test_shipped_skips_a_stage() -> None:
    found = covered(always(trace()), always(trace(), {3: STOPPED}))
    result = judge_complete(found)
    assert result.verdict is Verdict.FAIL
    assert "4 of 5, some.npz[3] skips liveness, embedder" in result.describe()


def test_nan_of_shipped_fails() -> None:
    result = judge_complete(covered(always(trace()), always(trace(), {2: BROKEN})))
    assert result.verdict is Verdict.FAIL
    assert "FAIL images with NaN or Inf = 1 must be below 1: some.npz[2] in embedder" in (
        result.describe()
    )


def test_nan_of_fp32_is_an_error() -> None:
    with pytest.raises(BaselineError, match=r"some.npz\[4\]: FP32 itself gives NaN .*embedder"):
        covered(always(trace(), {4: BROKEN}), always(trace()))


def test_no_face_anywhere_is_an_error() -> None:
    message = r"on none of its 5 images \(liveness, embedder skipped on 5\)"
    with pytest.raises(DataError, match=message):
        covered(always(STOPPED), always(STOPPED))


def test_drift_end_to_end() -> None:
    turned = {"liveness": (np.array([0.7]),), "embedder": (np.array([0.6, 0.8]),)}
    zero = {"liveness": (np.array([0.9]),), "embedder": (np.array([0.0, 0.0]),)}
    shipped = always(trace(answers=turned), {0: trace(answers=zero)})
    found = covered(always(trace()), shipped, 2)
    drift = found.drift
    assert found.farthest == {"liveness": "some.npz[1]", "embedder": "some.npz[0]"}
    assert drift["score_drift_mean"] == pytest.approx(0.1)
    assert drift["score_drift_max"] == pytest.approx(0.2)
    assert drift["cosine_mean"] == pytest.approx(
        (0.6 - 1) / 2
    )  # an embedding without direction counts as -1
    assert drift["cosine_min"] == -1.0


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
