import pytest
from onnx import TensorProto, helper

from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import check_input, load_model
from tests.worlds.inputs import embedder
from tests.worlds.zoo import build_model, save, tiny_embedder


def test_the_only_input_is_described(tmp_path):
    model = load_model(save(tmp_path, tiny_embedder(batch="N")))
    assert model.input_name == "input"
    assert model.input_shape == (None, 3, 32, 32)
    assert model.output_names == ("output",)
    assert model.opset == 17


def test_two_inputs_are_listed(tmp_path):
    proto = tiny_embedder()
    proto.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))
    with pytest.raises(ModelError, match=r"2 inputs \('input', 'mask'\)"):
        load_model(save(tmp_path, proto))


def test_an_initializer_among_the_inputs_is_no_input(tmp_path):
    proto = tiny_embedder()
    proto.graph.input.append(helper.make_tensor_value_info("b1", TensorProto.FLOAT, [8]))
    assert load_model(save(tmp_path, proto)).input_name == "input"


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT8, TensorProto.BOOL])
def test_an_input_that_holds_no_pixels_is_refused(tmp_path, kind):
    proto = embedder()
    proto.graph.input[0].type.tensor_type.elem_type = kind
    with pytest.raises(ModelError, match=r"'input' is (int64|int8|bool), not float32"):
        load_model(save(tmp_path, proto))


@pytest.mark.parametrize("kind", [0, 33, 2**31 - 1])
def test_an_input_of_no_known_type_is_refused(tmp_path, kind):
    proto = tiny_embedder()
    proto.graph.input[0].type.tensor_type.elem_type = kind
    with pytest.raises(ModelError, match=r"not float32|not a valid ONNX model"):
        load_model(save(tmp_path, proto))


def test_an_input_of_another_rank_is_refused(tmp_path):
    proto = build_model(
        [helper.make_node("Relu", ["input"], ["output"])], {}, shape=(1, 3), output=(1, 3)
    )
    with pytest.raises(ModelError, match="rank 2, not 4"):
        load_model(save(tmp_path, proto))


def test_preprocessing_must_make_the_models_input(tmp_path):
    model = load_model(save(tmp_path, tiny_embedder(batch="N")))
    check_input(model, (1, 3, 32, 32))
    with pytest.raises(ModelError, match=r"is \?x3x32x32 but preprocessing makes 1x3x112x112"):
        check_input(model, (1, 3, 112, 112))
