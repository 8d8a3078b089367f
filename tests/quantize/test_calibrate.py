import numpy as np
import onnx
import pytest
from onnx import helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
from onnxruntime.quantization.calibrate import create_calibrator

from pytest_kycquant.errors import DataError, QuantizationError
from pytest_kycquant.quantize import observe_activations
from pytest_kycquant.runtimes.ort import open_session
from tests.worlds.zoo import build_model, images, named_images, ready


class Reader(CalibrationDataReader):
    def __init__(self, arrays):
        self.arrays = iter(arrays)

    def get_next(self):
        array = next(self.arrays, None)
        return None if array is None else {"input": array}


def of_onnxruntime(tmp_path, prepared, arrays, **options):
    path = tmp_path / "prepared.onnx"
    onnx.save(prepared.proto, path)
    calibrator = create_calibrator(
        path,
        augmented_model_path=str(tmp_path / "augmented.onnx"),
        calibrate_method=CalibrationMethod.MinMax,
        extra_options=options,
    )
    calibrator.collect_data(Reader(arrays))
    return {name: data.range_value for name, data in calibrator.compute_data().items()}


def test_minmax_ranges_are_those_of_onnxruntime(tmp_path):
    prepared = ready(tmp_path)
    theirs = of_onnxruntime(tmp_path, prepared, images(5))
    ours = observe_activations(prepared, named_images(5)).ranges("minmax")
    assert set(ours.names) == set(theirs)
    for name, low, high in zip(ours.names, ours.low, ours.high, strict=True):
        assert (low, high) == (theirs[name][0].item(), theirs[name][1].item())
    assert ours.low.dtype == ours.high.dtype == np.float32
    assert (ours.method, ours.percentile, ours.images) == ("minmax", None, 5)


def test_moving_average_is_the_mean_of_the_extremes_of_each_image(tmp_path):
    prepared = ready(tmp_path)
    each = [observe_activations(prepared, [named]).ranges("minmax") for named in named_images(5)]
    ours = observe_activations(prepared, named_images(5)).ranges("moving-average")
    np.testing.assert_allclose(ours.low, np.mean([r.low for r in each], axis=0), rtol=1e-6)
    np.testing.assert_allclose(ours.high, np.mean([r.high for r in each], axis=0), rtol=1e-6)
    theirs = of_onnxruntime(tmp_path, prepared, images(5), moving_average=True)
    for name, low in zip(ours.names, ours.low, strict=True):
        assert low == pytest.approx(theirs[name][0].item(), rel=1e-5)


def test_percentile_ranges_hold_their_share_of_the_values(tmp_path):
    prepared = ready(tmp_path)
    arrays = images(20)
    arrays[3][0, 0, 0, 0] = 50.0
    named = [(str(i), array) for i, array in enumerate(arrays)]
    ranges = observe_activations(prepared, named).ranges("percentile", 99.0)
    values = np.concatenate([array.ravel() for array in arrays])
    low, high = ranges.low[0], ranges.high[0]
    assert ranges.names[0] == "input"
    assert 0.99 <= np.mean((values >= low) & (values <= high)) < 0.997
    assert high < 1.1


def test_all_the_values_are_the_extremes(tmp_path):
    prepared = ready(tmp_path)
    activations = observe_activations(prepared, named_images(4))
    whole, extremes = activations.ranges("percentile", 100.0), activations.ranges("minmax")
    np.testing.assert_array_equal(whole.low, extremes.low)
    np.testing.assert_array_equal(whole.high, extremes.high)


def test_the_default_percentile_is_recorded(tmp_path):
    ranges = observe_activations(ready(tmp_path), named_images(2)).ranges("percentile")
    assert ranges.percentile == 99.99


def test_entropy_ranges_are_narrower_than_the_extremes(tmp_path):
    prepared = ready(tmp_path)
    activations = observe_activations(prepared, named_images(10))
    ours, extremes = activations.ranges("entropy"), activations.ranges("minmax")
    assert (ours.low >= extremes.low).all()
    assert (ours.high <= extremes.high).all()
    assert (ours.high < extremes.high).any()


@pytest.mark.parametrize("method", ["minmax", "moving-average", "percentile", "entropy", "mse"])
def test_every_method_takes_a_tensor_of_zeros(tmp_path, method):
    black = np.zeros((1, 3, 32, 32), np.float32)
    ranges = observe_activations(ready(tmp_path), [("black", black)]).ranges(method)
    assert (ranges.low[0], ranges.high[0]) == (0, 0)
    assert np.isfinite([ranges.low, ranges.high]).all()


def test_no_images_are_an_error(tmp_path):
    with pytest.raises(DataError, match="no calibration images"):
        observe_activations(ready(tmp_path), iter([]))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_that_is_not_finite_is_named(tmp_path, value):
    named = named_images(3)
    named[1][1][0, 0, 3, 3] = value
    with pytest.raises(DataError, match=r"^1\.jpg: contains NaN or Inf"):
        observe_activations(ready(tmp_path), named)


def test_an_image_of_another_shape_is_named(tmp_path):
    named = [("odd.jpg", np.zeros((1, 3, 8, 8), np.float32))]
    with pytest.raises(DataError, match=r"^odd\.jpg: cannot be fed to model\.onnx"):
        observe_activations(ready(tmp_path), named)


def test_a_tensor_that_is_not_finite_is_named_with_its_operator(tmp_path):
    nodes = [
        helper.make_node("Sqrt", ["input"], ["root"], "take_root"),
        helper.make_node("Relu", ["root"], ["output"], "clip"),
    ]
    proto = build_model(nodes, {}, output=(1, 3, 32, 32))
    positive = np.ones((1, 3, 32, 32), np.float32)
    negative = positive.copy()
    negative[0, 0, 5, 5] = -1
    folder = tmp_path / "model"
    folder.mkdir()
    from pytest_kycquant.quantize import load_model, prepare

    path = folder / "m.onnx"
    onnx.save(proto, path)
    prepared = prepare(load_model(path), [positive])
    with pytest.raises(QuantizationError, match=r"'root' of Sqrt 'take_root' .* image bad\.jpg"):
        observe_activations(prepared, [("good.jpg", positive), ("bad.jpg", negative)])


def test_observing_does_not_change_the_model(tmp_path):
    prepared = ready(tmp_path)
    before = prepared.proto.SerializeToString()
    observe_activations(prepared, named_images(2))
    assert prepared.proto.SerializeToString() == before
    assert len(open_session(before).get_outputs()) == 1
