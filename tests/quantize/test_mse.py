"""The range of least squared error, against the error of real quantization."""

import numpy as np
import pytest

from pytest_kycquant.errors import SpecError
from pytest_kycquant.quantize.histogram import Histogram
from pytest_kycquant.spec.recipe import Recipe


def quantization_error(values, low, high):
    """Mean squared error of onnxruntime's uint8 quantization to a range."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    zero = np.round(-low / scale)
    steps = np.clip(np.round(values / scale) + zero, 0, 255)
    return np.mean((values - (steps - zero) * scale) ** 2)


def draw(kind):
    rng = np.random.default_rng(0)
    size = 20_000
    return {
        "normal": lambda: rng.normal(0, 1, size),
        "laplace": lambda: rng.laplace(0, 1, size),
        "relu": lambda: np.maximum(rng.normal(0, 1, size), 0),
        "shifted": lambda: rng.normal(3, 1, size),
        "negative": lambda: -rng.gamma(1, 1, size),
        "outlier": lambda: np.append(rng.normal(0, 1, size), 60.0),
        "heavy": lambda: rng.standard_t(2.5, size),
        "uniform": lambda: rng.uniform(-1, 0.5, size),
    }[kind]().astype(np.float32)


KINDS = ["normal", "laplace", "relu", "shifted", "negative", "outlier", "heavy", "uniform"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_other_range_is_better(kind):
    values = draw(kind)
    histogram = Histogram()
    histogram.add(values)
    low, high = histogram.mse_range()
    lowest, highest = min(values.min(), 0.0), max(values.max(), 0.0)
    assert lowest <= low <= 0 <= high <= highest
    found = quantization_error(values, low, high)
    shares = np.linspace(0.02, 1, 50)
    best = min(
        quantization_error(values, a * lowest, b * highest)
        for a in (shares if lowest else [0])
        for b in (shares if highest else [0])
    )
    assert found <= best * 1.01


def test_a_lonely_outlier_is_cut_and_a_full_range_is_not():
    normal = np.random.default_rng(0).standard_normal(200_000)
    for values, cut in ((np.append(normal, 12.0), True), (draw("uniform"), False)):
        histogram = Histogram()
        histogram.add(values.astype(np.float32))
        low, high = histogram.mse_range()
        assert bool(high - low < 0.8 * (values.max() - values.min())) is cut


@pytest.mark.parametrize("values", [[0.0, 0.0], [1e-20, 2e-20], [-3.0], [5.0, 5.0], []])
def test_degenerate_data(values):
    histogram = Histogram()
    histogram.add(np.array(values, np.float32))
    low, high = histogram.mse_range()
    assert min([*values, 0]) - 1e-6 <= low <= 0 <= high <= max([*values, 0]) + 1e-6
    if any(values):
        assert high - low > 0


@pytest.mark.parametrize("wide", ["uint16", "int16"])
def test_it_is_for_8_bits(wide):
    with pytest.raises(SpecError, match='"mse" supports 8 bits only'):
        Recipe("int8", calibration_method="mse", activation_type=wide)
