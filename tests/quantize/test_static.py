import numpy as np
import onnx
import pytest
from onnx import helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from pytest_kycquant.errors import QuantizationError
from pytest_kycquant.quantize import (
    Ingredients,
    build,
    calibration_of,
    observe_activations,
)
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.recipe import Recipe
from tests.worlds.zoo import build_model, images, named_images, ready, tiny_embedder


def make(prepared, recipe, saturates=False):
    ranges = observe_activations(prepared, named_images(8)).ranges(*calibration_of(recipe))
    return build(Ingredients(prepared, ranges=ranges, saturates=saturates), recipe)


def outputs(content, arrays):
    session = open_session(content)
    return np.concatenate([session.run(None, {"input": array})[0] for array in arrays])


def test_the_variant_is_that_of_quantize_static(tmp_path):
    class Reader(CalibrationDataReader):
        arrays = iter(images(8))

        def get_next(self):
            array = next(self.arrays, None)
            return None if array is None else {"input": array}

    prepared = ready(tmp_path)
    target = tmp_path / "theirs.onnx"
    copy = onnx.ModelProto()
    copy.CopyFrom(prepared.proto)  # it moves the weights of the model it gets into a file
    quantize_static(
        copy,
        target,
        Reader(),
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    recipe = Recipe("int8", calibration_method="minmax", reduce_range=True)
    ours = outputs(make(prepared, recipe).content, images(5, seed=9))
    np.testing.assert_array_equal(ours, outputs(target.read_bytes(), images(5, seed=9)))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"per_channel": False},
        {"activation_type": "int8"},
        {"weight_type": "uint8"},
        {"activation_type": "uint16"},
        {"activation_type": "int16", "weight_type": "int16"},
        {"calibration_method": "percentile"},
        {"calibration_method": "entropy"},
    ],
)
@pytest.mark.parametrize("opset", [11, 17])
def test_every_type_quantizes_all_weights_and_stays_close(tmp_path, options, opset):
    proto = tiny_embedder(opset=opset)
    prepared = ready(tmp_path, proto)
    variant = make(prepared, Recipe("int8", **options))
    assert (variant.quantized["Conv"], variant.quantized["Gemm"]) == (3, 1)
    assert variant.kept == ()
    arrays = images(5, seed=9)
    expected = outputs(proto.SerializeToString(), arrays)
    difference = outputs(variant.content, arrays) - expected
    assert 0 < np.abs(difference).max() < 0.15 * np.abs(expected).max()


def test_sixteen_bits_have_no_integer_kernel_which_is_noted(tmp_path):
    variant = make(ready(tmp_path), Recipe("int8", activation_type="uint16"))
    assert "3 of 3 quantized Conv run in float: no integer kernel fits" in variant.notes


def test_eight_bits_run_as_integers(tmp_path):
    assert make(ready(tmp_path), Recipe("int8")).notes == ()


def test_only_the_types_asked_for_are_quantized(tmp_path):
    variant = make(ready(tmp_path), Recipe("int8", op_types=("Gemm", "Add")))
    assert variant.quantized == {"Add": 1, "Gemm": 1}
    assert variant.resolved["op_types"] == "Gemm, Add"


def test_a_type_that_the_model_lacks_is_an_error(tmp_path):
    with pytest.raises(QuantizationError, match=r"no operators of type LSTM; .*Conv, Flatten"):
        make(ready(tmp_path), Recipe("int8", op_types=("LSTM",)))
    with pytest.raises(QuantizationError, match="no operators of type gemm; choose op_types"):
        make(ready(tmp_path), Recipe("int8", op_types=("Conv", "gemm")))


def test_a_model_without_weights_has_nothing_to_quantize(tmp_path):
    nodes = [helper.make_node("Exp", ["input"], ["output"])]
    prepared = ready(tmp_path, build_model(nodes, {}, output=(1, 3, 32, 32)))
    with pytest.raises(QuantizationError, match="nothing in the model was quantized"):
        make(prepared, Recipe("int8"))


def test_ranges_must_be_given(tmp_path):
    with pytest.raises(QuantizationError, match="needs mse ranges"):
        build(Ingredients(ready(tmp_path), saturates=False), Recipe("int8"))


def test_ranges_of_another_method_are_refused(tmp_path):
    prepared = ready(tmp_path)
    ranges = observe_activations(prepared, named_images(2)).ranges("minmax")
    with pytest.raises(QuantizationError, match="needs mse ranges, not minmax"):
        build(Ingredients(prepared, ranges=ranges, saturates=False), Recipe("int8"))


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_ranges_of_another_model_are_refused(tmp_path, precision):
    prepared = ready(tmp_path)
    nodes = [helper.make_node("Relu", ["input"], ["output"])]
    other = ready(tmp_path, build_model(nodes, {}, output=(1, 3, 32, 32)))
    needed = calibration_of(Recipe(precision))
    ranges = observe_activations(other, named_images(2)).ranges(*needed)
    with pytest.raises(QuantizationError, match="those of another model"):
        build(Ingredients(prepared, ranges=ranges, saturates=False), Recipe(precision))


def test_fp32_is_not_built(tmp_path):
    with pytest.raises(QuantizationError, match="FP32 is the model itself"):
        build(Ingredients(ready(tmp_path), saturates=False), Recipe("fp32"))


def test_a_failure_of_onnxruntime_is_one_line(tmp_path, monkeypatch):
    def fail(quantizer):
        raise RuntimeError("inner\nfailure")

    monkeypatch.setattr("onnxruntime.quantization.qdq_quantizer.QDQQuantizer.quantize_model", fail)
    with pytest.raises(QuantizationError, match=r"\(RuntimeError: inner failure\)"):
        make(ready(tmp_path), Recipe("int8"))


def test_what_cannot_be_loaded_is_an_error(tmp_path, monkeypatch):
    def no_domain(model, content):
        proto = onnx.load_model_from_string(content)
        proto.graph.node[0].op_type = "Nonsense"
        return proto.SerializeToString()

    monkeypatch.setattr(
        "pytest_kycquant.quantize.builder.serialize",
        lambda proto: no_domain(proto, proto.SerializeToString()),
    )
    with pytest.raises(QuantizationError, match="cannot load the result"):
        make(ready(tmp_path), Recipe("int8"))


def test_an_operator_left_out_by_the_quantizer_is_an_error(tmp_path, monkeypatch):
    from onnxruntime.quantization.base_quantizer import BaseQuantizer

    original = BaseQuantizer.should_quantize_node
    monkeypatch.setattr(
        BaseQuantizer,
        "should_quantize_node",
        lambda self, node: node.name != "depthwise" and original(self, node),
    )
    with pytest.raises(QuantizationError, match="Conv 'depthwise' and 0 other operators were not"):
        make(ready(tmp_path), Recipe("int8"))
