import numpy as np
import pytest

from pytest_kycquant.data.sampling import portions
from pytest_kycquant.tasks.outputs import Outputs


def some(values, rows, finite=None, edges=()):
    finite = np.ones(len(rows), np.bool_) if finite is None else np.array(finite)
    return Outputs(np.array(values, np.float32).reshape(-1, 1), finite, edges, np.array(rows))


def test_some_images_get_the_outputs_of_another_model():
    fp32 = some([10, 20, 21, 40, 41], [1, 2, 0, 2], edges=("white",))
    other = some([400, 401, 402, 100], [3, 1], finite=[True, False], edges=("black",))
    found = fp32.with_images(np.array([3, 0]), other)
    assert found.values.ravel().tolist() == [100, 20, 21, 400, 401, 402]
    assert found.rows.tolist() == [1, 2, 0, 3]
    assert found.finite.tolist() == [False, True, True, True]
    assert found.broken_edges == ("black",)
    assert fp32.values.ravel().tolist() == [10, 20, 21, 40, 41]


@pytest.mark.parametrize("number", [1, 2, 5, 8, 9, 100])
def test_parts_cover_each_image_once(number):
    parts = list(portions(number))
    assert sorted(np.concatenate(parts)) == list(range(number))
    assert all(len(part) for part in parts)
    rng = np.random.default_rng(number)
    fp32, other = (some(rng.normal(size=number), [1] * number) for _ in range(2))
    found = fp32
    for part in parts:
        piece = some(other.values[part], [1] * len(part))
        found = found.with_images(part, piece)
    np.testing.assert_array_equal(found.values, other.values)
