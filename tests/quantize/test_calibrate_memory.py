import tracemalloc
import weakref

import numpy as np
import pytest

from pytest_kycquant.quantize import observe_activations
from tests.worlds.zoo import ready


def stream(count, alive, most):
    rng = np.random.default_rng(0)
    for index in range(count):
        array = rng.uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)
        alive.add(index)
        weakref.finalize(array, alive.discard, index)
        assert len(alive) <= most, "earlier images are still held"
        yield str(index), array
        del array


@pytest.mark.parametrize(("threads", "most"), [(1, 1), (2, 6)])
def test_few_images_are_held_at_a_time(tmp_path, threads, most):
    inputs = stream(30, set(), most)
    assert observe_activations(ready(tmp_path), inputs, threads=threads).images == 30


@pytest.mark.parametrize("threads", [1, 2])
def test_memory_does_not_grow_with_the_images(tmp_path, threads):
    prepared = ready(tmp_path)

    def peak(count):
        tracemalloc.start()
        observe_activations(prepared, stream(count, set(), 6), threads=threads)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(2)  # imports
    # A second thread holds another image's activations; those of 60 images would take 10 MB.
    assert peak(60) < peak(8) + 500_000 * (threads - 1) + 100_000
