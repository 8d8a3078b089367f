import numpy as np
import pytest
from onnx import numpy_helper

from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import load_model
from tests.worlds.zoo import save, tiny_embedder


def with_weight(name, change):
    proto = tiny_embedder()
    for tensor in proto.graph.initializer:
        if tensor.name == name:
            array = numpy_helper.to_array(tensor).copy()
            change(array)
            tensor.CopyFrom(numpy_helper.from_array(array, name))
    return proto


def put(value, count=1):
    def change(array):
        array.reshape(-1)[:count] = value

    return change


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_named(tmp_path, value):
    with pytest.raises(ModelError, match="'w3' contains NaN or Inf"):
        load_model(save(tmp_path, with_weight("w3", put(value))))


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_constant_weights_are_named(tmp_path, value):
    with pytest.raises(ModelError, match="'w2' of Conv is constant"):
        load_model(save(tmp_path, with_weight("w2", put(value, None))))


def test_a_constant_bias_is_legitimate(tmp_path):
    load_model(save(tmp_path, with_weight("b4", put(0.0, None))))


def test_subnormal_weights_are_counted(tmp_path):
    assert load_model(save(tmp_path, tiny_embedder())).subnormal_weights == 0
    proto = with_weight("w3", put(1e-40, 5))
    assert load_model(save(tmp_path, proto)).subnormal_weights == 5
