"""The benchmark of the start measures the same suite with the plugin and without."""

import sys
from pathlib import Path

from benchmarks.startup import Suite, describe, measure


def test_a_pair(tmp_path: Path) -> None:
    suite = Suite(sys.executable, tmp_path)
    with_plugin, without = measure(suite, 1)
    assert len(with_plugin) == len(without) == 1
    assert min(*with_plugin, *without) > 10  # otherwise nothing was run
    assert "pytest_kycquant.plugin.hooks" in suite.loaded()


def test_figures() -> None:
    few = describe([3.0, 5.0], [2.0, 2.0])
    assert few == (
        "with the plugin 4.0 ms, without 2.0 ms; difference 2.0 ms "
        "(too few pairs for an interval; 2 pairs)"
    )
    many = describe([float(10 + i) for i in range(21)], [10.0] * 21)
    assert many.endswith("difference 10.0 ms (5.0 to 15.0; 21 pairs)")  # ranks 5 and 15 of 0..20
