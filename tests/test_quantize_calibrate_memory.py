import tracemalloc
import weakref
from functools import partial

import numpy as np
import pytest
from zoo import ready

from pytest_kycquant.quantize import collect_channels, collect_ranges

COLLECTORS = {
    method: partial(collect_ranges, method=method)
    for method in ("minmax", "moving-average", "percentile", "entropy", "mse")
} | {"channels": collect_channels}


def stream(count, alive):
    rng = np.random.default_rng(0)
    for index in range(count):
        array = rng.uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)
        alive.add(index)
        weakref.finalize(array, alive.discard, index)
        assert len(alive) == 1, "an earlier image is still held"
        yield str(index), array
        del array


@pytest.mark.parametrize("collect", COLLECTORS.values(), ids=COLLECTORS)
def test_one_image_is_held_at_a_time(tmp_path, collect):
    assert collect(ready(tmp_path), stream(10, set())).images == 10


@pytest.mark.parametrize("collect", COLLECTORS.values(), ids=COLLECTORS)
def test_memory_does_not_grow_with_the_images(tmp_path, collect):
    prepared = ready(tmp_path)

    def peak(count):
        tracemalloc.start()
        collect(prepared, stream(count, set()))
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(2)  # imports
    assert peak(60) < peak(4) + 100_000
