"""The paired measurement finds the true ratio, on a simulated clock."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from pytest_kycquant import FaceLimits, Verdict
from pytest_kycquant.errors import MeasurementError
from pytest_kycquant.measure.latency import (
    LOOKS,
    Latency,
    judge,
    measure,
)
from pytest_kycquant.verdicts import Unit
from tests.worlds.limits import below

LIMIT = below(1.05, Unit.RATIO)


class Machine:
    """A simulated machine: each run takes its time, with noise and with drift."""

    def __init__(self, noise: float = 0.0, drift: float = 0.0, seed: int = 0) -> None:
        self.now = 0.0
        self.rng = np.random.default_rng(seed)
        self.noise = noise
        self.drift = drift

    def run(self, milliseconds: float) -> Callable[[], None]:
        def step() -> None:
            slowdown = 1 + self.drift * self.now / 1e9
            self.now += milliseconds * 1e6 * slowdown * np.exp(self.rng.normal(0, self.noise))

        return step

    def clock(self) -> int:
        return int(self.now)

    def measure(self, ratio: float, limit: float = 1.05) -> Latency:
        runs = self.run(5.0), self.run(5.0), self.run(5.0 * ratio)
        return measure(*runs, below(limit, Unit.RATIO), clock=self.clock)


def verdict(latency: Latency, limit: float = 1.05) -> Verdict:
    return judge(latency, FaceLimits(latency_ratio=limit)).verdict


def test_faster_passes_at_the_first_look() -> None:
    latency = Machine(noise=0.02).measure(0.6)
    assert latency.ratio == pytest.approx(0.6, rel=0.02)
    assert latency.lower < latency.ratio < latency.upper
    assert latency.rounds == LOOKS[0]
    assert verdict(latency) is Verdict.PASS


def test_slower_fails() -> None:
    latency = Machine(noise=0.02).measure(1.15)
    assert verdict(latency) is Verdict.FAIL


def test_at_the_limit_is_undecided_after_all_looks() -> None:
    latency = Machine(noise=0.05).measure(1.05)
    assert latency.rounds == LOOKS[-1]
    assert verdict(latency) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("seed", range(20))
def test_fifteen_percent_slower_fails_and_the_same_passes(seed: int) -> None:
    """Single runs are as noisy as on a machine whose cores are all busy."""
    machine = Machine(noise=0.06, seed=seed)
    assert verdict(machine.measure(1.15)) is Verdict.FAIL
    assert verdict(machine.measure(1.0)) is Verdict.PASS


def test_at_the_limit_few_are_decided() -> None:
    """A ratio exactly at its limit is decided wrongly no more often than the intervals promise."""
    found = [verdict(Machine(noise=0.06, seed=seed).measure(1.05)) for seed in range(60)]
    assert sum(each is Verdict.PASS for each in found) <= 3
    assert sum(each is Verdict.FAIL for each in found) <= 3


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_sessions_that_differ_are_undecided(factor: float) -> None:
    """FP32 differs from itself by a tenth, so the variant may, for the same reason."""
    machine = Machine(noise=0.01)
    runs = [machine.run(5.0 * each) for each in (1.0, factor, 1.0)]
    latency = measure(*runs, LIMIT, clock=machine.clock)
    assert verdict(latency) is Verdict.INCONCLUSIVE
    assert latency.control == pytest.approx(1 / factor if factor < 1 else factor, rel=0.01)
    assert latency.lower < 1 < latency.upper
    slow = [machine.run(5.0 * each) for each in (1.0, factor, 1.3)]
    assert verdict(measure(*slow, LIMIT, clock=machine.clock)) is Verdict.FAIL


def test_noisy_machine_is_undecided() -> None:
    assert verdict(Machine(noise=0.8).measure(1.0)) is Verdict.INCONCLUSIVE


def test_drift_of_the_machine_cancels() -> None:
    latency = Machine(drift=0.2).measure(0.9)
    assert latency.ratio == pytest.approx(0.9, rel=0.01)
    assert latency.control < 1.01


def test_short_runs_are_repeated_for_the_clock() -> None:
    machine = Machine()
    calls: Iterator[int] = iter(range(10**9))
    step = machine.run(0.01)

    def run() -> None:
        next(calls)
        step()

    measure(run, machine.run(0.01), machine.run(0.01), LIMIT, clock=machine.clock)
    assert next(calls) > 50 * LOOKS[0]


def test_clock_that_stands_still() -> None:
    with pytest.raises(MeasurementError, match="clock does not advance"):
        measure(lambda: None, lambda: None, lambda: None, LIMIT, clock=lambda: 0)


def test_absolute_limit_is_undecided_without_a_bound() -> None:
    latency = Machine().measure(0.5)
    assert latency.wall_p95_upper_ms is None
    result = judge(latency, FaceLimits(latency_ms=1e9))
    assert [check.verdict for check in result.checks] == [Verdict.PASS, Verdict.INCONCLUSIVE]


def test_figures_are_numbers() -> None:
    """A report holds numbers; a bound that 20 rounds cannot give is not one of them."""
    machine = Machine()
    latency = machine.measure(0.5)
    figures = latency.figures()
    assert "wall_p95_upper_ms" not in figures
    assert all(isinstance(figure, (int, float)) for figure in figures.values())
    assert [len(one) for one in latency.each] == [3] * latency.rounds


def test_absolute_limit_fails() -> None:
    machine = Machine()
    fp32, variant = machine.run(5.0), machine.run(2.5)
    latency = measure(fp32, fp32, variant, LIMIT, percentile=True, clock=machine.clock)
    result = judge(latency, FaceLimits(latency_ms=1e-9))
    assert [check.verdict for check in result.checks] == [Verdict.PASS, Verdict.FAIL]


def test_percentile_is_of_single_runs() -> None:
    """Every tenth run is slow: a mean of many runs would never show it."""
    calls: Iterator[int] = iter(range(10**9))

    def run() -> None:
        if next(calls) % 10 == 0:
            time.sleep(0.002)

    machine = Machine()
    step = machine.run(2.0)

    def timed() -> None:
        step()
        run()

    runs = step, machine.run(2.0), timed
    latency = measure(*runs, below(1000.0, Unit.RATIO), percentile=True, clock=machine.clock)
    assert latency.rounds == LOOKS[1]
    assert latency.wall_p95_upper_ms is not None
    assert latency.wall_p95_upper_ms >= latency.wall_p95_ms
    assert latency.wall_p95_ms > 2.0
