import numpy as np
import onnx
import pytest

from pytest_kycquant.errors import QuantizationError
from pytest_kycquant.quantize import Ingredients, build
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.recipe import Recipe
from tests.worlds.zoo import images, ready, tiny_embedder


def make(prepared, **options):
    return build(Ingredients(prepared, saturates=False), Recipe("int8-dynamic", **options))


def test_convolutions_and_products_become_integer_operators(tmp_path):
    proto = tiny_embedder()
    variant = make(ready(tmp_path, proto))
    assert variant.quantized == {"Conv": 3, "Gemm": 1}
    types = [node.op_type for node in onnx.load_model_from_string(variant.content).graph.node]
    assert types.count("ConvInteger") == 3
    assert types.count("MatMulInteger") == 1
    assert variant.notes == ()
    array = images(1, seed=9)[0]
    exact = open_session(proto.SerializeToString()).run(None, {"input": array})[0]
    found = open_session(variant.content).run(None, {"input": array})[0]
    assert 0 < np.abs(found - exact).max() < 0.1 * np.abs(exact).max()


@pytest.mark.parametrize(
    ("keep", "quantized"),
    [(("first",), {"Conv": 2, "Gemm": 1}), (("Gemm",), {"Conv": 3}), (("Conv",), {"Gemm": 1})],
)
def test_operators_can_be_kept(tmp_path, keep, quantized):
    assert make(ready(tmp_path), keep_fp32=keep).quantized == quantized


def test_a_scale_per_channel_of_a_convolution_does_not_exist(tmp_path):
    (note,) = make(ready(tmp_path), per_channel=True).notes
    assert "ConvInteger has one scale per tensor" in note


def test_sixteen_bit_weights_are_refused(tmp_path):
    with pytest.raises(QuantizationError, match="'int16' has no dynamic kernel"):
        make(ready(tmp_path), weight_type="int16")


def test_types_of_which_nothing_can_be_quantized_are_an_error(tmp_path):
    with pytest.raises(QuantizationError, match="nothing in the model was quantized"):
        make(ready(tmp_path), op_types=("PRelu",))
