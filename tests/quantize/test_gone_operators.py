"""What keep_fp32 and op_types say about operators that preparation removed or rewrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pytest_kycquant import Recipe
from pytest_kycquant.errors import QuantizationError
from pytest_kycquant.quantize import Quantizer
from tests.worlds.opsets import draw, network, of_nodes
from tests.worlds.zoo import images, save

SHAPE = (1, 3, 16, 16)
node = helper.make_node


def unusual() -> onnx.ModelProto:
    """A BatchNormalization, a computed weight, a copy, a cast, a branch and a fused operator."""
    rng = np.random.default_rng(0)
    info = helper.make_tensor_value_info("side", TensorProto.FLOAT, None)
    sides = {
        key: helper.make_graph([node(kind, ["n"], ["side"], key)], key, [], [info])
        for key, kind in (("then_branch", "Relu"), ("else_branch", "Neg"))
    }
    nodes = [
        node("Transpose", ["wt"], ["w"], "turned", perm=[1, 0, 2, 3]),
        node("Conv", ["input", "w"], ["c"], "conv", strides=[2, 2]),
        node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"], "norm"),
        node("If", ["yes"], ["i"], "if", **sides),
        node("Cast", ["i"], ["d"], "cast", to=TensorProto.DOUBLE),
        node("Mul", ["d", "k"], ["dk"], "double"),
        node("Cast", ["dk"], ["f"], "back", to=TensorProto.FLOAT),
        node("FusedConv", ["f", "w2"], ["fc"], "fused", domain="com.microsoft", activation="Relu"),
        node("Flatten", ["fc"], ["output"], "flat"),
    ]
    weights = {"wt": draw(rng, 3, 8, 3, 3), "w2": draw(rng, 8, 8, 1, 1), "k": np.array(1.5)}
    weights |= {name: 1 + np.abs(draw(rng, 8)) for name in "sbmv"}
    proto = of_nodes(nodes, weights | {"yes": np.array(True)}, 17)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return proto


@pytest.fixture(scope="module")
def quantizer(tmp_path_factory: pytest.TempPathFactory) -> Quantizer:
    folder = tmp_path_factory.mktemp("unusual")
    return Quantizer(save(folder, unusual()), images(2, shape=SHAPE))


FOLDED = "was folded into the Conv before it"
COMPUTED = "was computed beforehand, since no pixel reaches it"
BRANCH = "was replaced by the branch that always runs"
CAST = "casts to float64 or back, which is computed in float32"
FUSED = "was taken apart into standard operators"


@pytest.mark.parametrize(
    ("entry", "became"),
    [
        ("norm", FOLDED), ("BatchNormalization", FOLDED), ("turned", COMPUTED),
        ("Transpose", COMPUTED), ("if", BRANCH), ("If", BRANCH), ("cast", CAST), ("Cast", CAST),
        ("FusedConv", FUSED), ("convx", "is not an operator of the model"),
    ],
)  # fmt: skip
def test_keep_fp32_says_what_became_of_it(quantizer: Quantizer, entry: str, became: str) -> None:
    recipe = Recipe("fp16", keep_fp32=(entry,), rewrites=False)
    with pytest.raises(QuantizationError, match=f"keep_fp32 names '{entry}', which {became}"):
        quantizer.build(recipe)


def test_a_part_keeps_the_name_of_what_was_fused(quantizer: Quantizer) -> None:
    made = quantizer.build(Recipe("int8-weights", keep_fp32=("fused",), rewrites=False))
    assert made.kept == ("fused",)
    assert made.quantized == {"Conv": 1}


def test_op_types_say_what_became_of_them(quantizer: Quantizer) -> None:
    recipe = Recipe("int8", op_types=("Conv", "BatchNormalization", "Lost"), rewrites=False)
    said = rf"no operators of type BatchNormalization, Lost \(BatchNormalization {FOLDED}\)"
    with pytest.raises(QuantizationError, match=said):
        quantizer.build(recipe)


def test_an_operator_of_an_old_opset_is_written_otherwise(tmp_path: Path) -> None:
    quantizer = Quantizer(save(tmp_path, network(9)), images(2, shape=SHAPE))
    said = "'Upsample', which is written in other operators since opset 17"
    with pytest.raises(QuantizationError, match=said):
        quantizer.build(Recipe("fp16", keep_fp32=("Upsample",), rewrites=False))


def test_the_first_layer_of_a_model_without_layers(tmp_path: Path) -> None:
    nodes = [
        node("GlobalAveragePool", ["input"], ["p"], "pool"),
        node("Flatten", ["p"], ["output"], "flat"),
    ]
    quantizer = Quantizer(save(tmp_path, of_nodes(nodes, {}, 17)), images(2, shape=SHAPE))
    said = "'first', which is not in the model: it has no Conv, ConvTranspose, Gemm, MatMul; leave"
    with pytest.raises(QuantizationError, match=said):
        quantizer.build(Recipe("fp16", keep_fp32=("first",), rewrites=False))
