"""The simulated search judges as the gates do: it ships good models and no others."""

import pytest

from benchmarks.populations import strangers
from benchmarks.splits import GATES, World, by_estimates, by_search, share

THRESHOLD = 0.414  # FP32 has a FAR of .03 % there


@pytest.mark.parametrize(("pull", "shipped"), [(0.0, 1.0), (1.0, 0.0)])
def test_ships_by_what_is_true(pull: float, shipped: float) -> None:
    world = World(strangers, THRESHOLD, pull)
    limits = GATES["FAR alone"]
    assert share(by_search, world, 150, limits, runs=2) == shipped
    assert share(by_estimates, world, 150, limits, runs=2) == shipped
