"""Everything that this package or onnxruntime makes from an FP32 model is not FP32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.transformers.float16 import convert_float_to_float16

from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import Quantizer, load_model
from pytest_kycquant.quantize.graph import sort_nodes
from pytest_kycquant.spec.recipe import RECIPES, UNQUANTIZED, Recipe
from tests.worlds.zoo import images, save, tiny_embedder

_INTEGERS = ("int8", "uint8", "int16", "uint16")
RECIPES_THAT_QUANTIZE = [
    *(
        Recipe(name)
        for name, line in RECIPES.items()
        if name not in (*UNQUANTIZED, "mixed") and not line.runtimes
    ),
    *(Recipe("int8", name=f"{a} {w}", activation_type=a, weight_type=w)
      for a in ("uint8", "int16") for w in _INTEGERS),
    *(Recipe("mixed", name=f"{kind} {kept}", keep_fp32=(kept,), float_weights=kind)
      for kind in ("float32", "float16", "int8") for kept in ("first", "Conv")),
    *(Recipe(name, name=f"{name} but Conv", keep_fp32=("Conv",))
      for name in ("int8-weights", "int4-weights")),
    Recipe("int8-weights", name="Gemm in 8 bits", op_types=("Gemm",)),
    Recipe("fp16", name="fp16 but first", keep_fp32=("first",)),
    Recipe("int8-dynamic", name="dynamic", weight_type="int8", per_channel=True),
    Recipe("int8", name="plain", per_channel=False, equalize=False, bias_correction=False),
]  # fmt: skip


@pytest.fixture(scope="module")
def quantizer(tmp_path_factory: pytest.TempPathFactory) -> Quantizer:
    return Quantizer(save(tmp_path_factory.mktemp("fp32"), tiny_embedder()), images(4))


def refused(path: Path) -> None:
    with pytest.raises(ModelError, match=r"already quantized|is not FP32") as caught:
        load_model(path)
    assert caught.value.remedy == "give the FP32 model from which it was made"


@pytest.mark.parametrize("recipe", RECIPES_THAT_QUANTIZE, ids=lambda recipe: recipe.name)
def test_our_own_variants_are_refused(tmp_path: Path, quantizer: Quantizer, recipe: Recipe) -> None:
    path = tmp_path / "variant.onnx"
    path.write_bytes(quantizer.build(recipe).content)
    refused(path)


def test_exact_rewrites_are_fp32(tmp_path: Path, quantizer: Quantizer) -> None:
    path = tmp_path / "variant.onnx"
    path.write_bytes(quantizer.build(Recipe("fp32-optimized", rewrites=True)).content)
    load_model(path)


class Reader(CalibrationDataReader):
    def __init__(self) -> None:
        self._images = iter([{"input": image} for image in images(2)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._images, None)


@pytest.mark.parametrize("kind", [QuantType.QInt8, QuantType.QUInt8])
def test_dynamic_quantization_is_refused(tmp_path: Path, kind: QuantType) -> None:
    path = tmp_path / "dynamic.onnx"
    quantize_dynamic(save(tmp_path, tiny_embedder()), path, weight_type=kind)
    refused(path)


@pytest.mark.parametrize("style", list(QuantFormat))
@pytest.mark.parametrize("per_channel", [False, True])
def test_static_quantization_is_refused(
    tmp_path: Path, style: QuantFormat, per_channel: bool
) -> None:
    path, source = tmp_path / "static.onnx", save(tmp_path, tiny_embedder())
    quantize_static(source, path, Reader(), quant_format=style, per_channel=per_channel)
    refused(path)


@pytest.mark.parametrize("inputs", ["float32", "float16"])
@pytest.mark.parametrize("constants", ["initializers", "operators"])
def test_half_precision_is_refused(tmp_path: Path, inputs: str, constants: str) -> None:
    proto = convert_float_to_float16(tiny_embedder(), keep_io_types=inputs == "float32")
    if constants == "operators":
        for tensor in list(proto.graph.initializer):
            proto.graph.node.append(helper.make_node("Constant", [], [tensor.name], value=tensor))
        del proto.graph.initializer[:]
    sort_nodes(proto.graph)
    refused(save(tmp_path, proto))


@pytest.mark.parametrize(
    ("domain", "operator"),
    [
        ("com.microsoft", "MatMulNBits"),
        ("com.microsoft", "MatMulBnb4"),
        ("com.microsoft", "QAttention"),
        ("com.microsoft", "DynamicQuantizeLSTM"),
        ("com.microsoft", "QLinearAdd"),
        ("com.microsoft", "MatMulIntegerToFloat"),
        ("com.microsoft", "GatherBlockQuantized"),
        ("", "DequantizeLinear"),
        ("", "ConvInteger"),
    ],
)
@pytest.mark.parametrize("place", ["graph", "branch", "function"])
def test_integer_operators_are_refused_wherever_they_are(
    tmp_path: Path, domain: str, operator: str, place: str
) -> None:
    from pytest_kycquant.quantize.precision_check import check_operators

    proto = tiny_embedder()
    node = helper.make_node(operator, ["output"], ["more"], domain=domain)
    if place == "graph":
        proto.graph.node.append(node)
    elif place == "branch":
        branch = helper.make_graph([node], "branch", [], [])
        proto.graph.node.append(
            helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch)
        )
    else:
        opsets = [helper.make_opsetid("", 17)]
        proto.functions.append(helper.make_function("own", "F", [], [], [node], opsets))
    with pytest.raises(ModelError, match=f"already quantized: it contains '{operator}'"):
        check_operators(tmp_path / "model.onnx", proto)


def test_a_half_precision_weight_is_named(tmp_path: Path) -> None:
    proto = tiny_embedder()
    half = numpy_helper.from_array(np.ones(3, np.float16), "half")
    proto.graph.initializer.append(half)
    with pytest.raises(ModelError, match="'half' has 16 bits"):
        load_model(save(tmp_path, proto))


def test_weights_of_four_bits_are_named(tmp_path: Path) -> None:
    proto = tiny_embedder()
    proto.graph.initializer.append(
        helper.make_tensor("nibbles", onnx.TensorProto.INT4, [2], [1, 2])
    )
    with pytest.raises(ModelError, match="'nibbles' is stored as int4"):
        load_model(save(tmp_path, proto))
