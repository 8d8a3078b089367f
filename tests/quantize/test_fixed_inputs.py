"""Inputs that never change become constants, and everything that does not fit is told."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from pytest_kycquant import quantize
from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import load_model
from tests.worlds.inputs import embedder, photographs, trained_by
from tests.worlds.zoo import save, tiny_embedder


def with_input(kind, shape, name="extra"):
    """A model that adds an extra input, cast to float32, to its outputs."""
    proto = tiny_embedder()
    graph = proto.graph
    graph.input.append(helper.make_tensor_value_info(name, kind, shape))
    graph.node[-1].output[0] = "own"
    graph.node.extend(
        [
            helper.make_node("Cast", [name], ["as_float"], "cast", to=1),
            helper.make_node("ReduceSum", ["as_float"], ["all"], "sum", keepdims=0),
            helper.make_node("Add", ["own", "all"], ["output"], "add"),
        ]
    )
    return proto


@pytest.mark.parametrize("recipe", ["fp16", "int8", "int8-weights", "int8-dynamic"])
def test_variants_contain_the_constant(tmp_path, recipe):
    """With phase_train set, the last weights are others: they must not stay behind an input."""
    path = save(tmp_path, trained_by(embedder()))
    images = [image[None].transpose(0, 3, 1, 2).astype(np.float32) for image in photographs(8)]
    made = quantize(path, images, recipe, constants={"phase_train": False})
    assert made.quantized["Gemm"] == 1
    session = onnxruntime.InferenceSession(made.path)
    assert [each.name for each in session.get_inputs()] == ["input"]
    given = images[0].astype(np.uint8)
    feed = {"input": given, "phase_train": np.array(False)}
    (wanted,) = onnxruntime.InferenceSession(path).run(None, feed)
    (found,) = session.run(None, {"input": given})
    assert np.linalg.norm(found - wanted) < 0.05 * np.linalg.norm(wanted)
    (other,) = onnxruntime.InferenceSession(path).run(
        None, {"input": given, "phase_train": np.array(True)}
    )
    assert np.linalg.norm(other - wanted) > 0.5 * np.linalg.norm(wanted)


@pytest.mark.parametrize(
    ("kind", "shape", "value", "wanted"),
    [
        (TensorProto.BOOL, [], True, np.array(True)),
        (TensorProto.BOOL, [1], False, np.array([False])),
        (TensorProto.INT64, [2], [3, 4], np.array([3, 4])),
        (TensorProto.INT32, [1, 2], 7, np.array([[7, 7]], np.int32)),
        (TensorProto.FLOAT, [None, 1], 1, np.array([[1]], np.float32)),
        (TensorProto.FLOAT16, [], 0.5, np.array(0.5, np.float16)),
        (TensorProto.UINT8, [], 255, np.array(255, np.uint8)),
    ],
)
def test_a_value_takes_the_type_and_shape_of_its_input(tmp_path, kind, shape, value, wanted):
    loaded = load_model(save(tmp_path, with_input(kind, shape)), {"extra": value})
    found = loaded.feeding.constants["extra"]
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    assert found.tolist() == wanted.tolist()
    assert loaded.input_name == "input"


@pytest.mark.parametrize(
    ("kind", "shape", "value", "match"),
    [
        (TensorProto.BOOL, [], 0, r"'extra' is bool, but its constant is 0; give True or False"),
        (TensorProto.FLOAT, [], True, r"is float32, but its constant is True"),
        (TensorProto.INT64, [], 0.5, r"is int64, but its constant is 0\.5"),
        (TensorProto.UINT8, [], 256, r"is uint8, which cannot hold its constant 256"),
        (TensorProto.FLOAT16, [], 70000.0, r"is float16, which cannot hold"),
        (TensorProto.INT64, [2], [1, 2, 3], r"'extra' is 2, but its constant has shape \(3,\)"),
        (TensorProto.INT64, [], [1], r"'extra' is a scalar, but its constant has shape \(1,\)"),
        (TensorProto.STRING, [], 1, r"'extra' is string"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(tmp_path, kind, shape, value, match):
    proto = tiny_embedder()
    proto.graph.input.append(helper.make_tensor_value_info("extra", kind, shape))
    with pytest.raises(ModelError, match=match):
        load_model(save(tmp_path, proto), {"extra": value})


def test_a_wrong_name_gets_a_suggestion(tmp_path):
    path = save(tmp_path, trained_by(embedder()))
    with pytest.raises(ModelError, match=r"no input 'phase_trian'.*mean 'phase_train'"):
        load_model(path, {"phase_trian": False})
    with pytest.raises(ModelError, match=r"no input 'keep'.*inputs are input, phase_train"):
        load_model(path, {"keep": False})


def test_a_further_input_names_the_remedy(tmp_path):
    path = save(tmp_path, trained_by(embedder()))
    with pytest.raises(ModelError, match=r'KycModel\(constants=\{"phase_train": \.\.\.\}\)'):
        load_model(path)


def test_a_stored_value_cannot_be_given_again(tmp_path):
    proto = tiny_embedder()
    proto.graph.input.append(helper.make_tensor_value_info("b1", TensorProto.FLOAT, [8]))
    with pytest.raises(ModelError, match="stores a value for its input 'b1'"):
        load_model(save(tmp_path, proto), {"b1": 0.0})
