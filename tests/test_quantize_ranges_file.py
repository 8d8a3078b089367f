import numpy as np
import pytest
from zoo import named_images, ready

from pytest_kycquant.errors import QuantizationError
from pytest_kycquant.quantize import Ranges, collect_ranges


@pytest.mark.parametrize("method", ["minmax", "percentile"])
def test_ranges_survive_a_file(tmp_path, method):
    ranges = collect_ranges(ready(tmp_path), named_images(3), method)
    ranges.to_npz(tmp_path / "ranges.npz")
    again = Ranges.from_npz(tmp_path / "ranges.npz")
    assert again.names == ranges.names
    np.testing.assert_array_equal(again.low, ranges.low)
    np.testing.assert_array_equal(again.high, ranges.high)
    assert (again.method, again.percentile) == (ranges.method, ranges.percentile)
    assert again.images == ranges.images


def test_equal_ranges_make_equal_files(tmp_path):
    prepared = ready(tmp_path)
    for name in ("a.npz", "b.npz"):
        collect_ranges(prepared, named_images(3), "minmax").to_npz(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04"])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "ranges.npz"
    path.write_bytes(content)
    with pytest.raises(QuantizationError, match=r"ranges\.npz: holds no calibration ranges"):
        Ranges.from_npz(path)


def test_pickled_objects_are_refused(tmp_path):
    path = tmp_path / "ranges.npz"
    names = np.array([{}], object)
    np.savez(path, names=names, low=0, high=0, method="minmax", percentile=0, images=1)
    with pytest.raises(QuantizationError, match="holds no calibration ranges"):
        Ranges.from_npz(path)
