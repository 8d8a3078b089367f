import numpy as np
import pytest
from onnx import numpy_helper

from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import (
    Ingredients,
    build,
    calibration_of,
    load_model,
    observe_activations,
)
from pytest_kycquant.spec.recipe import Recipe
from tests.worlds.zoo import named_images, ready, save, tiny_embedder


@pytest.mark.parametrize("precision", ["int8", "int8-dynamic"])
def test_a_quantized_model_is_no_golden(tmp_path, precision):
    prepared = ready(tmp_path)
    needed = calibration_of(Recipe(precision))
    ranges = observe_activations(prepared, named_images(2)).ranges(*needed) if needed else None
    path = tmp_path / "quantized.onnx"
    path.write_bytes(
        build(Ingredients(prepared, ranges=ranges, saturates=False), Recipe(precision)).content
    )
    with pytest.raises(ModelError, match="already quantized"):
        load_model(path)


def test_a_half_precision_model_is_no_golden(tmp_path):
    proto = tiny_embedder()
    half = numpy_helper.from_array(np.ones(3, np.float16), "half")
    proto.graph.initializer.append(half)
    with pytest.raises(ModelError, match="'half' has 16 bits"):
        load_model(save(tmp_path, proto))
