import numpy as np
import pytest
from onnx import helper, numpy_helper

import pytest_kycquant
from pytest_kycquant import Recipe
from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import load_model
from pytest_kycquant.runtimes.ort import open_session
from tests.worlds.zoo import images, save, tiny_embedder


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
def test_a_model_whose_weights_are_mostly_constant_is_refused(tmp_path, value):
    proto = tiny_embedder()
    for tensor in proto.graph.initializer:
        if tensor.name in ("w1", "w2"):  # 288 of 480 weights
            array = np.full(tuple(tensor.dims), value, np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    message = rf"288 of 480 weights are constant: every value of 'w1' of Conv is {value:g}"
    with pytest.raises(ModelError, match=message):
        load_model(save(tmp_path, proto))


@pytest.mark.parametrize("value", [0.0, 0.25])
@pytest.mark.parametrize("name", ["w2", "w3"])
def test_a_constant_filter_and_a_pruned_convolution_are_legitimate(tmp_path, name, value):
    path = save(tmp_path, with_weight(name, put(value, None)))
    for recipe in (Recipe("int8", rewrites=False), "int8-weights", "fp16"):
        made = pytest_kycquant.quantize(path, images(8), recipe)
        runs = [open_session(p.read_bytes()) for p in (path, made.path)]
        for x in images(4, seed=5):
            fp32, other = (each.run(None, {"input": x})[0].ravel() for each in runs)
            assert fp32 @ other > 0.995 * np.linalg.norm(fp32) * np.linalg.norm(other)


def test_an_upsampling_by_ones_is_legitimate(tmp_path):
    proto = tiny_embedder()
    ones = numpy_helper.from_array(np.ones((8, 1, 2, 2), np.float32), "ones")
    proto.graph.initializer.append(ones)
    up = helper.make_node("ConvTranspose", ["p1", "ones"], ["up"], "up", group=8, strides=[2, 2])
    down = helper.make_node(
        "AveragePool", ["up"], ["p1b"], "down", kernel_shape=[2, 2], strides=[2, 2]
    )
    proto.graph.node.insert(2, up)
    proto.graph.node.insert(3, down)
    proto.graph.node[4].input[0] = "p1b"
    made = pytest_kycquant.quantize(
        save(tmp_path, proto), images(8), Recipe("int8", rewrites=False)
    )
    assert made.quantized["ConvTranspose"] == 1


def test_a_constant_bias_is_legitimate(tmp_path):
    load_model(save(tmp_path, with_weight("b4", put(0.0, None))))


def test_subnormal_weights_are_counted(tmp_path):
    assert load_model(save(tmp_path, tiny_embedder())).subnormal_weights == 0
    proto = with_weight("w3", put(1e-40, 5))
    assert load_model(save(tmp_path, proto)).subnormal_weights == 5
